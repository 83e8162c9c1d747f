package engine_test

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/upgrade"
)

// leases keeps jobs in memory by the rules of upgrade.Job, so that engines can be tested where time is
// not real. The database's clock is time.Now.
type leases struct {
	woken chan struct{}

	mu      sync.Mutex // guards the fields below
	jobs    map[upgrade.JobID]*lease
	steps   []upgrade.Step // committed
	beats   int
	retries []time.Time // the times given to Retry
	fail    func(call string) error
}

type lease struct {
	upgrade.Job
	wake         time.Time
	parked, over bool
	owner        string
	until        time.Time
	told         int64
}

func newLeases() *leases {
	return &leases{woken: make(chan struct{}, 1), jobs: map[upgrade.JobID]*lease{}}
}

// add makes a job that is due.
func (l *leases) add(id upgrade.JobID, kind upgrade.JobKind, subject string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jobs[id] = &lease{Job: upgrade.Job{ID: id, Kind: kind, Subject: subject}, wake: time.Now()}
	l.signalLocked()
}

func (l *leases) wake(id upgrade.JobID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	job := l.jobs[id]
	job.Wakes++
	job.parked, job.over, job.wake = false, false, time.Now()
	l.signalLocked()
}

func (l *leases) signalLocked() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

func (l *leases) failsLocked(call string) error {
	if l.fail == nil {
		return nil
	}
	return l.fail(call)
}

func (l *leases) setFail(fail func(call string) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = fail
}

func (l *leases) Woken() <-chan struct{} { return l.woken }

func (l *leases) Recover(context.Context) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, job := range l.jobs {
		if job.owner != "" {
			job.owner, job.until = "", time.Time{}
			n++
		}
	}
	return n, l.failsLocked("recover")
}

func (l *leases) Claim(_ context.Context, worker string, d time.Duration, now time.Time) (upgrade.Job, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.failsLocked("claim"); err != nil {
		return upgrade.Job{}, false, err
	}
	var due []*lease
	for _, job := range l.jobs {
		if !job.over && !job.parked && !job.wake.After(now) && job.until.Before(time.Now()) {
			due = append(due, job)
		}
	}
	if len(due) == 0 {
		return upgrade.Job{}, false, nil
	}
	job := slices.MinFunc(due, func(a, b *lease) int { return cmp.Or(a.wake.Compare(b.wake), cmp.Compare(a.ID, b.ID)) })
	job.Fence++
	job.owner, job.until, job.told = worker, time.Now().Add(d), job.Wakes
	return job.Job, true, nil
}

func (l *leases) Heartbeat(_ context.Context, worker string, d time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.failsLocked("heartbeat"); err != nil {
		return err
	}
	l.beats++
	for _, job := range l.jobs {
		if job.owner == worker {
			job.until = time.Now().Add(d)
		}
	}
	return nil
}

func (l *leases) Nudged(_ context.Context, worker string) ([]upgrade.JobID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []upgrade.JobID
	for id, job := range l.jobs {
		if job.owner == worker && job.Wakes > job.told {
			job.told = job.Wakes
			ids = append(ids, id)
		}
	}
	return ids, l.failsLocked("nudged")
}

// heldLocked returns the job if it is held under that fence.
func (l *leases) heldLocked(job upgrade.Job) (*lease, error) {
	held := l.jobs[job.ID]
	if held == nil || held.owner == "" || held.Fence != job.Fence {
		return nil, &upgrade.Error{Code: upgrade.CodeStale, Msg: "lost"}
	}
	return held, nil
}

func (l *leases) Retry(_ context.Context, job upgrade.Job, at time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.failsLocked("retry"); err != nil {
		return err
	}
	held, err := l.heldLocked(job)
	if err != nil {
		return err
	}
	held.Attempt++
	held.owner, held.until, held.wake = "", time.Time{}, at
	l.retries = append(l.retries, at)
	l.signalLocked()
	return nil
}

func (l *leases) Commit(_ context.Context, job upgrade.Job, now time.Time, step upgrade.Step) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.failsLocked("commit"); err != nil {
		return err
	}
	held, err := l.heldLocked(job)
	if err != nil {
		return err
	}
	held.Attempt = 0
	l.steps = append(l.steps, step)
	if step.Next.Do == upgrade.NextKeep {
		return nil
	}
	held.owner, held.until, held.wake = "", time.Time{}, now
	if held.Wakes == job.Wakes {
		held.over = step.Next.Do == upgrade.NextEnd
		held.parked = step.Next.Do == upgrade.NextPark && step.Next.At.IsZero()
		if step.Next.Do == upgrade.NextPark {
			held.wake = step.Next.At
		}
	}
	if !held.over { // the end of a job makes nothing due
		l.signalLocked()
	}
	return nil
}

// see runs fn while nothing changes.
func (l *leases) see(fn func(l *leases)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn(l)
}

// countingClock counts who works.
type countingClock struct {
	upgrade.SystemClock
	working atomic.Int64
}

func (c *countingClock) Begin() (end func()) {
	c.working.Add(1)
	return func() { c.working.Add(-1) }
}

// records keeps what is logged.
type records struct {
	mu  sync.Mutex // guards all
	all []slog.Record
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }
func (r *records) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *records) WithGroup(string) slog.Handler            { return r }

func (r *records) Handle(_ context.Context, record slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, record)
	return nil
}

// count returns how many lines have the message, or give it as what a job was given back because of.
func (r *records) count(message string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, record := range r.all {
		found := record.Message == message
		record.Attrs(func(a slog.Attr) bool {
			found = found || a.Key == "because" && a.Value.String() == message
			return true
		})
		if found {
			n++
		}
	}
	return n
}

// bench is an engine at work on leases in memory.
type bench struct {
	*leases
	clock *countingClock
	log   *records
	stop  func() // stops the engine and waits
}

// run starts an engine whose run jobs go to the handler. Retries are not spread. It is stopped with the
// test, at the latest.
func run(t *testing.T, handler engine.Handler, change ...func(*engine.Config)) *bench {
	t.Helper()
	b := &bench{leases: newLeases(), clock: &countingClock{}, log: &records{}}
	b.start(t, handler, change...)
	return b
}

func (b *bench) start(t *testing.T, handler engine.Handler, change ...func(*engine.Config)) {
	t.Helper()
	cfg := engine.Config{
		Leases: b.leases, Clock: b.clock, Log: slog.New(b.log), Worker: "w",
		Handlers: map[upgrade.JobKind]engine.Handler{upgrade.JobRun: handler},
		Random:   func() float64 { return 0.5 },
	}
	for _, f := range change {
		f(&cfg)
	}
	e, err := engine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if err := e.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	b.stop = func() {
		cancel()
		done.Wait()
		if n := b.clock.working.Load(); n != 0 {
			t.Errorf("%d brackets of the clock are open after the stop", n)
		}
	}
	t.Cleanup(func() { b.stop() })
}

// job adds a run job that is due.
func (b *bench) job(subject string) upgrade.JobID {
	id := upgrade.JobFor(upgrade.JobRun, subject)
	b.add(id, upgrade.JobRun, subject)
	return id
}
