package gates

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// readable returns why a plan cannot be judged; nil if it can.
func readable(p plan.Summary) error {
	switch {
	case p.Header == plan.Header{}:
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "there is no plan to look at", Hint: "this gate is asked while a run is judged"}
	case p.Header.Errored:
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: "planning ended with an error, so the plan is not complete",
			Hint: "read the plan's log, and make a new plan",
		}
	}
	return nil
}

// what says what happens to a resource.
func what(change *plan.Change) string {
	switch change.Action {
	case plan.Delete:
		if change.Deposed != "" {
			return "its replaced object " + change.Deposed + " is destroyed"
		}
		return "destroyed"
	case plan.Replace:
		if change.CreateFirst {
			return "replaced, the new one first"
		}
		return "replaced, the old one destroyed first"
	case plan.Create:
		return "created"
	case plan.Update:
		return "updated in place"
	case plan.Forget:
		return "forgotten"
	case plan.Read, plan.NoOp:
	}
	return string(change.Action)
}

// record keeps what the plan takes away, gives up and moves.
func (w weighed) record(rec *Recorder, p plan.Summary) {
	rec.Fact("Changes in the plan", "%d", len(p.Changes))
	rec.Fact("Of them destroyed or replaced under guard", "%d", len(w.refused)+len(w.guarded)+len(w.allowed))
	what3 := []string{"Resource", "What happens", "Why"}
	if lost := slices.Concat(w.refused, w.guarded); len(lost) > 0 {
		rec.Table("Destroyed or replaced", what3, lossRows(lost))
	}
	if len(w.allowed) > 0 {
		rows := lossRows(w.allowed)
		for i, a := range w.by[:len(rows)] {
			rows[i] = append(rows[i], a.Reason, day(a.Until))
		}
		rec.Table("Allowed by configuration", append(what3, "Allowed because", "Until"), rows)
	}
	if len(w.free) > 0 {
		rec.Table("Destroyed or replaced, not under guard", what3, lossRows(w.free))
	}
	var forgotten, moved [][]string
	for i := range p.Changes {
		change := &p.Changes[i]
		if change.Action == plan.Forget {
			forgotten = append(forgotten, []string{change.Address, why(change)})
		}
		if change.PreviousAddress != "" {
			moved = append(moved, []string{change.PreviousAddress, change.Address, what(change)})
		}
	}
	for _, move := range p.Moves {
		moved = append(moved, []string{move.From, move.To, "nothing else"})
	}
	if len(forgotten) > 0 {
		rec.Table("Forgotten, not destroyed", []string{"Resource", "Why"}, forgotten)
	}
	if len(moved) > 0 {
		rec.Table("Moved", []string{"From", "To", "What happens to it"}, moved)
	}
}

// passed is the sentence for a plan that takes nothing from under guard, or only what it may.
func (w weighed) passed() string {
	if len(w.allowed) == 0 {
		return "the plan destroys and replaces nothing that is guarded"
	}
	verb := " are"
	if len(w.allowed) == 1 {
		verb = " is"
	}
	words := make([]string, 0, listed)
	for i, change := range w.allowed[:min(len(w.allowed), listed)] {
		words = append(words, fmt.Sprintf("%s (%s, until %s)", change.Address, w.by[i].Reason, day(w.by[i].Until)))
	}
	return counted(len(w.allowed), "guarded resource") + verb + " destroyed or replaced as the configuration allows: " + andMore(words, len(w.allowed))
}

// ended says that something was allowed once.
func (w weighed) ended() string {
	if len(w.expired) == 0 {
		return ""
	}
	a := w.expired[0]
	return fmt.Sprintf("; %s was allowed until %s", a.Match, day(a.Until))
}

// day writes a day for a sentence.
func day(t time.Time) string { return t.UTC().Format("2 Jan 2006") }

