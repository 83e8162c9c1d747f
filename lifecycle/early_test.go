package lifecycle_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

// asked is what a gate was asked, as "staging early with memo".
type asked struct {
	mu   sync.Mutex
	what []string
}

func (a *asked) add(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.what = append(a.what, fmt.Sprintf(format, args...))
}

// TestEarlyNoIsFinal: a gate that wants to be asked early is asked at once in each of its environments,
// though it need not settle itself, and knows what it found before the apply. Its early no is final, even
// when all is well again by the time that it is asked for good.
func TestEarlyNoIsFinal(t *testing.T) {
	var seen asked
	h := newHouseWith(t, func(*house) []gates.Gate {
		var list []gates.Gate
		for _, env := range []upgrade.EnvName{"staging", "production"} {
			list = append(list, gates.Gate{
				Name: "grants", Kind: gates.KindGrants, Stage: upgrade.StageAfter, Environment: env, Required: true, Early: true, Deadline: time.Minute,
				Before: func(context.Context, gates.Input, *gates.Recorder) (string, error) {
					return "memo of " + string(env), nil
				},
				Check: func(_ context.Context, in gates.Input, _ *gates.Recorder) error {
					if !in.Early {
						return nil
					}
					seen.add("%s with %s", env, in.Memo)
					if env == "production" {
						return gates.FailBrief("production is broken", "its grant is gone")
					}
					return nil
				},
			})
		}
		return list
	})
	h.push("staging", "new")
	h.rest()
	h.want(h.run().ID, upgrade.PhaseSettling)
	if len(seen.what) != 2 {
		t.Fatalf("asked %q before settling, want both environments", seen.what)
	}
	for _, what := range seen.what {
		if what != "staging with memo of staging" && what != "production with memo of production" {
			t.Errorf("asked %q, want each with its own memo", what)
		}
	}
	h.pass(6 * time.Minute)
	run := h.want(h.run().ID, upgrade.PhaseBlocked)
	if len(run.Causes) != 1 || run.Causes[0].Brief != "production is broken" {
		t.Errorf("closed for %+v, want the early no", run.Causes)
	}
}
