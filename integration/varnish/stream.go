package varnish

import (
	"cmp"
	"context"
	"crypto/tls"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// spare is how many probes of one address may be in flight beyond those that have not reached their
// limits yet. More are only there when this machine does not get round to ending them.
const spare = 8

// Stream probes a path once per Every until ctx ends; then it waits for what is in flight, at most the limits
// of one probe, and returns nil. It sends on time whatever comes back: a site that is slow or silent gets as
// many questions as one that answers (an open loop), since probes that wait for each other pass over an outage.
// Every address of the name is probed at the same rate, four of them at most; DNS is asked once per
// [probe.LookupEvery], beside the probes, so that it is no part of their time. A probe that is not sent, because
// this machine cannot keep up, is a sample too.
//
// Each probe has a connection of its own, unless KeepAlive is set: then it goes over the one that an earlier
// probe of its address left. If that is in use, because an answer is outstanding, the probe opens another; if
// the site has closed it meanwhile, too, which is no failure.
//
// A good answer has the expected status, body and headers, and came through Varnish if that is demanded; it may
// come from the cache unless Past is set. Past uses the path's bypass, if it has one. Of a URL such as
// tcp://192.0.2.1:53 a connection is all that is wanted. Connecting, with TLS, may take the connect limit, and
// the first byte and the rest of the answer the response limit each.
//
// each is called once for every probe and every lookup, when it has ended, one call at a time.
//
// Error: CodeInvalid when the path cannot be probed as written, before anything is sent.
func (p *Prober) Stream(ctx context.Context, of probe.Stream, each func(probe.Sample)) error {
	t, bare, err := parseStream(of.Path)
	switch {
	case err != nil:
		return err
	case of.Every <= 0:
		return invalid(nil, "probes cannot be sent every %s", of.Every)
	}
	p = p.within(of.Limits)
	s := &stream{p: p, t: t, of: of, bare: bare, each: each, start: monotonic()}
	s.most = int64((p.limits.Connect+2*p.limits.Response)/of.Every) + spare
	defer s.left.close()
	if !bare {
		s.prepare()
	}
	s.hands.do = func(j job) {
		defer s.flying.Add(-1)
		defer s.pulse.done()
		s.tell(s.probe(context.WithoutCancel(ctx), j.addr, j.due))
	}
	if t.given.IsValid() {
		s.addrs = []netip.AddrPort{netip.AddrPortFrom(t.given, t.to)}
	} else {
		// The first answer of DNS is waited for: else a stream of few probes would lose its first.
		s.lookUp(ctx, 0)
		s.group.Wait()
		s.group.Go(func() { s.tick(ctx, probe.LookupEvery, probe.LookupEvery, s.lookUp) })
	}
	s.pulse = pulse{late: s.stalled, now: s.elapsed}
	s.pulse.every = min(max(of.Every/4, leastBeat), mostBeat)
	s.tick(ctx, s.elapsed(), of.Every, s.launch)
	s.hands.rest()
	s.group.Wait()
	return nil
}

// within returns the prober with other limits, where they are set.
func (p *Prober) within(limits probe.Limits) *Prober {
	other := *p
	other.limits = probe.Limits{
		DNS: cmp.Or(limits.DNS, p.limits.DNS), Connect: cmp.Or(limits.Connect, p.limits.Connect),
		Response: cmp.Or(limits.Response, p.limits.Response), Body: cmp.Or(limits.Body, p.limits.Body),
	}
	return &other
}

// parseStream is parse for paths of which a connection may be all that is wanted; then bare is true.
func parseStream(path probe.Path) (t *target, bare bool, err error) {
	rest, bare := strings.CutPrefix(path.URL, "tcp://")
	if !bare {
		t, err = parse(path)
		return t, false, err
	}
	u, err := url.Parse(path.URL)
	if err != nil || u.Port() == "" || u.Path != "" || u.RawQuery != "" {
		return nil, true, invalid(err, "%q is not written tcp://host:port", path.URL)
	}
	path.URL = "http://" + rest
	t, err = parse(path)
	return t, true, err
}

// monotonic returns the present time of this machine.
func monotonic() time.Time {
	return time.Now() //nolint:forbidigo // latencies and the gaps between answers are real, whatever the world's clock says
}

// stream is a Stream at work.
type stream struct {
	p      *Prober
	t      *target
	of     probe.Stream
	bare   bool // a connection is all that is wanted
	start  time.Time
	most   int64 // in flight per address
	group  sync.WaitGroup
	flying atomic.Int64
	lost   atomic.Int64 // nanoseconds in which this process did not get round to anything while an answer was outstanding
	hands  hands
	left   leftovers
	shown  shown
	pulse  pulse

	tls     *tls.Config
	request []byte    // nil: another for each probe
	readers sync.Pool // of *bufio.Reader

	telling sync.Mutex // serialises each
	each    func(probe.Sample)

	mu    sync.Mutex       // guards the fields below
	addrs []netip.AddrPort // that are probed, ascending
	asked time.Duration    // when the lookup that found them was begun
}

func (s *stream) elapsed() time.Duration { return monotonic().Sub(s.start) }

func (s *stream) tell(sample probe.Sample) {
	s.telling.Lock()
	defer s.telling.Unlock()
	s.each(sample)
}

// tick calls do for every moment from first on that is due until ctx ends, none left out: when this machine was held
// up, those that were missed are done late and all at once. Of those that are due when ctx has ended, do
// is told that it is over.
func (s *stream) tick(ctx context.Context, first, every time.Duration, do func(ctx context.Context, due time.Duration)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for due := first; ; due += every {
		timer.Reset(due - s.elapsed())
		select {
		case <-timer.C:
		case <-ctx.Done():
			for ; due < s.elapsed(); due += every {
				do(ctx, due)
			}
			return
		}
		do(ctx, due)
	}
}

// A prober that waits for a processor has late answers that no site is to blame for, although each of its probes
// was begun on time: a handshake waits several times. So while an answer is outstanding, a stream looks how late its
// own timer is. It does not while none is: waking up for nothing cost more than a probe.
const (
	leastBeat = 5 * time.Millisecond
	mostBeat  = 25 * time.Millisecond
)

// pulse looks how late a timer is while it is wanted.
type pulse struct {
	every time.Duration
	late  func(due, now time.Duration)
	now   func() time.Duration

	mu      sync.Mutex // guards the fields below
	timer   *time.Timer
	due     time.Duration
	waiting int
}

// want has it beat, for one more who waits.
func (p *pulse) want() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting++; p.waiting == 1 && p.every > 0 {
		p.arm()
	}
}

