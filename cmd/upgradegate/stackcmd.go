package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/upgrade"
)

func stackCommand(s streams) *cobra.Command {
	r := &remote{streams: s}
	cmd := &cobra.Command{
		Use: "stack", Short: "Stacks, their base and open change",
		Long: "Stacks, their base and open change.\nThe service is named by --url or UPGRADEGATE_URL, who you are by UPGRADEGATE_TOKEN.",
	}
	r.flags(cmd)
	cmd.AddCommand(r.stackList(), r.stackBase())
	return group(cmd)
}

func (r *remote) stackList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the stacks: what production has, what is open, who uses each", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			stacks, err := c.Stacks(cmd.Context())
			if err != nil {
				return err
			}
			return r.printStacks(stacks)
		},
	}
}

func (r *remote) printStacks(stacks []client.Stack) error {
	if r.json {
		all := make([]json.RawMessage, 0, len(stacks))
		for _, stack := range stacks {
			all = append(all, stack.Raw)
		}
		return json.NewEncoder(r.out).Encode(all)
	}
	table := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "STACK\tBASE\tOPEN CHANGE\tHELD BY\tON THE WAY\tQUEUED") // errors come back from Flush
	for _, stack := range stacks {
		base, holder := "not known", "-"
		if b := stack.Base; b != nil {
			base = b.Commit.Short()
			if b.Assumed {
				base += " (assumed)"
			}
			if b.By != "" {
				base += " (by " + b.By + ")"
			}
		}
		if stack.Holder != nil {
			holder = fmt.Sprintf("run %d, %s", stack.Holder.Run, stack.Holder.Phase)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", stack.Name, base, applies(len(stack.OpenChange)), holder, runs(stack.OnTheWay), runs(stack.Queued))
	}
	return table.Flush()
}

func applies(n int) string {
	switch n {
	case 0:
		return "-"
	case 1:
		return "1 apply"
	}
	return fmt.Sprintf("%d applies", n)
}

func runs(list []client.Running) string {
	if len(list) == 0 {
		return "-"
	}
	names := make([]string, 0, len(list))
	for _, one := range list {
		names = append(names, "run "+one.Run.String())
	}
	return strings.Join(names, ", ")
}

func (r *remote) stackBase() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "base STACK COMMIT", Short: "Say which commit production of a stack has; needs a reason", Args: exactly("STACK", "COMMIT"),
		Long:    "Say which commit production of a stack has, where no promotion proved it. What a stack's\nopen change is, and where a rehearsal goes back to, follows from it. For release managers.",
		Example: "  upgradegate stack base ecs-master 8f2c1ab04d5e6f708192a3b4c5d6e7f8091a2b3c --reason \"deployed by hand on Friday\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			commit, err := upgrade.ParseCommit(strings.ToLower(args[1]))
			if err != nil {
				return usage(err)
			}
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			stack, err := c.SetBase(cmd.Context(), upgrade.StackName(args[0]), commit, reason)
			if err != nil {
				return err
			}
			if r.json {
				_, err := fmt.Fprintf(r.out, "%s\n", stack.Raw)
				return err
			}
			_, err = fmt.Fprintf(r.err, "production of %s has %s; its open change is %s\n", stack.Name, commit.Short(), strings.Replace(applies(len(stack.OpenChange)), "-", "empty", 1))
			return err
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, in one sentence")
	return cmd
}
