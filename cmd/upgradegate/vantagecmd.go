package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/upgrade"
)

func vantageCommand(s streams) *cobra.Command {
	r := &remote{streams: s}
	cmd := &cobra.Command{
		Use: "vantage", Short: "Places from which gates probe, and the agents there",
		Long: "Places from which gates probe, and the agents there.\nThe service is named by --url or UPGRADEGATE_URL, who you are by UPGRADEGATE_TOKEN.",
	}
	r.flags(cmd)
	cmd.AddCommand(r.vantageList(), r.vantageEnrol(), r.vantageRevoke())
	return group(cmd)
}

func (r *remote) vantageList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the agents: when each was heard, its clock, and what it may reach", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			list, err := c.Vantages(cmd.Context())
			if err != nil {
				return err
			}
			return r.printVantages(list)
		},
	}
}

func (r *remote) printVantages(list []client.Vantage) error {
	if r.json {
		all := make([]json.RawMessage, 0, len(list))
		for _, one := range list {
			all = append(all, one.Raw)
		}
		return json.NewEncoder(r.out).Encode(all)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(r.err, "No vantage but the service's own host: add one under vantages in the configuration.")
		return err
	}
	table := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "VANTAGE\tSTATE\tLAST HEARD\tVERSION\tHOST\tCLOCK\tMAY REACH") // errors come back from Flush
	for _, v := range list {
		heard, clock := "never", "-"
		if !v.HeardAt.IsZero() {
			heard = v.HeardAt.UTC().Format(time.DateTime) + " UTC"
		}
		if v.Clock != nil {
			clock = fmt.Sprintf("%+.1f ± %.1f ms", v.Clock.Offset, v.Clock.Within)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", v.Name, strings.ReplaceAll(v.State, "_", " "), heard,
			orDash(v.Version), orDash(v.Host), clock, orDash(strings.Join(v.Allow, " ")))
	}
	return table.Flush()
}

func (r *remote) vantageEnrol() *cobra.Command {
	var within time.Duration
	cmd := &cobra.Command{
		Use: "enrol NAME", Short: "Make a token with which an agent may enrol once", Args: exactly("NAME"),
		Long:    "Make a token with which an agent may enrol once, and print it. An agent that is enrolled under the\nname stays so until the token is used. For release managers.",
		Example: "  upgradegate vantage enrol staging-a",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			invitation, err := c.InviteAgent(cmd.Context(), upgrade.AgentName(args[0]), within)
			if err != nil {
				return err
			}
			if r.json {
				_, err = fmt.Fprintf(r.out, "%s\n", invitation.Raw)
				return err
			}
			_, err = fmt.Fprintf(r.err, "The token of %s is good once, until %s UTC. On its host:\n  UPGRADEGATE_AGENT_TOKEN=… upgradegate agent --gate %s --allow \"10.20.0.0/16:80,443\"\n",
				invitation.Name, invitation.Until.UTC().Format(time.DateTime), r.url)
			if err == nil {
				_, err = fmt.Fprintln(r.out, invitation.Token)
			}
			return err
		},
	}
	cmd.Flags().DurationVar(&within, "within", 0, "how long the token may be used, 1m to 24h (default 1h)")
	return cmd
}

func (r *remote) vantageRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME", Short: "Shut an agent out", Args: exactly("NAME"),
		Long: "Shut an agent out: its key and an open token are void at once, and gates that asked it could not\ntell. For release managers.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			if err := c.RevokeAgent(cmd.Context(), upgrade.AgentName(args[0])); err != nil {
				return err
			}
			_, err = fmt.Fprintf(r.err, "agent %s is revoked\n", args[0])
			return err
		},
	}
}
