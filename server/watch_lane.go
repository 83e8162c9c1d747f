package server

import (
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// What is drawn of Terraform's steps at most.
const (
	maxLanes     = 3
	maxSteps     = 80
	maxStepText  = 30  // characters: more than half the width of a phone
	worthATextAt = 8.0 // percent, from which on a step that broke nothing is named
)

// lanes puts Terraform's steps under the rows: those at the same time under each other, each step that overlaps
// an outage solid and named. It also says how many found no room.
func (s watched) lanes(a axis) (lanes []laneView, crowds string) {
	var order []int
	for i, m := range s.marks {
		if from, to := s.stepSpan(m); to >= a.from && from <= a.to {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(x, y int) int {
		if one, other := s.hot(x), s.hot(y); one != other {
			if one {
				return -1
			}
			return 1
		}
		return s.marks[x].From.Compare(s.marks[y].From)
	})
	left := max(0, len(order)-maxSteps)
	order = order[:len(order)-left]
	var taken, narrow [maxLanes][]occupied
	for _, i := range order {
		bar, text, takes := s.step(i, a)
		lane := slices.IndexFunc(taken[:], func(taken []occupied) bool { return !slices.ContainsFunc(taken, takes.meets) })
		if lane < 0 {
			left++
			continue
		}
		for len(lanes) <= lane {
			lanes = append(lanes, laneView{})
		}
		lanes[lane].Bars = append(lanes[lane].Bars, bar)
		taken[lane] = append(taken[lane], takes)
		wide := text.takes(letterWide)
		if text.Text == "" || slices.ContainsFunc(taken[lane], func(o occupied) bool { return o != takes && o.meets(wide) }) {
			continue
		}
		taken[lane] = append(taken[lane], wide)
		if small := text.takes(letterNarrow); !text.Min {
			text.Min = slices.ContainsFunc(narrow[lane], small.meets)
			narrow[lane] = append(narrow[lane], small)
		}
		lanes[lane].Texts = append(lanes[lane].Texts, text)
	}
	if left > 0 {
		crowds = plural(left, "more step") + " found no room here, see the table below"
	}
	return lanes, crowds
}

// occupied is a stretch of a lane, in percent.
type occupied struct{ from, to float64 }

func (o occupied) meets(other occupied) bool { return o.from < other.to && other.from < o.to }

// step draws one step, names it if that is worth it, and says what room it takes without its name.
func (s watched) step(i int, a axis) (bar barView, text chartText, takes occupied) {
	m := s.marks[i]
	from, to := s.stepSpan(m)
	class, hot := "f-tf", s.hot(i)
	if hot {
		class = "f-hot"
	}
	if m.Failed {
		class += " failed"
	}
	bar = a.bar(from, to, class, s.stepText(m))
	x, end := a.x(from), a.x(to)
	if hot || end-x >= worthATextAt {
		text = placed(x, end, shortStep(m))
		text.Hot, text.Min = hot, !hot
	}
	return bar, text, occupied{x, max(end, x+0.5)}
}

// stepText says one step in words.
func (s watched) stepText(m upgrade.Mark) string {
	from, to := s.stepSpan(m)
	text := m.Address + " " + done(m.Action) + ", " + s.tenth(from) + " to " + s.tenth(to)
	switch {
	case m.Open:
		text = m.Address + " " + done(m.Action) + ", since " + s.tenth(from)
	case m.Failed:
		text += ", failed"
	}
	return text
}

// shortStep names a step in a few letters: without modules, and without the beginning of its type.
func shortStep(m upgrade.Mark) string {
	what := " " + done(m.Action)
	most := maxStepText - len(what)
	name := m.Address
	if parts := strings.Split(name, "."); len(parts) > 2 && !strings.ContainsAny(name, "[\"") {
		name = strings.Join(parts[len(parts)-2:], ".")
	}
	for len([]rune(name)) > most {
		_, rest, found := strings.Cut(name, "_")
		if !found {
			runes := []rune(name)
			name = "…" + string(runes[len(runes)-most+1:])
			break
		}
		name = rest
	}
	return name + what
}

// done is what a step did, as its past participle.
func done(action string) string {
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
