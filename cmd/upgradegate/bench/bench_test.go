package bench

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

var (
	binary    = flag.String("binary", "", "the upgradegate to measure; without it nothing is measured")
	stripped  = flag.String("stripped", "", "the same, built without symbols: only its size is told")
	terraform = flag.String("terraform", "", "Terraform or OpenTofu")
	rounds    = flag.Int("rounds", 5, "rounds of each measurement; medians are told")
	each      = flag.Duration("each", 2*time.Second, "how long a load lasts")
	idle      = flag.Duration("idle", time.Minute, "how long the idle service is watched; it looks at GitLab once a minute")
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(bareAddress); addr != "" {
		os.Exit(serveBare(addr))
	}
	if order := os.Getenv(probeOrder); order != "" {
		os.Exit(serveProbe(order))
	}
	os.Exit(m.Run())
}

// measure skips the test unless a measurement was asked for, and tells the machine's load.
func measure(t *testing.T, title string) {
	t.Helper()
	if *binary == "" {
		t.Skip("a measurement: `make bench`")
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	one, _, _ := strings.Cut(string(load), " ")
	fmt.Printf("\n%s\n%d CPUs, %s, load average of the last minute %s\n\n", title, runtime.NumCPU(), runtime.Version(), one)
}

// table prints rows under headings, in columns.
func table(t *testing.T, headings string, rows [][]string) {
	t.Helper()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range append([][]string{strings.Split(headings, "|")}, rows...) {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t")+"\t")
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}

// quantile returns the value below which a share q of the values lie.
func quantile[T int | float64 | time.Duration](values []T, q float64) T {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// median returns the middle value; of an even number, the mean of the two in the middle.
func median[T int | float64 | time.Duration](values []T) T {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// met says whether a goal was met. A goal that was not is no failure of the program that measures.
func met(ok bool) string {
	if ok {
		return "met"
	}
	return "missed"
}

func ms(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000)
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// diskWait returns how long the disk under dir takes to have 4 KiB for good: no durable answer is faster.
func diskWait(t *testing.T, dir string) time.Duration {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var took []time.Duration
	for range 200 {
		began := time.Now()
		if _, err := file.Write(make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
		if err := file.Sync(); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	return median(took)
}

func TestMedian(t *testing.T) {
	for name, test := range map[string]struct {
		values []int
		want   int
	}{
		"one": {[]int{7}, 7}, "odd": {[]int{9, 1, 5}, 5}, "even": {[]int{4, 8, 100, 2}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			if got := median(test.values); got != test.want {
				t.Errorf("median(%v) = %d, want %d", test.values, got, test.want)
			}
		})
	}
}
