package gates

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// The bounds of one gate's evidence. What goes beyond them is counted, not kept.
const (
	maxLogLines  = 500
	maxTableRows = 500
	maxQuote     = 4 << 10 // bytes
)

// Recorder collects what a gate sees. It may be used by several goroutines.
type Recorder struct {
	now  func() time.Time
	mask func(string) string

	mu       sync.Mutex // guards the fields below
	evidence upgrade.Evidence
	warnings []string
	passed   string
	memo     string
	pending  string
	dropped  int
}

// NewRecorder returns a recorder that stamps with now and passes every text through mask (S9); a nil
// mask keeps texts as they are.
func NewRecorder(now func() time.Time, mask func(string) string) *Recorder {
	if mask == nil {
		mask = func(s string) string { return s }
	}
	return &Recorder{now: now, mask: mask}
}

// Fact keeps a named value; a later value of the same name replaces the earlier.
func (r *Recorder) Fact(name, format string, args ...any) {
	value := r.mask(fmt.Sprintf(format, args...))
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slices.IndexFunc(r.evidence.Facts, func(f upgrade.Fact) bool { return f.Name == name })
	if at >= 0 {
		r.evidence.Facts[at].Value = value
		return
	}
	r.evidence.Facts = append(r.evidence.Facts, upgrade.Fact{Name: name, Value: value})
}

// Table keeps rows under headings; the same title again replaces the table.
func (r *Recorder) Table(title string, columns []string, rows [][]string) {
	table := upgrade.Table{Title: title, Columns: slices.Clone(columns)}
	for _, row := range rows[:min(len(rows), maxTableRows)] {
		masked := make([]string, len(row))
		for i, cell := range row {
			masked[i] = r.mask(cell)
		}
		table.Rows = append(table.Rows, masked)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evidence.Tables = slices.DeleteFunc(r.evidence.Tables, func(t upgrade.Table) bool { return t.Title == title })
	r.evidence.Tables = append(r.evidence.Tables, table)
}

// Quote keeps another system's own words, once.
func (r *Recorder) Quote(source, text string, at time.Time) {
	text = r.mask(text)
	if len(text) > maxQuote {
		text = text[:maxQuote] + "…"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range r.evidence.Quotes {
		if q.Source == source && q.Text == text {
			return
		}
	}
	r.evidence.Quotes = append(r.evidence.Quotes, upgrade.Quote{Source: source, Text: text, At: at})
}

// Span keeps a piece of a timeline; a later span of the same name replaces the earlier.
func (r *Recorder) Span(span upgrade.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slices.IndexFunc(r.evidence.Spans, func(s upgrade.Span) bool { return s.Name == span.Name })
	if at >= 0 {
		r.evidence.Spans[at] = span
		return
	}
	r.evidence.Spans = append(r.evidence.Spans, span)
}

// Marks keeps what Terraform did meanwhile, in place of what was kept of it before.
func (r *Recorder) Marks(marks []upgrade.Mark) {
	kept := make([]upgrade.Mark, len(marks))
	for i, mark := range marks {
		mark.Address = r.mask(mark.Address)
		kept[i] = mark
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evidence.Marks = kept
}

// Watch keeps what streams of probes saw, in place of what was kept of it before.
func (r *Recorder) Watch(watch *upgrade.Watch) {
	for i := range watch.Strips {
		one := &watch.Strips[i]
		one.Vantage, one.Target, one.Stream = r.mask(one.Vantage), r.mask(one.Target), r.mask(one.Stream)
	}
	for i := range watch.Names {
		watch.Names[i].Target = r.mask(watch.Names[i].Target)
	}
	for i := range watch.Outages {
		watch.Outages[i].While = r.mask(watch.Outages[i].While)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evidence.Watch = watch
}

// About names something that a no comes of: see [upgrade.Evidence].
func (r *Recorder) About(what string) {
	what = r.mask(what)
	r.mu.Lock()
	defer r.mu.Unlock()
	if what != "" && !slices.Contains(r.evidence.About, what) {
		r.evidence.About = append(r.evidence.About, what)
	}
}

// Logf adds a line to the gate's own log.
func (r *Recorder) Logf(format string, args ...any) {
	text := r.mask(fmt.Sprintf(format, args...))
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.evidence.Log) >= maxLogLines {
		r.dropped++
		return
	}
	r.evidence.Log = append(r.evidence.Log, upgrade.LogLine{At: r.now(), Text: text})
}

// Warnf keeps something that should be looked at but closes nothing.
func (r *Recorder) Warnf(format string, args ...any) {
	text := r.mask(fmt.Sprintf(format, args...))
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.warnings, text) {
		r.warnings = append(r.warnings, text)
	}
}

// Passed keeps the sentence that a pass is shown with.
func (r *Recorder) Passed(format string, args ...any) {
	text := r.mask(fmt.Sprintf(format, args...))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passed = text
}

// Keep keeps what the next asking of a standing gate gets in Input.Memo; it holds no secret. Without it, what
// was kept before stays.
func (r *Recorder) Keep(memo string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.memo = r.mask(memo)
}

// Leave keeps what could not be known yet and may be learned later, for the gate's Learn.
func (r *Recorder) Leave(pending string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = r.mask(pending)
}

// close returns what was kept. Later calls of the recorder's methods change nothing of it.
func (r *Recorder) close() (evidence upgrade.Evidence, warnings []string, passed string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	evidence = upgrade.Evidence{
		Facts: slices.Clone(r.evidence.Facts), Tables: slices.Clone(r.evidence.Tables),
		Quotes: slices.Clone(r.evidence.Quotes), Spans: slices.Clone(r.evidence.Spans),
		Marks: slices.Clone(r.evidence.Marks), Log: slices.Clone(r.evidence.Log), Watch: r.evidence.Watch,
		About: slices.Clone(r.evidence.About),
	}
	if r.dropped > 0 {
		evidence.Log = append(evidence.Log, upgrade.LogLine{At: r.now(), Text: fmt.Sprintf("%d more lines were not kept", r.dropped)})
	}
	return evidence, slices.Clone(r.warnings), r.passed
}
