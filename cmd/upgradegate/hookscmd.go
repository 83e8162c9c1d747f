package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/upgrade"
)

func hooksCommand(s streams) *cobra.Command {
	r := &remote{streams: s}
	cmd := &cobra.Command{
		Use: "hooks", Short: "Who events are posted to, and what did not arrive",
		Long: "Who events are posted to, and what did not arrive.\n" +
			"The service is named by --url or UPGRADEGATE_URL, who you are by UPGRADEGATE_TOKEN.",
	}
	r.flags(cmd)
	cmd.AddCommand(r.hooksList(), r.hooksDead(), r.hooksResend())
	return group(cmd)
}

func (r *remote) hooksList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the subscriptions", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			all, err := c.Hooks(cmd.Context())
			if err != nil {
				return err
			}
			if r.json {
				raw := make([]json.RawMessage, 0, len(all))
				for _, one := range all {
					raw = append(raw, one.Raw)
				}
				return json.NewEncoder(r.out).Encode(raw)
			}
			if len(all) == 0 {
				_, err := fmt.Fprintln(r.err, "Nobody is told of events: write hooks in the configuration, or POST /api/v1/hooks.")
				return err
			}
			return r.printHooks(all)
		},
	}
}

func (r *remote) printHooks(all []client.Hook) error {
	table := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "NAME\tSTATE\tPENDING\tDEAD\tADDRESS") // errors come back from Flush
	for _, one := range all {
		state := string(one.State)
		if one.Why != "" {
			state += " (" + one.Why + ")"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\n", one.Name, state, one.Pending, one.Dead, one.URL)
	}
	return table.Flush()
}

// mostDead is how many messages are listed.
const mostDead = 200

func (r *remote) hooksDead() *cobra.Command {
	return &cobra.Command{
		Use: "dead NAME", Short: "List what did not arrive in three days", Args: exactly("NAME"),
		Example: "  upgradegate hooks dead chat",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			dead, err := c.DeadMessages(cmd.Context(), upgrade.HookName(args[0]), mostDead)
			if err != nil {
				return err
			}
			if r.json {
				raw := make([]json.RawMessage, 0, len(dead))
				for _, one := range dead {
					raw = append(raw, one.Raw)
				}
				return json.NewEncoder(r.out).Encode(raw)
			}
			if len(dead) == 0 {
				_, err := fmt.Fprintf(r.err, "Nothing was given up for %s.\n", args[0])
				return err
			}
			table := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(table, "MESSAGE\tTYPE\tRUN\tTRIES\tLAST TRIED\tANSWER") // errors come back from Flush
			for _, one := range dead {
				_, _ = fmt.Fprintf(table, "%d\t%s\t%d\t%d\t%s\t%s\n", one.ID, one.Type, one.Run, one.Tries, clockTime(one.TriedAt), orDash(one.Answer))
			}
			return table.Flush()
		},
	}
}

func (r *remote) hooksResend() *cobra.Command {
	return &cobra.Command{
		Use: "resend NAME MESSAGE", Short: "Send a message again", Args: exactly("NAME", "MESSAGE"),
		Long:    "Send a message again, before whatever waits of its run. It is tried for three days more.",
		Example: "  upgradegate hooks resend chat 17",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil || id < 1 {
				return usage(fmt.Errorf("%q is not the number of a message: see `upgradegate hooks dead %s`", args[1], args[0]))
			}
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			if err := c.Resend(cmd.Context(), upgrade.HookName(args[0]), id); err != nil {
				return err
			}
			_, err = fmt.Fprintf(r.err, "Message %d is on its way to %s again.\n", id, args[0])
			return err
		},
	}
}
