package lab

import (
	"context"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

const (
	stagedEvery = 20 * time.Millisecond
	stagedPause = 500 * time.Millisecond // between two outages
)

// soaking reports whether the long tests are wanted.
func soaking() bool { return os.Getenv("UPGRADEGATE_SOAK") != "" }

// observed is one stream's tally, whose times can be told by the clock.
type observed struct {
	began time.Time
	watch probe.Watched
}

// observe probes a path while do goes on, and returns what was seen.
func observe(t *testing.T, l *Lab, of probe.Stream, do func()) observed {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tally := probe.NewTally(of.Every)
	var last time.Duration
	var group sync.WaitGroup
	o := observed{began: time.Now()}
	group.Go(func() {
		err := varnish.New(prober(l, User, limits())).Stream(ctx, of, func(s probe.Sample) {
			if s.Address.IsValid() {
				tally.Add(s)
				last = max(last, s.Sched)
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
	do()
	cancel()
	group.Wait()
	o.watch = tally.Watched(last)
	return o
}

// given lets a stream of a lab need no DNS, so that its times count from when it was begun.
func given(path probe.Path) probe.Path {
	path.Resolve = map[string]string{Host: VarnishAddr().String()}
	return path
}

// TestStaged stages outages of known lengths in each way, and finds each of them, with its true length between
// what is certain and what is possible.
func TestStaged(t *testing.T) {
	if raced {
		t.Skip("it measures milliseconds, which the race detector makes too slow")
	}
	times := 2
	if soaking() {
		times = 10
	}
	l := open(t)
	for _, how := range Breaks() {
		t.Run(string(how), func(t *testing.T) {
			valve, err := l.Valve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := valve.Close(); err != nil {
					t.Error(err)
				}
			}()
			var staged []Staged
			calm := unlessBusy(t)
			o := observe(t, l, probe.Stream{Path: given(l.Path("http", "/")), Every: stagedEvery}, func() {
				time.Sleep(stagedPause)
				for range times {
					for _, long := range []int{100, 137, 300, 337, 1000} {
						one, err := valve.Stage(t.Context(), how, time.Duration(long)*time.Millisecond)
						if err != nil {
							t.Error(err)
							return
						}
						staged = append(staged, one)
						time.Sleep(stagedPause)
					}
				}
			})
			calm()
			holdAgainst(t, o, staged)
		})
	}
}

// holdAgainst compares what was staged with what was found.
func holdAgainst(t *testing.T, o observed, staged []Staged) {
	t.Helper()
	found := make([]bool, len(o.watch.Outages))
	var squares float64
	for i, s := range staged {
		from, to := s.From[0].Sub(o.began), s.To[1].Sub(o.began)
		var hits []probe.Outage
		for k, out := range o.watch.Outages {
			if out.From < to && out.To > from {
				hits, found[k] = append(hits, out), true
			}
		}
		if len(hits) != 1 {
			if !isBlind(o.watch, from, to) {
				t.Errorf("%d: of %s to %s found %d outages: %+v", i, s.Least(), s.Most(), len(hits), hits)
			}
			continue
		}
		hit := hits[0]
		off := hit.Best - (s.Least()+s.Most())/2
		squares += float64(off) * float64(off)
		t.Logf("%s %s to %s: found %s to %s, most likely %s (%+.1f ms), blind %s, %s", s.Break, s.Least(), s.Most(), hit.Certain, hit.Most, hit.Best, float64(off)/float64(time.Millisecond), hit.Blind, hit.Class)
		if hit.Certain > s.Most() || hit.Most < s.Least() {
			t.Errorf("%d: it lasted from %s to %s, found %+v", i, s.Least(), s.Most(), hit)
		}
	}
	for k, ok := range found {
		if !ok {
			t.Errorf("found an outage that was not staged: %+v", o.watch.Outages[k])
		}
	}
	t.Logf("%d staged, rms error %s", len(staged), time.Duration(math.Sqrt(squares/float64(len(staged)))).Round(100*time.Microsecond))
}

// isBlind reports whether the prober was not at its work for a part of a time.
func isBlind(w probe.Watched, from, to time.Duration) bool {
	for _, b := range w.Blind {
		if b.From < to && b.To > from {
			return true
		}
	}
	return false
}

// TestStagedQuiet: where nothing is broken nothing is found, but for times in which the prober was blind, or in
// which everything on this machine waited for a processor, the site as well.
func TestStagedQuiet(t *testing.T) {
	if raced {
		t.Skip("it measures milliseconds, which the race detector makes too slow")
	}
	long := 20 * time.Second
	if soaking() {
		long = 10 * time.Minute
	}
	l := open(t)
	scheme := "http"
	if l.TLS {
		scheme = "https"
	}
	p := &pressure{began: time.Now(), stop: make(chan struct{})}
	p.group.Go(p.measure)
	o := observe(t, l, probe.Stream{Path: given(l.Path(scheme, "/")), Every: stagedEvery}, func() { time.Sleep(long) })
	close(p.stop)
	p.group.Wait()
	starved := 0
	for _, out := range o.watch.Outages {
		if share := p.share(out.From, out.To); share > 0.25 {
			starved++
			continue
		}
		t.Errorf("found %+v", out)
	}
	t.Logf("%d probes, %d failed, 99 %% within %s, blind %d times, starved %d times; something waited for a processor for %.0f %% of the time",
		o.watch.Sent, o.watch.Failed, o.watch.P99, len(o.watch.Blind), starved, 100*p.share(0, long))
}

// pressure measures for how long something on this machine waited for a processor, where the kernel tells.
type pressure struct {
	began time.Time
	stop  chan struct{}
	group sync.WaitGroup
	at    []time.Duration
	total []time.Duration
}

func (p *pressure) measure() {
	for {
		text, err := os.ReadFile("/proc/pressure/cpu") // some avg10=0.00 avg60=0.00 avg300=0.00 total=microseconds
		if err != nil {
			return
		}
		line, _, _ := strings.Cut(string(text), "\n")
		_, digits, _ := strings.Cut(line, "total=")
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return
		}
		p.at, p.total = append(p.at, time.Since(p.began)), append(p.total, time.Duration(n)*time.Microsecond)
		select {
		case <-time.After(stagedEvery):
		case <-p.stop:
			return
		}
	}
}

// unlessBusy measures from now on; what it returns skips the test if so much waited for a processor since that
// nothing can be said about milliseconds.
func unlessBusy(t *testing.T) (calm func()) {
	t.Helper()
	p := &pressure{began: time.Now(), stop: make(chan struct{})}
	p.group.Go(p.measure)
	return func() {
		t.Helper()
		close(p.stop)
		p.group.Wait()
		if share := p.share(0, time.Since(p.began)); share > 0.25 {
			t.Skipf("something waited for a processor for %.0f %% of the time: nothing can be measured", 100*share)
		}
	}
}

// share returns the part of a time in which something waited.
func (p *pressure) share(from, to time.Duration) float64 {
	i, _ := slices.BinarySearch(p.at, from)
	k, _ := slices.BinarySearch(p.at, to)
	i, k = max(0, i-1), min(k, len(p.at)-1)
	if k <= i {
		return 0
	}
	return float64(p.total[k]-p.total[i]) / float64(p.at[k]-p.at[i])
}
