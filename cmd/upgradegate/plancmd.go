package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/cmd/upgradegate/plancheck"
	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

// checkMemory is what the runtime is asked to stay below. Plans are read as a stream, so it is garbage that
// is kept away, not need.
const checkMemory = 96 << 20

// planFlags are the flags of `plan check`.
type planFlags struct {
	states, stack, config, junit string
	json                         bool
	types, also, refuse, allow   []string
}

func planCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "plan", Short: "Judge a plan without a service"}
	var f planFlags
	check := &cobra.Command{
		Use: "check PLAN.json", Short: "Ask the plan gates about a plan; exits 0 passed, 3 failed, 1 could not tell", Args: exactly("PLAN.json"),
		Long: `Ask the gates of the stage plan, destroy-guard and ownership, about the output of
terraform show -json PLANFILE, in any pipeline and without a service. It takes plans of Terraform
0.14 and later and of OpenTofu; - reads standard input.

  terraform show -json plan.tfplan > plan.json
  terraform state pull > states/ecs-master.tfstate          likewise for each other state
  upgradegate plan check plan.json --states states --stack ecs-master --junit plan.xml

There is nobody here to agree to a guarded destruction, so it fails. The states are taken as they
lie in the folder: pull them in the same pipeline. Without them, only what the plan itself shows is
judged, and ownership is not asked.`,
		RunE: func(cmd *cobra.Command, args []string) error { return checkPlan(cmd.Context(), s, args[0], f) },
	}
	flags := check.Flags()
	flags.StringVar(&f.states, "states", "", "folder of states (*.tfstate, *.json) that may own the same things, each named after its file")
	flags.StringVar(&f.stack, "stack", "", "stack that the plan is of; its own state has that name in --states")
	flags.StringVarP(&f.config, "config", "c", "", "take the plan gates of --stack from the operator's file")
	flags.StringSliceVar(&f.types, "types", nil, "types under guard, globs, instead of those that are built in")
	flags.StringSliceVar(&f.also, "also", nil, "types under guard on top of the others, globs")
	flags.StringArrayVar(&f.refuse, "refuse", nil, "types or addresses of which nothing may be destroyed, `GLOB`")
	flags.StringArrayVar(&f.allow, "allow", nil, "what may be destroyed, until a day, why: `GLOB=2026-12-31:REASON`")
	flags.StringVar(&f.junit, "junit", "", "write a JUnit report to this file, for GitLab's merge request")
	flags.BoolVar(&f.json, "json", false, "print the results with their evidence")
	cmd.AddCommand(check)
	return group(cmd)
}

