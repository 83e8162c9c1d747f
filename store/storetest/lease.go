package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

func leaseTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"claim_longest_waiting_first":        testClaimOrder,
		"claim_is_exclusive":                 testClaimExclusive,
		"claim_only_when_due":                testClaimDue,
		"claim_again_when_the_lease_is_over": testLeaseOver,
		"claim_needs_a_name":                 testClaimNameless,
		"fence_refuses_the_holder_before":    testFence,
		"heartbeat_keeps_the_lease":          testHeartbeat,
		"commit_after_release_is_refused":    testReleased,
		"retry_counts_and_waits":             testRetry,
		"commit_starts_the_count_again":      testAttemptReset,
		"next_wake":                          testNextWake,
		"recover":                            testRecover,
		"ensure":                             testEnsure,
		"wake_time_is_never_early":           testRoundUp,
	}
}

func (b *bench) ensure(t *testing.T, id upgrade.JobID, at time.Time) {
	t.Helper()
	if err := b.Ensure(t.Context(), id, at); err != nil {
		t.Fatal(err)
	}
}

// claimShort claims the next job for a lease that is over when it returns.
func (b *bench) claimShort(t *testing.T) upgrade.Job {
	t.Helper()
	job, ok, err := b.Claim(t.Context(), "w", time.Millisecond, b.now)
	if err != nil || !ok {
		t.Fatalf("claimed nothing (%v)", err)
	}
	pause(t, 20*time.Millisecond)
	return job
}

// pause lets the database's own clock go on: it is not a clock that a test could move.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d): //nolint:forbidigo // see above
	case <-t.Context().Done():
	}
}

func testClaimOrder(b *bench) {
	t := b.t
	for i := range 12 {
		b.deliver(t, upgrade.DeliveryID(fmt.Sprint(i)))
	}
	first, _ := b.claim(t)
	pause(t, 5*time.Millisecond)
	b.must(t, first, upgrade.Step{Next: upgrade.Go()})
	var got []upgrade.JobID
	for {
		job, ok := b.claim(t)
		if !ok {
			break
		}
		got = append(got, job.ID)
	}
	var want []upgrade.JobID
	for i := range 12 {
		want = append(want, upgrade.JobFor(upgrade.JobIntake, fmt.Sprint((i+1)%12)))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("claimed %v, want %v", got, want)
	}
}

