package store_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
)

func openBench(b *testing.B) *store.Store {
	b.Helper()
	s, err := store.Open(b.Context(), store.Config{
		URL: "sqlite:" + filepath.Join(b.TempDir(), "gate.db"), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// BenchmarkIntake delivers bodies of 2 KB from so many callers at once. Every delivery is on the disk
// when it counts.
func BenchmarkIntake(b *testing.B) {
	body := []byte(strings.Repeat("x", 2048))
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := openBench(b)
			var next atomic.Int64
			took := make([][]time.Duration, callers)
			var all sync.WaitGroup
			b.ResetTimer()
			for w := range callers {
				all.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						began := time.Now()
						if _, err := s.Deliver(b.Context(), upgrade.Delivery{
							ID: upgrade.DeliveryID(fmt.Sprint(i)), Event: "Push Hook", ReceivedAt: began, Body: body,
						}); err != nil {
							b.Error(err)
							return
						}
						took[w] = append(took[w], time.Since(began))
					}
				})
			}
			all.Wait()
			b.StopTimer()
			every := slices.Concat(took...)
			slices.Sort(every)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
			b.ReportMetric(every[len(every)/2].Seconds()*1000, "p50-ms")
			b.ReportMetric(every[len(every)*99/100].Seconds()*1000, "p99-ms")
		})
	}
}

// BenchmarkStep claims a run's job and commits a changed run with an event: what each step costs.
func BenchmarkStep(b *testing.B) {
	s := openBench(b)
	ctx, now := b.Context(), time.Now()
	if _, err := s.Deliver(ctx, upgrade.Delivery{ID: "d"}); err != nil {
		b.Fatal(err)
	}
	job, _, err := s.Claim(ctx, "w", time.Hour, now)
	if err == nil {
		err = s.Commit(ctx, job, now, upgrade.Step{
			Starts: []upgrade.Run{{ProjectID: 1, Stack: "s", Environment: "staging", Tree: "t"}}, Next: upgrade.End(),
		})
	}
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		job, ok, err := s.Claim(ctx, "w", time.Hour, now)
		if err != nil || !ok {
			b.Fatal(ok, err)
		}
		run, err := s.Run(ctx, 1)
		if err != nil {
			b.Fatal(err)
		}
		run.Title = "changed"
		if err := s.Commit(ctx, job, now, upgrade.Step{
			Runs: []upgrade.Run{run}, Events: []upgrade.Event{{Run: 1, Kind: upgrade.EventNote}}, Next: upgrade.Go(),
		}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClaimFromMany claims one of ten thousand jobs that are due, as after a flood of deliveries.
func BenchmarkClaimFromMany(b *testing.B) {
	s := openBench(b)
	var all sync.WaitGroup
	for i := range 10_000 {
		all.Go(func() {
			if _, err := s.Deliver(b.Context(), upgrade.Delivery{ID: upgrade.DeliveryID(fmt.Sprint(i))}); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	now := time.Now()
	for b.Loop() {
		job, ok, err := s.Claim(b.Context(), "w", time.Hour, now)
		if err != nil || !ok {
			b.Fatal(ok, err)
		}
		if err := s.Commit(b.Context(), job, now, upgrade.Step{Next: upgrade.Go()}); err != nil {
			b.Fatal(err)
		}
	}
}
