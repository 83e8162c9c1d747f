package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// climb climbs a ladder once.
func (a *Agent) climb(ctx context.Context, w *work, order wire.Order) error {
	path, err := a.path(w, *order.Climb)
	if err != nil {
		return err
	}
	if err := a.cfg.Policy.reachable(ctx, a.cfg.Resolver, path); err != nil {
		return a.refusal(err)
	}
	ladders, err := a.prober.Climb(ctx, path)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	w.ladders = ladders
	return nil
}

// refusal names the agent that refuses.
func (a *Agent) refusal(err error) error {
	return &upgrade.Error{
		Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("agent %s refuses: %s", a.id.Name, upgrade.Public(err)), Hint: upgrade.HintOf(err),
	}
}

// path returns the path with the authority's certificates where this machine can read them, until the work has ended.
func (a *Agent) path(w *work, path probe.Path) (probe.Path, error) {
	path.CAFile = ""
	if len(w.order.CA) == 0 {
		return path, nil
	}
	if len(w.order.CA) > mostAuthority {
		return path, &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the authority's certificates are %d KiB, and agents take %d KiB at most", len(w.order.CA)>>10, mostAuthority>>10),
			Hint: "name a file in ca_file with only those certificates that the site needs",
		}
	}
	sum := sha256.Sum256(w.order.CA)
	path.CAFile = filepath.Join(a.cfg.Data, authorityMark+hex.EncodeToString(sum[:16])+".pem")
	a.mu.Lock()
	defer a.mu.Unlock()
	w.ca = path.CAFile
	return path, writeWhole(path.CAFile, w.order.CA)
}

// Certificates of authorities are files for as long as somebody uses them.
const (
	authorityMark = "ca-"
	mostAuthority = 256 << 10 // bytes
)

// dropLocked removes the certificates of a work that has ended, if no other uses them.
func (a *Agent) dropLocked(w *work) {
	file := w.ca
	if w.ca = ""; file == "" {
		return
	}
	for _, other := range a.works {
		if other.ca == file {
			return
		}
	}
	_ = os.Remove(file) // the next start removes what is left
}

// removeAuthorities removes what an earlier start left behind.
func (a *Agent) removeAuthorities() {
	files, _ := filepath.Glob(filepath.Join(a.cfg.Data, authorityMark+"*.pem")) // the pattern is whole
	for _, file := range files {
		_ = os.Remove(file) // it is in nobody's way
	}
}

// watch sends a stream until it is stopped, for as long as the policy allows. One that has samples already goes on.
func (a *Agent) watch(ctx context.Context, w *work) error {
	stream := *w.order.Stream
	err := limitsFit(a.id.Name, stream.Limits)
	if err != nil {
		return err
	}
	if stream.Path, err = a.path(w, stream.Path); err != nil {
		return err
	}
	if err := a.cfg.Policy.reachable(ctx, a.cfg.Resolver, stream.Path); err != nil {
		return a.refusal(err)
	}
	var shift time.Duration
	if w.revived {
		if shift, err = a.gap(ctx, w); err != nil {
			return err
		}
	}
	limited, cancel := context.WithTimeoutCause(ctx, a.cfg.Policy.MaxDuration-shift, errTooLong)
	defer cancel()
	measuring := make(chan struct{})
	go func() { // ends within the limits of a few calls
		defer close(measuring)
		a.compare(ctx, w)
	}()
	broken := make(chan error, 1)
	err = a.prober.Stream(limited, stream, func(s probe.Sample) {
		s.Sched, s.Start, s.End = s.Sched+shift, s.Start+shift, s.End+shift
		if err := a.keep(w, s); err != nil {
			select {
			case broken <- err:
			default:
			}
			cancel()
		}
	})
	<-measuring
	a.compareAgain(ctx)
	select {
	case err = <-broken:
	default:
		if err == nil && errors.Is(context.Cause(limited), errTooLong) {
			err = &upgrade.Error{
				Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("agent %s watches for %s at most, and that is over", a.id.Name, a.cfg.Policy.MaxDuration),
				Hint: "start it with a longer --max-duration, or make the apply shorter",
			}
		}
	}
	return err
}

// settleAfter is how many samples say when a stream began; fewer do when they are rare.
const (
	settleAfter  = 20
	settleWithin = 3 * time.Second
)

// keep keeps a sample. Error: CodeUnavailable when there is no room.
func (a *Agent) keep(w *work, s probe.Sample) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	// No sample ends before it is told, so the earliest that these say is when the stream began.
	if n := w.buf.count(); n < settleAfter && !w.revived {
		if began := a.cfg.Now().Add(-s.End); w.began.IsZero() || began.Before(w.began) {
			w.began = began
		}
	}
	if !w.buf.add(s) {
		return nil
	}
	if err := w.buf.pack(); err != nil {
		return err
	}
	return a.roomLocked()
}

// roomLocked makes room by forgetting what ended longest ago. Error: CodeUnavailable when there is none to make.
func (a *Agent) roomLocked() error {
	for {
		used := 0
		var oldest *work
		for _, w := range a.works {
			used += w.buf.bytes
			if w.state != wire.StateRunning && (oldest == nil || w.endedAt.Before(oldest.endedAt)) {
				oldest = w
			}
		}
		switch {
		case used <= a.cfg.MaxMemory:
			return nil
		case oldest == nil:
			return &upgrade.Error{
				Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("agent %s has no room for more samples beyond %d MiB", a.id.Name, a.cfg.MaxMemory>>20),
				Hint: "watch less, or for a shorter time",
			}
		}
		a.forgetLocked(oldest)
	}
}

// forgetLocked forgets a work, and what is kept of it.
func (a *Agent) forgetLocked(w *work) {
	delete(a.works, w.id)
	if w.journal != nil {
		a.gone = append(a.gone, w.journal)
		signal(a.ordered)
	}
}

// compareAgain compares clocks at the end of a stream: a gate that does not answer is not waited for.
func (a *Agent) compareAgain(ctx context.Context) {
	a.mu.Lock()
	closing := a.closing
	a.mu.Unlock()
	if closing {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupWithin)
	defer cancel()
	a.compare(ctx, nil)
}

// compare compares clocks; for a work that has begun, it settles when that was by the gate's clock, as soon
// as the gate can be asked.
func (a *Agent) compare(ctx context.Context, w *work) {
	back := backoff{}
	for {
		m, err := a.call.measure(ctx)
		a.mu.Lock()
		if err == nil {
			if w != nil {
				w.measured = true
			}
			a.facts.Offset, a.facts.RTT, a.facts.MeasuredAt = m.offset, m.rtt, a.call.gateTime(a.cfg.Now()).UTC()
		}
		a.mu.Unlock()
		if err == nil || w == nil || ctx.Err() != nil {
			return
		}
		if a.cfg.Clock.Sleep(ctx, back.next(0)) != nil {
			return
		}
	}
}