func lossRows(lost []*plan.Change) [][]string {
	lost = lost[:min(len(lost), maxTableRows)]
	rows := make([][]string, len(lost))
	for i, change := range lost {
		rows[i] = []string{change.Address, what(change), why(change)}
	}
	return rows
}

// lossBrief says it for a headline: with the first address if there is room, else by itself. May is
// "would be" or "may not be".
func lossBrief(lost []*plan.Change, noun, may string) string {
	replaced := 0
	for _, change := range lost {
		if change.Action == plan.Replace {
			replaced++
		}
	}
	verb := "destroyed or replaced"
	switch replaced {
	case 0:
		verb = "destroyed"
	case len(lost):
		verb = "replaced"
	}
	brief := fmt.Sprintf("%s %s %s", counted(len(lost), noun), may, verb)
	for _, name := range []string{lost[0].Address, withoutModule(lost[0])} {
		with := brief + ": " + name
		if len(lost) > 1 {
			with += " …"
		}
		if len([]rune(with)) <= longestBrief {
			return with
		}
	}
	return brief
}

// withoutModule returns the type and name of a resource, for where there is no room for its address.
func withoutModule(change *plan.Change) string {
	if change.Type == "" || change.Name == "" {
		return change.Address
	}
	return change.Type + "." + change.Name
}

func lossList(lost []*plan.Change) string {
	words := make([]string, 0, listed)
	for _, change := range lost[:min(len(lost), listed)] {
		words = append(words, fmt.Sprintf("%s (%s)", change.Address, what(change)))
	}
	return andMore(words, len(lost))
}

// andMore joins words, of which there would be n.
func andMore(words []string, n int) string {
	list := strings.Join(words, ", ")
	if more := n - len(words); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}

// counted returns "1 resource" or "2 resources".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// why says why Terraform does it: its action_reason in words, else the attributes that force it. The
// reasons are those of https://developer.hashicorp.com/terraform/internals/json-format.
func why(change *plan.Change) string {
	reasons := map[string]string{
		"replace_because_tainted":           "it is marked as tainted",
		"replace_because_cannot_update":     "it cannot be changed in place",
		"replace_by_request":                "somebody asked for it",
		"replace_by_triggers":               "replace_triggered_by says so",
		"delete_because_no_resource_config": "it is gone from the configuration",
		"delete_because_no_module":          "its module is gone from the configuration",
		"delete_because_wrong_repetition":   "count or for_each was added or removed",
		"delete_because_count_index":        "count is smaller now",
		"delete_because_each_key":           "its key is gone from for_each",
		"delete_because_enabled_false":      "it is switched off",
		"delete_because_no_move_target":     "it was moved to what is not there",
	}
	reason, known := reasons[change.Reason]
	if !known {
		reason = strings.ReplaceAll(change.Reason, "_", " ")
	}
	if forced := attributes(change.ReplacePaths); forced != "" {
		reason = strings.TrimPrefix(reason+": "+forced, ": ")
	}
	if change.Deposed != "" && reason == "" {
		reason = "left over from a replacement that did not end"
	}
	return reason
}

// attributes writes Terraform's replace_paths, a list of lists of names and indexes, as people write
// attributes: "engine, ingress[0].from_port".
func attributes(raw json.RawMessage) string {
	var paths [][]any
	if json.Unmarshal(raw, &paths) != nil {
		return "" // null, or a form that is not known: the table does without
	}
	words := make([]string, 0, len(paths))
	for _, steps := range paths {
		var b strings.Builder
		for _, step := range steps {
			switch step := step.(type) {
			case string:
				if b.Len() > 0 {
					b.WriteByte('.')
				}
				b.WriteString(step)
			case float64:
				b.WriteString("[" + strconv.FormatFloat(step, 'f', -1, 64) + "]")
			}
		}
		if b.Len() > 0 {
			words = append(words, b.String())
		}
	}
	return andMore(words[:min(len(words), listed)], len(words))
}
