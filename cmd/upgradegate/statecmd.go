package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/upgrade"
)

func stateCommand(s streams) *cobra.Command {
	r := &remote{streams: s}
	cmd := &cobra.Command{
		Use: "state", Short: "Terraform states, and when each was read",
		Long: "Terraform states, and when each was read. What they own is what a plan must not destroy.\nThe service is named by --url or UPGRADEGATE_URL, who you are by UPGRADEGATE_TOKEN.",
	}
	r.flags(cmd)
	cmd.AddCommand(r.stateList(), r.stateRefresh())
	return group(cmd)
}

func (r *remote) stateList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the states: when each was read, what is in it, and why it could not be read", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			states, err := c.States(cmd.Context())
			if err != nil {
				return err
			}
			return r.printStates(states)
		},
	}
}

func (r *remote) printStates(states []client.State) error {
	if r.json {
		all := make([]json.RawMessage, 0, len(states))
		for _, state := range states {
			all = append(all, state.Raw)
		}
		return json.NewEncoder(r.out).Encode(all)
	}
	table := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "STATE\tREAD\tTHINGS\tACCOUNT\tREGION\tPROBLEM") // errors come back from Flush
	for _, state := range states {
		read := "never"
		if !state.ReadAt.IsZero() {
			read = state.ReadAt.UTC().Format(time.DateTime) + " UTC"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\n", state.Name, read, state.Objects, orDash(state.Account), orDash(state.Region), orDash(state.Problem))
	}
	return table.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (r *remote) stateRefresh() *cobra.Command {
	return &cobra.Command{
		Use: "refresh STATE", Short: "Read a state now", Args: exactly("STATE"),
		Long:    "Read a state now, and say what came of it. A stack's own state is called STACK/ENVIRONMENT.\nExit code 1 if it could not be read.",
		Example: "  upgradegate state refresh ecs-master/production",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			state, err := c.RefreshState(cmd.Context(), upgrade.StateName(args[0]))
			if err != nil {
				return err
			}
			if r.json {
				_, err = fmt.Fprintf(r.out, "%s\n", state.Raw)
			} else if state.Problem == "" {
				_, err = fmt.Fprintf(r.err, "%s was read: %s\n", state.Name, things(state.Objects))
			}
			if state.Problem != "" {
				err = errors.Join(err, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("%s could not be read: %s", state.Name, state.Problem)})
			}
			return err
		},
	}
}

func things(n int) string {
	if n == 1 {
		return "1 thing is in it"
	}
	return fmt.Sprintf("%d things are in it", n)
}