// done has it stop when nobody waits any more.
func (p *pulse) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting--; p.waiting == 0 && p.timer != nil {
		p.timer.Stop()
	}
}

// arm sets the next beat. The caller holds the mutex.
func (p *pulse) arm() {
	p.due = p.now() + p.every
	if p.timer == nil {
		p.timer = time.AfterFunc(p.every, p.beat)
		return
	}
	p.timer.Reset(p.every)
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock() // held while it is told, so that nothing is when nobody waits any more
	due, now := p.due, p.now()
	if p.waiting == 0 || now < due {
		return
	}
	p.arm()
	if now-due > p.every {
		p.late(due, now)
	}
}

// stalled tells that this process did not get round to anything for a while.
func (s *stream) stalled(due, now time.Duration) {
	s.lost.Add(int64(now - due))
	s.mu.Lock()
	addrs := s.addrs
	s.mu.Unlock()
	for _, addr := range addrs {
		s.tell(probe.Sample{Sched: due, Start: now, End: now, Address: addr, Class: probe.ClassStalled})
	}
}

// launch sends a probe to each address.
func (s *stream) launch(ctx context.Context, due time.Duration) {
	s.mu.Lock()
	addrs := s.addrs
	s.mu.Unlock()
	for _, addr := range addrs {
		if ctx.Err() != nil || s.flying.Load() >= s.most*int64(len(addrs)) {
			now := s.elapsed()
			s.tell(probe.Sample{Sched: due, Start: now, End: now, Address: addr, Class: probe.ClassUnsent})
			continue
		}
		s.flying.Add(1)
		s.pulse.want()
		s.hands.give(job{addr, due})
	}
}

// lookUp asks DNS beside the probes. While it does not answer, the addresses known before stay, as they
// do with users for a while.
func (s *stream) lookUp(ctx context.Context, due time.Duration) {
	if ctx.Err() != nil {
		return
	}
	s.group.Go(func() {
		sample := probe.Sample{Sched: due, Start: s.elapsed(), Layer: probe.LayerDNS}
		found, err := s.p.lookUp(ctx, s.t)
		sample.End, sample.TTL = s.elapsed(), found.ttl
		switch {
		case ctx.Err() != nil && err != nil:
			return // cut off
		case err != nil:
			sample.Class = probe.ClassProber
		case len(found.addrs) == 0:
			sample.Class = found.rung.Class
		default:
			sample.OK, sample.Class, sample.Layer = true, probe.ClassOK, ""
			expected := slices.DeleteFunc(slices.Clone(found.addrs), func(addr netip.AddrPort) bool { return !s.t.expects(addr.Addr()) })
			if len(expected) < len(found.addrs) {
				sample.OK, sample.Class, sample.Layer = false, probe.ClassDNSUnexpected, probe.LayerDNS
			}
			s.aim(ctx, expected, sample.Start)
		}
		s.tell(sample)
	})
}

// aim lets probes go to addresses from now on, unless a later lookup has said where. Those that this
// machine cannot reach for lack of IPv6 are left out.
func (s *stream) aim(ctx context.Context, addrs []netip.AddrPort, asked time.Duration) {
	var reachable []netip.AddrPort
	for _, addr := range addrs {
		if !addr.Addr().Is6() || s.p.check(addr) != nil || !s.p.noRoute(ctx, addr) {
			reachable = append(reachable, addr)
		}
	}
	slices.SortFunc(reachable, netip.AddrPort.Compare) // DNS turns them round from answer to answer
	s.mu.Lock()
	defer s.mu.Unlock()
	if asked >= s.asked {
		s.addrs, s.asked = reachable[:min(len(reachable), atOnce)], asked
	}
}
