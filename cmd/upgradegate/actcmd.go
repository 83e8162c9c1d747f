package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/upgrade"
)

// act is a command that does something with a run.
type act struct {
	*remote
	name, short, long string
	agrees            bool // what is agreed to is shown first, and asked about
	reason, digest    string
	until             string
	yes               bool
}

func (r *remote) acts() []*cobra.Command {
	var commands []*cobra.Command
	for _, a := range []act{
		{name: "recheck", short: "Run the gates of a run again; staging is not changed"},
		{name: "retry", short: "Run it from the plan: another attempt, which changes staging again"},
		{name: "rehearse", short: "Another attempt that first takes staging back to what production has"},
		{name: "stop", short: "Stop a run", long: "Stop a run. While it applies, Terraform is asked to end after what is in flight and is\nnever killed; a reason is needed then."},
		{name: "relock", short: "Lock an unlocked run again, and so let the next one in; needs a reason"},
		{name: "approve", short: "Agree to what the plan of a run does", agrees: true, long: "Agree to what the plan of a run does, while it waits for a person's yes. What it does is\nshown first; the yes counts for exactly that change."},
		{name: "refuse", short: "Say no to what the plan of a run does; needs a reason", agrees: true},
		{name: "resolve", short: "Say what is true of staging after an apply that was cut off; needs a reason"},
		{name: "override", short: "Unlock production in spite of the verdict; takes two people and a reason", agrees: true, long: "Unlock production in spite of the verdict. What stands against it is shown first; the\noverride counts for exactly that, once two release managers asked for it within 30\nminutes, neither of whom is an author of the change. The reason has at least 20 characters."},
	} {
		a.remote = r
		commands = append(commands, a.command())
	}
	return commands
}

func (a *act) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: a.name + " RUN", Short: a.short, Long: a.long, Args: exactly("RUN"), Example: a.example(),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := runID(args[0])
			if err != nil {
				return err
			}
			return a.do(cmd.Context(), id)
		},
	}
	cmd.Flags().StringVar(&a.reason, "reason", "", "why, in one sentence")
	if a.agrees {
		cmd.Flags().BoolVarP(&a.yes, "yes", "y", false, "do not ask: for programs")
		cmd.Flags().StringVar(&a.digest, "digest", "", "of what was seen before; another one by now is refused")
	}
	if a.name == "override" {
		cmd.Flags().StringVar(&a.until, "until", "", "when it ends: a time such as 2026-12-24T18:00:00Z, or how long, such as 12h; default 24h")
	}
	return cmd
}

func (a *act) example() string {
	switch a.name {
	case "approve":
		return "  upgradegate run approve 481 --reason \"the grant is made anew in aws-accounts\""
	case "override":
		return "  upgradegate run override 481 --until 12h --reason \"the site is down, and this brings it back\""
	case "rehearse":
		return "  upgradegate run rehearse 481"
	}
	return fmt.Sprintf("  upgradegate run %s 481 --reason \"…\"", a.name)
}

func (a *act) do(ctx context.Context, id upgrade.RunID) error {
	until, err := untilOf(a.until, time.Now())
	if err != nil {
		return usage(err)
	}
	c, err := a.client()
	if err != nil {
		return usage(err)
	}
	ask := client.Act{Name: a.name, Reason: a.reason, Digest: a.digest, Until: until}
	if a.agrees {
		if ask.Digest, err = a.agree(ctx, c, id); err != nil {
			return err
		}
	}
	asked, err := c.Do(ctx, id, ask)
	if err != nil {
		return err
	}
	if a.json {
		_, err := fmt.Fprintf(a.out, "%s\n", asked.Raw)
		return err
	}
	if asked.Delivery != "" {
		_, err = fmt.Fprintf(a.err, "asked for another attempt of run %d; see `upgradegate run list`\n", id)
		return err
	}
	_, err = fmt.Fprintf(a.err, "asked run %d to %s; see `upgradegate run show %d`\n", id, a.name, id)
	return err
}

// agree shows what is agreed to, asks unless told not to, and returns the digest of what was shown.
func (a *act) agree(ctx context.Context, c *client.Client, id upgrade.RunID) (string, error) {
	if a.digest != "" && a.yes {
		return a.digest, nil
	}
	run, err := c.Run(ctx, id)
	if err != nil {
		return "", err
	}
	digest := run.Plan.ChangeDigest
	if a.name == "override" {
		digest = run.CausesDigest
		a.printCauses(run)
	} else if err := a.printPlan(ctx, c, run); err != nil {
		return "", err
	}
	if a.digest != "" && a.digest != digest {
		return "", &upgrade.Error{Code: upgrade.CodeStale, Msg: "this is no longer what --digest was of", Hint: "look at it again"}
	}
	if a.yes {
		return digest, nil
	}
	return digest, a.confirmed(fmt.Sprintf("%s run %d? [y/N] ", strings.ToUpper(a.name[:1])+a.name[1:], id))
}

func (a *act) printCauses(run client.Run) {
	_, _ = fmt.Fprintf(a.err, "%s\n%s\n", head(run), "This stands against it:") // what follows is asked about on the same stream
	for i, cause := range run.Causes {
		_, _ = fmt.Fprintf(a.err, "%d. %s\n", i+1, cause.Message)
	}
	if o := run.Override; o != nil && len(o.By) == 1 {
		_, _ = fmt.Fprintf(a.err, "%s asks to override it: %s\n", o.By[0], o.Reason)
	}
}

func (a *act) printPlan(ctx context.Context, c *client.Client, run client.Run) error {
	gates, err := c.Gates(ctx, run.ID)
	if err != nil {
		return err
	}
	p := run.Plan
	_, _ = fmt.Fprintf(a.err, "%s\nThe plan destroys %d, replaces %d, changes %d, adds %d, forgets %d.\n", head(run), p.Destroy, p.Replace, p.Update, p.Create, p.Forget)
	for _, gate := range gates {
		if !gate.Agreeable || gate.Apply != run.Applies+1 {
			continue
		}
		_, _ = fmt.Fprintf(a.err, "%s: %s\n", gate.Gate, gate.Message)
		for _, table := range gate.Evidence.Tables {
			for _, row := range table.Rows {
				_, _ = fmt.Fprintf(a.err, "  - %s\n", strings.Trim(strings.Join(row, ", "), ", "))
			}
		}
	}
	if !run.Deadline.IsZero() {
		_, _ = fmt.Fprintf(a.err, "It waits until %s.\n", run.Deadline.UTC().Format("2 Jan 15:04 MST"))
	}
	return nil
}

// confirmed asks on a terminal. Where nobody can be asked, --yes has to say it.
func (a *act) confirmed(question string) error {
	// Only a terminal has a size: /dev/null is a device too.
	if _, err := unix.IoctlGetWinsize(int(os.Stdin.Fd()), unix.TIOCGWINSZ); err != nil {
		return usage(&upgrade.Error{Code: upgrade.CodeInvalid, Msg: "there is no terminal to ask on", Hint: "read what is shown, and say --yes"})
	}
	return confirm(os.Stdin, a.err, question)
}

var errKept = errors.New("nothing was done")

// confirm asks a question and returns nil for a yes.
func confirm(in io.Reader, out io.Writer, question string) error {
	_, _ = fmt.Fprint(out, question)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return errKept
	}
	return nil
}

// untilOf reads when an override ends: a time, or how long from now; "" is the service's own default.
func untilOf(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%q is neither a time nor how long", text), Hint: "write it as in 2026-12-24T18:00:00Z, or as in 12h"}
	}
	return at, nil
}
