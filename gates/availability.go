package gates

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// OutageSettings are the settings of an availability gate. Zero fields take the default that is named.
type OutageSettings struct {
	Path        probe.Path    // what users ask, as the cache answers it
	Every       time.Duration // between two probes of it, of one address; 20 ms
	Connections []Connection  // over which it is asked; both
	// Past is asked past the cache, every 200 ms. Without a page it is the path itself, once per second, if the
	// path has a bypass; else nothing is.
	Past Page
	Deep Page // a page that the cache never has, every 2 s; without a page nothing is
	// Slow is how long a good answer of the cached page may take before it counts as slow; 1 s.
	Slow time.Duration
	// Limits of one probe. Connecting must take less than a second: Linux sends a lost SYN again after that, and
	// what was dropped then looks late.
	Limits   probe.Limits
	Vantages []probe.Vantage // empty: probe.Here
	Controls []Control
	Baseline time.Duration // how long the site must have been well before the apply; 15 s
	Budget   Budget
	Strict   bool          // what is perhaps beyond the budget is beyond it
	OnBlind  Outcome       // OutcomeFailed: what nobody could see is beyond the budget; else it could not tell
	Longest  time.Duration // that is watched; 2 h
}

// Outcome is that of a result.
type Outcome = upgrade.Outcome

// Connection says on which connections a stream of probes goes.
type Connection string

// The connections.
const (
	ConnFresh Connection = "fresh"
	ConnKept  Connection = "keep-alive"
)

// Page is another page of the same site.
type Page struct {
	Page   string        // path and query, such as "/gate.txt"; empty: none
	Every  time.Duration // between two probes of it
	Slow   time.Duration // as of OutageSettings; 0: no good answer of it is too slow
	Expect probe.Expect  // what a good answer looks like
}

// Control is something that must fail independently of the site: while it is out as well, it is the network of
// the vantage that fails. It never excuses anything: what happened to the site meanwhile nobody could tell.
type Control struct {
	Name     string
	Path     probe.Path    // of tcp://host:port a connection is all that is wanted
	Every    time.Duration // 100 ms
	Vantages []probe.Vantage
}

// Budget is how much outage an apply may cause.
type Budget struct {
	Longest time.Duration // one outage at most; 500 ms
	Total   time.Duration // all of them together; 2 s
	// Failed is the part of the probes of any stream that may fail in between, in no outage, such as 0.01; 1 %.
	// Fewer than three count for nothing.
	Failed float64
	// Slow is the part of the probes of any stream that may come slowly in between, in no outage; 1 %. Fewer than
	// three count for nothing.
	Slow float64
	// Classes is how long outages of one class may be together. 0: not even one probe may fail so. Of
	// [probe.ClassSlow]: for how long answers may have been slow, by any one stream.
	Classes map[probe.Class]time.Duration
}

// Defaults of an availability gate.
const (
	DefaultEvery        = 20 * time.Millisecond // outages of 100 ms are seen for sure: varnish.md §6.1
	DefaultPastEvery    = 200 * time.Millisecond
	DefaultPastSelf     = time.Second
	DefaultDeepEvery    = 2 * time.Second
	DefaultControlEvery = 100 * time.Millisecond
	DefaultConnect      = 800 * time.Millisecond
	DefaultResponse     = 5 * time.Second
	DefaultBaseline     = 15 * time.Second
	DefaultLongest      = 500 * time.Millisecond
	DefaultTotal        = 2 * time.Second
	DefaultFailed       = 0.01
	DefaultSlow         = time.Second
	DefaultSlowPart     = 0.01
	DefaultWatch        = 2 * time.Hour
	MostRate            = 200 // probes a second of one address from one vantage, controls aside
)

// leastStray is how many probes must have failed before their part means anything.
const leastStray = 3

// Kind returns "availability".
func (OutageSettings) Kind() string { return KindOutage }

