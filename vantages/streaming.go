package vantages

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// streaming is a Stream that is being asked for.
type streaming struct {
	*Prober
	work      *work
	open      upgrade.AgentOpen
	asked     time.Time // by this process
	each      func(probe.Sample)
	addresses map[netip.AddrPort]bool
	told      int64     // samples
	stopped   time.Time // zero: it goes on
}

// run tells what comes in until all of it has.
func (s *streaming) run(ctx context.Context) error {
	for {
		done, err := s.drain()
		if done || err != nil {
			return err
		}
		if ctx.Err() != nil && s.stopped.IsZero() {
			s.stop()
		}
		wait, err := s.patience()
		if err != nil {
			return err
		}
		waiting := ctx
		if !s.stopped.IsZero() {
			waiting = context.WithoutCancel(ctx)
		}
		_ = await(waiting, s.work.news, wait) // ended: the loop sees it
	}
}

// stop asks the agent to end the stream.
func (s *streaming) stop() {
	r := s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	s.stopped = r.now()
	s.work.order.Stop = true
	r.agents[s.name].changedLocked()
}

// patience returns how long to wait for news. A stream that goes on waits for an agent that is silent: it may
// only be cut off from the gate.
func (s *streaming) patience() (time.Duration, error) {
	left, gone := s.silence(s.asked)
	s.room.mu.Lock()
	begun := s.work.report != nil
	s.room.mu.Unlock()
	switch {
	case left == 0: // no longer enrolled
		return 0, gone
	case s.stopped.IsZero() && begun:
		return s.room.cfg.Gone, nil
	case left < 0:
		return 0, gone
	case !s.stopped.IsZero() && s.room.now().Sub(s.stopped) > finishWithin:
		return 0, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("agent %s did not deliver what it saw within %s", s.name, finishWithin), Hint: "look at its log"}
	}
	return left, nil
}

// drain tells the samples that came in, and reports whether they were the last.
func (s *streaming) drain() (done bool, err error) {
	for {
		s.room.mu.Lock()
		var samples []probe.Sample
		if len(s.work.queue) > 0 {
			samples = s.work.queue[0]
			s.work.queue = s.work.queue[1:]
		}
		begun, next, report, lost := s.work.begun, s.work.next, s.work.report, s.work.lost
		s.room.mu.Unlock()
		if lost {
			return true, s.restarted()
		}
		if samples == nil {
			return s.over(next, report)
		}
		late := time.Unix(0, begun).Sub(s.open.Begun)
		if late > lateBy {
			return true, s.tooLate(time.Unix(0, begun))
		}
		if err := s.tell(samples, max(0, late)); err != nil {
			return true, err
		}
	}
}

// over reports whether nothing more will come.
func (s *streaming) over(next int64, report *wire.Work) (bool, error) {
	switch {
	case report == nil:
		return false, nil
	case report.Failure != nil:
		return true, report.Failure.Err()
	case report.Begun != 0 && time.Unix(0, report.Begun).Sub(s.open.Begun) > lateBy:
		return true, s.tooLate(time.Unix(0, report.Begun))
	case report.State == wire.StateRunning:
		return false, nil
	case report.Count < next:
		return true, s.restarted()
	}
	return next == report.Count, nil
}

func (s *streaming) restarted() error {
	return &upgrade.Error{
		Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("agent %s was restarted in the middle, so what it saw before is lost", s.name),
		Hint: "give it a folder for state, which --state names, so that a watch outlives its restart; look at its log for why it was restarted",
	}
}

// tell tells samples, which the agent counts from its own beginning, as of when they were asked for.
func (s *streaming) tell(samples []probe.Sample, late time.Duration) error {
	now := s.room.now().Sub(s.open.Begun)
	if s.told += int64(len(samples)); s.told > mostSamples(s.work.order.Stream.Every, now) {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("agent %s tells of more probes than it can have sent in %s", s.name, now.Round(time.Second))}
	}
	for _, sample := range samples {
		if max(sample.Start, sample.Sched, sample.End)+late > now+lateBy {
			return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("agent %s tells of a time that has not come yet", s.name), Hint: "look at its log, and at its clock"}
		}
		if s.addresses[sample.Address] = true; len(s.addresses) > maxAddresses {
			return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("agent %s speaks of more than %d addresses of one name", s.name, maxAddresses)}
		}
		sample.Sched += late
		sample.Start += late
		sample.End += late
		s.each(sample)
	}
	return nil
}

// mostSamples bounds what a stream can have come to in a time: each address each time, and how often a prober that was
// held up says so.
func mostSamples(every, in time.Duration) int64 {
	const each, slack = 64, 10000
	return each*int64(in/max(every, time.Millisecond)+1) + slack
}

func (s *streaming) tooLate(begun time.Time) error {
	return &upgrade.Error{
		Code: upgrade.CodeUnavailable,
		Msg: fmt.Sprintf("agent %s watched only from %s on, and not from %s: it was restarted, or cut off from the gate",
			s.name, begun.UTC().Format("15:04:05 MST"), s.open.Begun.UTC().Format("15:04:05 MST")),
		Hint: "look at its log",
	}
}
