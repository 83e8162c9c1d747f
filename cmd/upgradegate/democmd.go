package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/cmd/upgradegate/demo"
)

func demoCommand(s streams) *cobra.Command {
	var o demo.Options
	var asJSON, verbose, pause bool
	cmd := &cobra.Command{
		Use: "demo", Short: "Play the stories on this machine, with nothing to set up", Args: noArgs,
		Long: `Play stories on this machine: real Terraform, a simulated GitLab and AWS, a real
varnishd where one is installed. Serves the dashboard until Ctrl-C, or with --once
ends after the stories, with 0 only if each ended as it should.

Stories: ` + strings.Join(demo.Names(), ", "),
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			o.Self, o.Version, o.Environ, o.Tool = self, versionText(), os.Environ(), os.Getenv("UPGRADEGATE_TERRAFORM")
			o.Err = s.err
			o.Log = slog.New(slog.DiscardHandler)
			if verbose {
				o.Log = logger(s, slog.LevelDebug)
			}
			if pause {
				o.Pause = pauser(cmd.InOrStdin(), s.err)
			}
			report, err := demo.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if asJSON {
				if err := json.NewEncoder(s.out).Encode(report); err != nil {
					return fmt.Errorf("print the report: %w", err)
				}
			}
			if !report.OK() {
				return &codeError{code: exitError, err: fmt.Errorf("a story did not end as it should")}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&o.Stories, "story", nil, "play only this story; may be repeated")
	flags.BoolVar(&o.Once, "once", false, "end after the stories")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object on standard output at the end")
	flags.BoolVar(&pause, "pause", false, "wait for Enter whenever there is something to see")
	flags.StringVar(&o.Listen, "listen", "127.0.0.1:0", "address of the dashboard")
	flags.BoolVarP(&verbose, "verbose", "v", false, "print the service's log")
	return cmd
}

// pauser waits for a line of the input at each page, and no more once the input has ended.
func pauser(input io.Reader, said io.Writer) func(ctx context.Context, address string) error {
	lines := make(chan struct{})
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(input); scan.Scan(); {
			lines <- struct{}{}
		}
	}()
	return func(ctx context.Context, address string) error {
		_, _ = fmt.Fprintf(said, "  look: %s (Enter goes on)\n", address) // a closed terminal is no reason to stop
		select {
		case <-lines:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
