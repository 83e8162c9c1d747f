package lifecycle_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// lookout is a gate that watches, and notes what is asked of it.
type lookout struct {
	mu    sync.Mutex // guards the field below
	calls []string
	begun time.Time // of the last Resume
}

func (l *lookout) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, what)
}

// noting is one watch of it.
type noting struct {
	*lookout
	how string
}

func (n noting) End(_ context.Context, rec *gates.Recorder) error {
	n.note("end of " + n.how)
	rec.Passed("nothing happened, by %s", n.how)
	return nil
}

func (l *lookout) gate(resumes bool) gates.Gate {
	gate := gates.Gate{
		Name: "outage", Kind: gates.KindOutage, Stage: upgrade.StageDuring, Environment: "staging", Required: true, Deadline: time.Minute,
		During: func(context.Context, gates.Input) (gates.Watch, error) {
			l.note("during")
			return noting{l, "during"}, nil
		},
	}
	if resumes {
		gate.Resume = func(_ context.Context, _ gates.Input, begun time.Time) (gates.Watch, error) {
			l.note("resume")
			l.begun = begun
			return noting{l, "resume"}, nil
		}
	}
	return gate
}

// TestS5WatchGoesOn: after a restart a gate that can goes on with its watch, since the apply began; one that cannot
// could not tell; and an apply that had not begun is watched anew.
func TestS5WatchGoesOn(t *testing.T) {
	for _, test := range []struct {
		name    string
		resumes bool
		found   plan.Found
		outcome upgrade.Outcome
		says    string
		calls   string
	}{
		{"goes_on", true, plan.FoundResult, upgrade.OutcomePassed, "by resume", "during, resume, end of resume"},
		{"cannot", false, plan.FoundResult, upgrade.OutcomeUnknown, "the service was restarted during the apply", "during"},
		{"had_not_begun", true, plan.FoundNeverRan, upgrade.OutcomePassed, "by during", "during, resume, end of resume, during, end of during"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := &lookout{}
			h := newHouseWith(t, func(*house) []gates.Gate { return []gates.Gate{l.gate(test.resumes)} })
			h.terraform.hold = make(chan struct{})
			commit := h.gitlab.push("platform/edge", "staging", "new")
			h.deliver("p", upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 1, Ref: "staging", After: commit})
			h.until(func() bool { return h.terraform.applied() == 1 })
			h.close() // the service ends in the middle of the apply
			h.terraform.lose("whole")
			h.terraform.found = test.found
			h.open([]upgrade.Stack{edge()})
			h.pass(10 * time.Minute)
			l.demand(t, h, test.outcome, test.says, test.calls)
			if test.found == plan.FoundResult && test.resumes {
				applies, err := h.store.Applies(h.ctx, h.run().ID)
				if err != nil || !l.begun.Equal(applies[0].BegunAt) {
					t.Errorf("it goes on since %s, the apply began at %v (%v)", l.begun, applies, err)
				}
			}
		})
	}
	t.Run("while_settling", func(t *testing.T) {
		l := &lookout{}
		h := newHouseWith(t, func(*house) []gates.Gate { return []gates.Gate{l.gate(true)} })
		h.push("staging", "new")
		h.want(h.run().ID, upgrade.PhaseSettling)
		h.close()
		h.open([]upgrade.Stack{edge()})
		h.pass(10 * time.Minute)
		l.demand(t, h, upgrade.OutcomePassed, "by resume", "during, resume, end of resume")
	})
}

// demand looks at the gate's result and at what was asked of it.
func (l *lookout) demand(t *testing.T, h *house, outcome upgrade.Outcome, says, calls string) {
	t.Helper()
	results, err := h.store.Results(h.ctx, h.run().ID)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(results, func(r upgrade.Result) bool { return r.Gate == "outage" && r.Stage == upgrade.StageDuring })
	if at < 0 || results[at].Outcome != outcome || !strings.Contains(results[at].Message, says) {
		t.Errorf("results %+v, want %s that says %q", results, outcome, says)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if got := strings.Join(l.calls, ", "); !strings.HasPrefix(got, calls) {
		t.Errorf("asked %s, want %s", got, calls)
	}
}
