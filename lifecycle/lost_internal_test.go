package lifecycle

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// What is left of an apply that was cut off is planned anew only if it was judged.
func TestWithin(t *testing.T) {
	change := func(action plan.Action, after string) plan.Change {
		return plan.Change{Address: "aws_x.y", Action: action, After: json.RawMessage(after)}
	}
	for _, tt := range []struct {
		name         string
		left, judged plan.Change
		want         bool
	}{
		{"same", change(plan.Update, `{"a": 1}`), change(plan.Update, `{"a": 1}`), true},
		{"known_by_now", change(plan.Update, `{"a": 1, "b": 2}`), change(plan.Update, `{"a": 1}`), true},
		{"another_value", change(plan.Update, `{"a": 2}`), change(plan.Update, `{"a": 1}`), false},
		{"a_value_less", change(plan.Update, `{}`), change(plan.Update, `{"a": 1}`), false},
		{"destroyed_instead", change(plan.Delete, `null`), change(plan.Update, `{"a": 1}`), false},
		{"replaced_instead", change(plan.Replace, `{"a": 1}`), change(plan.Update, `{"a": 1}`), false},
		{"half_of_a_replacement", change(plan.Create, `{"a": 1}`), change(plan.Replace, `{"a": 1}`), true},
		{"other_half_of_a_replacement", change(plan.Delete, `null`), change(plan.Replace, `{"a": 1}`), true},
		{"half_of_another_replacement", change(plan.Create, `{"a": 2}`), change(plan.Replace, `{"a": 1}`), false},
		{"still_to_destroy", change(plan.Delete, `null`), change(plan.Delete, `null`), true},
		{"created_instead", change(plan.Create, `{"a": 1}`), change(plan.Delete, `null`), false},
		{"no_object", change(plan.Update, `"x"`), change(plan.Update, `{"a": 1}`), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := within(tt.left, tt.judged); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}

// longJournal is a store that has nothing but the journal of one run, and gives it in pages.
type longJournal struct {
	Store
	events []upgrade.Event
}

func (j longJournal) Events(_ context.Context, f upgrade.EventFilter) ([]upgrade.Event, error) {
	from := int(f.After)
	return j.events[from:min(from+f.Limit, len(j.events))], nil
}

// What was being created is found however long the journal is.
func TestBegunInALongJournal(t *testing.T) {
	var journal longJournal
	tick := func(n int, address string, kind plan.TickKind) {
		journal.events = append(journal.events, upgrade.Event{
			Seq: int64(len(journal.events) + 1), Kind: upgrade.EventResource,
			Data: map[string]string{"n": strconv.Itoa(n), "address": address, "state": string(kind)},
		})
	}
	for i := range 3 * journalPage {
		tick(1, "aws_x.y["+strconv.Itoa(i)+"]", plan.TickStart)
		tick(1, "aws_x.y["+strconv.Itoa(i)+"]", plan.TickDone)
	}
	tick(1, "aws_x.last", plan.TickStart)
	tick(2, "aws_x.other", plan.TickStart) // of another apply
	a := &apply{Lifecycle: &Lifecycle{Config: Config{Store: journal}}, row: upgrade.Apply{N: 1}}
	begun, err := a.begun(t.Context())
	if err != nil || !begun["aws_x.last"] || begun["aws_x.y[2999]"] || begun["aws_x.other"] {
		t.Errorf("last %t, done %t, other %t (%v)", begun["aws_x.last"], begun["aws_x.y[2999]"], begun["aws_x.other"], err)
	}
	if err := a.skipTold(t.Context()); err != nil || a.told != 6*journalPage+1 {
		t.Errorf("%d ticks were told (%v)", a.told, err)
	}
}