func checkPlan(ctx context.Context, s streams, name string, f planFlags) error {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(checkMemory)
	}
	o := plancheck.Options{Name: name, Stack: upgrade.StackName(f.stack), Clock: upgrade.SystemClock{}}
	if name == "-" {
		o.Name = plancheck.Stdin
	}
	var err error
	if o.Gates, err = f.gates(); err != nil {
		return usage(err)
	}
	if f.states != "" {
		if o.States, err = plancheck.ReadStates(f.states, o.Stack, o.Clock.Now()); err != nil {
			return usage(err)
		}
	}
	in, size, err := openPlan(name)
	if err != nil {
		return usage(err)
	}
	defer func() { _ = in.Close() }() // it was only read
	progress := &progress{in: in, size: size, err: s.err, on: isTerminal(s.err) && size >= slowFile}
	o.Plan = progress
	report, err := plancheck.Check(ctx, o)
	progress.end()
	if err != nil {
		return err
	}
	if f.junit != "" {
		if err := writeJUnit(f.junit, report); err != nil {
			return err
		}
	}
	if f.json {
		err = report.JSON(s.out)
	} else {
		err = report.Text(s.out, isTerminal(s.out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
	}
	if err != nil {
		return fmt.Errorf("print the results: %w", err)
	}
	return planVerdict(report)
}

// planVerdict is the error that has the exit code of the report; nil when it passed.
func planVerdict(r plancheck.Report) error {
	code, msg := exitOK, ""
	switch r.Outcome() {
	case upgrade.OutcomePassed, upgrade.OutcomeSkipped:
		return nil
	case upgrade.OutcomeFailed:
		code, msg = exitClosed, "the plan did not pass"
	case upgrade.OutcomeUnknown, upgrade.OutcomeWaiting, upgrade.OutcomeRunning:
		code, msg = exitError, "whether the plan may go could not be told"
	}
	return &codeError{code: code, err: &upgrade.Error{Code: upgrade.CodeConflict, Msg: msg, Hint: strings.Join(r.Hints, "; ")}}
}

func openPlan(name string) (in io.ReadCloser, size int64, err error) {
	if name == "-" {
		return os.Stdin, 0, nil
	}
	file, err := os.Open(name) //nolint:gosec // named by who runs it, as themselves
	if err != nil {
		return nil, 0, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%s cannot be read", name), Hint: "write it with `terraform show -json PLANFILE`", Cause: err}
	}
	if info, err := file.Stat(); err == nil {
		size = info.Size()
	}
	return file, size, nil
}

func writeJUnit(name string, r plancheck.Report) error {
	file, err := os.Create(name) //nolint:gosec // named by who runs it, as themselves
	if err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	return errors.Join(r.JUnit(file), file.Close())
}

// gates returns the gates that the flags ask for.
func (f planFlags) gates() ([]plancheck.Asked, error) {
	if f.config != "" {
		if len(f.types)+len(f.also)+len(f.refuse)+len(f.allow) > 0 {
			return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "--config has the settings of the gates, so --types, --also, --refuse and --allow cannot stand beside it", Hint: "write them into " + f.config}
		}
		return f.configured()
	}
	settings := gates.GuardSettings{Types: f.types, Also: f.also, Refuse: f.refuse}
	for _, text := range f.allow {
		allowance, err := parseAllowance(text)
		if err != nil {
			return nil, err
		}
		settings.Allow = append(settings.Allow, allowance)
	}
	if err := settings.Bind(&gates.Gate{}, gates.Deps{}); err != nil { // a glob that is none is wrong usage
		return nil, err
	}
	return plancheck.Defaults(settings), nil
}

// parseAllowance reads GLOB=DAY:REASON. A glob may have = in it, a day has not.
func parseAllowance(text string) (gates.Allowance, error) {
	wrong := &upgrade.Error{
		Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("--allow %q is not GLOB=DAY:REASON", text),
		Hint: "as in --allow 'aws_kms_grant.asg=2026-12-31:moves to aws-accounts'",
	}
	head, reason, ok := strings.Cut(text, ":")
	at := strings.LastIndexByte(head, '=')
	if !ok || at <= 0 || strings.TrimSpace(reason) == "" {
		return gates.Allowance{}, wrong
	}
	until, err := time.Parse(time.DateOnly, head[at+1:])
	if err != nil {
		return gates.Allowance{}, wrong
	}
	return gates.Allowance{Match: head[:at], Reason: strings.TrimSpace(reason), Until: until}, nil
}

// madeUp returns what passes for the secret of that name: of the form of a signing token, long enough for
// any other, and no two alike.
func madeUp(name string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%32s", name))
}

// configured returns the plan gates of the stack from the operator's file. Its secrets are not needed here,
// and a pipeline does not have them, so what is missing of them is made up.
func (f planFlags) configured() ([]plancheck.Asked, error) {
	if f.stack == "" {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "--config needs --stack", Hint: "name the stack that the plan is of"}
	}
	c, err := config.Load(f.config, config.Source{
		Getenv: func(name string) (string, bool) {
			if value, set := os.LookupEnv(name); set && value != "" {
				return value, true
			}
			return madeUp(name), true
		},
		ReadFile: func(name string) ([]byte, error) {
			data, err := os.ReadFile(name) //nolint:gosec // named by who runs it, as themselves
			if err != nil && name != f.config {
				return []byte(madeUp(name)), nil
			}
			return data, err
		},
	})
	if err != nil {
		return nil, err
	}
	var list []plancheck.Asked
	known := false
	for _, stack := range c.Stacks {
		known = known || string(stack.Name) == f.stack
	}
	if !known {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%s has no stack %q", f.config, f.stack), Hint: "see its stacks"}
	}
	for _, gate := range c.Gates {
		if gate.Stage == upgrade.StagePlan && gate.AppliesTo(upgrade.StackName(f.stack)) {
			list = append(list, plancheck.Asked{Gate: gate.Gate, Settings: gate.Settings})
		}
	}
	return list, nil
}
