package lifecycle_test

import (
	"context"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

// marksWatch is a gate that asks at its end what Terraform did.
type marksWatch struct {
	ask  func(ctx context.Context) ([]upgrade.Mark, error)
	seen *[]upgrade.Mark
}

func (w marksWatch) End(ctx context.Context, _ *gates.Recorder) (err error) {
	*w.seen, err = w.ask(ctx)
	return err
}

// TestMarksReachTheWatch: a gate that watches an apply hears which steps Terraform took in it.
func TestMarksReachTheWatch(t *testing.T) {
	var seen []upgrade.Mark
	h := newHouseWith(t, func(*house) []gates.Gate {
		return []gates.Gate{{
			Name: "outage", Kind: gates.KindOutage, Stage: upgrade.StageDuring, Environment: "staging", Required: true, Deadline: time.Minute,
			During: func(_ context.Context, in gates.Input) (gates.Watch, error) { return marksWatch{in.Marks, &seen}, nil },
		}}
	})
	h.push("staging", "new")
	h.pass(10 * time.Minute)
	h.want(h.run().ID, upgrade.PhaseUnlocked)
	if len(seen) != 1 || seen[0].Address != "aws_x.y" || seen[0].Action != "update" || seen[0].From.IsZero() || seen[0].Open {
		t.Errorf("it hears of %+v", seen)
	}
}
