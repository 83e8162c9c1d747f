// Package service wires the rooms of the product into one running service. It decides nothing.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/integration/gitlab"
	"github.com/upgradegate/upgradegate/lifecycle"
	"github.com/upgradegate/upgradegate/server"
	"github.com/upgradegate/upgradegate/states"
	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/vantages"
	"github.com/upgradegate/upgradegate/webhooks"
	"github.com/upgradegate/upgradegate/webhooks/sender"
)

// Options are what a Service is made of besides the operator's file. Config, Log, Clock and Self must
// be set.
type Options struct {
	Config *config.Config
	// File is where Config was read from, and Source where its secrets came from, so that pages can show
	// what is in force and whether the file still says so. Optional.
	File   string
	Source config.Source
	Log    *slog.Logger
	Clock  upgrade.Clock
	Self   string // this very binary, absolute: an apply runs under it
	// Environ is the service's own environment, of which Terraform sees an allow-list.
	Environ []string
	Version string
	Notice  string // a line for the board
	// Prober gives the prober of a gate; nil: one for all, from this host.
	Prober func(gate upgrade.GateName) gates.Prober
}

// Service is a wired service: New opens it, Run runs it, Close closes what New opened.
type Service struct {
	Store *store.Store

	log       *slog.Logger
	engine    *engine.Engine
	lifecycle *lifecycle.Lifecycle
	states    *states.States
	agents    *vantages.Room
	hooks     *sender.Room
	handler   http.Handler
	shutdown  func()
}

// drain is how long open requests may take when the service stops.
const drain = 5 * time.Second

// New opens the database and wires everything. Nothing runs yet.
func New(ctx context.Context, o Options) (s *Service, err error) {
	if err := os.MkdirAll(o.Config.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	db, err := store.Open(ctx, store.Config{URL: o.Config.Database, Log: o.Log})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	s = &Service{Store: db, log: o.Log}
	outside, err := connect(ctx, o, db)
	if err != nil {
		return nil, err
	}
	host, boot := identity()
	s.states, s.agents = outside.states, outside.agents
	if s.hooks, err = hooksOf(ctx, o, db, outside.mask); err != nil {
		return nil, err
	}
	s.lifecycle, err = lifecycle.New(lifecycle.Config{
		Stacks: o.Config.Stacks, Gates: outside.gates, Store: db, Forge: outside.forge, Git: outside.git,
		Terraform: outside.terraform, States: outside.states, Clouds: outside.clouds, Clock: o.Clock, Mask: outside.mask, Logger: o.Log,
		Data: o.Config.Data, Host: host, BootID: boot, PublicURL: o.Config.Server.PublicURL,
		KeepDeliveries: o.Config.Retention.Deliveries,
	})
	if err != nil {
		return nil, err
	}
	s.engine, err = engine.New(engine.Config{
		Leases: db, Clock: o.Clock, Log: o.Log, Worker: host + "/" + strconv.Itoa(os.Getpid()), Handlers: s.lifecycle.Handlers(),
	})
	if err != nil {
		return nil, err
	}
	return s, s.serveHTTP(o, outside) //nolint:contextcheck // only requests have contexts
}

// serveHTTP wires pages, API and webhooks.
func (s *Service) serveHTTP(o Options, out *outside) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	receiver, err := webhooks.New(webhooks.Config{
		Inbox:   s.Store,
		Secrets: webhooks.Secrets{Token: o.Config.GitLab.SecretToken, Signing: o.Config.GitLab.SigningToken},
		Now:     o.Clock.Now, Log: o.Log, Registerer: registry,
	})
	if err != nil {
		return err
	}
	if err := errors.Join(s.hooks.Register(registry), registry.Register(s.auditEntries())); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	tokens := make([]server.Token, 0, len(o.Config.Server.Tokens))
	for _, token := range o.Config.Server.Tokens {
		tokens = append(tokens, server.Token{Person: token.Person, Secret: token.Secret})
	}
	var projects []string
	for _, stack := range o.Config.Stacks {
		projects = append(projects, stack.Project)
	}
	idTokens, err := gitlab.NewTokens(gitlab.TokensConfig{
		URL: o.Config.GitLab.URL, Audience: o.Config.Server.PublicURL, Projects: projects, Clock: o.Clock,
	})
	if err != nil {
		return err
	}
	in, err := signIn(o.Config, out)
	if err != nil {
		return err
	}
	pages, err := server.New(server.Config{
		Runs: s.Store, Searches: s.Store, Evidence: s.Store, Journal: s.Store, Deliveries: s.Store, Health: s.Store,
		Acts: s.lifecycle, Logs: s.lifecycle, IDTokens: idTokens, Questions: s.Store, Changes: s.Store, States: s.states, Invariants: s.lifecycle, Stretches: s.Store, Agents: s.agents, AskedFrom: askedFrom(o.Config.Gates), Hooks: s.hooks, Plans: s.lifecycle, Access: s.Store, Audit: s.Store, Posts: s.Store, SignIn: in,
		Settings: settingsOf(o),
		Forge:    out.members,
		Stacks:   o.Config.Stacks, Tokens: tokens, PublicURL: o.Config.Server.PublicURL,
		Pace:      server.Pace{PerSecond: float64(o.Config.Server.Pace.PerSecond), Burst: o.Config.Server.Pace.Burst},
		GitLabURL: o.Config.GitLab.URL, Clock: o.Clock, Version: o.Version, Notice: o.Notice, Metrics: registry,
		Log: o.Log, Mount: []server.Routes{receiver.Routes},
	})
	if err != nil {
		return err
	}
	s.handler, s.shutdown = pages.Handler(), pages.EndStreams
	return nil
}

// Run serves on the listener and works until ctx ends; then it stops in order: no new work, open
// requests are answered, leases are given back. An apply that is going on goes on.
func (s *Service) Run(ctx context.Context, listener net.Listener) error {
	if err := s.lifecycle.Start(ctx); err != nil {
		return err
	}
	httpServer := newHTTPServer(s.handler, s.log)
	httpServer.RegisterOnShutdown(s.shutdown)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.engine.Run(ctx) })
	group.Go(func() error { return s.hooks.Run(ctx) })
	group.Go(func() error { return s.tellAuditHead(ctx) })
	group.Go(func() error {
		if err := httpServer.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		if err := httpServer.Shutdown(stopping); err != nil {
			return errors.Join(fmt.Errorf("end open requests: %w", err), httpServer.Close())
		}
		return nil
	})
	return group.Wait()
}

// Close closes the database.
func (s *Service) Close() error { return s.Store.Close() }

// identity names this host and its present boot: what tells whether the shim of an apply can be seen.
func identity() (host, boot string) {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return host, ""
	}
	return host, strings.TrimSpace(string(id))
}

func under(data string, names ...string) string {
	return filepath.Join(append([]string{data}, names...)...)
}
