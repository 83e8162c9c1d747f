package gates

import (
	"fmt"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

func TestWhileOut(t *testing.T) {
	begun := time.Date(2026, 11, 20, 17, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return begun.Add(time.Duration(ms) * time.Millisecond) }
	step := func(name string, from, to int) upgrade.Mark {
		m := upgrade.Mark{Address: "r." + name, Action: "replace", From: at(from), To: at(to)}
		if to == 0 {
			m.Open, m.To = true, time.Time{}
		}
		return m
	}
	tests := []struct {
		name     string
		from, to int
		certain  int
		marks    []upgrade.Mark
		want     string
		cell     string
	}{
		{"nothing_known", 10000, 11300, 1200, nil, "", "no step"},
		{"before_and_after", 10000, 11300, 1200, []upgrade.Mark{step("a", 8000, 9900), step("b", 11400, 12000)}, "", "no step"},
		{"one", 10000, 11300, 1200, []upgrade.Mark{step("a", 9900, 10500), step("b", 11500, 12000)}, "while r.a was being replaced", "r.a replaced"},
		{"around", 10000, 11300, 1200, []upgrade.Mark{step("a", 5000, 20000)}, "while r.a was being replaced", "r.a replaced"},
		{"short_and_inside", 10000, 11300, 1200, []upgrade.Mark{step("a", 10600, 10610)}, "while r.a was being replaced", "r.a replaced"},
		{"room_before_it", 10000, 11300, 700, []upgrade.Mark{step("a", 10900, 12000)}, "perhaps while r.a was being replaced", "perhaps r.a replaced"},
		{"room_behind_it", 10000, 11300, 700, []upgrade.Mark{step("a", 9000, 10400)}, "perhaps while r.a was being replaced", "perhaps r.a replaced"},
		{"nothing_certain", 10000, 10150, 0, []upgrade.Mark{step("a", 9000, 12000)}, "perhaps while r.a was being replaced", "perhaps r.a replaced"},
		{"touches_by_the_clock's_doubt", 10000, 11300, 1250, []upgrade.Mark{step("a", 9000, 9960)}, "perhaps while r.a was being replaced", "perhaps r.a replaced"},
		{"not_ended", 10000, 11300, 1200, []upgrade.Mark{step("a", 10200, 0)}, "while r.a was being replaced", "r.a replaced"},
		{"three", 10000, 11300, 1200, []upgrade.Mark{step("a", 9000, 10500), step("b", 10500, 10900), step("c", 10700, 12000)}, "which overlaps 3 steps of Terraform's", "3 steps"},
		{"one_of_two", 10000, 11300, 1200, []upgrade.Mark{step("a", 9000, 10500), step("b", 11250, 12000)}, "which overlaps 1 to 2 steps of Terraform's", "1 to 2 steps"},
		{"two_of_which_neither_must", 10000, 11300, 100, []upgrade.Mark{step("a", 10100, 10200), step("b", 10900, 11000)}, "which overlaps up to 2 steps of Terraform's", "up to 2 steps"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := whileOut(at(test.from), at(test.to), time.Duration(test.certain)*time.Millisecond, clocksApart, test.marks)
			if got.String() != test.want || got.cell() != test.cell {
				t.Errorf("got %q and %q, want %q and %q", got, got.cell(), test.want, test.cell)
			}
		})
	}
}

// TestWhileOutFar: what another place saw is less certain to have been at the same time.
func TestWhileOutFar(t *testing.T) {
	begun := time.Date(2026, 11, 20, 17, 0, 0, 0, time.UTC)
	step := []upgrade.Mark{{Address: "r.a", Action: "replace", From: begun.Add(time.Second), To: begun.Add(1300 * time.Millisecond)}}
	from, to := begun.Add(900*time.Millisecond), begun.Add(2200*time.Millisecond)
	here := whileOut(from, to, 1100*time.Millisecond, clocksApart, step)
	far := whileOut(from, to, 1100*time.Millisecond, placesApart, step)
	if here.String() != "while r.a was being replaced" || far.String() != "perhaps while r.a was being replaced" {
		t.Errorf("got %q here and %q from afar", here, far)
	}
}

// TestWhileOutTruth: wherever an outage of the certain length lies within its bounds, each step that is called
// certain overlaps it, and no step that is left out does.
func TestWhileOutTruth(t *testing.T) {
	begun := time.Date(2026, 11, 20, 17, 0, 0, 0, time.UTC)
	at := func(n int) time.Time { return begun.Add(time.Duration(n) * 100 * time.Millisecond) }
	const from, to = 5, 15
	for certain := 1; certain <= to-from; certain++ {
		for start := range 20 {
			for end := start; end < 20; end++ {
				got := whileOut(at(from), at(to), time.Duration(certain)*100*time.Millisecond, clocksApart, []upgrade.Mark{{From: at(start), To: at(end)}})
				all, some := true, false
				for begins := from; begins+certain <= to; begins++ {
					overlaps := begins <= end && begins+certain >= start
					all, some = all && overlaps, some || overlaps
				}
				if got.surely == 1 && !all || len(got.steps) == 0 && some {
					t.Fatalf("outage of %d in %d to %d, step from %d to %d: surely %d of %d", certain, from, to, start, end, got.surely, len(got.steps))
				}
			}
		}
	}
}

func TestShortAddress(t *testing.T) {
	for _, test := range []struct{ address, want string }{
		{"aws_lb.web", "aws_lb.web"},
		{"aws_vpc_security_group_ingress_rule.lb", "ingress_rule.lb"},
		{`module.edge["eu.west"].aws_lb.web["a.b"]`, `aws_lb.web["a.b"]`},
		{"module.a.module.b.aws_security_group_rule.web", "group_rule.web"},
		{"aws_lb.a-very-long-name-of-one-thing", "…name-of-one-thing"},
	} {
		if got := shortAddress(test.address, 18); got != test.want {
			t.Errorf("%s: got %q, want %q", test.address, got, test.want)
		}
	}
}

func TestKeptMarks(t *testing.T) {
	begun := time.Date(2026, 11, 20, 17, 0, 0, 0, time.UTC)
	var marks []upgrade.Mark
	for i := range 2 * maxMarks {
		from := begun.Add(time.Duration(i) * time.Second)
		marks = append(marks, upgrade.Mark{Address: fmt.Sprint(i), From: from, To: from.Add(time.Duration(i) * time.Millisecond)})
	}
	kept := keptMarks(marks, func(m upgrade.Mark) bool { return m.Address == "3" })
	if len(kept) != maxMarks || kept[0].Address != "3" || kept[1].Address != fmt.Sprint(maxMarks+1) {
		t.Errorf("kept %d, the first %s and %s", len(kept), kept[0].Address, kept[1].Address)
	}
}
