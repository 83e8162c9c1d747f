package server

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
)

// BenchmarkStreams has 500 pages open, with ten events a second in each of so many runs, in a real store and
// over TCP: what a stream needs, and how long after its commit an event is told. Up to a pulse of that is on
// purpose. Run it with -benchtime 1x.
func BenchmarkStreams(b *testing.B) {
	for _, runs := range []int{50, 500} {
		b.Run(fmt.Sprintf("runs=%d", runs), func(b *testing.B) {
			for b.Loop() {
				streamsOnce(b, runs, 500, 10*time.Second)
			}
		})
	}
}

// busyRuns is a store with runs in whose journals something happens.
type busyRuns struct {
	store *store.Store
	job   upgrade.Job
	runs  int

	mu  sync.Mutex // guards the field below
	put map[[2]int64]time.Time
}

func newBusyRuns(b *testing.B, runs int) *busyRuns {
	b.Helper()
	s, err := store.Open(b.Context(), store.Config{URL: "sqlite:" + filepath.Join(b.TempDir(), "gate.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	if _, err := s.Deliver(b.Context(), upgrade.Delivery{ID: "d"}); err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	job, ok, err := s.Claim(b.Context(), "w", time.Hour, now)
	if err != nil || !ok {
		b.Fatal(ok, err)
	}
	busy := &busyRuns{store: s, job: job, runs: runs, put: map[[2]int64]time.Time{}}
	for i := range runs {
		one := upgrade.Run{ProjectID: 1, Project: "platform/edge", Stack: upgrade.StackName(fmt.Sprint("stack-", i)), Environment: "staging", Tree: upgrade.Tree(fmt.Sprint("t", i))}
		if err := s.Commit(b.Context(), job, now, upgrade.Step{Starts: []upgrade.Run{one}, Next: upgrade.Next{Do: upgrade.NextKeep}}); err != nil {
			b.Fatal(err)
		}
	}
	return busy
}

// write writes an event to each run, in one transaction, and notes when it was committed. Each run has one
// from its beginning.
func (w *busyRuns) write(b *testing.B, round int) {
	b.Helper()
	var events []upgrade.Event
	for i := range w.runs {
		events = append(events, upgrade.Event{Run: upgrade.RunID(i + 1), Kind: upgrade.EventResource, Text: "aws_lb.edge done", Data: map[string]string{"address": "aws_lb.edge", "state": "done"}})
	}
	if err := w.store.Commit(b.Context(), w.job, time.Now(), upgrade.Step{Events: events, Next: upgrade.Next{Do: upgrade.NextKeep}}); err != nil {
		b.Error(err)
		return
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.runs {
		w.put[[2]int64{int64(i + 1), int64(round + 2)}] = now
	}
}

func (w *busyRuns) since(run, seq int64, now time.Time) (time.Duration, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, ok := w.put[[2]int64{run, seq}]
	return now.Sub(at), ok
}

func streamsOnce(b *testing.B, runs, streams int, lasts time.Duration) {
	b.Helper()
	busy := newBusyRuns(b, runs)
	cfg := (&world{}).config(&syncBuffer{})
	cfg.Runs, cfg.Journal, cfg.Log = busy.store, busy.store, slog.New(slog.DiscardHandler)
	s, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	defer s.EndStreams()

	before := inUse()
	conns := make([]net.Conn, streams)
	for i := range conns {
		if conns[i], err = (&net.Dialer{}).DialContext(b.Context(), "tcp", web.Listener.Addr().String()); err != nil {
			b.Fatal(err)
		}
		defer func() { _ = conns[i].Close() }()
		if _, err := fmt.Fprintf(conns[i], "GET /events?scope=run:%d&after=1 HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer %s\r\n\r\n", i%runs+1, managerToken); err != nil {
			b.Fatal(err)
		}
	}
	hello := make([]byte, 4096)
	for _, conn := range conns {
		for said := ""; !strings.Contains(said, "event: hello"); {
			n, err := conn.Read(hello)
			if err != nil {
				b.Fatal(err)
			}
			said += string(hello[:n])
		}
	}
	perStream := (inUse() - before) / uint64(streams)

	took := make([][]time.Duration, streams)
	var readers sync.WaitGroup
	for i, conn := range conns {
		readers.Go(func() { took[i] = delays(conn, busy, int64(i%runs+1)) })
	}
	cpu := spentCPU()
	tick := time.NewTicker(100 * time.Millisecond)
	began, rounds := time.Now(), 0
	for ; time.Since(began) < lasts; rounds++ {
		<-tick.C
		busy.write(b, rounds)
	}
	tick.Stop()
	share := (spentCPU() - cpu).Seconds() / time.Since(began).Seconds()
	for _, conn := range conns { // the last pulse
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	}
	readers.Wait()
	all := slices.Concat(took...)
	slices.Sort(all)
	if len(all) < streams*rounds*9/10 {
		b.Errorf("%d of %d events were told", len(all), streams*rounds)
	}
	b.ReportMetric(float64(perStream)/1024, "KiB/stream")
	b.ReportMetric(all[len(all)/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(all[len(all)*99/100].Seconds()*1000, "p99-ms")
	b.ReportMetric(float64(runs*rounds)/time.Since(began).Seconds(), "events/s")
	b.ReportMetric(share, "cores")
}

// delays reads a stream to its end, and returns how long after its commit each event was told.
func delays(conn net.Conn, busy *busyRuns, run int64) (took []time.Duration) {
	in := bufio.NewScanner(conn)
	for told := int64(1); in.Scan(); {
		id, ok := strings.CutPrefix(in.Text(), "id: ")
		if !ok {
			continue
		}
		now := time.Now()
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return took
		}
		for told < n {
			told++
			if d, ok := busy.since(run, told, now); ok {
				took = append(took, d)
			}
		}
	}
	return took
}

// inUse is the memory of the process, in bytes.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// spentCPU is for how long this process has kept processors busy.
func spentCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail for oneself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
