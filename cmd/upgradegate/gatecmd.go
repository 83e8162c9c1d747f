package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/cmd/upgradegate/service"
	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/upgrade"
)

func gateCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "gate", Short: "Ask a gate by hand"}
	var file string
	var asJSON bool
	ask := &cobra.Command{
		Use: "run NAME", Short: "Ask one gate, now; exits 0 passed, 3 failed, 1 could not tell", Args: exactly("NAME"),
		Long: "Ask one gate of the configuration, now, in each of its environments, without a run. It really does what the\ngate does: an instance-launch starts a test instance and removes it.\n\nIt is asked from this host. A gate that also probes from agents could not tell: agents talk to the running\nservice alone, which asks it with `upgradegate run recheck RUN` in a run, and with\n`upgradegate invariant check GATE/ENVIRONMENT` where it is a standing gate. What this host sees of a page,\nwithout the rest: `upgradegate probe URL`.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(file, source())
			if err != nil {
				return usage(err)
			}
			results, err := service.AskGate(cmd.Context(), service.Options{
				Config: c, Log: logger(s, slog.LevelWarn), Clock: upgrade.SystemClock{}, Environ: os.Environ(),
			}, upgrade.GateName(args[0]))
			if err != nil {
				return err
			}
			return printResults(s, results, asJSON)
		},
	}
	ask.Flags().StringVarP(&file, "config", "c", "upgradegate.yaml", "the operator's file")
	ask.Flags().BoolVar(&asJSON, "json", false, "print the results with their evidence")
	cmd.AddCommand(ask)
	return group(cmd)
}

func printResults(s streams, results []upgrade.Result, asJSON bool) error {
	if asJSON {
		if err := json.NewEncoder(s.out).Encode(results); err != nil {
			return fmt.Errorf("print the results: %w", err)
		}
	}
	code := exitOK
	for _, result := range results {
		if !asJSON {
			_, _ = fmt.Fprintf(s.out, "%s of %s: %s. %s\n", result.Gate, result.Environment, result.Outcome.Look().Word, result.Message)
		}
		switch result.Outcome {
		case upgrade.OutcomeFailed:
			code = exitClosed
		case upgrade.OutcomePassed, upgrade.OutcomeSkipped:
		case upgrade.OutcomeUnknown, upgrade.OutcomeWaiting, upgrade.OutcomeRunning:
			if code == exitOK {
				code = exitError
			}
		}
	}
	if code != exitOK {
		return &codeError{code: code, err: errors.New("the gate did not pass")}
	}
	return nil
}
