package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/config"
)

func configCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check a configuration, or print its schema"}
	cmd.AddCommand(
		passwordCommand(s),
		&cobra.Command{
			Use: "check FILE", Short: "Print every mistake in the file", Args: exactly("FILE"),
			RunE: func(_ *cobra.Command, args []string) error { return checkConfig(s, args[0]) },
		},
		&cobra.Command{
			Use: "schema", Short: "Print the JSON Schema of the file, for editors", Args: noArgs,
			RunE: func(*cobra.Command, []string) error {
				schema, err := config.Schema()
				if err != nil {
					return fmt.Errorf("print the schema: %w", err)
				}
				_, err = s.out.Write(schema)
				return err
			},
		},
	)
	return group(cmd)
}

func checkConfig(s streams, file string) error {
	c, err := config.Load(file, source())
	if problems, ok := errors.AsType[config.Problems](err); ok {
		if _, err := fmt.Fprintln(s.out, problems.Error()); err != nil {
			return err
		}
		noun := "mistakes"
		if len(problems) == 1 {
			noun = "mistake"
		}
		return usage(fmt.Errorf("%s has %d %s", file, len(problems), noun))
	}
	if err != nil {
		return usage(err)
	}
	_, err = fmt.Fprintf(s.out, "%s is good: %d stacks, %d gates, %d environments\n", file, len(c.Stacks), len(c.Gates), len(c.Environments))
	return err
}
