package server

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

const csvType = "text/csv; charset=utf-8"

// What of a gate's evidence can be had as CSV.
const (
	csvProbes  = "probes"  // single probes
	csvBuckets = "buckets" // the whole watch
	csvOutages = "outages"
	csvSteps   = "steps"  // Terraform's
	csvLadder  = "ladder" // of a gate that climbs once
)

func csvKinds() []string {
	return []string{csvProbes, csvBuckets, csvOutages, csvSteps, csvLadder}
}

// csvLinks are the addresses of a watch's numbers.
func csvLinks(run upgrade.RunID, r upgrade.Result) []link {
	var out []link
	for _, one := range []link{{Text: "All probes", Href: csvProbes}, {Text: "The whole watch", Href: csvBuckets}, {Text: "Outages", Href: csvOutages}, {Text: "Terraform's steps", Href: csvSteps}} {
		if one.Href == csvSteps && len(r.Evidence.Marks) == 0 || one.Href == csvOutages && len(r.Evidence.Watch.Outages) == 0 {
			continue
		}
		out = append(out, csvLink(run, r, one.Text, one.Href))
	}
	return out
}

// csvLink is the address of one table of a result. It names the very result, not the gate's last one.
func csvLink(run upgrade.RunID, r upgrade.Result, text, of string) link {
	q := url.Values{"of": {of}, "stage": {string(r.Stage)}, "environment": {string(r.Environment)}}
	if r.Apply > 0 {
		q.Set("apply", strconv.Itoa(r.Apply))
	}
	return link{Text: text + " (CSV)", Href: fmt.Sprintf("/api/v1/runs/%d/gates/%s/csv?%s", run, url.PathEscape(string(r.Gate)), q.Encode())}
}

// apiCSV answers a gate's numbers as CSV, with a row of headings. Times are RFC 3339 in UTC, lengths milliseconds.
func (s *Server) apiCSV(c *gin.Context) error {
	q := newQuery(c, "of", "stage", "environment", "apply")
	apply, of := q.integer("apply", 0, 0), q.values.Get("of")
	if of != "" && !slices.Contains(csvKinds(), of) && q.err == nil {
		q.err = &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("of=%q is nothing that there is", of), Hint: "there are " + strings.Join(csvKinds(), ", ")}
	}
	if q.err != nil {
		return q.err
	}
	run, err := s.run(c)
	if err != nil {
		return err
	}
	all, err := s.evidence.Results(c.Request.Context(), run.ID)
	if err != nil {
		return fmt.Errorf("read results of run %d: %w", run.ID, err)
	}
	if of == "" {
		of = csvProbes
	}
	gate, stage, env := upgrade.GateName(c.Param("gate")), upgrade.Stage(q.values.Get("stage")), upgrade.EnvName(q.values.Get("environment"))
	for _, r := range slices.Backward(all) { // the newest
		fits := r.Gate == gate && (stage == "" || r.Stage == stage) && (env == "" || r.Environment == env) && (apply == 0 || int64(r.Apply) == apply)
		if rows := csvRows(r, of); fits && rows != nil {
			return sendCSV(c, fmt.Sprintf("run-%d-%s-%s.csv", run.ID, slug(string(r.Gate)), of), rows)
		}
	}
	return &upgrade.Error{
		Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("no result of gate %s of run %d has %s", gate, run.ID, of),
		Hint: "look at /api/v1/runs/" + run.ID.String() + "/results for what there is",
	}
}

func sendCSV(c *gin.Context, name string, rows [][]string) error {
	c.Header("Content-Type", csvType)
	c.Header("Content-Disposition", `attachment; filename="`+name+`"`)
	c.Status(http.StatusOK)
	w := csv.NewWriter(c.Writer)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = harmless(cell)
		}
		if err := w.Write(row); err != nil {
			return fmt.Errorf("send %s: %w", name, err)
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return fmt.Errorf("send %s: %w", name, err)
	}
	return nil
}

