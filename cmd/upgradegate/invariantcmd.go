package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/upgrade"
)

// askAgain is how often it is looked whether a standing gate has answered.
const askAgain = 500 * time.Millisecond

func invariantCommand(s streams) *cobra.Command {
	r := &remote{streams: s}
	cmd := &cobra.Command{
		Use: "invariant", Short: "What standing gates say about the environments",
		Long: "What standing gates say about the environments: they are asked again and again, and keep production shut while one that is required does not hold.\n" +
			"The service is named by --url or UPGRADEGATE_URL, who you are by UPGRADEGATE_TOKEN.",
	}
	r.flags(cmd)
	cmd.AddCommand(r.invariantList(), r.invariantShow(), r.invariantCheck())
	return group(cmd)
}

func (r *remote) invariantList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List them: does it hold, since when, and what was seen", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			all, err := c.Invariants(cmd.Context())
			if err != nil {
				return err
			}
			return r.printInvariants(all)
		},
	}
}

func (r *remote) printInvariants(all []client.Invariant) error {
	if r.json {
		raw := make([]json.RawMessage, 0, len(all))
		for _, one := range all {
			raw = append(raw, one.Raw)
		}
		return json.NewEncoder(r.out).Encode(raw)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(r.err, "No gate is asked again and again: write stage: standing for one in the configuration.")
		return err
	}
	table := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "INVARIANT\tSTATE\tSINCE\tCHECKED\tWHAT WAS SEEN") // errors come back from Flush
	for _, one := range all {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", one.Name, inWords(one.State), clockTime(one.Since), clockTime(one.CheckedAt), orDash(one.Message))
	}
	return table.Flush()
}

// inWords is a state as pages say it.
func inWords(state upgrade.InvariantState) string {
	if state == upgrade.InvariantNotVerified {
		return "not verified"
	}
	return string(state)
}

func clockTime(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.DateTime) + " UTC"
}

func (r *remote) invariantShow() *cobra.Command {
	return &cobra.Command{
		Use: "show INVARIANT", Short: "Show one: what was seen, and what to do", Args: exactly("INVARIANT"),
		Example: "  upgradegate invariant show grants/production",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			one, err := c.Invariant(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return r.printInvariant(one)
		},
	}
}

func (r *remote) printInvariant(one client.Invariant) error {
	if r.json {
		_, err := fmt.Fprintf(r.out, "%s\n", one.Raw)
		return err
	}
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "%s: %s\n", one.Name, inWords(one.State))
	for _, line := range []struct{ name, text string }{{"", one.Message}, {"next: ", one.Hint}} {
		if line.text != "" {
			_, _ = fmt.Fprintf(w, "%s%s\n", line.name, line.text)
		}
	}
	for _, warning := range one.Warnings {
		_, _ = fmt.Fprintf(w, "warning: %s\n", warning)
	}
	_, _ = fmt.Fprintf(w, "since\t%s\nheld\t%s\nchecked\t%s\n", clockTime(one.Since), clockTime(one.HeldAt), clockTime(one.CheckedAt))
	return w.Flush()
}

func (r *remote) invariantCheck() *cobra.Command {
	var patience time.Duration
	cmd := &cobra.Command{
		Use: "check INVARIANT", Short: "Have it asked now, and wait for the answer", Args: exactly("INVARIANT"),
		Long:    "Have a standing gate asked now, and wait for the answer. It only reads.\nExit code 3 if it is broken, 1 if it could not tell.",
		Example: "  upgradegate invariant check grants/production",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			one, err := checkInvariant(cmd.Context(), c, args[0], patience)
			if err != nil {
				return err
			}
			if err := r.printInvariant(one); err != nil {
				return err
			}
			switch {
			case one.State == upgrade.InvariantBroken:
				return &codeError{code: exitClosed, err: errors.New("the invariant is broken")}
			case one.Outcome == upgrade.OutcomeUnknown:
				return &codeError{code: exitError, err: errors.New("the gate could not tell")}
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&patience, "timeout", 10*time.Minute, "how long to wait for the answer")
	return cmd
}

// checkInvariant has one asked and returns it when it has answered.
func checkInvariant(ctx context.Context, c *client.Client, name string, patience time.Duration) (client.Invariant, error) {
	before, err := c.Invariant(ctx, name)
	if err != nil {
		return before, err
	}
	if err := c.CheckInvariant(ctx, name); err != nil {
		return before, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, &upgrade.Error{
		Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("%s has not answered within %s", name, patience),
		Hint: "it goes on by itself: see upgradegate invariant show " + name,
	})
	defer cancel()
	for {
		now, err := c.Invariant(ctx, name)
		switch {
		case ctx.Err() != nil:
			return before, context.Cause(ctx)
		case err != nil:
			return before, err
		case now.CheckedAt.After(before.CheckedAt):
			return now, nil
		}
		select {
		case <-ctx.Done():
			return before, context.Cause(ctx)
		case <-time.After(askAgain):
		}
	}
}