// Bind gives the gate its parts. Before: the site answers all along for a while, so that nothing is blamed on
// the apply that was there already. During: it is probed at a fixed rate, and its outages stay within the
// budget. Resume: goes on after a restart of the service with what other places saw meanwhile. All take their
// time in reality, never by the clock of the world.
//
// Error: CodeInvalid for connections that may take a second or more, and for more than MostRate.
func (s OutageSettings) Bind(gate *Gate, deps Deps) error {
	s = s.defaulted()
	if s.Limits.Connect >= time.Second {
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("connecting may take %s, which hides outages: what is dropped is sent again after a second", s.Limits.Connect),
			Hint: "allow less than 1s",
		}
	}
	if rate := s.Rate(); rate > MostRate {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%.0f probes a second of one address, and %d are the most", rate, MostRate), Hint: "probe less often"}
	}
	a := availability{OutageSettings: s, gate: gate.Name, settle: gate.Settle, deps: deps}
	gate.Before, gate.During, gate.Resume = a.before, a.during, a.resume
	return nil
}

func (s OutageSettings) defaulted() OutageSettings {
	s.Every = cmp.Or(s.Every, DefaultEvery)
	if len(s.Connections) == 0 {
		s.Connections = []Connection{ConnFresh, ConnKept}
	}
	s.Past.Every = cmp.Or(s.Past.Every, DefaultPastEvery)
	if s.Past.Page == "" {
		s.Past.Every = max(s.Past.Every, DefaultPastSelf)
	}
	s.Deep.Every = cmp.Or(s.Deep.Every, DefaultDeepEvery)
	s.Limits.Connect, s.Limits.Response = cmp.Or(s.Limits.Connect, DefaultConnect), cmp.Or(s.Limits.Response, DefaultResponse)
	if len(s.Vantages) == 0 {
		s.Vantages = []probe.Vantage{probe.Here}
	}
	s.Baseline, s.Longest = cmp.Or(s.Baseline, DefaultBaseline), cmp.Or(s.Longest, DefaultWatch)
	s.Budget.Longest, s.Budget.Total = cmp.Or(s.Budget.Longest, DefaultLongest), cmp.Or(s.Budget.Total, DefaultTotal)
	s.Budget.Failed, s.Budget.Slow, s.Slow = cmp.Or(s.Budget.Failed, DefaultFailed), cmp.Or(s.Budget.Slow, DefaultSlowPart), cmp.Or(s.Slow, DefaultSlow)
	return s
}

// Rate returns how many probes a second each address of the site gets from each vantage.
func (s OutageSettings) Rate() float64 {
	var rate float64
	for _, stream := range s.defaulted().streams() {
		rate += float64(time.Second) / float64(stream.Every)
	}
	return rate
}

type availability struct {
	OutageSettings
	gate   upgrade.GateName
	settle time.Duration
	deps   Deps
}

// baseline is what the gate keeps of the time before an apply.
type baseline struct {
	At        time.Time     `json:"at"`
	Probes    int           `json:"probes"`
	P99       time.Duration `json:"p99_ns"`
	Addresses []string      `json:"addresses"`
}

func (a availability) before(ctx context.Context, in Input, rec *Recorder) (memo string, err error) {
	release, err := a.deps.Targets.take(a.Path.URL, in)
	if err != nil {
		return "", err
	}
	defer release()
	w, seen, err := a.look(ctx)
	for try := 1; err == nil; try++ {
		w.record(rec, seen)
		w.recordStreams(rec, seen)
		unwell := w.wellBefore(seen)
		if unwell == nil {
			break
		}
		if try == looks {
			rec.Watch(w.picture(seen))
			return "", unwell
		}
		rec.Logf("look %d of %d: %v", try, looks, unwell)
		w, seen, err = a.look(ctx)
	}
	if err != nil {
		return "", err
	}
	kept := baseline{At: w.began, Probes: seen.sent, P99: seen.p99}
	for _, addr := range seen.addresses {
		kept.Addresses = append(kept.Addresses, addr.String())
	}
	raw, err := json.Marshal(kept)
	if err != nil {
		return "", fmt.Errorf("keep the baseline: %w", err)
	}
	rec.Passed("%s answered %s within %s before the apply, 99 %% of them within %s", a.Path.URL, counted(seen.sent-seen.failed, "probe"), probe.Length(a.Baseline), probe.Length(seen.p99))
	return string(raw), nil
}

