package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/server"
	"github.com/upgradegate/upgradegate/upgrade"
)

// revoking is a method of the client that revokes what has that id.
type revoking = func(c *client.Client, ctx context.Context, id string) error

func tokenCommand(s streams) *cobra.Command {
	r := &remote{streams: s}
	cmd := &cobra.Command{
		Use: "token", Short: "API tokens, with which programs act for you",
		Long: "API tokens, with which programs act for you: never with more rights than you have then.\n" +
			"The service is named by --url or UPGRADEGATE_URL, who you are by UPGRADEGATE_TOKEN.",
	}
	r.flags(cmd)
	cmd.AddCommand(r.tokenList(), r.tokenMake(), r.revoke("TOKEN", "Revoke a token, for good", (*client.Client).RevokeToken))
	return group(cmd)
}

func sessionCommand(s streams) *cobra.Command {
	r := &remote{streams: s}
	cmd := &cobra.Command{
		Use: "session", Short: "Where you are signed in",
		Long: "Where you are signed in.\nThe service is named by --url or UPGRADEGATE_URL, who you are by UPGRADEGATE_TOKEN.",
	}
	r.flags(cmd)
	cmd.AddCommand(r.sessionList(), r.revoke("SESSION", "End a session: the browser is signed out", (*client.Client).RevokeSession))
	return group(cmd)
}

func (r *remote) tokenList() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List your tokens: what they may, and when they were used last", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			list, err := c.Tokens(cmd.Context(), all)
			if err != nil {
				return err
			}
			if r.json {
				return json.NewEncoder(r.out).Encode(list)
			}
			table := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(table, "TOKEN\tNAME\tOWNER\tROLE\tPROJECTS\tSTATE\tENDS\tUSED") // errors come back from Flush
			for _, t := range list {
				_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s%s\n", t.ID, t.Name, t.Owner, t.Role, orDash(strings.Join(t.Projects, ",")), t.State, clockTime(t.EndsAt), clockTime(t.UsedAt), behind(" from ", t.UsedFrom))
			}
			return table.Flush()
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "everybody's, for admins")
	return cmd
}

func (r *remote) tokenMake() *cobra.Command {
	var role string
	var projects []string
	var within time.Duration
	cmd := &cobra.Command{
		Use: "make NAME", Short: "Make a token; it is printed this once", Args: exactly("NAME"),
		Example: "  upgradegate token make nightly --role developer --project platform/ecs-master --within 720h",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			ask := client.MakeToken{Name: args[0], Role: upgrade.Role(role), Projects: projects}
			if within != 0 {
				ask.Within = within.String()
			}
			secret, t, err := c.MakeToken(cmd.Context(), ask)
			if err != nil {
				return err
			}
			if r.json {
				return json.NewEncoder(r.out).Encode(map[string]any{"token": secret.Reveal(), "listed": t})
			}
			_, _ = fmt.Fprintf(r.err, "token %s may what a %s may, until %s; nobody can see it again\n", t.ID, strings.ReplaceAll(string(t.Role), "_", " "), clockTime(t.EndsAt)) // the token itself is below
			_, err = fmt.Fprintln(r.out, secret.Reveal())
			return err
		},
	}
	cmd.Flags().StringVar(&role, "role", "viewer", "what it may at most: viewer, developer, release_manager or admin")
	cmd.Flags().StringArrayVar(&projects, "project", nil, "only there; may be given several times")
	cmd.Flags().DurationVar(&within, "within", 0, "how long it counts; default 2160h")
	return cmd
}

func (r *remote) sessionList() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List your sessions", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			list, err := c.Sessions(cmd.Context(), all)
			if err != nil {
				return err
			}
			if r.json {
				return json.NewEncoder(r.out).Encode(list)
			}
			table := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(table, "SESSION\tWHO\tFROM\tSINCE\tUSED\tENDS\tBROWSER") // errors come back from Flush
			for _, n := range list {
				_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", n.ID, n.Who, n.From, clockTime(n.BegunAt), clockTime(n.SeenAt), clockTime(n.EndsAt), orDash(n.Browser))
			}
			return table.Flush()
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "everybody's, for admins")
	return cmd
}

func (r *remote) revoke(what, short string, do revoking) *cobra.Command {
	return &cobra.Command{
		Use: "revoke " + what, Short: short, Args: exactly(what),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return usage(err)
			}
			if err := do(c, cmd.Context(), args[0]); err != nil {
				return err
			}
			_, err = fmt.Fprintf(r.err, "%s is revoked\n", args[0])
			return err
		},
	}
}

func passwordCommand(s streams) *cobra.Command {
	return &cobra.Command{
		Use: "password", Short: "Hash a password for sign_in.break_glass", Args: noArgs,
		Long:    "Read a password from standard input and print its argon2id hash, as sign_in.break_glass takes it.",
		Example: "  openssl rand -base64 24 | tee /dev/tty | upgradegate config password",
		RunE: func(*cobra.Command, []string) error {
			line, err := bufio.NewReader(os.Stdin).ReadString('\n')
			if line == "" && err != nil {
				return usage(fmt.Errorf("read the password: %w", err))
			}
			hash, err := server.HashPassword(strings.TrimRight(line, "\r\n"))
			if err != nil {
				return usage(err)
			}
			_, err = fmt.Fprintln(s.out, hash)
			return err
		},
	}
}
