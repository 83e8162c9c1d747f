package gates

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// OutageSettings are the settings of an availability gate. Zero fields take the default that is named.
type OutageSettings struct {
	Path     probe.Path
	Every    time.Duration // between two probes of one address; 50 ms
	Baseline time.Duration // how long the site must have been well before the apply; 15 s
	Budget   Budget
}

// Budget is how much outage an apply may cause.
type Budget struct {
	Longest time.Duration // one outage at most; 500 ms
	Total   time.Duration // all of them together; 2 s
}

// Defaults of an availability gate.
const (
	DefaultEvery    = 50 * time.Millisecond // outages of 300 ms are seen for sure: varnish.md §6.1
	DefaultBaseline = 15 * time.Second
	DefaultLongest  = 500 * time.Millisecond
	DefaultTotal    = 2 * time.Second
)

// mostFailed is the part of the probes, one in so many, that may fail before an apply without the site
// being called broken already.
const mostFailed = 100

// Kind returns "availability".
func (OutageSettings) Kind() string { return KindOutage }

// Bind gives the gate its two parts. Before: the site answers all along for a while, so that nothing is
// blamed on the apply that was there already. During: it is probed at a fixed rate, and its outages stay
// within the budget. Both take their time in reality, never by the clock of the world.
func (s OutageSettings) Bind(gate *Gate, deps Deps) error {
	s.Every = cmp.Or(s.Every, DefaultEvery)
	s.Baseline = cmp.Or(s.Baseline, DefaultBaseline)
	s.Budget.Longest, s.Budget.Total = cmp.Or(s.Budget.Longest, DefaultLongest), cmp.Or(s.Budget.Total, DefaultTotal)
	a := availability{OutageSettings: s, prober: deps.Prober, clock: deps.Clock}
	gate.Before, gate.During = a.before, a.during
	return nil
}

type availability struct {
	OutageSettings
	prober Prober
	clock  upgrade.Clock
}

// baseline is what the gate keeps of the time before an apply.
type baseline struct {
	At        time.Time     `json:"at"`
	Probes    int           `json:"probes"`
	P99       time.Duration `json:"p99_ns"`
	Addresses []string      `json:"addresses"`
}

func (a availability) before(ctx context.Context, _ Input, rec *Recorder) (memo string, err error) {
	w, sight, err := a.look(ctx)
	for try := 1; err == nil; try++ {
		a.record(rec, sight)
		unwell := a.wellBefore(sight)
		if unwell == nil {
			break
		}
		if try == looks {
			return "", unwell
		}
		rec.Logf("look %d of %d: %v", try, looks, unwell)
		w, sight, err = a.look(ctx)
	}
	if err != nil {
		return "", err
	}
	kept := baseline{At: w.began, Probes: sight.sent, P99: sight.p99}
	for _, addr := range sight.addresses {
		kept.Addresses = append(kept.Addresses, addr.String())
	}
	raw, err := json.Marshal(kept)
	if err != nil {
		return "", fmt.Errorf("keep the baseline: %w", err)
	}
	rec.Passed("%s answered %s within %s before the apply, 99 %% of them within %s", a.Path.URL, counted(sight.sent-sight.failed, "probe"), length(a.Baseline), length(sight.p99))
	return string(raw), nil
}

// looks is how often the site is looked at before an apply until it was well for a whole baseline: one
// stumble of a busy machine is not a broken site.
const looks = 3

// look watches the site for one baseline.
func (a availability) look(ctx context.Context) (*outageWatch, sight, error) {
	limited, cancel := context.WithTimeout(ctx, a.Baseline)
	defer cancel()
	w := a.watch()
	if err := a.prober.Stream(limited, a.stream(), w.add); err != nil {
		return nil, sight{}, fmt.Errorf("probe %s: %w", a.Path.URL, err)
	}
	if ctx.Err() != nil {
		return nil, sight{}, context.Cause(ctx)
	}
	return w, w.sight(), nil
}

