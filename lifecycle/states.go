package lifecycle

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// States are the Terraform states of stacks and foreign ones, and what they own.
type States interface {
	Readings(ctx context.Context) ([]upgrade.Reading, error)
	// Refresh reads the named states anew; what came of it is in Readings. Its error is one of ours, or
	// CodeNotFound for a state that is not known.
	Refresh(ctx context.Context, names []upgrade.StateName) error
	// RefreshOlder reads every state anew whose last try was at or before that time.
	RefreshOlder(ctx context.Context, than time.Time) error
	// ReadIn reads a state in a root module that is initialised already.
	ReadIn(ctx context.Context, name upgrade.StateName, root plan.Root) error
	// Plan makes a plan of a stack's own state with what is deployed there, without a lock; nothing applies it.
	Plan(ctx context.Context, name upgrade.StateName) (plan.Summary, error)
}

const (
	statesEvery = time.Hour
	// statesFresh is the age up to which a reading, of an apply or on demand, is not taken anew by the hour.
	statesFresh = 15 * time.Minute
	// statesFirst is how long after the very first start states are read: runs come first.
	statesFirst = 5 * time.Minute
	// readAppliedWithin bounds how long a run waits for its own state to be read after an apply.
	readAppliedWithin = time.Minute
)

// readStates reads what was not read of late.
func (l *Lifecycle) readStates(ctx context.Context) error {
	if l.States == nil {
		return nil
	}
	return l.States.RefreshOlder(ctx, l.Clock.Now().Add(-statesFresh))
}

// readApplied reads the state of a run's stack when the step has ended an apply, where the run has
// everything ready for that. The run goes on whatever comes of it: the gate that needs the reading asks
// again.
func (l *Lifecycle) readApplied(ctx context.Context, run upgrade.Run, step upgrade.Step) {
	if l.States == nil || len(step.Applies) == 0 || ctx.Err() != nil {
		return
	}
	root, err := l.root(run, l.stacks[run.Stack])
	if err == nil {
		limited, cancel := context.WithTimeout(ctx, readAppliedWithin)
		defer cancel()
		err = l.States.ReadIn(limited, upgrade.StateOf(run.Stack, run.Environment), root)
	}
	if err != nil {
		l.Logger.WarnContext(ctx, "the state was not read after the apply", "run", int64(run.ID), "stack", string(run.Stack), "err", err)
	}
}

// RefreshState reads a state anew, for a person, and returns what came of it: a state that could not be read
// is no error. CodeForbidden; CodeNotFound for a state that is not known.
func (l *Lifecycle) RefreshState(ctx context.Context, name upgrade.StateName, by upgrade.Person) (upgrade.Reading, error) {
	on := upgrade.Object{Name: "state " + string(name)}
	if stack, _, own := strings.Cut(string(name), "/"); own { // a state with a slash in its name is a stack's
		on.Project = l.stacks[upgrade.StackName(stack)].Project
	}
	if err := upgrade.May(by, upgrade.ActRefreshState, on); err != nil {
		return upgrade.Reading{}, err
	}
	if l.States == nil {
		return upgrade.Reading{}, unknownState(name)
	}
	if err := l.States.Refresh(ctx, []upgrade.StateName{name}); err != nil {
		return upgrade.Reading{}, fmt.Errorf("read state %s: %w", name, err)
	}
	readings, err := l.States.Readings(ctx)
	if err != nil {
		return upgrade.Reading{}, err
	}
	for _, reading := range readings {
		if reading.State == name {
			l.Logger.InfoContext(ctx, "state read on demand", "state", string(name), "by", by.Name)
			return reading, nil
		}
	}
	return upgrade.Reading{}, unknownState(name)
}

func unknownState(name upgrade.StateName) error {
	return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("no state is called %s", name)}
}
