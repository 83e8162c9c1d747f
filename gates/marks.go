package gates

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// clocksApart is how far the times of Terraform's steps and those of probes may be apart. Both are told by the
// world's clock, and both come from this machine: probes count from a moment of the world's by the monotonic
// clock, and what Terraform wrote down by the wall clock becomes the world's time by how long ago it was when
// it was read. So they fit as long as the world's clock keeps pace with real time during an apply. The
// system's does; one that is moved by hand, as in the demo, leaps only while nobody works, and whoever applies
// works. While things settle it may leap, and then the later times of a watch are behind the world's; but
// Terraform takes no step any more.
const clocksApart = 50 * time.Millisecond

// placesApart is the same for probes from another place. Their times are right within half of the round trip to
// there, which is hardly ever longer than this.
const placesApart = 300 * time.Millisecond

// maxMarks is how many of Terraform's steps are kept with a watch.
const maxMarks = 200

// meanwhile is what Terraform did while something was out.
type meanwhile struct {
	steps  []upgrade.Mark // that may have been under way, in the order of time
	surely int            // of them, those that certainly were
}

// whileOut returns which steps were under way during an outage that lay somewhere between from and to and
// took at least certain, where the times of both may be so far apart. A step that could be missed by so long an outage is not certain to overlap it: it is
// only if neither what comes before it nor what comes after it has room for the whole outage.
func whileOut(from, to time.Time, certain, apart time.Duration, marks []upgrade.Mark) meanwhile {
	var m meanwhile
	for _, mark := range marks {
		ended := mark.To
		if mark.Open {
			ended = to
		}
		if mark.From.Add(-apart).After(to) || ended.Add(apart).Before(from) {
			continue
		}
		m.steps = append(m.steps, mark)
		before, after := mark.From.Add(apart).Sub(from), to.Sub(ended.Add(-apart))
		if mark.Open {
			after = 0
		}
		if certain > 0 && before < certain && after < certain {
			m.surely++
		}
	}
	slices.SortStableFunc(m.steps, func(a, b upgrade.Mark) int { return a.From.Compare(b.From) })
	return m
}

// only returns the one step that overlaps, if there is exactly one and it certainly does.
func (m meanwhile) only() (upgrade.Mark, bool) {
	if len(m.steps) != 1 || m.surely != 1 {
		return upgrade.Mark{}, false
	}
	return m.steps[0], true
}

// String says what overlaps, to stand behind a comma: the step by name if there is but one. It claims no more
// than is known, and never that a step was the cause. Empty if nothing overlaps.
func (m meanwhile) String() string {
	switch n := len(m.steps); {
	case n == 0:
		return ""
	case n == 1 && m.surely == 1:
		return "while " + being(m.steps[0])
	case n == 1:
		return "perhaps while " + being(m.steps[0])
	}
	return "which overlaps " + m.count() + " of Terraform's"
}

// count says how many steps overlap, as far as that is known.
func (m meanwhile) count() string {
	n := len(m.steps)
	switch m.surely {
	case n:
		return fmt.Sprintf("%d steps", n)
	case 0:
		return fmt.Sprintf("up to %d steps", n)
	}
	return fmt.Sprintf("%d to %d steps", m.surely, n)
}

// cell is String for a table.
func (m meanwhile) cell() string {
	switch n := len(m.steps); {
	case n == 0:
		return "no step"
	case n == 1 && m.surely == 1:
		return was(m.steps[0])
	case n == 1:
		return "perhaps " + was(m.steps[0])
	}
	return m.count()
}

// being says what was going on with a resource.
func being(m upgrade.Mark) string { return m.Address + " was being " + participle(m.Action) }

// was says what was done to a resource.
func was(m upgrade.Mark) string { return m.Address + " " + participle(m.Action) }

func participle(action string) string {
	switch action {
	case "create":
		return "made"
	case "update":
		return "changed"
	case "delete":
		return "destroyed"
	case "replace":
		return "replaced"
	}
	return "worked on"
}

// advice says what to do about a step during which the site was out; empty where there is nothing general to say.
func advice(m upgrade.Mark) string {
	switch m.Action {
	case "replace":
		return fmt.Sprintf("set create_before_destroy on %s, or add the new one in a change of its own before the old one goes, then push", m.Address)
	case "delete":
		return fmt.Sprintf("keep %s until nothing needs it any more, then push", m.Address)
	}
	return ""
}

// shortAddress returns a resource's address in at most so many characters, its end kept so that it can be found
// by it: modules go first, then words of the type.
func shortAddress(address string, most int) string {
	short := address
	if resource := withoutModules(address); len([]rune(short)) > most && len(resource) < len(short) {
		short = resource
	}
	for len([]rune(short)) > most {
		_, rest, found := strings.Cut(short, "_")
		if !found {
			runes := []rune(short)
			return "…" + string(runes[len(runes)-most+1:])
		}
		short = rest
	}
	return short
}

// withoutModules returns the type and name of a resource's address, with its key. Dots may stand in keys too.
func withoutModules(address string) string {
	var dots []int
	quoted := false
	for i := range len(address) {
		switch {
		case address[i] == '"' && (i == 0 || address[i-1] != '\\'):
			quoted = !quoted
		case address[i] == '.' && !quoted:
			dots = append(dots, i)
		}
	}
	if len(dots) < 2 {
		return address
	}
	return address[dots[len(dots)-2]+1:]
}

// keptMarks returns the steps that are worth keeping with outages: those that overlap one, then the longest.
func keptMarks(marks []upgrade.Mark, overlapping func(upgrade.Mark) bool) []upgrade.Mark {
	kept := slices.Clone(marks)
	slices.SortStableFunc(kept, func(a, b upgrade.Mark) int {
		if one, other := overlapping(a), overlapping(b); one != other {
			if one {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.To.Sub(b.From), a.To.Sub(a.From))
	})
	kept = kept[:min(len(kept), maxMarks)]
	slices.SortStableFunc(kept, func(a, b upgrade.Mark) int { return a.From.Compare(b.From) })
	return kept
}
