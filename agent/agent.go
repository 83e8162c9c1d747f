package agent

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/internal/filelock"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// prober probes; *varnish.Prober does it.
type prober interface {
	Climb(ctx context.Context, path probe.Path) ([]probe.Ladder, error)
	Stream(ctx context.Context, of probe.Stream, each func(probe.Sample)) error
}

// Config is what an Agent needs. URL, Data, Policy.Allow, HTTP, Log and Now must be set.
type Config struct {
	URL       string // of the gate: its public_url; https, or http on this machine
	Data      string // folder of the agent's own
	Token     upgrade.Secret
	Policy    Policy
	Version   string
	Host      string // name of this machine, for people
	HTTP      *http.Client
	Log       *slog.Logger
	Now       func() time.Time // of this machine, with its monotonic part
	Clock     upgrade.Clock    // what pauses are waited by; nil: upgrade.SystemClock
	MaxMemory int              // for samples, in bytes, and as much in State; 0: 64 MiB
	State     string           // folder in which watches outlive a restart; empty: they do not
	// Uptime tells one start of the machine from another, and how long it has been on since: a clock that nobody
	// sets. boot is empty when that is not known; nil: never known.
	Uptime   func() (boot string, up time.Duration)
	Prober   prober   // nil: one that goes by Policy
	Resolver resolver // nil: the system's
}

// Agent is an agent: New checks, Run enrols if need be and works.
type Agent struct {
	cfg      Config
	id       identity
	call     *caller
	prober   prober
	instance string
	poked    chan struct{} // there is news for the gate
	packed   chan struct{} // there may be samples to deliver
	ordered  chan struct{} // there is something new to keep

	mu      sync.Mutex // guards the fields below
	works   map[string]*work
	epoch   string    // of the gate that answered last
	since   time.Time // when that gate answered first
	rev     int64     // of the orders that were given last
	polls   int64
	facts   upgrade.AgentFacts
	gone    []*journal // to be removed
	closing bool       // what ends now goes on at the next start
	climbs  allowance
}

// New checks the configuration and reads the agent's folder. Nothing is sent yet. CodeInvalid, CodeConflict.
func New(cfg Config) (*Agent, error) {
	base, err := gateURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	if len(cfg.Policy.Allow) == 0 {
		return nil, &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: "this agent may reach nothing", Hint: `say what it may reach, such as --allow "10.20.0.0/16:80,443"`,
		}
	}
	cfg.Policy.MaxRate = cmp.Or(cfg.Policy.MaxRate, DefaultMaxRate)
	cfg.Policy.MaxDuration = cmp.Or(cfg.Policy.MaxDuration, DefaultMaxDuration)
	cfg.MaxMemory = cmp.Or(cfg.MaxMemory, 64<<20)
	if cfg.Clock == nil {
		cfg.Clock = upgrade.SystemClock{}
	}
	if cfg.Prober == nil {
		cfg.Prober = varnish.New(varnish.Config{Guard: cfg.Policy.Guard()})
	}
	if cfg.Resolver == nil {
		cfg.Resolver = net.DefaultResolver
	}
	id, err := loadIdentity(cfg.Data, base.String())
	if err != nil {
		return nil, err
	}
	a := &Agent{
		cfg: cfg, id: id, prober: cfg.Prober, instance: rand.Text(), works: map[string]*work{},
		poked: make(chan struct{}, 1), packed: make(chan struct{}, 1), ordered: make(chan struct{}, 1),
		call: &caller{base: base, http: straight(cfg.HTTP), now: cfg.Now, name: id.Name, key: id.key},
		facts: upgrade.AgentFacts{
			Version: cfg.Version, Host: cfg.Host, Allow: cfg.Policy.texts(), MaxRate: cfg.Policy.MaxRate, MaxDuration: cfg.Policy.MaxDuration,
		},
	}
	if id.Name == "" && !cfg.Token.Set() {
		return nil, &upgrade.Error{
			Code: upgrade.CodeUnauthorized, Msg: "this agent is not enrolled",
			Hint: "run `upgradegate vantage enrol NAME` where you are signed in, and give this agent the token that it prints",
		}
	}
	return a, nil
}

