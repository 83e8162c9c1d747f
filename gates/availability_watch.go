package gates

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// Names of the streams of one target, for people.
const (
	streamCached  = "cached"
	streamKept    = "kept connection"
	streamPast    = "past the cache"
	streamDeep    = "deep page"
	streamControl = "control"
)

// streams returns what is probed from each vantage, the most important first.
func (s OutageSettings) streams() []probe.Stream {
	users := s.Path
	users.Bypass, users.Closed, users.Large = probe.Bypass{}, nil, probe.Large{}
	var list []probe.Stream
	if slices.Contains(s.Connections, ConnFresh) {
		list = append(list, probe.Stream{Name: streamCached, Path: users, Every: s.Every})
	}
	if slices.Contains(s.Connections, ConnKept) {
		list = append(list, probe.Stream{Name: streamKept, Path: users, Every: s.Every, KeepAlive: true})
	}
	past := users
	past.Bypass = s.Path.Bypass
	if s.Past.Page != "" {
		past = of(past, s.Past)
	}
	if s.Past.Page != "" || past.Bypass.Used() {
		list = append(list, probe.Stream{Name: streamPast, Path: past, Every: s.Past.Every, Past: true})
	}
	if s.Deep.Page != "" {
		deep := users
		deep.Bypass = s.Path.Bypass
		list = append(list, probe.Stream{Name: streamDeep, Path: of(deep, s.Deep), Every: s.Deep.Every, Past: true})
	}
	for i := range list {
		list[i].Limits, list[i].Target = s.Limits, s.Path.URL
	}
	return list
}

// of returns the path of another page of the same site. What is no address is told by the prober.
func of(path probe.Path, page Page) probe.Path {
	if u, err := url.Parse(path.URL); err == nil {
		if other, err := url.Parse(page.Page); err == nil {
			u.Path, u.RawPath, u.RawQuery, u.Fragment = other.Path, other.RawPath, other.RawQuery, ""
			path.URL = u.String()
		}
	}
	path.Expect = page.Expect
	return path
}

// feed is one stream from one vantage. The watch's mutex guards what changes.
type feed struct {
	vantage probe.Vantage
	stream  probe.Stream
	control string        // name of the control; empty: the site
	shift   time.Duration // from the beginning of the watch to that of the stream

	strips map[netip.AddrPort]*strip
	cover  cover         // by probes of whatever address
	last   time.Duration // when the last probe was due
	err    error         // of the stream
}

// outageWatch collects the samples of all streams of one gate.
type outageWatch struct {
	availability
	began   time.Time // by the clock of the world, for people; all else counts from here as time really passes
	start   time.Time // the same by this machine's
	before  baseline
	missed  time.Duration // from began to when this host began to probe
	stopped time.Duration // when it was stopped; 0: it goes on
	stop    context.CancelFunc
	release func()
	done    chan struct{} // closed when all streams have ended

	mu      sync.Mutex // guards the fields below, and those of feeds
	feeds   []*feed
	failure probe.Sample // the first
	trouble probe.Sample // the first that says nothing about the site
	chains  []metChain   // of certificates, of the site and of controls
	ttls    map[probe.Vantage][]ttlAt

	marks func(ctx context.Context) ([]upgrade.Mark, error) // see Input
	steps []upgrade.Mark                                    // what it said, if it could
	kept  []upgrade.Mark                                    // of them, those that evidence has
	known bool                                              // that it could
}

// watch returns a watch that has not begun to probe.
func (a availability) watch(began time.Time) *outageWatch {
	return &outageWatch{
		availability: a, began: began.Round(time.Millisecond), start: realTime(), done: make(chan struct{}),
		stop: func() {}, release: func() {},
	}
}

// realTime returns the present time of this machine, whatever the world's clock says.
func realTime() time.Time {
	return time.Now() //nolint:forbidigo // outages are real
}

// elapsed returns how long the watch has been going on.
func (w *outageWatch) elapsed() time.Duration { return w.missed + realTime().Sub(w.start) }

// probe begins all streams. They end with ctx; then done is closed. id names a stream for places that outlive
// this process; nil: nobody asks twice.
func (w *outageWatch) probe(ctx context.Context, id func(stream string, from probe.Vantage) string) {
	var group sync.WaitGroup
	begin := func(f *feed) {
		f.strips, f.cover = map[netip.AddrPort]*strip{}, cover{every: f.stream.Every}
		if f.vantage == probe.Here {
			f.shift = w.missed
		}
		if id != nil {
			name := f.stream.Name
			if f.control != "" {
				name += " " + f.control
			}
			f.stream.ID = id(name, f.vantage)
		}
		w.feeds = append(w.feeds, f)
	}
	for _, vantage := range w.Vantages {
		for _, stream := range w.streams() {
			begin(&feed{vantage: vantage, stream: stream})
		}
	}
	for _, control := range w.Controls {
		stream := probe.Stream{Name: streamControl, Path: control.Path, Every: cmp.Or(control.Every, DefaultControlEvery), Limits: w.Limits}
		from := control.Vantages
		if len(from) == 0 {
			from = w.Vantages
		}
		for _, vantage := range from {
			begin(&feed{vantage: vantage, stream: stream, control: control.Name})
		}
	}
	for _, f := range w.feeds {
		group.Go(func() { // ends with ctx
			err := once(ctx, nil, func(ctx context.Context, _ *Recorder) error {
				prober, err := w.prober(f.vantage)
				if err != nil {
					return err
				}
				return prober.Stream(ctx, f.stream, func(s probe.Sample) { w.add(f, s) })
			})
			w.mu.Lock()
			defer w.mu.Unlock()
			f.err = err
		})
	}
	go func() { // ends with ctx
		group.Wait()
		close(w.done)
	}()
}

