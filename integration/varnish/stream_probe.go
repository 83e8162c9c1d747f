package varnish

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// probe makes one request and says what came of it.
func (s *stream) probe(ctx context.Context, addr netip.AddrPort, due time.Duration) probe.Sample {
	sample := probe.Sample{Sched: due, Start: s.elapsed(), Address: addr}
	c := &climber{p: s.p, t: s.t, addr: addr, quiet: true}
	lost := s.lost.Load()
	err := s.once(ctx, c)
	sample.End = s.elapsed()
	sample.Status, sample.Chain = c.ladder.Status, s.shown.news(addr, c.presented)
	broken, isBroken := err.(*brokenError) //nolint:errorlint // never wrapped: it is a result, not a failure
	switch {
	case err == nil:
		sample.OK, sample.Class = true, probe.ClassOK
	case isBroken:
		sample.Class, sample.Layer = broken.class, broken.layer
		if ownDelay(broken.class, sample.End-sample.Start, time.Duration(s.lost.Load()-lost)) {
			sample.Class, sample.Layer = probe.ClassProber, ""
		}
		if broken.answer != nil {
			sample.Status, sample.Quote = broken.answer.status, c.quote(broken.answer)
		}
	default:
		sample.Class = probe.ClassProber
	}
	return sample
}

// ownDelay reports whether a probe that ran out of time may have done so for the prober's own reason: for half of what
// it took, or more, this process did not get round to anything. Then nobody can tell. An answer, or a refusal, is the
// site's however late it was read.
func ownDelay(class probe.Class, took, lost time.Duration) bool {
	return class.TimedOut() && lost > 0 && 2*lost >= took
}

// once makes one request and judges the answer by itself. A *brokenError is a result; any other error means
// that nobody could tell.
func (s *stream) once(ctx context.Context, c *climber) error {
	if s.bare {
		conn, err := c.connectOnce(ctx, s.tls)
		if err == nil {
			_ = conn.Close() // that it stands was all
		}
		return err
	}
	got, err := s.ask(ctx, c)
	if err != nil {
		return err
	}
	got.bypass = s.of.Past
	tr := c.traceOf(got.header)
	c.ladder.Status = got.status
	if err := c.judgeVarnish(got, tr); err != nil {
		return err
	}
	if err := c.fetched(got, tr); err != nil {
		return err
	}
	if s.of.Past && (tr.varnish && !bypassed(tr) || tr.age > 0) {
		broken := c.broke(probe.LayerBackend, probe.ClassBypassNotHonoured)
		broken.answer = got
		return broken
	}
	return c.judgeContent(got)
}

// ask sends the request and reads the answer, over a connection that was left if there is one.
func (s *stream) ask(ctx context.Context, c *climber) (*answer, error) {
	request := s.request
	if request == nil {
		request = s.newRequest()
	}
	if !s.of.KeepAlive {
		l, err := s.connect(ctx, c)
		if err != nil {
			return nil, err
		}
		defer l.close()
		return l.exchange(c, request)
	}
	if l := s.left.take(c.addr); l != nil {
		got, err := l.exchange(c, request)
		if !l.closedByPeer(got, err) {
			s.left.give(c.addr, l, got, err)
			return got, err
		}
		l.close()
	}
	l, err := s.connect(ctx, c)
	if err != nil {
		return nil, err
	}
	got, err := l.exchange(c, request)
	s.left.give(c.addr, l, got, err)
	return got, err
}

// exchange writes a request and reads the answer. Deadlines stand on the connection itself: a context for
// each step was a tenth of what a probe costs.
func (l *link) exchange(c *climber, request []byte) (*answer, error) {
	l.asked++
	l.limit.N = headRoom + c.p.limits.Body + 1
	begun := monotonic()
	_ = l.conn.SetDeadline(begun.Add(c.p.limits.Response)) // fails on a closed connection only, as the next line will
	_, err := l.conn.Write(request)
	if err == nil {
		_, err = l.reader.Peek(1)
	}
	if err != nil {
		return nil, c.broke(c.front(), firstByteClass(err))
	}
	first := monotonic()
	got := &answer{firstByte: first.Sub(begun)}
	_ = l.conn.SetDeadline(first.Add(c.p.limits.Response)) // as above
	err = got.read(l.reader, c.p.limits.Body)
	got.took = monotonic().Sub(begun)
	if err == nil {
		return got, nil
	}
	layer := c.front()
	if tr := c.traceOf(got.header); layer == probe.LayerVarnish && got.status != 0 && tr.ids == 1 {
		layer = probe.LayerBackend // Varnish hands on what it gets as it gets it
	}
	broken := c.broke(layer, bodyClass(err))
	if got.status != 0 {
		broken.answer = got
	}
	return nil, broken
}

// closedByPeer reports whether a connection that was used before had been closed by the other side when it was
// used again, which servers may do at any time.
func (l *link) closedByPeer(got *answer, err error) bool {
	if got != nil || l.asked < 2 {
		return false
	}
	broken, isBroken := err.(*brokenError) //nolint:errorlint // as in probe
	return isBroken && (broken.class == probe.ClassHTTPEOF || broken.class == probe.ClassHTTPReset)
}

// leftovers are connections that a probe has done with and another may use, one per address.
type leftovers struct {
	mu    sync.Mutex // guards the fields below
	links map[netip.AddrPort]*link
	over  bool
}

func (f *leftovers) take(addr netip.AddrPort) *link {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.links[addr]
	delete(f.links, addr)
	return l
}

// give leaves a connection to the next probe of the address if it can carry another request, and closes it
// else.
func (f *leftovers) give(addr netip.AddrPort, l *link, got *answer, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over || err != nil || got.cut || got.closes || l.reader.Buffered() > 0 || f.links[addr] != nil {
		l.close()
		return
	}
	if f.links == nil {
		f.links = map[netip.AddrPort]*link{}
	}
	f.links[addr] = l
}

func (f *leftovers) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	for _, l := range f.links {
		l.close()
	}
}