// looks is how often the site is looked at before an apply, and after it, until it was well for a whole
// baseline, or a whole time of settling: one stumble of a busy machine is not a broken site.
const looks = 3

// look watches the site for one baseline.
func (a availability) look(ctx context.Context) (*outageWatch, sight, error) {
	limited, cancel := context.WithTimeout(ctx, a.Baseline)
	defer cancel()
	w := a.watch(a.deps.Clock.Now())
	w.probe(limited, nil)
	<-w.done
	if ctx.Err() != nil {
		return nil, sight{}, context.Cause(ctx)
	}
	return w, w.sight(), nil
}

// wellBefore returns why the site's health before the apply is no ground to judge on; nil if it is.
func (w *outageWatch) wellBefore(s sight) error {
	broken := func(format string, args ...any) error {
		return &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: "already broken before the apply: " + fmt.Sprintf(format, args...),
			Hint: "repair the site, then run the gates again: an outage now could not be told from an older one",
		}
	}
	own := slices.ContainsFunc(s.outages, func(o located) bool { return o.own > 0 })
	switch {
	case len(s.charged()) > 0:
		return broken("%s", w.sentence(s))
	case own || len(s.controls) > 0:
		return w.ownNetwork(s)
	}
	if err := w.unseen(s); err != nil {
		return err
	}
	if stray, bad := s.stray(float64(1) / mostFailed); bad {
		return broken("%d of %s failed: %s", stray.failed, counted(stray.sent, "probe"), inWords(stray.failure.Class, stray.failure.Status))
	}
	if slow, bad := s.slowest(w.Budget.Slow); bad {
		return broken("%s", w.slowly(slow))
	}
	if s.blind > w.Baseline/2 {
		return &upgrade.Error{
			Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("this machine was too busy to look at the site for %s of %s", probe.Length(s.blind), probe.Length(w.Baseline)),
			Hint: "give the service more CPU",
		}
	}
	return nil
}

// mostFailed is the part of the probes, one in so many, that may fail before an apply without the site
// being called broken already.
const mostFailed = 100

func (a availability) during(ctx context.Context, in Input) (Watch, error) {
	return a.begin(ctx, in, a.deps.Clock.Now(), 0)
}

// resume goes on with a watch that began at begun: other places have gone on meanwhile and tell what they saw
// from the first; this host has not, and was blind.
func (a availability) resume(ctx context.Context, in Input, begun time.Time) (Watch, error) {
	return a.begin(ctx, in, begun, max(0, a.deps.Clock.Now().Sub(begun)))
}

func (a availability) begin(ctx context.Context, in Input, begun time.Time, missed time.Duration) (Watch, error) {
	release, err := a.deps.Targets.take(a.Path.URL, in)
	if err != nil {
		return nil, err
	}
	w := a.watch(begun)
	w.marks, w.missed, w.release = in.Marks, missed, release
	if in.Memo != "" {
		if err := json.Unmarshal([]byte(in.Memo), &w.before); err != nil {
			release()
			return nil, fmt.Errorf("read what was kept before the apply: %w", err)
		}
	}
	ctx, w.stop = context.WithCancel(ctx)
	limited, cancel := context.WithTimeout(ctx, max(0, a.Longest-missed))
	w.probe(limited, func(stream string, from probe.Vantage) string {
		return fmt.Sprintf("run %d apply %d %s %s: %s from %s", in.Run.ID, in.Apply, in.Run.Environment, in.Gate, stream, from)
	})
	go func() { // ends with the watch
		<-w.done
		cancel()
	}()
	return w, nil
}