// prober returns who probes at a vantage.
func (w *outageWatch) prober(from probe.Vantage) (Prober, error) {
	if from == probe.Here {
		return w.deps.Prober, nil
	}
	if w.deps.Vantage == nil {
		return nil, &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no vantage %s", from), Hint: "add it to vantages"}
	}
	return w.deps.Vantage(from)
}

func (w *outageWatch) add(f *feed, s probe.Sample) {
	w.mu.Lock()
	defer w.mu.Unlock()
	every := f.stream.Every
	if !s.Address.IsValid() {
		if f != w.feeds[0] && (f.control != "" || f.stream.Name != w.streamOfNames()) {
			return // one stream of a vantage asks for all
		}
		every = probe.LookupEvery
	}
	one := f.strips[s.Address]
	if one == nil && s.Class == probe.ClassStalled {
		return
	}
	if one == nil {
		one = newStrip(every)
		if s.Address.IsValid() && f.control == "" {
			one.tally.SlowBeyond(w.slowBeyond(f.stream.Name))
		}
		f.strips[s.Address] = one
	}
	s.Sched, s.Start, s.End = s.Sched+f.shift, s.Start+f.shift, s.End+f.shift
	one.add(s)
	if s.Class == probe.ClassStalled {
		f.cover.add(s.Sched, s.Start)
		return
	}
	if s.Address.IsValid() {
		f.cover.add(s.Sched, s.Sched)
	}
	w.noteNames(f, s)
	f.last = max(f.last, s.Sched)
	switch {
	case f.control != "":
	case s.Blind() && w.trouble.Class == "":
		w.trouble = s
	case !s.Blind() && !s.OK && w.failure.Class == "":
		w.failure = s
	}
}

// streamOfNames returns the stream of each vantage whose lookups of the name count.
func (w *outageWatch) streamOfNames() string {
	if slices.Contains(w.Connections, ConnFresh) {
		return streamCached
	}
	return streamKept
}

// End lets the site come to rest, ends the probing, waits for what is in flight, at most the limits of a probe,
// and judges.
func (w *outageWatch) End(ctx context.Context, rec *Recorder) error {
	defer w.release()
	unrest := w.rest(ctx, rec)
	stopped := w.elapsed()
	w.stop()
	<-w.done
	w.stopped = stopped
	w.readMarks(ctx, rec)
	s := w.sight()
	w.record(rec, s)
	w.recordSteps(rec, s)
	w.recordOutages(rec, s)
	w.recordStreams(rec, s)
	w.recordClocks(rec)
	w.recordNames(rec, s)
	recordChains(rec, w.chains)
	rec.Watch(w.picture(s))
	if w.before.Probes > 0 {
		rec.Fact("Before the apply", "%s, 99 %% of them within %s, at %s", counted(w.before.Probes, "probe"), probe.Length(w.before.P99), strings.Join(w.before.Addresses, ", "))
	}
	return w.verdict(rec, s, unrest)
}

// restSlack is how far an outage may reach into the time of settling and still be one of the apply's.
const restSlack = time.Second

// rest waits until the site was well for as long as it is to settle, which is the case already unless something
// went on after Terraform's last step. It reports that the site did not come to rest.
func (w *outageWatch) rest(ctx context.Context, rec *Recorder) (unrest bool) {
	if w.settle <= 0 {
		return false
	}
	for look := 1; ; look++ {
		w.readMarks(ctx, rec)
		s := w.sight()
		if w.overBudget(s) || w.rested(s) {
			return false // or said all the same
		}
		if look == looks {
			return true
		}
		rec.Logf("look %d of %d: an outage after the apply; watching %s more", look, looks, probe.Length(w.settle))
		timer := time.NewTimer(w.settle)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return true
		case <-w.done:
			timer.Stop()
			return true
		}
	}
}

// rested reports whether the site was well since the apply ended, or for as long as it is to settle.
func (w *outageWatch) rested(s sight) bool {
	since := max(0, s.watched-w.settle)
	for _, step := range w.steps {
		if !step.Open {
			since = max(since, step.To.Sub(w.began))
		}
	}
	return !slices.ContainsFunc(s.charged(), func(o located) bool {
		return o.Open || o.From >= since || o.To > since+restSlack
	})
}