// wellBefore returns why the site's health before the apply is no ground to judge on; nil if it is.
func (a availability) wellBefore(s sight) error {
	broken := func(format string, args ...any) error {
		return &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: "already broken before the apply: " + fmt.Sprintf(format, args...),
			Hint: "repair the site, then run the gates again: an outage now could not be told from an older one",
		}
	}
	switch {
	case len(s.outages) > 0:
		return broken("%s", a.sentence(s))
	case s.sent == 0:
		return a.nothing(s)
	case s.failed > 0 && s.failed*mostFailed > s.sent:
		return broken("%d of %s failed: %s", s.failed, counted(s.sent, "probe"), inWords(s.failure.Class, s.failure.Status))
	case s.blind > a.Baseline/2:
		return &upgrade.Error{
			Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("this machine was too busy to look at the site for %s of %s", length(s.blind), length(a.Baseline)),
			Hint: "give the service more CPU",
		}
	}
	return nil
}

// nothing says why no probe told anything about the site.
func (a availability) nothing(s sight) error {
	switch {
	case s.failure.Class != "":
		return &upgrade.Error{Code: upgrade.CodeConflict, Msg: "the site could not be probed at all: " + inWords(s.failure.Class, s.failure.Status)}
	case s.trouble.Class == probe.ClassGuarded:
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%s is not among what probes may reach", s.trouble.Address),
			Hint: "add the address to network.allow, if it is really the site's",
		}
	}
	return &upgrade.Error{
		Code: upgrade.CodeConflict, Msg: "no probe could be sent to " + a.Path.URL,
		Hint: "look at this machine's limits on open files and ports, at its load, and whether it has the site's kind of IP",
	}
}

func (a availability) during(ctx context.Context, in Input) (Watch, error) {
	w := a.watch()
	w.marks = in.Marks
	if in.Memo != "" {
		if err := json.Unmarshal([]byte(in.Memo), &w.before); err != nil {
			return nil, fmt.Errorf("read what was kept before the apply: %w", err)
		}
	}
	ctx, w.stop = context.WithCancel(ctx)
	go func() { // ends with ctx, which End cancels
		defer close(w.done)
		w.err = once(ctx, nil, func(ctx context.Context, _ *Recorder) error {
			return a.prober.Stream(ctx, a.stream(), w.add)
		})
	}()
	return w, nil
}

// stream is what is probed.
func (a availability) stream() probe.Stream {
	return probe.Stream{Name: "cached", Path: a.Path, Every: a.Every}
}

// watch returns a watch that has not begun to probe.
func (a availability) watch() *outageWatch {
	return &outageWatch{
		availability: a, began: a.clock.Now(), done: make(chan struct{}),
		tallies: map[netip.AddrPort]*probe.Tally{},
	}
}

// outageWatch collects the samples of one stream. What add writes is read when the stream has ended.
type outageWatch struct {
	availability
	began  time.Time // by the clock of the world, for people; all else counts from here as time really passes
	before baseline
	stop   context.CancelFunc
	done   chan struct{} // closed when the stream has ended
	err    error         // of the stream

	tallies map[netip.AddrPort]*probe.Tally
	last    time.Duration // when the last probe was due
	failure probe.Sample  // the first
	trouble probe.Sample  // the first that says nothing about the site

	marks func(ctx context.Context) ([]upgrade.Mark, error) // see Input
	steps []upgrade.Mark                                    // what it said, if it could
	known bool                                              // that it could
}

func (w *outageWatch) add(s probe.Sample) {
	tally := w.tallies[s.Address]
	if tally == nil {
		every := w.Every
		if !s.Address.IsValid() {
			every = probe.LookupEvery
		}
		tally = probe.NewTally(every)
		w.tallies[s.Address] = tally
	}
	tally.Add(s)
	w.last = max(w.last, s.Sched)
	switch {
	case s.Blind() && w.trouble.Class == "":
		w.trouble = s
	case !s.Blind() && !s.OK && w.failure.Class == "":
		w.failure = s
	}
}

// End ends the probing, waits for what is in flight, at most the limits of a probe, and judges.
func (w *outageWatch) End(ctx context.Context, rec *Recorder) error {
	w.stop()
	<-w.done
	if w.err != nil {
		return fmt.Errorf("probe %s: %w", w.Path.URL, w.err)
	}
	s := w.sight()
	w.record(rec, s)
	w.readMarks(ctx, rec, s)
	w.recordOutages(rec, s)
	if w.before.Probes > 0 {
		rec.Fact("Before the apply", "%s, 99 %% of them within %s, at %s", counted(w.before.Probes, "probe"), length(w.before.P99), strings.Join(w.before.Addresses, ", "))
	}
	return w.verdict(rec, s)
}
