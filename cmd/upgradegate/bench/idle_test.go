package bench

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// What an idle service may need.
const (
	mostMemory = 80 << 20
	mostCPU    = 0.01 // of one core
)

// TestIdle measures what a service with one stack and nothing to do needs.
func TestIdle(t *testing.T) {
	measure(t, "Idle: `upgradegate serve`, an empty database, one stack")
	gate, _ := example(t, t.TempDir())
	time.Sleep(5 * time.Second) // the start is not idling
	before := sample{time.Now(), gate.worked(t)}
	time.Sleep(*idle)
	after := sample{time.Now(), gate.worked(t)}
	cpu := (after.worked - before.worked).Seconds() / after.at.Sub(before.at).Seconds()
	memory := gate.memory(t, "VmRSS", "VmHWM", "RssAnon", "RssFile")
	rows := [][]string{
		{"resident memory", mib(memory[0]), fmt.Sprintf("of that its own %s, mapped from the binary %s; goal of at most %s: %s",
			mib(memory[2]), mib(memory[3]), mib(mostMemory), met(memory[0] <= mostMemory))},
		{"its peak", mib(memory[1]), "since the start"},
		{"CPU", fmt.Sprintf("%.2f %%", 100*cpu), fmt.Sprintf("of one core, over %s; goal of at most %.0f %%: %s", *idle, 100*mostCPU, met(cpu <= mostCPU))},
		{"binary", size(t, *binary), ""},
	}
	if *stripped != "" {
		rows = append(rows, []string{"binary without symbols", size(t, *stripped), `-ldflags "-s -w"`})
	}
	table(t, "||", rows)
}

func size(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return mib(info.Size())
}
