package terraform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// event is one line of Terraform's machine-readable log, which OpenTofu writes alike:
// https://developer.hashicorp.com/terraform/internals/machine-readable-ui.
type event struct {
	Level      string      `json:"@level"`
	Message    string      `json:"@message"`
	At         time.Time   `json:"@timestamp"`
	Type       string      `json:"type"`
	Hook       hook        `json:"hook"`
	Changes    counts      `json:"changes"`
	Diagnostic *Diagnostic `json:"diagnostic"`
}

type hook struct {
	Resource struct {
		Addr string `json:"addr"`
	} `json:"resource"`
	Action string `json:"action"`
}

type counts struct {
	Operation string `json:"operation"` // plan, apply, destroy
}

// Diagnostic is an error or warning of Terraform's.
type Diagnostic struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
	Address  string `json:"address"`
	Range    *Range `json:"range"`
}

// Range is where in the configuration a diagnostic belongs; Filename is relative to the root module.
type Range struct {
	Filename string `json:"filename"`
	Start    struct {
		Line int `json:"line"`
	} `json:"start"`
}

// longestMessage is how many characters of an error a page shows.
const longestMessage = 400

// Sentence returns the diagnostic in one line: place, summary, first line of the detail.
func (d *Diagnostic) Sentence() string {
	text := oneLine(d.Summary)
	if d.Range != nil && d.Range.Filename != "" {
		text = fmt.Sprintf("%s:%d: %s", d.Range.Filename, d.Range.Start.Line, text)
	}
	if detail, _, _ := strings.Cut(strings.TrimSpace(d.Detail), "\n\n"); detail != "" {
		text += ": " + oneLine(detail)
	}
	return shorten(text)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func shorten(s string) string {
	runes := []rune(s)
	if len(runes) <= longestMessage {
		return s
	}
	return string(runes[:longestMessage-1]) + "…"
}

// parse reads one line of the log; ok is false for one that is not JSON, such as a crash's.
func parse(line []byte) (e event, ok bool) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] != '{' {
		return event{}, false
	}
	if err := json.Unmarshal(line, &e); err != nil || e.Message == "" && e.Type == "" {
		return event{}, false
	}
	return e, true
}

// text returns the event as a person reads it; it may have several lines.
func (e event) text() string {
	if e.Diagnostic == nil {
		return e.Message
	}
	d := e.Diagnostic
	title := "Error"
	if d.Severity == "warning" {
		title = "Warning"
	}
	text := title + ": " + d.Summary
	if d.Range != nil && d.Range.Filename != "" {
		text += fmt.Sprintf("\n  on %s line %d", d.Range.Filename, d.Range.Start.Line)
	}
	if d.Address != "" {
		text += "\n  with " + d.Address
	}
	if d.Detail != "" {
		text += "\n  " + strings.ReplaceAll(strings.TrimSpace(d.Detail), "\n", "\n  ")
	}
	return text
}

// Story follows the JSON log of one command: it renders it, and remembers what decides about its end.
type Story struct {
	First     *Diagnostic // the first error
	Tool      string      // what writes it, by its own account: "terraform 1.11.4" or "tofu 1.12.6"; may be empty
	Begun     bool        // an apply has begun to change something
	Completed bool        // an apply said that it is complete
	Total     int         // resources that change, for ticks; 0: not known

	done map[string]bool
}

// Line takes one line of the log and returns it for reading, and as a tick.
func (s *Story) Line(line []byte) (text string, tick plan.Tick) {
	e, ok := parse(line)
	if !ok {
		text = strings.TrimRight(string(line), "\r\n")
		return text, plan.Tick{Kind: plan.TickLine, Text: text, Done: len(s.done), Total: s.Total}
	}
	if e.Diagnostic != nil && e.Diagnostic.Severity == "error" && s.First == nil {
		s.First = e.Diagnostic
	}
	if e.Type == "change_summary" && e.Changes.Operation != "plan" {
		s.Completed = true
	}
	if e.Type == "version" && s.Tool == "" {
		s.Tool = writer(line)
	}
	tick = plan.Tick{At: e.At, Kind: plan.TickLine, Address: e.Hook.Resource.Addr, Action: action(e.Hook.Action), Text: e.Message}
	if tick.Action != plan.Read && tick.Action != plan.NoOp {
		switch e.Type {
		case "apply_start":
			tick.Kind = plan.TickStart
			s.Begun = true
		case "apply_complete":
			tick.Kind = plan.TickDone
			if s.done == nil {
				s.done = map[string]bool{}
			}
			s.done[tick.Address] = true
		case "apply_errored":
			tick.Kind = plan.TickFailed
		}
	}
	tick.Done, tick.Total = len(s.done), s.Total
	if e.Diagnostic != nil {
		tick.Text, tick.Address = e.text(), e.Diagnostic.Address
	}
	return e.text(), tick
}

// writer reads the line with which a log begins; each tool gives its version under its own name.
func writer(line []byte) string {
	var e struct{ Terraform, Tofu string }
	switch err := json.Unmarshal(line, &e); {
	case err != nil:
	case e.Terraform != "":
		return "terraform " + e.Terraform
	case e.Tofu != "":
		return "tofu " + e.Tofu
	}
	return ""
}

func action(hook string) plan.Action {
	if hook == "noop" {
		return plan.NoOp
	}
	return plan.Action(hook)
}

// Stale reports whether Terraform refused the plan before its first change because the state has moved
// since. Both tools call it so.
func (d *Diagnostic) Stale() bool { return d != nil && d.Summary == "Saved plan is stale" }
