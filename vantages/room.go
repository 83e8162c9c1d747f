package vantages

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// keeper is where agents outlive the process.
type keeper interface {
	Agents(ctx context.Context) ([]upgrade.Agent, error)
	SaveAgent(ctx context.Context, a upgrade.Agent) error
	// OpenStream keeps that a stream was asked for, and returns what is kept of it since the first time; anew:
	// this is the first time.
	OpenStream(ctx context.Context, o upgrade.AgentOpen, anew bool) (upgrade.AgentOpen, error)
	// ForgetStreams removes those that were asked for before.
	ForgetStreams(ctx context.Context, before time.Time) error
}

// Config is what a Room needs; all of it but Gone.
type Config struct {
	Store keeper
	Names []upgrade.AgentName // of the vantages that agents are
	Now   func() time.Time    // real time, with its monotonic part: agents are not of the world's clock
	Log   *slog.Logger
	Gone  time.Duration // without a word, after which an agent counts as gone; 0: wire.Gone
}

// Room holds the agents. All methods may be called at the same time.
type Room struct {
	cfg     Config
	epoch   string
	started time.Time

	mu     sync.Mutex // guards the fields below
	agents map[upgrade.AgentName]*agent
	asked  map[string]bool // streams with a name that this process asked for
}

// agent is one agent, whether it is there or not. The room's mutex guards it.
type agent struct {
	row      upgrade.Agent
	heard    time.Time // its last word to this process; zero: none
	saved    time.Time // when row was kept last
	nonces   map[string]time.Time
	allowed  float64 // calls that it may make at once
	filled   time.Time
	instance string
	polled   int64
	rev      int64
	works    map[string]*work
	news     chan struct{} // closed, and made anew, when rev grows
}

// streamsKept is how long it is known when a stream was asked for first: longer than any run watches.
const streamsKept = 7 * 24 * time.Hour

// New reads the agents that are known.
func New(ctx context.Context, cfg Config) (*Room, error) {
	r := &Room{cfg: cfg, epoch: rand.Text(), started: cfg.Now(), agents: map[upgrade.AgentName]*agent{}, asked: map[string]bool{}}
	if cfg.Gone == 0 {
		r.cfg.Gone = wire.Gone
	}
	known, err := cfg.Store.Agents(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the agents: %w", err)
	}
	for _, row := range known {
		r.agents[row.Name] = newAgent(row)
	}
	for _, name := range cfg.Names {
		if r.agents[name] == nil {
			r.agents[name] = newAgent(upgrade.Agent{Name: name})
		}
	}
	if err := cfg.Store.ForgetStreams(ctx, r.now().Add(-streamsKept)); err != nil {
		return nil, fmt.Errorf("forget old streams: %w", err)
	}
	return r, nil
}

func newAgent(row upgrade.Agent) *agent {
	return &agent{row: row, nonces: map[string]time.Time{}, works: map[string]*work{}, news: make(chan struct{}), allowed: burst}
}

// now is real time that never goes back while the process lives.
func (r *Room) now() time.Time { return r.started.Add(r.cfg.Now().Sub(r.started)) }

// Stamp returns a header for answers that refuse a call: what the gate's clock shows.
func (r *Room) Stamp() (header, value string) {
	return wire.HeaderTime, fmt.Sprint(r.now().UnixMilli())
}

// changedLocked tells the agent that there is something new.
func (a *agent) changedLocked() {
	a.rev++
	close(a.news)
	a.news = make(chan struct{})
}

// configured reports whether the name is that of a vantage.
func (r *Room) configured(name upgrade.AgentName) bool { return slices.Contains(r.cfg.Names, name) }

// At returns the prober at a vantage. CodeNotFound for one that is not configured.
func (r *Room) At(name probe.Vantage) (*Prober, error) {
	if r.configured(upgrade.AgentName(name)) {
		return &Prober{room: r, name: upgrade.AgentName(name)}, nil
	}
	return nil, r.unknown(upgrade.AgentName(name))
}

func (r *Room) unknown(name upgrade.AgentName) error {
	hint := "add it under vantages in the configuration"
	if len(r.cfg.Names) > 0 {
		var names []string
		for _, one := range r.cfg.Names {
			names = append(names, string(one))
		}
		hint = "there are " + strings.Join(names, ", ")
	}
	return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no vantage %q at which an agent is", name), Hint: hint}
}
