package vantages

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// maxQueue is how many deliveries wait for who asked for them.
const maxQueue = 64

// lateBy is how much later than asked an agent may begin a stream before it counts as not having watched.
const lateBy = 5 * time.Second

// finishWithin bounds how long a stream may take to come in after it was stopped, beyond silence: what was
// kept over an hour is there in seconds.
const finishWithin = 2 * time.Minute

// maxAddresses bounds how many addresses one stream may speak of.
const maxAddresses = 64

// work is something that is wanted of an agent. The room's mutex guards it.
type work struct {
	order  wire.Order
	since  time.Time  // when it was ordered
	report *wire.Work // the agent's last; nil: none
	queue  [][]probe.Sample
	next   int64
	begun  int64         // by the gate's clock, nanoseconds since 1970, as samples said it
	origin string        // of the beginning that the agent speaks of; empty: it has not spoken yet
	lost   bool          // the agent speaks of another beginning: it was restarted in the middle
	news   chan struct{} // has a value when something came
}

func (w *work) tellLocked() {
	select {
	case w.news <- struct{}{}:
	default: // one is waiting already
	}
}

// Prober probes at a vantage.
type Prober struct {
	room *Room
	name upgrade.AgentName
}

// Clock returns how the agent's clock compared with the gate's when that was measured last, which is at the
// beginning and the end of each stream: the difference, and how far off it may be. measured is false while nobody
// did.
func (p *Prober) Clock() (offset, within time.Duration, measured bool) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	f := p.room.agents[p.name].row.Facts
	return f.Offset, f.RTT / 2, !f.MeasuredAt.IsZero()
}

// begin orders something of the agent. CodeUnavailable, CodeLimited, CodeConflict.
func (p *Prober) begin(order wire.Order) (*work, error) {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.agents[p.name]
	switch {
	case !a.row.Enrolled():
		return nil, p.notEnrolledLocked(a)
	case len(a.works) >= wire.MaxWorks:
		return nil, &upgrade.Error{Code: upgrade.CodeLimited, Msg: fmt.Sprintf("agent %s has %d orders already", p.name, len(a.works))}
	case a.works[order.ID] != nil:
		return nil, &upgrade.Error{Code: upgrade.CodeConflict, Msg: fmt.Sprintf("agent %s watches this already", p.name)}
	}
	w := &work{order: order, since: r.now(), news: make(chan struct{}, 1)}
	a.works[order.ID] = w
	a.changedLocked()
	return w, nil
}

func (p *Prober) notEnrolledLocked(a *agent) error {
	msg := fmt.Sprintf("agent %s is not enrolled", p.name)
	if !a.row.RevokedAt.IsZero() {
		msg = fmt.Sprintf("agent %s was revoked by %s", p.name, a.row.RevokedBy)
	}
	return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: msg, Hint: fmt.Sprintf("run `upgradegate vantage enrol %s`, and start the agent with the token", p.name)}
}

// end takes an order back.
func (p *Prober) end(w *work) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	a := p.room.agents[p.name]
	delete(a.works, w.order.ID)
	a.changedLocked()
}

// silence returns how long the agent may yet be silent before it counts as gone, and what to say then.
func (p *Prober) silence(asked time.Time) (time.Duration, error) {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.agents[p.name]
	if !a.row.Enrolled() {
		return 0, p.notEnrolledLocked(a)
	}
	since := asked
	if a.heard.After(since) {
		since = a.heard
	}
	left := since.Add(r.cfg.Gone).Sub(r.now())
	gone := &upgrade.Error{
		Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("agent %s has never been heard", p.name),
		Hint: "start `upgradegate agent` there, and look at its log",
	}
	if !a.row.HeardAt.IsZero() {
		gone.Msg = fmt.Sprintf("agent %s has not been heard since %s", p.name, a.row.HeardAt.UTC().Format("2 Jan 15:04:05 MST"))
	}
	return left, gone
}

// authority reads the certificates that a path names by a file of this host.
func authority(path *probe.Path) ([]byte, error) {
	if path.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path.CAFile)
	if err != nil {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the certificates in " + path.CAFile + " cannot be read", Cause: err}
	}
	path.CAFile = ""
	return pem, nil
}

