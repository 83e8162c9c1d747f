package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/upgrade"
)

// remote is what every command that talks to a running service shares.
type remote struct {
	streams
	url  string
	json bool
}

func (r *remote) flags(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&r.url, "url", os.Getenv("UPGRADEGATE_URL"), "address of the service (UPGRADEGATE_URL)")
	cmd.PersistentFlags().BoolVar(&r.json, "json", false, "print the API's own answer")
}

// client signs in with UPGRADEGATE_TOKEN: a token on a command line would be seen by everybody on the machine.
func (r *remote) client() (*client.Client, error) {
	return client.New(client.Config{URL: r.url, Token: upgrade.Secret(os.Getenv("UPGRADEGATE_TOKEN")), HTTP: &http.Client{}})
}

func runCommand(s streams) *cobra.Command {
	r := &remote{streams: s}
	cmd := &cobra.Command{
		Use: "run", Short: "Look at runs of a running service, and ask things of them",
		Long: "Look at runs of a running service, and ask things of them.\nThe service is named by --url or UPGRADEGATE_URL, who you are by UPGRADEGATE_TOKEN.",
	}
	r.flags(cmd)
	cmd.AddCommand(r.list(), r.show())
	cmd.AddCommand(r.acts()...)
	return group(cmd)
}

func (r *remote) list() *cobra.Command {
	var stack string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List runs, newest first", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			runs, err := c.Runs(cmd.Context(), upgrade.StackName(stack), limit)
			if err != nil {
				return err
			}
			return r.printList(runs)
		},
	}
	cmd.Flags().StringVar(&stack, "stack", "", "only runs of this stack")
	cmd.Flags().IntVar(&limit, "limit", 20, "how many at most")
	return cmd
}

func (r *remote) printList(runs []client.Run) error {
	if r.json {
		all := make([]json.RawMessage, 0, len(runs))
		for _, run := range runs {
			all = append(all, run.Raw)
		}
		return json.NewEncoder(r.out).Encode(all)
	}
	if len(runs) == 0 {
		_, err := fmt.Fprintln(r.err, "No run yet: push to the staging branch of a configured project.")
		return err
	}
	table := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "RUN\tSTACK\tCOMMIT\tSTATE\tHEADLINE") // errors come back from Flush
	for _, run := range runs {
		_, _ = fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", run.ID, run.Stack, run.Commit.Short(), run.Told.Chip, run.Told.Headline)
	}
	return table.Flush()
}

func (r *remote) show() *cobra.Command {
	return &cobra.Command{
		Use: "show RUN", Short: "Show one run: headline, causes, gates, next step", Args: exactly("RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := runID(args[0])
			if err != nil {
				return err
			}
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			return r.printRun(cmd.Context(), c, id)
		},
	}
}

func (r *remote) printRun(ctx context.Context, c *client.Client, id upgrade.RunID) error {
	run, err := c.Run(ctx, id)
	if err != nil {
		return err
	}
	if r.json {
		_, err := fmt.Fprintf(r.out, "%s\n", run.Raw)
		return err
	}
	gates, err := c.Gates(ctx, id)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, head(run))
	if run.Told.Live != "" {
		_, _ = fmt.Fprintln(w, run.Told.Live)
	}
	for i, cause := range run.Causes {
		_, _ = fmt.Fprintf(w, "%d. %s\n", i+1, cause.Message)
	}
	if o := run.Override; o != nil {
		state := "asked for, does not count"
		if o.Counts {
			state = "in force until " + o.Until.UTC().Format("2 Jan 15:04 MST")
		}
		_, _ = fmt.Fprintf(w, "override by %s, %s: %s\n", strings.Join(o.By, " and "), state, o.Reason)
	}
	for _, warning := range run.Warnings {
		_, _ = fmt.Fprintf(w, "warning: %s\n", warning)
	}
	for _, gate := range gates {
		word := gate.Outcome.Look().Word
		if gate.WayBack {
			word = "Kept, not counted"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%.1f s\t%s\n", gate.Gate, gate.Environment, word, gate.Took, gate.Message)
	}
	_, _ = fmt.Fprintf(w, "next: %s\n%s\n", run.Told.Next, run.URL)
	return w.Flush()
}

// head is the first lines of what is told of a run.
func head(run client.Run) string {
	return fmt.Sprintf("run %d of %s, commit %s: %s\n%s", run.ID, run.Stack, run.Commit.Short(), run.Told.Chip, run.Told.Headline)
}

func runID(text string) (upgrade.RunID, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, usage(fmt.Errorf("%q is not the number of a run", text))
	}
	return upgrade.RunID(n), nil
}
