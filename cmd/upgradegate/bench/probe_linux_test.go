package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/integration/varnish/lab"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// ordered is what it is to do.
type ordered struct {
	Stream probe.Stream
	Long   time.Duration
}

// spent is what it says.
type spent struct {
	Sent, Failed int
	Steady       int           // of those sent, the ones after warm
	CPU          time.Duration // after warm
	Peak         int64         // resident, bytes
	P99          time.Duration
	Lag          time.Duration // the worst
}

// labConfig lets a prober reach the lab, from the network namespace that it is in.
func labConfig() varnish.Config {
	all := varnish.Allow{Prefix: netip.MustParsePrefix("10.77.0.0/16"), Ports: []uint16{80, 443}}
	return varnish.Config{Guard: varnish.Guard{Allow: []varnish.Allow{all}}}
}

// warm is how long a second process is let run before its cost counts: what is read once, such as the authorities, is no
// cost of a probe.
const warm = time.Second

// serveProbe carries out an order and returns the exit code.
func serveProbe(order string) int {
	var o ordered
	if err := json.Unmarshal([]byte(order), &o); err != nil {
		return 2
	}
	tally := probe.NewTally(o.Stream.Every)
	var c spent
	var last time.Duration
	ctx, cancel := context.WithTimeout(context.Background(), o.Long)
	defer cancel()
	before := used()
	err := varnish.New(labConfig()).Stream(ctx, o.Stream, func(s probe.Sample) {
		tally.Add(s)
		if s.Sched < warm {
			before = used()
		} else {
			c.Steady++
		}
		if s.Class != probe.ClassStalled {
			last, c.Lag = max(last, s.Sched), max(c.Lag, s.Start-s.Sched)
		}
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	after := used()
	w := tally.Watched(last)
	c.Sent, c.Failed, c.P99 = w.Sent, w.Failed, w.P99
	c.CPU = time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	c.Peak = after.Maxrss * 1024
	if err := json.NewEncoder(os.Stdout).Encode(c); err != nil {
		return 1
	}
	return 0
}

func used() syscall.Rusage {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail for oneself
	return u
}

// site starts the lab, or skips.
func site(t *testing.T) *lab.Lab {
	t.Helper()
	if err := lab.Available(); err != nil {
		t.Skipf("skipped: %v", err)
	}
	l, err := lab.Start(t.Context(), lab.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// here lets a path need no DNS.
func here(path probe.Path) probe.Path {
	path.Resolve = map[string]string{lab.Host: lab.VarnishAddr().String()}
	return path
}

// probing is one kind of probe at one rate, and what it cost in each round.
type probing struct {
	name, scheme string
	kept, past   bool
	hz           int
	rounds       []spent
}

func probings() (all []*probing) {
	for _, kind := range []probing{
		{name: "fresh TCP", scheme: "http"},
		{name: "fresh TLS", scheme: "https"},
		{name: "fresh TLS past the cache", scheme: "https", past: true},
		{name: "kept TLS", scheme: "https", kept: true},
	} {
		for _, kind.hz = range []int{20, 50, 100} {
			one := kind
			all = append(all, &one)
		}
	}
	return all
}

// TestProbeCost measures what probes cost, each kind in a process of its own beside the same one that sends
// hardly any: what is left is the probes' own. All kinds take turns, since other guests of the host come and go.
func TestProbeCost(t *testing.T) {
	measure(t, "What probes cost")
	l := site(t)
	if !l.TLS {
		t.Skip("skipped: hitch is not installed")
	}
	long, all := warm+2**each, probings()
	for range *rounds {
		for _, p := range all {
			p.rounds = append(p.rounds, probed(t, l, ordered{probe.Stream{
				Path: here(l.Path(p.scheme, "/")), Every: time.Second / time.Duration(p.hz), KeepAlive: p.kept, Past: p.past,
			}, long}))
		}
	}
	rows := make([][]string, 0, len(all))
	for _, p := range all {
		slices.SortFunc(p.rounds, func(a, b spent) int { return cmp.Compare(a.CPU, b.CPU) })
		share := func(c spent) float64 { return 100 * float64(c.CPU) / float64(long-warm) }
		c, least, most := p.rounds[len(p.rounds)/2], p.rounds[0], p.rounds[len(p.rounds)-1]
		sent, failed := 0, 0
		for _, r := range p.rounds {
			sent, failed = sent+r.Sent, failed+r.Failed
		}
		verdict := ""
		if p.name == "fresh TLS" && p.hz == 50 {
			verdict = "goal of 10 %: " + met(share(c) < 10)
		}
		rows = append(rows, []string{
			p.name, fmt.Sprintf("%d Hz", p.hz), fmt.Sprintf("%.1f %%", share(c)), fmt.Sprintf("%.1f to %.1f %%", share(least), share(most)),
			ms(c.CPU / time.Duration(max(1, c.Steady))), mib(c.Peak), ms(c.P99), ms(c.Lag), fmt.Sprintf("%d of %d", failed, sent), verdict,
		})
	}
	table(t, "probe|rate|of one core|in all rounds|CPU a probe|peak memory|99 % within|worst lag|failed|", rows)
	fmt.Printf("\nMedians of %d rounds of %s each, in turns.\n", *rounds, long-warm)
}

// probed has a second process probe from where users are.
func probed(t *testing.T, l *lab.Lab, o ordered) spent {
	t.Helper()
	order, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "ip", "netns", "exec", l.Namespace(lab.User), os.Args[0])
	cmd.Env = append(os.Environ(), probeOrder+"="+string(order))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var c spent
	if err := errors.Join(err, json.Unmarshal(out, &c)); err != nil {
		t.Fatal(err)
	}
	return c
}

// watcher is one way to look at the site, beside the others.
type watcher struct {
	name  string
	every time.Duration
	began time.Time
	seen  probe.Watched // of streams
	polls []poll        // of polling
}

// poll is one look of a poller.
type poll struct {
	at     time.Time
	failed bool
}

// TestProbeError stages outages and has them measured at several rates at once, and by polling once a second as
// monitoring does, in the same run.
func TestProbeError(t *testing.T) {
	measure(t, "How exactly outages are measured")
	l := site(t)
	lengths := millis(100, 137, 300, 337, 1000)
	var rows [][]string
	for _, how := range lab.Breaks() {
		staged, watchers := staging(t, l, how, lengths, *rounds)
		for _, length := range lengths {
			row := []string{fmt.Sprintf("%s %s", how, length)}
			for _, w := range watchers {
				row = append(row, w.result(staged, length))
			}
			rows = append(rows, row)
		}
		row := []string{string(how) + ", 4 periods and longer"}
		for _, w := range watchers {
			row = append(row, w.result(staged, 0))
		}
		rows = append(rows, row)
	}
	fmt.Printf("each cell: seen of staged, error of the length rms / worst; goal for rms: half a period and 10 ms; blind: the prober says so itself\n\n")
	table(t, "outage|20 ms|50 ms|100 ms|poll 1 s", rows)
}

// TestProbeSmallest finds the shortest outage that is seen every time.
func TestProbeSmallest(t *testing.T) {
	measure(t, "The shortest outage that is seen each time")
	l := site(t)
	lengths := millis(30, 50, 70, 100, 150, 200, 300, 400)
	staged, watchers := staging(t, l, lab.BreakDrop, lengths, 2**rounds)
	var rows [][]string
	for _, length := range lengths {
		row := []string{length.String()}
		for _, w := range watchers {
			seen, all, _, _ := w.held(staged, length)
			row = append(row, fmt.Sprintf("%d of %d", seen, all))
		}
		rows = append(rows, row)
	}
	table(t, "drop of|20 ms|50 ms|100 ms|poll 1 s", rows)
}

// millis returns lengths.
func millis(list ...int) []time.Duration {
	out := make([]time.Duration, len(list))
	for i, n := range list {
		out[i] = time.Duration(n) * time.Millisecond
	}
	return out
}

// staging stages outages of each length so many times while all watch.
func staging(t *testing.T, l *lab.Lab, how lab.Break, lengths []time.Duration, times int) ([]lab.Staged, []*watcher) {
	t.Helper()
	valve, err := l.Valve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := valve.Close(); err != nil {
			t.Error(err)
		}
	}()
	watchers := []*watcher{{name: "20 ms", every: 20 * time.Millisecond}, {name: "50 ms", every: 50 * time.Millisecond}, {name: "100 ms", every: 100 * time.Millisecond}, {name: "poll"}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	for _, w := range watchers {
		w.began = time.Now()
		group.Go(func() { w.watch(ctx, t, l) })
	}
	var staged []lab.Staged
	for range times {
		for i, length := range lengths {
			// Pauses of no common measure with any period, so that outages begin anywhere in it.
			time.Sleep(620*time.Millisecond + time.Duration(i*37+len(staged)*13%101)*time.Millisecond)
			one, err := valve.Stage(t.Context(), how, length)
			if err != nil {
				t.Fatal(err)
			}
			staged = append(staged, one)
		}
	}
	time.Sleep(1200 * time.Millisecond)
	cancel()
	group.Wait()
	return staged, watchers
}

// watch looks at the site until ctx ends.
func (w *watcher) watch(ctx context.Context, t *testing.T, l *lab.Lab) {
	t.Helper()
	cfg := labConfig()
	cfg.Within = l.Within(lab.User)
	if w.every == 0 {
		w.poll(ctx, cfg, l)
		return
	}
	tally := probe.NewTally(w.every)
	var last time.Duration
	err := varnish.New(cfg).Stream(ctx, probe.Stream{Path: here(l.Path("http", "/")), Every: w.every}, func(s probe.Sample) {
		tally.Add(s)
		last = max(last, s.Sched)
	})
	if err != nil {
		t.Error(err)
	}
	w.seen = tally.Watched(last)
}

// poll asks once a second, one question after the other, and gives each half a second: what blackbox_exporter
// does that is scraped once a second (its limit is the scrape's, less half a second).
func (w *watcher) poll(ctx context.Context, cfg varnish.Config, l *lab.Lab) {
	cfg.Limits = probe.Limits{Connect: 500 * time.Millisecond, Response: 500 * time.Millisecond}
	prober := varnish.New(cfg)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		one := poll{at: time.Now()}
		limited, cancel := context.WithTimeout(ctx, time.Millisecond)
		err := prober.Stream(limited, probe.Stream{Path: here(l.Path("http", "/")), Every: time.Hour}, func(s probe.Sample) {
			one.failed = !s.OK || s.End-s.Start > 500*time.Millisecond
		})
		cancel()
		one.failed = one.failed || err != nil
		w.polls = append(w.polls, one)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// leastProbes is how many periods an outage must last to be seen for sure: the product refuses a budget of less.
const leastProbes = 4

// blind reports whether the watcher says itself that it could not see well while an outage was staged: this machine
// stood still, the site perhaps as well. Then no length is said for certain, and none is compared.
func (w *watcher) blind(s lab.Staged) bool {
	from, to := s.From[0].Sub(w.began), s.To[1].Sub(w.began)
	for _, o := range w.seen.Outages {
		if o.From < to && o.To > from && o.Blind > 0 {
			return true
		}
	}
	for _, b := range w.seen.Blind {
		if b.From < to && b.To > from {
			return true
		}
	}
	return false
}

// blinds counts them.
func (w *watcher) blinds(staged []lab.Staged, length time.Duration) (n int) {
	for _, s := range staged {
		if w.counts(s, length) && w.blind(s) {
			n++
		}
	}
	return n
}

// counts reports whether what was staged is of a length; if that is 0, whether it must be seen.
func (w *watcher) counts(s lab.Staged, length time.Duration) bool {
	truth := (s.Least() + s.Most()) / 2
	if length == 0 {
		return truth >= leastProbes*w.every
	}
	return truth >= length-10*time.Millisecond && truth <= length+10*time.Millisecond
}

// held compares what was staged of a length with what was seen; if it is 0, of all lengths that must be seen.
func (w *watcher) held(staged []lab.Staged, length time.Duration) (seen, all int, rms, worst time.Duration) {
	var squares float64
	for _, s := range staged {
		truth := (s.Least() + s.Most()) / 2
		if !w.counts(s, length) || w.blind(s) {
			continue
		}
		all++
		found, ok := w.found(s)
		if !ok {
			continue
		}
		seen++
		off := (found - truth).Abs()
		worst = max(worst, off)
		squares += float64(off) * float64(off)
	}
	if seen > 0 {
		rms = time.Duration(math.Sqrt(squares / float64(seen)))
	}
	return seen, all, rms, worst
}

// found returns how long an outage was as it was seen, if it was.
func (w *watcher) found(s lab.Staged) (time.Duration, bool) {
	from, to := s.From[0].Sub(w.began), s.To[1].Sub(w.began)
	for _, o := range w.seen.Outages {
		if o.From < to && o.To > from {
			return o.Best, true
		}
	}
	failed := 0
	for _, p := range w.polls {
		// A look that began a little before may have met it too.
		if p.failed && p.at.After(s.From[0].Add(-500*time.Millisecond)) && p.at.Before(s.To[1]) {
			failed++
		}
	}
	return time.Duration(failed) * time.Second, failed > 0
}

func (w *watcher) result(staged []lab.Staged, length time.Duration) string {
	seen, all, rms, worst := w.held(staged, length)
	text := fmt.Sprintf("%d/%d", seen, all)
	if seen > 0 {
		text += fmt.Sprintf(", %d / %d ms", rms.Milliseconds(), worst.Milliseconds())
	}
	if n := w.blinds(staged, length); n > 0 {
		text += fmt.Sprintf(", %d blind", n)
	}
	if length == 0 && w.every > 0 {
		text += ": " + met(seen == all && rms < w.every/2+10*time.Millisecond)
	}
	return strings.TrimSpace(text)
}
