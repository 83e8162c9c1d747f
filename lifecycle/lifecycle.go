package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

// Config is what a Lifecycle is made of. All fields are needed unless they say otherwise.
type Config struct {
	Stacks     []upgrade.Stack
	Gates      []gates.Gate
	Store      Store
	Forge      Forge
	Git        Git
	Terraform  Terraform
	States     States        // nil: no state is read
	Clouds     []gates.Cloud // whose left-over test groups are reaped; may be empty
	Clock      upgrade.Clock
	Mask       func(string) string // applied to everything that is kept of gates (S9); nil: none
	Logger     *slog.Logger
	Data       string // absolute folder for checkouts, plans and logs of runs
	Host       string // stable name of this host: an apply's shim can only be seen from it
	BootID     string // of this boot: an apply of another boot is lost
	PublicURL  string // address of the dashboard, without slash at its end
	StatusName string // of the commit status; default "upgradegate"
	// KeepDeliveries is for how long deliveries are kept; 0: for ever.
	KeepDeliveries time.Duration
}

// Lifecycle walks runs.
type Lifecycle struct {
	Config
	stacks map[upgrade.StackName]upgrade.Stack
	runner gates.Runner

	watches  watches
	standing []invariant // what is asked again and again, in the order of the file
}

// The names of the periodic jobs.
const (
	periodicReconcile = "reconcile"
	periodicReap      = "reap"
	periodicPurge     = "purge"
	periodicStates    = "states"
	periodicLearn     = "learn"
)

// New checks the configuration and returns a Lifecycle. CodeInvalid for a stack without anything that
// proves a promotion, and for `after` in a circle.
func New(c Config) (*Lifecycle, error) {
	if c.StatusName == "" {
		c.StatusName = "upgradegate"
	}
	l := &Lifecycle{
		Config: c, stacks: make(map[upgrade.StackName]upgrade.Stack, len(c.Stacks)),
		runner:  gates.Runner{Clock: c.Clock, Mask: c.Mask},
		watches: watches{all: map[watchKey]*watch{}},
	}
	for _, stack := range c.Stacks {
		l.stacks[stack.Name] = stack
	}
	l.standing = l.allStanding()
	var problems []error
	for _, stack := range c.Stacks {
		problems = append(problems, l.checkStack(stack))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Lifecycle) checkStack(stack upgrade.Stack) error {
	if !provable(stack) {
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("stack %s: nothing would ever prove that it reached production", stack.Name),
			Hint: "set production.environment, production.job, or a play_job hold with opens: deploy",
		}
	}
	for _, other := range stack.After {
		if _, known := l.stacks[other]; !known {
			return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("stack %s: comes after %s, which does not exist", stack.Name, other)}
		}
	}
	if l.reaches(stack.Name, stack.Name, map[upgrade.StackName]bool{}) {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("stack %s: comes after itself in a circle", stack.Name)}
	}
	return nil
}

// reaches reports whether goal comes before from, over any number of stacks.
func (l *Lifecycle) reaches(from, goal upgrade.StackName, seen map[upgrade.StackName]bool) bool {
	for _, other := range l.stacks[from].After {
		if other == goal {
			return true
		}
		if !seen[other] {
			seen[other] = true
			if l.reaches(other, goal, seen) {
				return true
			}
		}
	}
	return false
}

func provable(stack upgrade.Stack) bool {
	if stack.Production.Environment != "" || stack.Production.Job != "" {
		return true
	}
	for _, hold := range stack.Holds {
		if hold.Kind == upgrade.HoldPlayJob && hold.Opens == upgrade.OpensDeploy {
			return true
		}
	}
	return false
}

// Handlers returns what the engine calls for each kind of job.
func (l *Lifecycle) Handlers() map[upgrade.JobKind]engine.Handler {
	return map[upgrade.JobKind]engine.Handler{
		upgrade.JobRun:      l.walk,
		upgrade.JobIntake:   l.intake,
		upgrade.JobStatus:   l.status,
		upgrade.JobNote:     l.note,
		upgrade.JobVerify:   l.verify,
		upgrade.JobPeriodic: l.periodic,
	}
}

// Start makes sure that the periodic jobs exist. Call it once before the engine runs.
func (l *Lifecycle) Start(ctx context.Context) error {
	now := l.Clock.Now()
	names := []string{periodicReconcile, periodicReap, periodicPurge, periodicLearn}
	for _, asked := range l.standing {
		names = append(names, asked.subject())
	}
	for _, name := range names {
		id := upgrade.JobFor(upgrade.JobPeriodic, name)
		if err := l.Store.Ensure(ctx, id, now); err != nil {
			return fmt.Errorf("plan %s: %w", name, err)
		}
		if err := l.Store.Wake(ctx, id); err != nil {
			return fmt.Errorf("wake %s: %w", name, err)
		}
	}
	if err := l.Store.Ensure(ctx, upgrade.JobFor(upgrade.JobPeriodic, periodicStates), now.Add(statesFirst)); err != nil {
		return fmt.Errorf("plan %s: %w", periodicStates, err)
	}
	return nil
}

// stack returns the run's stack. A stack that was taken out of the configuration while a run of it
// was on its way is CodeConflict.
func (l *Lifecycle) stack(run upgrade.Run) (upgrade.Stack, error) {
	stack, known := l.stacks[run.Stack]
	if !known {
		return upgrade.Stack{}, &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: fmt.Sprintf("stack %s is no longer configured", run.Stack),
			Hint: "put it back into the configuration, or stop the run",
		}
	}
	return stack, nil
}

// folder returns the run's folder.
func (l *Lifecycle) folder(run upgrade.RunID) string {
	return filepath.Join(l.Data, "runs", run.String())
}

// gatesOf returns the gates that runs of the stack ask in the stage.
func (l *Lifecycle) gatesOf(stack upgrade.StackName, stage upgrade.Stage) []gates.Gate {
	var asked []gates.Gate
	for _, gate := range l.Gates {
		if gate.Stage == stage && gate.AppliesTo(stack) {
			asked = append(asked, gate)
		}
	}
	return asked
}

// settle returns the longest settling time that the stack's gates ask for.
func (l *Lifecycle) settle(stack upgrade.StackName) time.Duration {
	var longest time.Duration
	for _, gate := range l.watchful(stack) {
		longest = max(longest, gate.Settle)
	}
	return longest
}
