package server

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// The bounds of a log on a page; the API has all of it.
const (
	tailLines = 8
	pageLines = 250
	lineBytes = 2000
	tailBytes = 256 << 10
)

// lineView is one line of a log.
type lineView struct {
	When string
	Text string
	Bad  bool
}

// logView is the last lines of the stage that matters, and where the rest is.
type logView struct {
	Path  string
	Stage string // whose lines these are
	Lines []lineView
	Links []link
	Empty string
	Live  bool
	Query string // of the part
	Say   *link  // turns the announcing of new lines on or off; nil: none come
	Said  string // what is announced: the last line, since a reader of all would read the others again and again
}

// announceLog is how a reader asks that new lines of the log are announced; they are not unless he does.
const announceLog = "log"

// announce offers to announce new lines while there are any to come, and announces if that is what was asked for.
func (v *logView) announce(asked string) {
	switch {
	case !v.Live:
	case asked != announceLog:
		v.Say = &link{Text: "Announce new lines", Href: v.Path + "?announce=" + announceLog + "#log"}
	default:
		v.Say, v.Query = &link{Text: "Stop announcing", Href: v.Path + "#log"}, "?announce="+announceLog
		if n := len(v.Lines); n > 0 {
			v.Said = v.Lines[n-1].Text
		}
	}
}

// logTail shows Terraform's output while it works or when it failed, else the gates' own lines.
func (s *Server) logTail(ctx context.Context, d runData) logView {
	v := logView{Path: runPath(d.run.ID), Live: d.run.Phase.Live()}
	for _, stage := range stages() {
		v.Links = append(v.Links, link{Text: upperFirst(stage), Href: v.Path + "/log/" + stage})
	}
	at := deciding(d.run)
	if at == upgrade.StepGates || at == upgrade.StepUnlock {
		v.Stage, v.Lines = "gates", gateLines(d)
	}
	if len(v.Lines) == 0 {
		v.Stage = terraformStage(d.run, at)
		lines, _, err := s.lines(ctx, d.run, v.Stage, tailLines, d.words)
		if err != nil {
			v.Empty = told(err)
		}
		v.Lines = lines
	}
	if len(v.Lines) == 0 && v.Empty == "" {
		v.Empty = nothingWritten(d.run)
	}
	return v
}

func terraformStage(r upgrade.Run, at upgrade.RailStep) string {
	switch {
	case r.Phase == upgrade.PhaseQueued, r.Phase == upgrade.PhasePreparing, r.Phase == upgrade.PhaseFailed && r.From == upgrade.PhasePreparing:
		return "prepare"
	case at == upgrade.StepPlan, at == upgrade.StepPolicy:
		return "plan"
	}
	return "apply"
}

// gateLines are the last lines that the gates wrote, by time.
func gateLines(d runData) []lineView {
	type entry struct {
		at   time.Time
		line lineView
	}
	var all []entry
	for _, r := range d.counted() {
		for _, l := range r.Evidence.Log {
			all = append(all, entry{l.At, lineView{When: d.words.second(l.At).Text, Text: string(r.Gate) + ": " + l.Text}})
		}
		if r.Outcome == upgrade.OutcomeFailed || r.Outcome == upgrade.OutcomeUnknown {
			end := r.StartedAt.Add(r.Took)
			all = append(all, entry{end, lineView{When: d.words.second(end).Text, Text: string(r.Gate) + ": " + r.Message, Bad: r.Outcome == upgrade.OutcomeFailed}})
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int { return a.at.Compare(b.at) })
	var out []lineView
	for _, e := range all[max(0, len(all)-tailLines):] {
		out = append(out, e.line)
	}
	return out
}

// lines returns the last lines of a stage's log, at most limit, and how many it left out.
func (s *Server) lines(ctx context.Context, run upgrade.Run, stage string, limit int, w words) (out []lineView, left int, err error) {
	r, err := s.openLog(ctx, run, stage)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = r.Close() }() // only read from
	if seeker, ok := r.(io.Seeker); ok && limit <= tailLines {
		if end, err := seeker.Seek(0, io.SeekEnd); err == nil {
			// A log that cannot be sought in is read from its beginning.
			_, _ = seeker.Seek(max(0, end-tailBytes), io.SeekStart)
		}
	}
	ring, total, err := lastLines(r, limit, 0)
	if err != nil {
		return nil, 0, err
	}
	for _, raw := range ring {
		out = append(out, logLine(raw, w))
	}
	return out, max(0, total-limit), nil
}

// lastLines returns the last lines of a log up to line number end, or of all of it for 0, and how many lines
// the whole has.
func lastLines(r io.Reader, limit, end int) (last []string, total int, err error) {
	ring, kept := make([]string, 0, limit), 0
	lines := bufio.NewReaderSize(r, 32<<10)
	for {
		text, err := readLine(lines)
		if text != "" || err == nil {
			switch {
			case end > 0 && total >= end:
			case len(ring) < limit:
				ring = append(ring, text)
				kept++
			default:
				ring[kept%limit] = text
				kept++
			}
			total++
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, 0, err
		}
	}
	if kept > limit {
		ring = slices.Concat(ring[kept%limit:], ring[:kept%limit])
	}
	return ring, total, nil
}

// readLine reads one line and drops what is beyond the first lineBytes of it.
func readLine(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		part, more, err := r.ReadLine()
		if room := lineBytes - b.Len(); room > 0 {
			b.Write(part[:min(room, len(part))])
		}
		if err != nil || !more {
			return strings.ToValidUTF8(b.String(), "\ufffd"), err
		}
	}
}

// logLine reads a line of Terraform's: one JSON object with @message, or plain text.
func logLine(raw string, w words) lineView {
	var ui struct {
		Level   string    `json:"@level"`
		Message string    `json:"@message"`
		At      time.Time `json:"@timestamp"`
	}
	if strings.HasPrefix(raw, "{") && json.Unmarshal([]byte(raw), &ui) == nil && ui.Message != "" {
		return lineView{When: w.second(ui.At).Text, Text: ui.Message, Bad: ui.Level == "error"}
	}
	trimmed := strings.TrimLeft(raw, " │╷╵")
	return lineView{Text: raw, Bad: strings.HasPrefix(cmp.Or(trimmed, raw), "Error")}
}
