package agent

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// saving keeps watches on the disk until done is closed, and once more then.
func (a *Agent) saving(ctx context.Context, done <-chan struct{}) {
	if a.cfg.State == "" {
		return
	}
	ticker := time.NewTicker(packEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-a.ordered:
		case <-done:
			a.save(ctx)
			return
		}
		a.save(ctx)
	}
}

// saved is what is to be written of one watch.
type saved struct {
	*journal
	ordered ordered
	chunks  []chunk
	mark    mark
}

// save writes what is new of each watch, and removes those that nobody will ask for.
func (a *Agent) save(ctx context.Context) {
	a.mu.Lock()
	gone := a.gone
	a.gone = nil
	var list []saved
	for _, w := range a.works {
		if w.journal == nil || w.journal.lost {
			continue
		}
		if err := w.buf.pack(); err != nil {
			continue // its end says so
		}
		list = append(list, saved{w.journal, ordered{a.id.Name, w.origin, w.order}, w.buf.chunks[w.journal.saved:], a.markLocked(w)})
		w.journal.saved = len(w.buf.chunks)
	}
	a.mu.Unlock()
	for _, j := range gone {
		if err := j.remove(); err != nil {
			a.cfg.Log.WarnContext(ctx, "the state of a watch cannot be removed", "file", j.file, "err", err)
		}
	}
	for _, s := range list {
		var err error
		if s.out == nil {
			err = s.begin(s.ordered)
		}
		if err == nil {
			err = s.add(s.chunks, s.mark)
		}
		if err != nil {
			a.cfg.Log.WarnContext(ctx, "a watch cannot be kept: it goes on, and would not outlive a restart of this agent", "order", s.ordered.Order.ID, "err", err)
			a.mu.Lock()
			s.lost = true
			a.mu.Unlock()
			_ = s.remove() // a part of it would be worse than nothing
			continue
		}
		if n := len(s.chunks); n > 0 {
			a.mu.Lock()
			s.kept = s.chunks[n-1].first + s.chunks[n-1].n
			a.mu.Unlock()
			signal(a.packed)
		}
	}
}

func (a *Agent) markLocked(w *work) mark {
	m := mark{Epoch: w.listed, Began: w.began, Begun: w.begun}
	if a.cfg.Uptime != nil && !w.began.IsZero() {
		boot, up := a.cfg.Uptime()
		m.Boot, m.Up = boot, (up - a.cfg.Now().Sub(w.began)).Truncate(time.Millisecond)
		if w.marked.Boot == boot && (w.marked.Up-m.Up).Abs() < 50*time.Millisecond {
			m.Up = w.marked.Up // the same, as well as it is known
		}
	}
	if w.state != wire.StateRunning && !w.interrupted {
		m.Ended, m.Failure = w.endedAt, w.failure
	}
	w.marked = m
	return m
}

