package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/upgrade"
)

const replayHelp = `Send a recorded delivery to a running service, as GitLab would, and say what came of it.

FILE is one of
  a recorded request          {"headers": {"X-Gitlab-Event": "Push Hook", …}, "body": {…}}
  a kept delivery             what GET /api/v1/deliveries/ID answers
  the body alone              with --event

The webhook's secret is in the environment variable that --secret-env names: a signing
token (whsec_…) signs the delivery, any other goes along as the secret token. Without it
the headers go as recorded. The delivery gets a new id, so that it is looked at anew.

What came of it is asked with UPGRADEGATE_TOKEN; without one the answer has to do.`

// replay is one recorded delivery on the command line.
type replay struct {
	*remote
	event, secretEnv string
	sameID           bool
	wait             time.Duration
}

func replayCommand(s streams) *cobra.Command {
	r := &replay{remote: &remote{streams: s}}
	cmd := &cobra.Command{
		Use: "replay FILE", Short: "Send a recorded delivery to a running service", Long: replayHelp, Args: exactly("FILE"),
		Example: `  upgradegate replay push.json
  upgradegate replay body.json --event "Push Hook" --url https://gate.example.org
  curl -H "Authorization: Bearer $UPGRADEGATE_TOKEN" $UPGRADEGATE_URL/api/v1/deliveries/ID > kept.json; upgradegate replay kept.json`,
		RunE: func(cmd *cobra.Command, args []string) error { return r.run(cmd.Context(), args[0]) },
	}
	r.flags(cmd)
	cmd.Flags().StringVar(&r.url, "server", r.url, "the same as --url")
	cmd.Flags().StringVar(&r.event, "event", "", `GitLab's name of the event, such as "Push Hook"`)
	cmd.Flags().StringVar(&r.secretEnv, "secret-env", "UPGRADEGATE_WEBHOOK_SECRET", "environment variable with the webhook's secret")
	cmd.Flags().BoolVar(&r.sameID, "same-id", false, "keep its id: one that came before is not looked at again")
	cmd.Flags().DurationVar(&r.wait, "wait", 30*time.Second, "how long to wait for what comes of it; 0: not at all")
	return cmd
}

func (r *replay) run(ctx context.Context, file string) error {
	data, err := os.ReadFile(file) //nolint:gosec // the file that was named
	if err != nil {
		return usage(err)
	}
	recorded, err := client.ReadRecorded(data, r.event)
	if err != nil {
		return usage(fmt.Errorf("read %s: %w", file, err))
	}
	token := upgrade.Secret(os.Getenv("UPGRADEGATE_TOKEN"))
	c, err := client.New(client.Config{URL: r.url, Token: token, NoToken: true, HTTP: &http.Client{}})
	if err != nil {
		return usage(err)
	}
	id, answer, err := c.Replay(ctx, client.Replay{Recorded: recorded, Secret: upgrade.Secret(os.Getenv(r.secretEnv)), SameID: r.sameID})
	if err != nil {
		if upgrade.CodeOf(err) == upgrade.CodeUnauthorized && os.Getenv(r.secretEnv) == "" {
			return fmt.Errorf("%w; %s is not set", err, r.secretEnv)
		}
		return err
	}
	if _, err := fmt.Fprintf(r.err, "sent as %s: %s\n", id, answer); err != nil {
		return err
	}
	if !token.Set() || r.wait <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.wait, fmt.Errorf("it was not looked at within %s", r.wait))
	defer cancel()
	came, err := c.AwaitDelivery(ctx, id)
	if err != nil {
		return err
	}
	return r.print(came)
}

func (r *replay) print(d client.Delivery) error {
	if r.json {
		_, err := fmt.Fprintf(r.out, "%s\n", d.Raw)
		return err
	}
	about := d.About
	if about != "" {
		about = ", " + about
	}
	names := make([]string, 0, len(d.Runs))
	for _, id := range d.Runs {
		names = append(names, "run "+id.String())
	}
	of := ""
	if len(names) > 0 {
		of = " (" + strings.Join(names, ", ") + ")"
	}
	_, err := fmt.Fprintf(r.out, "No. %d%s: %s%s. %s\n", d.Number, about, d.Fate, of, d.Reason)
	return err
}
