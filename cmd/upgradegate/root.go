package main

import (
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/upgrade"
)

// version is set by the build: -ldflags "-X main.version=…".
var version = ""

func root(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "upgradegate",
		Short: "Stand between staging and production",
		Long: `upgradegate stands between staging and production: a GitLab delivery starts
Terraform plan and apply on staging, gates test the result for real, and only a
pass unlocks the production pipeline.

  upgradegate demo                 see it at work on this machine, nothing to set up
  upgradegate serve                run the service
  upgradegate config check FILE    find every mistake in a configuration`,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	cmd.SetOut(s.out)
	cmd.SetErr(s.err)
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w (see `%s --help`)", err, c.CommandPath()))
	})
	cmd.AddCommand(serveCommand(s), demoCommand(s), configCommand(s), runCommand(s), stackCommand(s), stateCommand(s), invariantCommand(s), vantageCommand(s), agentCommand(s), probeCommand(s), replayCommand(s), hooksCommand(s), gateCommand(s), planCommand(s), verifyCommand(s), simCommand(s), auditCommand(s), tokenCommand(s), sessionCommand(s), versionCommand(s))
	return group(cmd)
}

// group makes a command that only has others refuse what it does not have: by itself Cobra would print
// the help and call that success. Without a word it still prints the help.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args, cmd.DisableFlagsInUseLine = cobra.ArbitraryArgs, true
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		unknown := &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("there is no command %q", cmd.CommandPath()+" "+args[0]),
			Hint: fmt.Sprintf("see `%s --help`", cmd.CommandPath()),
		}
		cmd.SuggestionsMinimumDistance = 2
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			unknown.Hint = fmt.Sprintf("did you mean `%s %s`?", cmd.CommandPath(), near[0])
		}
		return usage(unknown)
	}
	return cmd
}

func versionCommand(s streams) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(s.out, "upgradegate", versionText())
			return err
		},
	}
}

// versionText is the version of this build: a tag, a pseudo-version, or (devel).
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// noArgs refuses arguments as wrong usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(fmt.Errorf("%s takes no argument %q", cmd.CommandPath(), args[0]))
	}
	return nil
}

// exactly demands n arguments, named in the message.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usage(fmt.Errorf("%s needs %v, got %d arguments", cmd.CommandPath(), names, len(args)))
		}
		return nil
	}
}

// logger returns the log of a long-running command, on stderr.
func logger(s streams, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: level}))
}