// resume goes on with the watches that an earlier start of this agent was told to. The time between is blind.
func (a *Agent) resume(ctx context.Context) error {
	if a.cfg.State == "" {
		a.cfg.Log.InfoContext(ctx, "no folder for state: a watch that is going on when this agent is restarted is lost, and its gate could not tell")
		return nil
	}
	if err := os.MkdirAll(a.cfg.State, 0o700); err != nil {
		return fmt.Errorf("make the folder for state: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(a.cfg.State, journalMark+"*"))
	if err != nil {
		return fmt.Errorf("look into the folder for state: %w", err)
	}
	slices.Sort(files)
	left := a.cfg.MaxMemory
	for _, file := range files {
		if !strings.HasSuffix(file, journalEnd) {
			_ = os.Remove(file) // never finished
			continue
		}
		t, err := a.reopen(file, left)
		if err != nil {
			a.cfg.Log.WarnContext(ctx, "what was kept of a watch is of no use and is removed", "file", file, "err", err)
			_ = os.Remove(file) // it would be found again at the next start, and said again
			continue
		}
		w := a.revived(t)
		left -= w.buf.bytes
		a.mu.Lock()
		a.works[w.id] = w
		if w.state == wire.StateRunning {
			a.goOnLocked(ctx, w)
		}
		a.mu.Unlock()
	}
	return nil
}

// reopen reads a journal and cuts off what is not whole.
func (a *Agent) reopen(file string, left int) (told, error) {
	in, err := os.Open(file) //nolint:gosec // the folder is the operator's own
	if err != nil {
		return told{}, fmt.Errorf("read: %w", err)
	}
	defer func() { _ = in.Close() }() // read only
	t, err := readJournal(in, left)
	switch {
	case err != nil:
		return t, err
	case t.Agent != a.id.Name:
		return t, fmt.Errorf("it is of agent %s", t.Agent)
	case len(a.works) >= 4*wire.MaxWorks:
		return t, fmt.Errorf("there are more than %d", 4*wire.MaxWorks)
	}
	return t, os.Truncate(file, t.good)
}

// revived is the work of a journal.
func (a *Agent) revived(t told) *work {
	w := &work{
		id: t.Order.ID, order: t.Order, origin: t.Origin, stream: true, revived: len(t.chunks) > 0, every: t.Order.Stream.Every,
		done: make(chan struct{}), stop: func() {}, state: wire.StateRunning, next: nobody, listed: t.mark.Epoch, begun: t.mark.Begun,
		buf: buffer{chunks: t.chunks}, journal: newJournal(a.cfg.State, t.Order.ID),
	}
	if w.revived {
		w.began = a.cfg.Now().Add(-a.age(t.mark))
	}
	w.journal.saved = len(t.chunks)
	for _, c := range t.chunks {
		w.buf.first, w.buf.bytes = c.first+c.n, w.buf.bytes+len(c.packed)
	}
	w.journal.kept, w.restored = w.buf.first, w.buf.first
	if err := w.journal.open(); err != nil {
		w.journal.lost = true
	}
	if t.mark.Ended.IsZero() {
		return w
	}
	close(w.done)
	w.state, w.endedAt, w.failure, w.measured = wire.StateEnded, t.mark.Ended, t.mark.Failure, true
	if w.failure != nil {
		w.state = wire.StateFailed
	}
	return w
}

// age returns how long ago it began.
func (a *Agent) age(m mark) time.Duration {
	if a.cfg.Uptime != nil {
		if boot, up := a.cfg.Uptime(); boot != "" && boot == m.Boot {
			return up - m.Up // whatever happened to the clock
		}
	}
	return a.cfg.Now().Sub(m.Began)
}

// goOnLocked probes again for a work that an earlier start began.
func (a *Agent) goOnLocked(ctx context.Context, w *work) {
	running := a.rateLocked() - w.rate()
	a.goLocked(ctx, w, func(ctx context.Context) error {
		if err := a.cfg.Policy.rateFits(a.id.Name, running, w.every); err != nil {
			return err // it may have been started with a smaller one
		}
		return a.watch(ctx, w)
	})
}

// gap tells that nobody probed since the last sample of a work that goes on, at every address that was probed last
// and for lookups, and returns how long after its beginning it goes on. Error: CodeUnavailable when that cannot be known.
func (a *Agent) gap(ctx context.Context, w *work) (time.Duration, error) {
	a.mu.Lock()
	chunks, since := w.buf.chunks, a.cfg.Now().Sub(w.began)
	a.mu.Unlock()
	last, err := lastOf(chunks, w.every)
	if err != nil {
		return 0, err
	}
	var upTo time.Duration
	for _, at := range last {
		upTo = max(upTo, at)
	}
	if since <= upTo {
		return 0, &upgrade.Error{
			Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("agent %s was restarted and its clock went back meanwhile, so nobody knows for how long it did not look", a.id.Name),
			Hint: "keep its clock with NTP, and rehearse again",
		}
	}
	a.cfg.Log.WarnContext(ctx, "going on with a watch; the time since is blind", "order", w.id, "blind", (since - upTo).Round(time.Millisecond))
	for addr, at := range last {
		from := at + w.every
		if !addr.IsValid() {
			from = at + probe.LookupEvery
		}
		if from < since {
			if err := a.keep(w, probe.Sample{Sched: from, Start: since, End: since, Address: addr, Class: probe.ClassStalled}); err != nil {
				return 0, err
			}
		}
	}
	return since, nil
}

// What of the end of a stream says where was probed last: all of this time, and no more chunks than this.
const (
	lookBack = 4 * time.Second
	backMost = 64
)

// lastOf returns when the last probe of each address was due that was probed at the end of the chunks.
func lastOf(chunks []chunk, every time.Duration) (map[netip.AddrPort]time.Duration, error) {
	last := map[netip.AddrPort]time.Duration{}
	var end time.Duration
	for i, c := range slices.Backward(chunks) {
		samples, err := wire.Unpack(c.packed)
		if err != nil {
			return nil, fmt.Errorf("read what was kept: %w", err)
		}
		first := time.Duration(1<<63 - 1)
		for _, s := range samples {
			first, end = min(first, s.Sched), max(end, s.Sched)
			if at, known := last[s.Address]; !known || s.Sched > at {
				last[s.Address] = s.Sched
			}
		}
		if first < end-max(lookBack, 4*every) || len(chunks)-i >= backMost {
			break
		}
	}
	for addr, at := range last {
		if addr.IsValid() && at < end-max(lookBack, 4*every) {
			delete(last, addr) // DNS had dropped it
		}
	}
	return last, nil
}
