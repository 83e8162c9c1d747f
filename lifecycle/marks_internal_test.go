package lifecycle

import (
	"slices"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

func TestMarksOf(t *testing.T) {
	begun := time.Date(2026, 11, 20, 17, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return begun.Add(time.Duration(seconds) * time.Second) }
	tick := func(seconds int, address, action, state string) upgrade.Event {
		return upgrade.Event{At: begun.Add(time.Hour), Data: map[string]string{
			"address": address, "action": action, "state": state, "at": at(seconds).Format(time.RFC3339Nano),
		}}
	}
	tests := []struct {
		name  string
		ticks []upgrade.Event
		want  []upgrade.Mark
	}{
		{"none", nil, nil},
		{
			"two_at_once",
			[]upgrade.Event{tick(1, "a.a", "create", "start"), tick(2, "b.b", "update", "start"), tick(3, "b.b", "update", "done"), tick(5, "a.a", "create", "done")},
			[]upgrade.Mark{{Address: "a.a", Action: "create", From: at(1), To: at(5)}, {Address: "b.b", Action: "update", From: at(2), To: at(3)}},
		},
		{
			"replaced",
			[]upgrade.Event{tick(1, "a.a", "delete", "start"), tick(2, "a.a", "delete", "done"), tick(4, "a.a", "create", "start"), tick(5, "a.a", "create", "done")},
			[]upgrade.Mark{{Address: "a.a", Action: "replace", From: at(1), To: at(5)}},
		},
		{
			"made_before_the_old_one_goes",
			[]upgrade.Event{tick(1, "a.a", "create", "start"), tick(2, "a.a", "create", "done"), tick(4, "a.a", "delete", "start"), tick(5, "a.a", "delete", "done")},
			[]upgrade.Mark{{Address: "a.a", Action: "replace", From: at(1), To: at(5)}},
		},
		{
			"cut_off_in_its_second_half",
			[]upgrade.Event{tick(1, "a.a", "delete", "start"), tick(2, "a.a", "delete", "done"), tick(4, "a.a", "create", "start")},
			[]upgrade.Mark{{Address: "a.a", Action: "replace", From: at(1), Open: true}},
		},
		{
			"failed",
			[]upgrade.Event{tick(1, "a.a", "delete", "start"), tick(2, "a.a", "delete", "failed")},
			[]upgrade.Mark{{Address: "a.a", Action: "delete", From: at(1), To: at(2), Failed: true}},
		},
		{
			"without_a_time_of_its_own",
			[]upgrade.Event{{At: at(7), Data: map[string]string{"address": "a.a", "action": "create", "state": "start"}}},
			[]upgrade.Mark{{Address: "a.a", Action: "create", From: at(7), Open: true}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := marksOf(test.ticks); !slices.Equal(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}
