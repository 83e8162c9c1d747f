package bench

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	manyRuns = flag.Int("runs", 100_000, "runs in the database whose pages are measured; each has some fifty events")
	fewRuns  = flag.Int("few-runs", 1000, "runs in the database to compare with")
	asked    = flag.Int("asked", 100, "requests for each page and database in one round")
)

// What the server may take for what it serves, and how much more beside a long history than beside a short one.
const (
	mostPage  = 50 * time.Millisecond
	mostPart  = 15 * time.Millisecond
	mostTimes = 1.3
	// alike is how long the answer of the short history must be, as a share of the other's, for both to have done the
	// same: beside few runs a rare word leaves a list that is not full.
	alike = 0.9
)

// view is something of the dashboard that is asked for. Where path needs a run, it is one of any age.
type view struct {
	name string
	most time.Duration // at the 95th percentile
	path func(run int) string
}

func views() []view {
	fixed := func(path string) func(int) string { return func(int) string { return path } }
	ofRun := func(format string) func(int) string { return func(run int) string { return fmt.Sprintf(format, run) } }
	search := func(name, query string) view { return view{"history: " + name, mostPage, fixed("/history?" + query)} }
	audit := func(name, query string) view { return view{"audit: " + name, mostPage, fixed("/audit?" + query)} }
	api := func(name, path string) view { return view{"API: " + name, mostPage, fixed("/api/v1/" + path)} }
	return []view{
		{"board", mostPage, fixed("/")},
		{"part of the board: lead", mostPart, fixed("/board/parts/lead")},
		{"part of the board: attention", mostPart, fixed("/board/parts/attention")},
		{"run", mostPage, ofRun("/runs/%d")},
		{"part of a run: verdict", mostPart, ofRun("/runs/%d/parts/verdict")},
		{"part of a run: rail", mostPart, ofRun("/runs/%d/parts/rail")},
		{"part of a run: gates", mostPart, ofRun("/runs/%d/parts/gates")},
		{"part of a run: audit", mostPart, ofRun("/runs/%d/parts/audit")},
		{"plan of a run", mostPage, ofRun("/runs/%d/plan")},
		search("all", ""),
		search("a word of every run", "q=platform"),
		search("a word of an eighth", "q=priya"),
		search("a word of every run and one of an eighth", "q=platform+priya"),
		search("a word of a fortieth", "q=cms-05"),
		search("two words of many", "q=priya+weber"),
		search("a word of none", "q=nosuchthing"),
		{"history: a merge request", mostPage, func(run int) string { return fmt.Sprintf("/history?q=!%d", run/2+1) }},
		{"history: a version", mostPage, func(run int) string { return fmt.Sprintf("/history?q=%d.%d.%d", run/4000+1, run/40%100, run%40) }},
		{"history: the end of a grant's id", mostPage, func(run int) string { return fmt.Sprintf("/history?q=grant+%08x", run) }},
		search("beginnings of words", "q=gr+e+1"),
		search("a month and a stack", "month=2025-03&stack=cms-05"),
		search("a month, a stack and a word", "month=2025-03&stack=cms-05&q=priya"),
		search("blocked", "phase=blocked"),
		search("three phases and a rare word", "phase=failed,interrupted&q=capacity"),
		{"history: further back", mostPage, func(run int) string { return fmt.Sprintf("/history?before=%d", run) }},
		audit("all", ""),
		audit("a person", "who=Mira+Holt"),
		audit("refused", "result=refused"),
		audit("failed, of which there is none", "result=failed"),
		audit("a day two years ago", "since=2024-11-20&until=2024-11-20"),
		audit("a person, an act and a stack", "who=Mira+Holt&act=run.stop&stack=cms-05"),
		audit("a person, in a month", "who=Mira+Holt&since=2024-11-01&until=2024-11-30"),
		{"audit: a run", mostPage, ofRun("/audit?run=%d")},
		{"deliveries", mostPage, fixed("/deliveries")},
		{"environments", mostPage, fixed("/environments")},
		api("runs", "runs?limit=50"),
		api("runs of a stack, blocked", "runs?stack=cms-05&phase=blocked"),
		api("runs in two phases", "runs?phase=failed,relocked"),
		{"API: runs of a commit", mostPage, func(run int) string { return fmt.Sprintf("/api/v1/runs?commit=%040x", run) }},
		{"API: a run", mostPage, ofRun("/api/v1/runs/%d")},
		{"API: events of a run", mostPage, ofRun("/api/v1/runs/%d/events")},
		{"API: gates of a run", mostPage, ofRun("/api/v1/runs/%d/gates")},
		api("audit of a person", "audit?who=Mira+Holt"),
	}
}

// archive is a service with a history.
type archive struct {
	*program
	runs    int
	started time.Duration
	conn    net.Conn
	in      *bufio.Reader
	cpu     map[string]time.Duration // by view, of all rounds
}

func openArchive(t *testing.T, runs int) *archive {
	t.Helper()
	dir := t.TempDir()
	past(t, dir, runs)
	began := time.Now()
	gate, _ := example(t, dir)
	a := &archive{program: gate, runs: runs, started: time.Since(began), cpu: map[string]time.Duration{}}
	var err error
	if a.conn, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", gate.addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.conn.Close() })
	a.in = bufio.NewReader(a.conn)
	return a
}

