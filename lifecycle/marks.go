package lifecycle

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// eachTick goes over what the journal has of the resources of one apply, oldest first.
func (l *Lifecycle) eachTick(ctx context.Context, run upgrade.RunID, n int, each func(upgrade.Event)) error {
	filter := upgrade.EventFilter{Run: run, Limit: journalPage}
	for {
		events, err := l.Store.Events(ctx, filter)
		if err != nil {
			return fmt.Errorf("read the journal of run %d: %w", run, err)
		}
		for _, event := range events {
			if event.Kind == upgrade.EventResource && event.Data["n"] == strconv.Itoa(n) {
				each(event)
			}
			filter.After = event.Seq
		}
		if len(events) < filter.Limit {
			return nil
		}
	}
}

// marks returns what Terraform did in one apply of a run, as the journal has it.
func (l *Lifecycle) marks(ctx context.Context, run upgrade.RunID, n int) ([]upgrade.Mark, error) {
	var ticks []upgrade.Event
	err := l.eachTick(ctx, run, n, func(e upgrade.Event) { ticks = append(ticks, e) })
	return marksOf(ticks), err
}

// marksOf puts the events of one apply's resources together: one step for each resource, from the first time
// that Terraform began with it to the last time that it was done. What is destroyed and made again is one
// replacement, whichever comes first: between its halves it is still under way.
func marksOf(events []upgrade.Event) []upgrade.Mark {
	var marks []upgrade.Mark
	at := map[string]int{}
	for _, e := range events {
		address, action, when := e.Data["address"], e.Data["action"], tickTime(e)
		i, known := at[address]
		if !known {
			i, at[address] = len(marks), len(marks)
			marks = append(marks, upgrade.Mark{Address: address, Action: action, From: when})
		}
		m := &marks[i]
		if m.Action != action {
			m.Action = string(plan.Replace)
		}
		switch plan.TickKind(e.Data["state"]) {
		case plan.TickStart:
			m.Open, m.To = true, time.Time{}
		case plan.TickDone:
			m.Open, m.To = false, when
		case plan.TickFailed:
			m.Open, m.To, m.Failed = false, when, true
		case plan.TickLine:
		}
	}
	return marks
}

// tickTime is when Terraform wrote the line down. Events say it themselves: they are kept a little later.
func tickTime(e upgrade.Event) time.Time {
	if at, err := time.Parse(time.RFC3339Nano, e.Data["at"]); err == nil {
		return at
	}
	return e.At
}
