package engine_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	chaosKey = "UPGRADEGATE_CHAOS_DIR"  // makes the test a worker process on that folder
	soakKey  = "UPGRADEGATE_SOAK"       // 1: the whole, not the short slice
	seedKey  = "UPGRADEGATE_CHAOS_SEED" // the seed of a run that failed
)

// TestChaos kills worker processes on one database, again and again at random moments, while deliveries
// and requests come in, some of them twice. In the end every delivery has exactly one run, each run has
// ended by allowed phases, nothing happened twice or beside what it must not, and nobody waits.
func TestChaos(t *testing.T) {
	if dir := os.Getenv(chaosKey); dir != "" {
		runWorker(t, dir)
		return
	}
	deliveries, kills := 60, 12
	if os.Getenv(soakKey) == "1" {
		deliveries, kills = 500, 150
	}
	seed := rand.Uint64()
	if text := os.Getenv(seedKey); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d: repeat with %s=%d", seed, seedKey, seed)

	c := &chaos{dir: t.TempDir(), random: rand.New(rand.NewPCG(seed, 0)), open: map[string]bool{}}
	for i := range deliveries {
		c.todo = append(c.todo, "deliver "+strings.Repeat("x", i%4)+strconv.Itoa(10000+i))
	}
	for round := range kills {
		c.round(t, round, kills)
	}
	c.finish(t)
	c.verify(t, deliveries)
	t.Logf("%d deliveries, %d kills, %d applies lost", deliveries, kills, c.lost)
}

// chaos is the parent: it remembers what no worker has acknowledged yet.
type chaos struct {
	dir    string
	random *rand.Rand
	todo   []string        // not yet said to any worker
	open   map[string]bool // said, not acknowledged
	lost   int
}

// process is one worker.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

func (c *chaos) start(t *testing.T) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestChaos$")
	cmd.Env = append(os.Environ(), chaosKey+"="+c.dir)
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, in: in, lines: make(chan string, 1000)}
	go func() {
		defer close(p.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.lines <- lines.Text()
		}
	}()
	return p
}

// say tells the worker a line; a worker that is dead does not hear it, and will be told again.
func (c *chaos) say(p *process, line string) {
	c.open[line] = true
	_, _ = io.WriteString(p.in, line+"\n") // see above
}

// hear takes an acknowledgement.
func (c *chaos) hear(line string) {
	verb, arg, _ := strings.Cut(line, " ")
	switch verb {
	case "delivered":
		delete(c.open, "deliver "+arg)
	case "asked":
		delete(c.open, "ask "+arg)
	}
}

// round starts a worker, tells it what the one before did not acknowledge and something new, and kills it.
func (c *chaos) round(t *testing.T, round, rounds int) {
	t.Helper()
	p := c.start(t)
	for line := range c.open {
		c.say(p, line)
	}
	for n := len(c.todo) / (rounds - round); n > 0; n-- {
		c.say(p, c.todo[0])
		if c.random.IntN(3) == 0 {
			c.say(p, c.todo[0])
		}
		c.todo = c.todo[1:]
	}
	for range 3 {
		c.say(p, "ask "+strconv.Itoa(1+c.random.IntN(60)))
	}
	after := time.After(time.Duration(20+c.random.IntN(300)) * time.Millisecond)
	for running := true; running; {
		select {
		case line := <-p.lines:
			c.hear(line)
		case <-after:
			running = false
		}
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for line := range p.lines {
		c.hear(line)
	}
	_ = p.cmd.Wait() // killed, of course
}

// finish lets a last worker live until nothing is left to do, and stops it in order.
func (c *chaos) finish(t *testing.T) {
	t.Helper()
	p := c.start(t)
	for line := range c.open {
		c.say(p, line)
	}
	most := 0
	patience := time.NewTimer(time.Minute)
	for quiet := 0; quiet < 3; {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("the last worker ended: %v", p.cmd.Wait())
			}
			c.hear(line)
			if quiet++; line != "quiet" || len(c.open) > 0 {
				quiet = 0
			}
			ended := 0
			if _, err := fmt.Sscanf(line, "ended %d", &ended); err == nil && ended > most {
				most = ended
				patience.Reset(time.Minute)
			}
		case <-patience.C:
			_ = p.cmd.Process.Kill() // it hangs
			for range p.lines {
			}
			_ = p.cmd.Wait() // killed
			c.dump(t)
			t.Fatalf("no progress for a minute: %d runs have ended, %d lines are not acknowledged", most, len(c.open))
		}
	}
	if err := p.in.Close(); err != nil {
		t.Fatal(err)
	}
	for range p.lines { // to the end of its output, or Wait would cut it off
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("the last worker did not stop in order: %v", err)
	}
}

// dump shows which runs have not ended.
func (c *chaos) dump(t *testing.T) {
	t.Helper()
	s, err := openChaos(t.Context(), c.dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Log(err)
		return
	}
	runs, err := s.Runs(t.Context(), upgrade.RunFilter{Limit: 500})
	for _, run := range runs {
		if !run.Phase.Final() {
			t.Logf("run %d of %s is %s since %v", run.ID, run.Stack, run.Phase, run.Since)
		}
	}
	at, ok, wakeErr := s.NextWake(t.Context())
	t.Log(err, at, ok, wakeErr, s.Close())
}

// effects reads what happened to the world, and fails on what must not.
func (c *chaos) effects(t *testing.T) map[upgrade.RunID]int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, "effects"))
	if err != nil {
		t.Fatal(err)
	}
	begun := map[upgrade.RunID]int{}
	type key struct {
		stack string
		pid   int
	}
	at := map[key]upgrade.RunID{} // which run's effect goes on; that of a dead process does not
	for line := range strings.Lines(string(text)) {
		var what, stack string
		var run upgrade.RunID
		var pid, fence int
		if _, err := fmt.Sscan(line, &what, &stack, (*int64)(&run), &pid, &fence); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		k := key{stack, pid}
		if what == "end" {
			delete(at, k)
			continue
		}
		if other, busy := at[k]; busy {
			t.Errorf("the effect of run %d began beside that of run %d on %s", run, other, stack)
		}
		at[k] = run
		begun[run]++
	}
	return begun
}