// harmless keeps a spreadsheet from taking a text for a formula: evidence has other systems' words in it.
func harmless(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

// csvRows returns a result's table with its headings; nil if it has none of that kind.
func csvRows(r upgrade.Result, of string) [][]string {
	w := r.Evidence.Watch
	switch {
	case of == csvLadder:
		return ladderRows(r.Evidence.Tables)
	case of == csvSteps && (len(r.Evidence.Marks) > 0 || w != nil):
		return markRows(r.Evidence.Marks)
	case w == nil:
		return nil
	case of == csvProbes:
		return probeRows(w)
	case of == csvBuckets:
		return bucketRows(w)
	case of == csvOutages:
		return outageRows(w)
	}
	return nil
}

// stripHeads and stripCells name a strip in each row.
func stripHeads(more ...string) []string {
	return append([]string{"time", "offset_ms", "vantage", "target", "stream", "address", "control"}, more...)
}

func stripCells(w *upgrade.Watch, s upgrade.Strip, at time.Duration, more ...string) []string {
	return append([]string{stampOf(w.Began.Add(at)), millis(at), s.Vantage, s.Target, s.Stream, s.Address, strconv.FormatBool(s.Control)}, more...)
}

func probeRows(w *upgrade.Watch) [][]string {
	rows := [][]string{stripHeads("class", "status", "lag_ms", "took_ms")}
	for _, strip := range w.Strips {
		for i := range strip.Samples.Len() {
			one := strip.Samples.Get(i)
			rows = append(rows, stripCells(w, strip, one.At, one.Class, strconv.Itoa(one.Status), millis(one.Lag), millis(one.Took)))
		}
	}
	return rows
}

func bucketRows(w *upgrade.Watch) [][]string {
	rows := [][]string{stripHeads("width_ms", "probes", "good", "p50_ms", "p99_ms", "max_ms", "lag_ms")}
	for _, strip := range w.Strips {
		b := strip.Buckets
		for i := range b.Len() {
			rows = append(rows, stripCells(w, strip, time.Duration(i)*b.Width, millis(b.Width), strconv.Itoa(b.N[i]), strconv.Itoa(b.Good[i]),
				micros(b.P50[i]), micros(b.P99[i]), micros(b.Max[i]), micros(b.Lag[i])))
		}
	}
	return rows
}

func outageRows(w *upgrade.Watch) [][]string {
	rows := [][]string{stripHeads("to", "ended", "best_ms", "certain_ms", "most_ms", "attempts", "class", "layer", "status", "own_network", "what", "terraform")}
	for _, o := range w.Outages {
		if o.Strip < 0 || o.Strip >= len(w.Strips) {
			continue
		}
		rows = append(rows, stripCells(w, w.Strips[o.Strip], o.From, stampOf(w.Began.Add(o.To)), strconv.FormatBool(!o.Open), millis(o.Best), millis(o.Certain), millis(o.Most),
			strconv.Itoa(o.Attempts), o.Class, o.Layer, strconv.Itoa(o.Status), strconv.FormatBool(o.Own), o.Words, o.While))
	}
	return rows
}

func markRows(marks []upgrade.Mark) [][]string {
	rows := [][]string{{"from", "to", "address", "action", "failed"}}
	for _, m := range marks {
		to := stampOf(m.To)
		if m.Open {
			to = ""
		}
		rows = append(rows, []string{stampOf(m.From), to, m.Address, m.Action, strconv.FormatBool(m.Failed)})
	}
	return rows
}

// ladderRows are the ladders as they stand in the evidence; those of different columns follow each other.
func ladderRows(tables []upgrade.Table) [][]string {
	var rows [][]string
	for _, t := range tables {
		if isLadder(t) {
			rows = append(rows, slices.Clone(t.Columns))
			for _, row := range t.Rows {
				rows = append(rows, slices.Clone(row))
			}
		}
	}
	return rows
}

func isLadder(t upgrade.Table) bool { return t.Title == "Ladder" }

func stampOf(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z07:00") }

func millis(d time.Duration) string { return micros(d.Microseconds()) }

// micros writes microseconds as milliseconds.
func micros(us int64) string {
	return strconv.FormatFloat(float64(us)/1000, 'f', -1, 64)
}
