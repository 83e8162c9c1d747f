package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

func simCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "sim", Short: "Run one simulator alone, for trying things out"}
	var listen string
	var verbose bool
	cmd.PersistentFlags().StringVar(&listen, "listen", "127.0.0.1:0", "where it listens")
	cmd.PersistentFlags().BoolVarP(&verbose, "verbose", "v", false, "print each request")
	log := func() *slog.Logger {
		if verbose {
			return logger(s, slog.LevelDebug)
		}
		return logger(s, slog.LevelInfo)
	}
	var hook webhookFlags
	gitlab := &cobra.Command{
		Use: "gitlab", Short: "A simulated GitLab with one example project, until Ctrl-C", Args: noArgs,
		Long: `A simulated GitLab with one example project, until Ctrl-C. Its bot has the token in
GITLAB_TOKEN, or one that is made up; deliveries go to --webhook, with the secret token
in GITLAB_WEBHOOK_SECRET.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return simGitLab(cmd.Context(), s, listen, hook, log()) },
	}
	gitlab.Flags().StringVar(&hook.url, "webhook", "", "where the example project sends its deliveries")
	cmd.AddCommand(gitlab,
		&cobra.Command{
			Use: "aws", Short: "A simulated AWS, until Ctrl-C", Args: noArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return simAWS(cmd.Context(), s, listen, log()) },
		},
	)
	return group(cmd)
}

// simRole can be assumed in the simulated AWS.
const simRole = "arn:aws:iam::111111111111:role/upgradegate-staging"

func simAWS(ctx context.Context, s streams, listen string, log *slog.Logger) error {
	sim, err := awssim.New(awssim.Config{Clock: upgrade.SystemClock{}, Log: log, Roles: []awssim.Role{{ARN: simRole}}})
	if err != nil {
		return err
	}
	addr, err := sim.Start(ctx, listen)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "AWS_ENDPOINT_URL=http://%s\nAWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\nAWS_REGION=eu-west-2\nROLE_ARN=%s\n",
		addr, awssim.DefaultKeyID, awssim.DefaultSecret, simRole)
	<-ctx.Done()
	sim.Wait()
	return err
}

// webhookFlags say where the simulated GitLab sends its deliveries.
type webhookFlags struct{ url string }

func simGitLab(ctx context.Context, s streams, listen string, hook webhookFlags, log *slog.Logger) (err error) {
	sim, err := gitlabsim.New(gitlabsim.Config{Clock: upgrade.SystemClock{}, Log: log})
	if err != nil {
		return err
	}
	defer closing(&err, sim.Close)
	if _, err := sim.Start(ctx, listen); err != nil {
		return err
	}
	seeded, err := sim.Seed(ctx, upgrade.Secret(os.Getenv("GITLAB_TOKEN")))
	if err != nil {
		return err
	}
	if hook.url != "" {
		_, err := sim.AddHook(seeded.Project.ID, gitlabsim.Hook{URL: hook.url, Token: upgrade.Secret(os.Getenv("GITLAB_WEBHOOK_SECRET"))})
		if err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(s.out, "GITLAB_URL=%s\nGITLAB_TOKEN=%s\nGITLAB_PROJECT=%s\nDEVELOPER_TOKEN=%s\nREVIEWER_TOKEN=%s\n",
		sim.URL(), seeded.Token().Reveal(), seeded.Project.Path, seeded.Developer.Token.Reveal(), seeded.Reviewer.Token.Reveal())
	<-ctx.Done()
	return err
}