// ask asks for an address and returns how long that took until the answer was there, and how many bytes it has.
func (a *archive) ask(path string) (took time.Duration, size int64, err error) {
	if err := a.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	request := "GET " + path + " HTTP/1.1\r\nHost: " + a.addr + "\r\nAuthorization: Bearer " + personToken + "\r\nAccept-Encoding: gzip\r\n\r\n"
	if _, err := io.WriteString(a.conn, request); err != nil {
		return 0, 0, err
	}
	resp, err := http.ReadResponse(a.in, nil)
	if err != nil {
		return 0, 0, err
	}
	size, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	took = time.Since(began)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New("the answer was " + resp.Status)
	}
	return took, size, err
}

// TestDashboard measures pages, parts and lists over HTTP, beside a history of many runs and beside one of few.
func TestDashboard(t *testing.T) {
	measure(t, fmt.Sprintf("Dashboard: pages, parts and lists beside %d runs and beside %d", *manyRuns, *fewRuns))
	many, few := openArchive(t, *manyRuns), openArchive(t, *fewRuns)
	type figures struct{ p50, p95, p99, fewP50, fewP95 []time.Duration }
	all := map[string]*figures{}
	sizes := map[*archive]map[string]int64{many: {}, few: {}}
	for round := range *rounds + 1 {
		for _, v := range views() {
			f := all[v.name]
			if f == nil {
				f = &figures{}
				all[v.name] = f
			}
			big, small := compareView(t, v, many, few, sizes)
			if round > 0 { // the first warms up
				f.p50, f.p95, f.p99 = append(f.p50, quantile(big, 0.5)), append(f.p95, quantile(big, 0.95)), append(f.p99, quantile(big, 0.99))
				f.fewP50, f.fewP95 = append(f.fewP50, quantile(small, 0.5)), append(f.fewP95, quantile(small, 0.95))
			}
		}
	}
	times := time.Duration((*rounds + 1) * *asked)
	var rows [][]string
	for _, v := range views() {
		f := all[v.name]
		var ratios []float64
		for i := range f.p50 {
			ratios = append(ratios, float64(f.p50[i])/float64(f.fewP50[i]))
		}
		ratio, size := median(ratios), sizes[many][v.name]
		same := met(ratio <= mostTimes)
		if float64(sizes[few][v.name]) < alike*float64(size) {
			same = "a shorter answer"
		}
		rows = append(rows, []string{
			v.name, ms(median(f.p50)), ms(median(f.p95)), ms(median(f.p99)), ms(median(f.fewP50)), ms(median(f.fewP95)),
			fmt.Sprintf("%.2f", ratio), ms(many.cpu[v.name] / times), ms(few.cpu[v.name] / times), fmt.Sprintf("%.1f KB", float64(size)/1000), met(median(f.p95) < v.most) + ", " + same,
		})
	}
	table(t, fmt.Sprintf("|p50|p95|p99|p50 of %d|p95|times|CPU|CPU of few|zipped|goals", *fewRuns), rows)
	fmt.Printf("\nMedians of %d rounds of %d requests each. Goals: p95 under %s, of a part %s; medians at most %.1f times those of the same answer with %d runs.\n\n",
		*rounds, *asked, mostPage, mostPart, mostTimes, *fewRuns)
	rows = nil
	for _, a := range []*archive{few, many} {
		m := a.memory(t, "VmRSS", "RssAnon", "VmHWM")
		rows = append(rows, []string{fmt.Sprint(a.runs), a.started.Round(10 * time.Millisecond).String(), mib(m[0]), mib(m[1]), mib(m[2])})
	}
	table(t, "runs|ready after|resident|its own|peak", rows)
}

// compareView asks both services for a view, in turns.
func compareView(t *testing.T, v view, many, few *archive, sizes map[*archive]map[string]int64) (big, small []time.Duration) {
	t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	many.cpu[v.name] -= many.worked(t)
	few.cpu[v.name] -= few.worked(t)
	for range *asked {
		share := random.Float64()
		for _, a := range []*archive{many, few} {
			path := v.path(1 + int(share*float64(a.runs)))
			took, size, err := a.ask(path)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			sizes[a][v.name] = max(sizes[a][v.name], size)
			if a == many {
				big = append(big, took)
			} else {
				small = append(small, took)
			}
		}
	}
	many.cpu[v.name] += many.worked(t)
	few.cpu[v.name] += few.worked(t)
	return big, small
}

// TestViews: each view has a name of its own, by which it is told.
func TestViews(t *testing.T) {
	var names []string
	for _, v := range views() {
		names = append(names, v.name)
		if path := v.path(17); !strings.HasPrefix(path, "/") || strings.Contains(path, "%!") {
			t.Errorf("%s is at %q", v.name, path)
		}
	}
	slices.Sort(names)
	if n := len(names); n != len(slices.Compact(names)) {
		t.Error("two views have one name")
	}
}
