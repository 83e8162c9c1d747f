package vantages_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/agent"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// TestS5AgentGoesOn: an agent that has a folder for state and is restarted in the middle of a watch goes on with it.
// What it saw before is told, what happened meanwhile is blind and nothing else.
func TestS5AgentGoesOn(t *testing.T) {
	t.Parallel()
	for name, gateToo := range map[string]bool{"agent_alone": false, "both": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, site := newGate(t), newPage(t)
			a := g.agent("staging-a", site, withState(t))
			stream := probe.Stream{ID: "run-9", Target: site.URL, Name: "cached", Path: site.path(), Every: 20 * ms}
			var got collected
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			ask := func(ctx context.Context) { go func() { ended <- g.at("staging-a").Stream(ctx, stream, got.add) }() }
			first, kill := context.WithCancel(t.Context())
			defer kill()
			ask(first)
			until(t, "samples", func() bool { return len(got.list()) > 60 })
			if gateToo {
				g.down()
				kill()
				lost(t, <-ended)
			}
			a.stop()
			before := time.Now()
			site.broken.Store(true)
			time.Sleep(700 * ms)
			site.broken.Store(false)
			if gateToo {
				got.clear()
				g.up()
			}
			away := time.Since(before)
			g.start(a)
			if gateToo {
				ask(ctx)
			}
			until(t, "samples after", func() bool { return len(got.list()) > 160 })
			cancel()
			kill()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			blind := oneGap(t, got.list())
			if blind < away-50*ms || blind > away+2*time.Second {
				t.Errorf("blind for %s, and the agent was away for %s", blind, away)
			}
		})
	}
}

// TestS5AgentLostItsTail: the disk of an agent does not have what its gate has, as after a power failure. What it says
// then is not taken for what is lost.
func TestS5AgentLostItsTail(t *testing.T) {
	t.Parallel()
	g, site := newGate(t), newPage(t)
	a := g.agent("staging-a", site, withState(t))
	stream := probe.Stream{ID: "run-9", Target: site.URL, Name: "cached", Path: site.path(), Every: 20 * ms}
	var got collected
	ended := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() { ended <- g.at("staging-a").Stream(ctx, stream, got.add) }()
	until(t, "samples", func() bool { return len(got.list()) > 120 })
	a.stop()
	files, err := filepath.Glob(filepath.Join(a.cfg.State, "*.journal"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	kept, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(files[0], kept.Size()*6/10); err != nil {
		t.Fatal(err)
	}
	g.start(a)
	refused(t, <-ended, upgrade.CodeUnavailable, "staging-a", "restarted in the middle")
}

// lost fails the test if a stream ended well of which the gate is gone.
func lost(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Error("the stream of the process that was killed ended well")
	}
}

func withState(t *testing.T) func(*agent.Config) {
	t.Helper()
	return func(c *agent.Config) { c.State = filepath.Join(c.Data, "watches") }
}

// oneGap fails the test unless the samples are good ones without a hole that nobody owns up to, and returns how
// long the agent says that it did not look.
func oneGap(t *testing.T, list []probe.Sample) time.Duration {
	t.Helper()
	slices.SortFunc(list, func(a, b probe.Sample) int { return int(a.Sched - b.Sched) })
	tally := probe.NewTally(20 * ms)
	var blind time.Duration
	var last time.Duration
	for _, s := range list {
		tally.Add(s)
		if s.Class == probe.ClassStalled {
			blind = max(blind, s.Start-s.Sched)
			last = max(last, s.Start)
			continue
		}
		if s.Sched-last > 100*ms && last > 0 {
			t.Errorf("nothing is said of %s to %s", last, s.Sched)
		}
		if last = max(last, s.Sched); !s.OK && !s.Blind() {
			t.Errorf("got %+v", s)
		}
	}
	seen := tally.Watched(last)
	if len(seen.Outages) != 0 {
		t.Errorf("the restart looks like an outage: %+v", seen.Outages)
	}
	if !slices.ContainsFunc(seen.Blind, func(b probe.Blind) bool { return b.Most >= blind-50*ms }) {
		t.Errorf("an outage of %s could hide, and %+v is said", blind, seen.Blind)
	}
	return blind
}

// TestAgentForgetsWhatIsOver: a watch that nobody asks for any more is not gone on with, and leaves nothing behind.
func TestAgentForgetsWhatIsOver(t *testing.T) {
	t.Parallel()
	g, site := newGate(t), newPage(t)
	a := g.agent("staging-a", site, withState(t))
	var got collected
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	stream := probe.Stream{Target: site.URL, Name: "cached", Path: site.path(), Every: 20 * ms}
	go func() { ended <- g.at("staging-a").Stream(ctx, stream, got.add) }()
	until(t, "samples", func() bool { return len(got.list()) > 30 })
	files := func() []string {
		list, err := filepath.Glob(filepath.Join(a.cfg.State, "*.journal"))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if len(files()) != 1 {
		t.Fatalf("got %q", files())
	}
	a.stop() // and meanwhile the watch ends
	g.down()
	cancel()
	lost(t, <-ended)
	g.up()
	asked := site.asked.Load()
	g.start(a)
	until(t, "it goes on", func() bool { return site.asked.Load() > asked+10 }) // the gate was restarted: it may ask yet
	// Another watch of the same target is asked for: the old one gives way.
	var other collected
	ctx, cancel = context.WithCancel(t.Context())
	stream.ID = "run-10"
	go func() { ended <- g.at("staging-a").Stream(ctx, stream, other.add) }()
	until(t, "samples of the other", func() bool { return len(other.list()) > 30 })
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// TestAgentWatchesOnce: a target is watched once at a time, whatever the gate asks for.
func TestAgentWatchesOnce(t *testing.T) {
	t.Parallel()
	g, site := newGate(t), newPage(t)
	g.agent("staging-a", site)
	var got collected
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	stream := probe.Stream{ID: "run-1", Target: site.URL, Name: "cached", Path: site.path(), Every: 50 * ms}
	go func() { ended <- g.at("staging-a").Stream(ctx, stream, got.add) }()
	until(t, "samples", func() bool { return len(got.list()) > 3 })
	second := stream
	second.ID = "run-2"
	refused(t, g.at("staging-a").Stream(t.Context(), second, nil), upgrade.CodeConflict, "agent staging-a watches "+site.URL+" already")
	for name, change := range map[string]func(*probe.Stream){
		"another_stream": func(s *probe.Stream) { s.Name = "deep page" },
		"another_target": func(s *probe.Stream) { s.Target += "/other" },
		"control":        func(s *probe.Stream) { s.Target = "" },
	} {
		other := stream
		other.ID = name
		change(&other)
		limited, end := context.WithTimeout(t.Context(), 300*ms)
		if err := g.at("staging-a").Stream(limited, other, func(probe.Sample) {}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		end()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	limited, end := context.WithTimeout(t.Context(), 300*ms)
	defer end()
	if err := g.at("staging-a").Stream(limited, second, func(probe.Sample) {}); err != nil {
		t.Errorf("after the first: %v", err)
	}
}
