package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/upgrade"
)

const verifyHelp = `In the production pipeline: ask the service whether this pipeline's commit may go to
production, and wait until it knows. Exits 0 if it may, 3 if it may not, 1 if that could
not be found out. Only 0 lets a pipeline go on, so the gate fails closed.

The job proves who it is by GitLab's ID token. The commit asked about is the token's; a
COMMIT that is given and differs is refused. A token is good for one question.

  may-it-go:
    stage: gate                    # every later stage waits for it
    image: {name: registry.example.org/upgradegate, entrypoint: [""]}
    id_tokens:
      GATE_ID_TOKEN: {aud: https://gate.example.org}      # the service's public_url
    variables: {UPGRADEGATE_URL: https://gate.example.org}
    rules: [if: $CI_COMMIT_BRANCH == "main"]
    interruptible: false
    timeout: 90m                   # longer than --timeout; the token lasts as long
    script: [upgradegate verify]`

// verifying is one question on the command line.
type verifying struct {
	streams
	server, tokenEnv  string
	timeout, patience time.Duration
	json              bool
}

func verifyCommand(s streams) *cobra.Command {
	v := &verifying{streams: s}
	cmd := &cobra.Command{
		Use: "verify [COMMIT]", Short: "In the production pipeline: may this commit go? Exits 0 yes, 3 no, 1 could not ask", Long: verifyHelp,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage(fmt.Errorf("%s takes one commit, got %d arguments", cmd.CommandPath(), len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var commit upgrade.Commit
			if len(args) == 1 {
				var err error
				if commit, err = upgrade.ParseCommit(args[0]); err != nil {
					return usage(err)
				}
			}
			if v.timeout <= 0 || v.patience <= 0 {
				return usage(errors.New("--timeout and --patience must be more than 0"))
			}
			return v.run(cmd.Context(), commit)
		},
	}
	f := cmd.Flags()
	f.StringVar(&v.server, "server", os.Getenv("UPGRADEGATE_URL"), "address of the service (UPGRADEGATE_URL)")
	f.StringVar(&v.tokenEnv, "token-env", "GATE_ID_TOKEN", "variable that holds the job's ID token")
	f.DurationVar(&v.timeout, "timeout", time.Hour, "how long to wait for the answer")
	f.DurationVar(&v.patience, "patience", 5*time.Minute, "how long the service may be away without a break")
	f.BoolVar(&v.json, "json", false, "print the API's own answer")
	return cmd
}

// run asks, prints the answer and returns the error that stands for the exit code.
func (v *verifying) run(ctx context.Context, commit upgrade.Commit) error {
	if v.server == "" {
		return usage(&upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the address of the service is missing", Hint: "set UPGRADEGATE_URL or --server, such as https://gate.example.org"})
	}
	token := os.Getenv(v.tokenEnv)
	if token == "" {
		return &upgrade.Error{Code: upgrade.CodeUnauthorized, Msg: v.tokenEnv + " holds no ID token", Hint: v.idTokens()}
	}
	c, err := client.New(client.Config{URL: v.server, Token: upgrade.Secret(token), HTTP: &http.Client{}})
	if err != nil {
		return usage(err)
	}
	late := &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("no answer within %s", v.timeout), Hint: "run the job again, or give it a longer --timeout"}
	ctx, cancel := context.WithTimeoutCause(ctx, v.timeout, late)
	defer cancel()
	answer, err := c.Verify(ctx, client.Question{Commit: commit, Patience: v.patience, Each: v.say})
	if err != nil {
		return v.unanswered(err)
	}
	return v.print(answer)
}

// say prints how far the question is.
func (v *verifying) say(sentence string) {
	_, _ = fmt.Fprintf(v.err, "upgradegate: %s\n", sentence) // the answer counts, not this
}

// print prints the answer: its sentence is the result, the rest goes to stderr.
func (v *verifying) print(answer client.Answer) error {
	result := answer.Sentence
	if v.json {
		result = string(answer.Raw)
	}
	if _, err := fmt.Fprintln(v.out, result); err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	what := fmt.Sprintf("commit %s of %s", answer.Commit.Short(), answer.Project)
	if answer.State != upgrade.VerifyOpen {
		closed := &upgrade.Error{Code: upgrade.CodeForbidden, Msg: what + " may not go to production"}
		if answer.RunURL != "" {
			closed.Hint = "see " + answer.RunURL
		}
		return &codeError{code: exitClosed, err: closed}
	}
	v.say(what + " may go to production")
	return nil
}

// unanswered is why nothing is known, with what to do about it.
func (v *verifying) unanswered(err error) error {
	if upgrade.CodeOf(err) == upgrade.CodeUnauthorized && upgrade.HintOf(err) == "" {
		return &upgrade.Error{Code: upgrade.CodeUnauthorized, Msg: upgrade.Public(err), Hint: v.idTokens()}
	}
	return err
}

// idTokens says what the job needs.
func (v *verifying) idTokens() string {
	return fmt.Sprintf("give the job id_tokens: {%s: {aud: %s}}, with the service's public_url as aud", v.tokenEnv, v.server)
}