func testClaimExclusive(b *bench) {
	t := b.t
	const jobs = 60
	for i := range jobs {
		b.deliver(t, upgrade.DeliveryID(fmt.Sprint(i)))
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	claimed := map[upgrade.JobID]int{}
	for w := range 6 {
		all.Go(func() {
			for {
				job, ok, err := b.Claim(t.Context(), fmt.Sprint("w", w), lease, b.now)
				if err != nil {
					t.Error(err)
				}
				if !ok {
					return
				}
				mu.Lock()
				claimed[job.ID]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(claimed) != jobs {
		t.Fatalf("%d jobs were claimed, want %d", len(claimed), jobs)
	}
	for id, n := range claimed {
		if n != 1 {
			t.Errorf("%s was claimed %d times", id, n)
		}
	}
}

func testClaimDue(b *bench) {
	t := b.t
	b.ensure(t, "periodic/later", b.now.Add(time.Hour))
	b.none(t)
	b.now = b.now.Add(time.Hour - time.Millisecond)
	b.none(t)
	b.now = b.now.Add(time.Millisecond)
	b.take(t, "periodic/later")
}

func testLeaseOver(b *bench) {
	t := b.t
	b.deliver(t, "d")
	before := b.claimShort(t)
	after, ok := b.claim(t)
	if !ok || after.ID != before.ID || after.Fence <= before.Fence {
		t.Fatalf("claimed %+v after %+v, want the same with a larger fence", after, before)
	}
}

func testClaimNameless(b *bench) {
	t := b.t
	if _, _, err := b.Claim(t.Context(), "", lease, b.now); err == nil {
		t.Fatal("a worker without a name holds a job")
	}
}

func testFence(b *bench) {
	t := b.t
	b.start(t, "s", "t")
	b.settle(t)
	b.deliver(t, "d")
	before := b.claimShort(t)
	after, _ := b.claim(t)
	refused(t, b.Commit(t.Context(), before, b.now, upgrade.Step{
		Events: []upgrade.Event{{Run: 1, Kind: upgrade.EventNote, Text: "by a ghost"}}, Next: upgrade.End(),
	}), upgrade.CodeStale)
	refused(t, b.Retry(t.Context(), before, b.now), upgrade.CodeStale)
	if kinds := b.kinds(t, 1); len(kinds) != 1 {
		t.Fatalf("the ghost wrote: %v", kinds)
	}
	b.must(t, after, upgrade.Step{Next: upgrade.End()})
	b.none(t)
}

func testHeartbeat(b *bench) {
	t := b.t
	b.deliver(t, "d")
	job, _, err := b.Claim(t.Context(), "w", 200*time.Millisecond, b.now)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Heartbeat(t.Context(), "w", lease); err != nil {
		t.Fatal(err)
	}
	if err := b.Heartbeat(t.Context(), "somebody else", time.Millisecond); err != nil {
		t.Fatal(err)
	}
	pause(t, 300*time.Millisecond)
	b.none(t)
	b.must(t, job, upgrade.Step{Next: upgrade.Go()})
	if err := b.Heartbeat(t.Context(), "w", lease); err != nil { // what was given back stays so
		t.Fatal(err)
	}
	b.take(t, "intake/d")
}

func testReleased(b *bench) {
	t := b.t
	b.deliver(t, "d")
	job := b.take(t, "intake/d")
	b.must(t, job, upgrade.Step{})
	b.must(t, job, upgrade.Step{Next: upgrade.ParkUntilWoken()})
	refused(t, b.Commit(t.Context(), job, b.now, upgrade.Step{}), upgrade.CodeStale)
	refused(t, b.Retry(t.Context(), job, b.now), upgrade.CodeStale)
}

func testRetry(b *bench) {
	t := b.t
	b.deliver(t, "d")
	if err := b.Retry(t.Context(), b.take(t, "intake/d"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	for attempt := 1; attempt < 4; attempt++ {
		job := b.take(t, "intake/d")
		if job.Attempt != attempt {
			t.Fatalf("attempt %d, want %d", job.Attempt, attempt)
		}
		if err := b.Retry(t.Context(), job, b.now.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		b.none(t)
		b.now = b.now.Add(time.Minute)
	}
}

func testAttemptReset(b *bench) {
	t := b.t
	b.deliver(t, "d")
	if err := b.Retry(t.Context(), b.take(t, "intake/d"), b.now); err != nil {
		t.Fatal(err)
	}
	b.must(t, b.take(t, "intake/d"), upgrade.Step{Next: upgrade.Go()})
	if job := b.take(t, "intake/d"); job.Attempt != 0 {
		t.Fatalf("attempt %d after a commit, want 0", job.Attempt)
	}
}

func testNextWake(b *bench) {
	t := b.t
	next := func(want time.Time, wantOK bool) {
		t.Helper()
		if at, ok, err := b.NextWake(t.Context()); err != nil || ok != wantOK || !at.Equal(want) {
			t.Fatalf("next wake %v %v (%v), want %v %v", at, ok, err, want, wantOK)
		}
	}
	next(time.Time{}, false) // the pen is held
	b.ensure(t, "periodic/b", b.now.Add(2*time.Hour))
	b.ensure(t, "periodic/a", b.now.Add(time.Hour))
	next(b.now.Add(time.Hour), true)
	b.now = b.now.Add(time.Hour)
	job := b.take(t, "periodic/a")
	next(b.now.Add(time.Hour), true)
	b.must(t, job, upgrade.Step{Next: upgrade.ParkUntilWoken()})
	next(b.now.Add(time.Hour), true)
	b.now = b.now.Add(time.Hour)
	b.must(t, b.take(t, "periodic/b"), upgrade.Step{Next: upgrade.End()})
	next(time.Time{}, false)
}

func testRecover(b *bench) {
	t := b.t
	b.deliver(t, "d")
	job := b.take(t, "intake/d")
	n, err := b.Recover(t.Context())
	if err != nil || n != 2 { // the pen too
		t.Fatalf("recovered %d (%v), want 2", n, err)
	}
	refused(t, b.Commit(t.Context(), job, b.now, upgrade.Step{}), upgrade.CodeStale)
	if again := b.take(t, "intake/d"); again.Fence <= job.Fence {
		t.Fatalf("fence %d after %d", again.Fence, job.Fence)
	}
	b.take(t, "periodic/pen")
}

func testEnsure(b *bench) {
	t := b.t
	for _, id := range []upgrade.JobID{"run/1", "intake/x", "periodic", "periodic/", "", "other/x"} {
		refused(t, b.Ensure(t.Context(), id, b.now), upgrade.CodeInvalid)
	}
	b.ensure(t, "periodic/a/b", b.now)
	job := b.take(t, "periodic/a/b")
	if job.Subject != "a/b" {
		t.Fatalf("subject %q", job.Subject)
	}
	b.ensure(t, "periodic/a/b", b.now) // held: nothing happens
	b.must(t, job, upgrade.Step{Next: upgrade.Park(b.now.Add(time.Hour))})
	b.ensure(t, "periodic/a/b", b.now) // waits: nothing happens
	b.none(t)
	b.now = b.now.Add(time.Hour)
	b.must(t, b.take(t, "periodic/a/b"), upgrade.Step{Next: upgrade.End()})
	b.none(t)
	b.ensure(t, "periodic/a/b", b.now) // ended: begins anew
	if again := b.take(t, "periodic/a/b"); again.Fence <= job.Fence {
		t.Fatalf("fence %d after %d: a ghost of the first life could write", again.Fence, job.Fence)
	}
}

func testRoundUp(b *bench) {
	t := b.t
	b.now = b.now.Add(time.Microsecond)
	b.ensure(t, "periodic/now", b.now)
	for range 2 {
		b.must(t, b.take(t, "periodic/now"), upgrade.Step{Next: upgrade.Park(b.now)}) // has come: due at this very instant
	}
	at := b.now.Add(10*time.Millisecond + time.Microsecond)
	b.deliver(t, "d")
	b.must(t, b.take(t, "intake/d"), upgrade.Step{Next: upgrade.Park(at)})
	if next, ok, err := b.NextWake(t.Context()); err != nil || !ok || next.Before(at) {
		t.Fatalf("wakes at %v (%v), which is before %v", next, err, at)
	}
}