// Run enrols if need be, and works until ctx ends. A gate that does not answer is waited for. Errors: the enrolment is
// refused, or CodeConflict: another process works in one of the folders.
func (a *Agent) Run(ctx context.Context) (err error) {
	release, err := a.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := a.enrol(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to end while waiting for the gate
		}
		return err
	}
	a.cfg.Log.InfoContext(ctx, "agent at work", "agent", string(a.id.Name), "gate", a.id.Gate, "allow", a.facts.Allow,
		"max_rate", a.facts.MaxRate, "max_duration", a.facts.MaxDuration, "version", a.cfg.Version)
	a.removeAuthorities()
	if err := a.resume(ctx); err != nil {
		return err
	}
	var group sync.WaitGroup
	group.Go(func() { a.deliver(ctx) })
	done, kept := make(chan struct{}), make(chan struct{})
	go func() { // ends with done
		defer close(kept)
		a.saving(context.WithoutCancel(ctx), done)
	}()
	a.polling(ctx)
	group.Wait()
	a.stopAll()
	close(done)
	<-kept
	return nil
}

// lock keeps other agents out of the folders: two with one key would be told each other's orders, and each would
// remove what the other one keeps.
func (a *Agent) lock() (release func() error, err error) {
	var locks []*filelock.Lock
	release = func() error {
		var errs []error
		for _, l := range locks {
			errs = append(errs, l.Release())
		}
		return errors.Join(errs...)
	}
	for _, dir := range slices.Compact([]string{filepath.Clean(a.cfg.Data), filepath.Clean(cmp.Or(a.cfg.State, a.cfg.Data))}) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, errors.Join(fmt.Errorf("make the agent's folder: %w", err), release())
		}
		l, err := filelock.Take(filepath.Join(dir, "agent.lock"), "the folder "+dir)
		if err != nil {
			return nil, errors.Join(err, release())
		}
		locks = append(locks, l)
	}
	return release, nil
}

// enrol gives the gate this agent's key, once.
func (a *Agent) enrol(ctx context.Context) error {
	if a.id.Name != "" {
		if a.cfg.Token.Set() {
			a.cfg.Log.InfoContext(ctx, "already enrolled: the token is not used", "agent", string(a.id.Name))
		}
		return nil
	}
	public, ok := a.id.key.Public().(ed25519.PublicKey)
	if !ok {
		return errors.New("enrol: the key is no Ed25519 key")
	}
	body, err := json.Marshal(wire.Enrolment{Token: a.cfg.Token.Reveal(), Key: public, Version: a.cfg.Version, Host: a.cfg.Host})
	if err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	var enrolled wire.Enrolled
	back := backoff{}
	for {
		_, err := a.call.once(ctx, 0, wire.PathEnrol, body, &enrolled, false)
		if err == nil {
			break
		}
		if !upgrade.Transient(err) || ctx.Err() != nil {
			return fmt.Errorf("enrol: %w", err)
		}
		pause := back.next(upgrade.RetryAfterOf(err))
		a.cfg.Log.WarnContext(ctx, "could not enrol; trying again", "in", pause, "err", err)
		if err := a.cfg.Clock.Sleep(ctx, pause); err != nil {
			return fmt.Errorf("enrol: %w", err)
		}
	}
	a.id.Name, a.call.name = enrolled.Name, enrolled.Name
	a.call.setOffset(a.cfg.Now().Sub(time.UnixMilli(enrolled.Now)))
	if err := a.id.save(a.cfg.Data); err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	a.cfg.Log.InfoContext(ctx, "enrolled", "agent", string(a.id.Name), "gate", a.id.Gate, "key", wire.Fingerprint(public), "folder", filepath.Clean(a.cfg.Data))
	return nil
}

// poke says that there is news for the gate.
func (a *Agent) poke() { signal(a.poked) }

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is waiting already
	}
}
