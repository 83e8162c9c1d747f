// Package storetest is the suite that every database behind store.Store must pass. Call Run from a
// test of its own: the suite starts that test again in processes that it kills.
package storetest

import (
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
)

// childKey names the variable that makes Run a child process of the suite: the address of the database.
const childKey = "UPGRADEGATE_STORETEST_CHILD"

// Run tests a database. fresh returns the address of a new, empty one, for store.Config.
func Run(t *testing.T, fresh func(t *testing.T) string) {
	t.Helper()
	if url := os.Getenv(childKey); url != "" { //nolint:forbidigo // the only way to tell a test binary what it is for
		deliverForEver(t, url)
		return
	}
	for _, group := range []map[string]func(*bench){
		intakeTests(), leaseTests(), wakeTests(), runTests(), rowTests(), listTests(), raceTests(), givenTests(), verifyTests(), stateTests(), agentTests(), hookTests(), standingTests(), accessTests(), keyedPostTests(),
	} {
		for name, test := range group {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(newBench(t, fresh(t)))
			})
		}
	}
	t.Run("kill_in_the_middle_of_deliveries", func(t *testing.T) { testKill(t, fresh(t)) })
}

// lease is long enough for any test to end before it does.
const lease = time.Minute

// bench is a store with a job in hand under which anything may be written.
type bench struct {
	*store.Store
	t    *testing.T // of the test that it was made for
	url  string
	now  time.Time // world time; has nothing to do with the database's
	pen  upgrade.Job
	held map[upgrade.JobID]upgrade.Job
}

func newBench(t *testing.T, url string) *bench {
	t.Helper()
	b := &bench{t: t, url: url, now: time.Date(2030, 5, 6, 7, 8, 9, 0, time.UTC), held: map[upgrade.JobID]upgrade.Job{}}
	b.open(t)
	if err := b.Ensure(t.Context(), "periodic/pen", b.now); err != nil {
		t.Fatal(err)
	}
	b.pen = b.take(t, "periodic/pen")
	return b
}

func (b *bench) open(t *testing.T) {
	t.Helper()
	s := open(t, b.url)
	b.Store = s
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func open(t *testing.T, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{URL: url, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// claim claims the next job that is due.
func (b *bench) claim(t *testing.T) (upgrade.Job, bool) {
	t.Helper()
	job, ok, err := b.Claim(t.Context(), "w", lease, b.now)
	if err != nil {
		t.Fatal(err)
	}
	return job, ok
}

// none fails the test if any job is due.
func (b *bench) none(t *testing.T) {
	t.Helper()
	if job, ok := b.claim(t); ok {
		t.Fatalf("claimed %s, want nothing due", job.ID)
	}
}

// take claims that job, and whatever is due before it.
func (b *bench) take(t *testing.T, id upgrade.JobID) upgrade.Job {
	t.Helper()
	for {
		if job, ok := b.held[id]; ok {
			delete(b.held, id)
			return job
		}
		job, ok := b.claim(t)
		if !ok {
			t.Fatalf("job %s is not due", id)
		}
		b.held[job.ID] = job
	}
}

// settle claims whatever is due and parks it until it is woken, so that a test sees only what it wakes.
func (b *bench) settle(t *testing.T) {
	t.Helper()
	for {
		job, ok := b.claim(t)
		if !ok {
			break
		}
		b.held[job.ID] = job
	}
	for _, job := range b.held {
		b.must(t, job, upgrade.Step{Next: upgrade.ParkUntilWoken()})
	}
	clear(b.held)
	b.none(t)
}

// write commits under the pen.
func (b *bench) write(t *testing.T, step upgrade.Step) error {
	t.Helper()
	return b.Commit(t.Context(), b.pen, b.now, step)
}

// must commits under the job and fails the test on an error.
func (b *bench) must(t *testing.T, job upgrade.Job, step upgrade.Step) {
	t.Helper()
	if err := b.Commit(t.Context(), job, b.now, step); err != nil {
		t.Fatal(err)
	}
}

// start starts a run of the stack with the tree and returns it as stored.
func (b *bench) start(t *testing.T, stack upgrade.StackName, tree upgrade.Tree) upgrade.Run {
	t.Helper()
	b.must(t, b.pen, upgrade.Step{Starts: []upgrade.Run{{
		ProjectID: 7, Project: "platform/x", Stack: stack, Environment: "staging", Tree: tree, Commit: "c-" + upgrade.Commit(tree),
		Reason: "push to staging",
	}}})
	runs, err := b.Runs(t.Context(), upgrade.RunFilter{Stack: stack, Tree: tree, Limit: 1})
	if err != nil || len(runs) != 1 {
		t.Fatalf("started run: %v, %v", runs, err)
	}
	return runs[0]
}

// move takes the run through phases and returns it as stored.
func (b *bench) move(t *testing.T, run upgrade.Run, phases ...upgrade.Phase) upgrade.Run {
	t.Helper()
	for _, phase := range phases {
		run.Phase = phase
		b.must(t, b.pen, upgrade.Step{Runs: []upgrade.Run{run}})
		run = b.run(t, run.ID)
	}
	return run
}

func (b *bench) run(t *testing.T, id upgrade.RunID) upgrade.Run {
	t.Helper()
	run, err := b.Run(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func (b *bench) events(t *testing.T, id upgrade.RunID) []upgrade.Event {
	t.Helper()
	events, err := b.Events(t.Context(), upgrade.EventFilter{Run: id})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// kinds returns what the run's journal holds, in order.
func (b *bench) kinds(t *testing.T, id upgrade.RunID) []upgrade.EventKind {
	t.Helper()
	var kinds []upgrade.EventKind
	for _, e := range b.events(t, id) {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// refused fails the test unless the error has the code.
func refused(t *testing.T, err error, want upgrade.Code) {
	t.Helper()
	if err == nil {
		t.Fatalf("went through, want %s", want)
	}
	if got := upgrade.CodeOf(err); got != want {
		t.Fatalf("refused with %s (%v), want %s", got, err, want)
	}
}

// ticked reports whether the channel has a signal, and takes it.
func ticked(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
