package plancheck

import (
	"fmt"
	"io"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// shownRows is how many rows of a table a terminal gets. The rest is in the JSON.
const shownRows = 20

// The ways in which words are set off, as ECMA-48 has them.
const (
	bold   = "1"
	dim    = "2"
	red    = "1;31"
	green  = "1;32"
	yellow = "1;33"
)

// Text writes the report for people. Colour is for a terminal.
func (r Report) Text(w io.Writer, colour bool) error {
	t := &text{w: w, colour: colour}
	t.line("%s", t.set(bold, r.title()))
	t.line("%s", t.set(dim, "change digest "+r.Digest))
	for _, result := range r.Results {
		t.result(result)
	}
	return t.err
}

// title says what the plan does, in one line.
func (r Report) title() string {
	name := r.Name
	if r.Stack != "" {
		name = string(r.Stack) + ": " + name
	}
	return fmt.Sprintf("%s: %s (%s, format %s)", name, r.Counts, tool(r.Header.Tool), r.Header.FormatVersion)
}

func tool(version string) string {
	if version == "" {
		return "of an unknown tool"
	}
	return "made by version " + version
}

// String says what a plan does: "1 to destroy, 2 to change".
func (c Counts) String() string {
	var words []string
	for _, one := range []struct {
		n    int
		what string
	}{{c.Destroy, "destroy"}, {c.Replace, "replace"}, {c.Update, "change"}, {c.Create, "add"}, {c.Forget, "forget"}, {c.Move, "move"}} {
		if one.n > 0 {
			words = append(words, fmt.Sprintf("%d to %s", one.n, one.what))
		}
	}
	if len(words) == 0 {
		return "nothing to do"
	}
	return strings.Join(words, ", ")
}

// text writes lines until one fails.
type text struct {
	w      io.Writer
	colour bool
	err    error
}

func (t *text) line(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format+"\n", args...)
	}
}

func (t *text) set(how, words string) string {
	if !t.colour {
		return words
	}
	return "\x1b[" + how + "m" + words + "\x1b[0m"
}

// result writes one gate's answer; what it saw only if the answer is no pass.
func (t *text) result(r upgrade.Result) {
	word, how := wordOf(r)
	optional := ""
	if !r.Required {
		optional = " (not required)"
	}
	t.line("\n%s  %s%s", t.set(how, fmt.Sprintf("%-12s", word)), t.set(bold, string(r.Gate)), optional)
	t.body(r)
}

func (t *text) body(r upgrade.Result) {
	t.line("  %s", sentence(r.Message))
	for _, warning := range r.Warnings {
		t.line("  %s %s", t.set(yellow, "Warning:"), sentence(warning))
	}
	if r.Outcome != upgrade.OutcomeFailed && r.Outcome != upgrade.OutcomeUnknown {
		return
	}
	for _, table := range r.Evidence.Tables {
		t.table(table)
	}
	for _, fact := range r.Evidence.Facts {
		if fact.Name == "Repair" {
			t.line("\n  %s", t.set(dim, "Repair"))
			t.line("    %s", strings.ReplaceAll(plain(fact.Value), "\n", "\n    "))
		}
	}
}

// table writes each row as its first cell, with the others below it: addresses and ARNs fit no columns.
func (t *text) table(table upgrade.Table) {
	if len(table.Rows) == 0 {
		return
	}
	t.line("\n  %s", t.set(dim, table.Title))
	for _, row := range table.Rows[:min(len(table.Rows), shownRows)] {
		var rest []string
		for i, cell := range row {
			if i > 0 && cell != "" {
				rest = append(rest, cellText(table.Columns, i, cell))
			}
		}
		t.line("    %s", plain(row[0]))
		if len(rest) > 0 {
			t.line("      %s", t.set(dim, strings.Join(rest, "; ")))
		}
	}
	if more := len(table.Rows) - shownRows; more > 0 {
		t.line("    and %d more", more)
	}
}

// cellText names a cell by its column unless it speaks for itself.
func cellText(columns []string, i int, cell string) string {
	if i >= len(columns) {
		return plain(cell)
	}
	switch columns[i] {
	case "What happens", "Why", "Thing", "Grant", "Note", "Where":
		return plain(cell)
	}
	return strings.ToLower(columns[i]) + " " + plain(cell)
}

func wordOf(r upgrade.Result) (word, how string) {
	switch r.Outcome {
	case upgrade.OutcomePassed:
		return "Passed", green
	case upgrade.OutcomeFailed:
		return "Failed", red
	case upgrade.OutcomeSkipped:
		return "Not asked", yellow
	case upgrade.OutcomeUnknown, upgrade.OutcomeWaiting, upgrade.OutcomeRunning:
	}
	return upgrade.OutcomeUnknown.Look().Word, yellow
}

// sentence makes a message one: with a capital, unless it begins with an address, and a full stop.
func sentence(message string) string {
	message = plain(message)
	first, _, _ := strings.Cut(message, " ")
	if message == "" {
		return ""
	}
	if !strings.ContainsAny(first, "._") {
		message = strings.ToUpper(message[:1]) + message[1:]
	}
	return message + "."
}

// plain takes out what would steer a terminal, or may not be in XML: a plan is somebody else's text.
func plain(words string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == 0xfffe || r == 0xffff {
			return '\ufffd'
		}
		return r
	}, words)
}