// Climb has the agent climb the ladder of a path. Errors as of a prober here, and CodeUnavailable when the
// agent is gone, CodeForbidden when it refuses.
func (p *Prober) Climb(ctx context.Context, path probe.Path) ([]probe.Ladder, error) {
	ca, err := authority(&path)
	if err != nil {
		return nil, err
	}
	w, err := p.begin(wire.Order{ID: "climb-" + rand.Text(), Climb: &path, CA: ca})
	if err != nil {
		return nil, err
	}
	defer p.end(w)
	asked := p.room.now()
	for {
		p.room.mu.Lock()
		report := w.report
		p.room.mu.Unlock()
		if report != nil && report.State != wire.StateRunning {
			return p.climbed(report, path)
		}
		left, gone := p.silence(asked)
		if left <= 0 {
			return nil, gone
		}
		if err := await(ctx, w.news, left); err != nil {
			return nil, err
		}
	}
}

// climbed returns what came of a climb.
func (p *Prober) climbed(report *wire.Work, path probe.Path) ([]probe.Ladder, error) {
	if report.Failure != nil {
		return nil, report.Failure.Err()
	}
	if len(report.Ladders) == 0 {
		return nil, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("agent %s came back with nothing", p.name), Hint: "look at its log"}
	}
	for i := range report.Ladders {
		looked := func(r probe.Rung) bool { return r.State == probe.RungOK || r.State == probe.RungBroken }
		if !slices.ContainsFunc(report.Ladders[i].Rungs, looked) && len(report.Ladders[i].Doors) == 0 {
			return nil, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("agent %s came back without having looked", p.name), Hint: "look at its log"}
		}
		report.Ladders[i].Vantage = probe.Vantage(p.name)
	}
	if !knocked(report.Ladders, path.Closed) {
		return nil, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("agent %s does not say of every port whether it is closed", p.name), Hint: "run the same version of upgradegate on both sides, and look at its log"}
	}
	return report.Ladders, nil
}

// knocked reports whether every door was tried, or it is plain that something is broken: silence is no proof of
// anything.
func knocked(ladders []probe.Ladder, doors []probe.Door) bool {
	tried := map[netip.AddrPort]bool{}
	for _, l := range ladders {
		if _, broken := l.Broken(); broken {
			return true
		}
		for _, k := range l.Doors {
			tried[k.Address] = true
		}
	}
	for _, door := range doors {
		if door.Addr.IsValid() && !tried[netip.AddrPortFrom(door.Addr.Unmap(), door.Port)] {
			return false
		}
		for _, l := range ladders {
			if !door.Addr.IsValid() && l.Address.IsValid() && !tried[netip.AddrPortFrom(l.Address.Addr(), door.Port)] {
				return false
			}
		}
	}
	return true
}

// await waits for news, for at most d.
func await(ctx context.Context, news <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-news:
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// open keeps that a stream is asked for. One that this very process asked for before is over: it begins anew.
func (p *Prober) open(ctx context.Context, o upgrade.AgentOpen) (upgrade.AgentOpen, error) {
	p.room.mu.Lock()
	anew := p.room.asked[o.ID]
	p.room.asked[o.ID] = true
	p.room.mu.Unlock()
	return p.room.cfg.Store.OpenStream(ctx, o, anew)
}

// Stream has the agent send a stream until ctx ends, and returns when all of it has come in. Times count from
// when the stream was asked for, by the gate's clock; they are right within half of the RTT that the agent
// reports. A stream with an ID that was asked for before, by a gate that was restarted since, goes on: its
// samples come from the first, and times count from the first asking. Asked for again by the same process it begins anew. While it goes on the agent may be silent:
// what it saw comes later.
//
// Error: CodeUnavailable when the agent is gone, or did not watch from the beginning; CodeForbidden when the
// order is beyond what it may do.
func (p *Prober) Stream(ctx context.Context, stream probe.Stream, each func(probe.Sample)) error {
	ca, err := authority(&stream.Path)
	if err != nil {
		return err
	}
	s := &streaming{Prober: p, each: each, asked: p.room.now(), addresses: map[netip.AddrPort]bool{}}
	s.open = upgrade.AgentOpen{ID: stream.ID, Agent: p.name, Begun: s.asked.UTC().Truncate(time.Millisecond)}
	if stream.ID == "" {
		s.open.ID = rand.Text()
	} else if s.open, err = p.open(ctx, s.open); err != nil {
		return fmt.Errorf("keep that %s is asked for: %w", stream.ID, err)
	}
	// A stream of the same name of another time is another one.
	order := wire.Order{ID: fmt.Sprintf("%s@%d", s.open.ID, s.open.Begun.UnixMilli()), Stream: &stream, CA: ca}
	if s.work, err = p.begin(order); err != nil {
		return err
	}
	defer p.end(s.work)
	return s.run(ctx)
}
