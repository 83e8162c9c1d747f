package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/cmd/upgradegate/service"
	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/integration/aws/awsprovider"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/internal/world"
	"github.com/upgradegate/upgradegate/upgrade"
)

// What the operator's file refers to. No answer of the service may hold any of these but in use.
const (
	hugoToken     = "hugo-token-of-the-tests"
	reneToken     = "rene-token-of-the-tests"
	priyaToken    = "priya-token-of-the-tests"
	hookToken     = "hook-token-of-the-tests"
	gateRole      = "arn:aws:iam::111111111111:role/upgradegate-staging"
	externalID    = "external-id-of-the-tests"
	stackSecret   = "s3cr3t-value-that-nobody-may-see"
	providerBlock = "aws = { source = \"" + awsprovider.Address + "\" }"
)

// patience bounds each wait for something, in real time.
const patience = 2 * time.Minute

// setup says in what a house differs from the plain one.
type setup struct {
	real     bool              // the system's clock: the service is a process of its own
	provider bool              // Terraform finds the provider of the simulated AWS
	gates    string            // YAML; default: the gate of the site
	settle   string            // of the gate of the site; default 0s
	dir      string            // of the stack in the repository
	stacks   []string          // several stacks instead of web, each in a folder of its name
	watched  bool              // the site is probed during each apply
	settled  bool              // the gate that plans anew is asked, as it is unless the file says otherwise
	states   string            // YAML of foreign states
	vantages bool              // an agent staging-a is configured; with gates "-" it watches each apply alone, with "-" and a gate as that says
	guarded  bool              // the plain stack's resource is of a guarded type
	files    map[string]string // of the first commit besides the plain stack
	ci       []gitlabsim.JobSpec
	prober   func(upgrade.GateName) gates.Prober
}

// house is the world of one service: GitLab with one project and a webhook, AWS, a site behind Varnish,
// and the operator's file. The service itself runs in the test (serve) or as a process (start).
type house struct {
	*testing.T
	setup
	dir     string
	clock   upgrade.Clock
	mover   *world.Mover // nil with the system's clock
	gitlab  *gitlabsim.Server
	aws     *awssim.Sim
	awsURL  string
	project gitlabsim.Project
	site    *site
	url     string // of the service
	file    string // the operator's
	secrets map[string]string

	bot, priya, hugo, rene gitlabsim.User

	service *service.Service // of serve
	log     *logBuffer
}

// newHouse builds everything but the service.
func newHouse(t *testing.T, s setup) *house {
	t.Helper()
	binary := terraformBinary(t)
	if _, err := exec.LookPath("git"); err != nil {
		need(t, "git", "no git")
	}
	// A short path: programs put sockets into it.
	dir, err := os.MkdirTemp("/tmp", "ugt") //nolint:usetesting // see above
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	h := &house{T: t, setup: s, dir: dir, clock: upgrade.SystemClock{}, log: &logBuffer{}}
	if !s.real {
		clock := world.New(time.Now())
		h.clock, h.mover = clock, &world.Mover{Clock: clock, NextWake: h.nextWake, Stay: h.asked}
	}
	h.site = openSite(t)
	h.openAWS()
	h.openGitLab()
	h.writeFile(h.tool(binary))
	t.Cleanup(func() {
		if t.Failed() {
			for line := range strings.Lines(h.log.String()) {
				if !strings.Contains(line, "request served") && !strings.Contains(line, "delivery kept") {
					t.Log(strings.TrimSpace(line))
				}
			}
		}
	})
	return h
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// in is the house within a subtest.
func (h *house) in(t *testing.T) *house {
	t.Helper()
	inner := *h
	inner.T = t
	return &inner
}

func (h *house) path(names ...string) string {
	return filepath.Join(append([]string{h.dir}, names...)...)
}

func (h *house) write(name, text string, mode os.FileMode) string {
	h.Helper()
	check(h, os.MkdirAll(filepath.Dir(h.path(name)), 0o755))
	check(h, os.WriteFile(h.path(name), []byte(text), mode))
	return h.path(name)
}

// getenv finds what the operator's file refers to.
func (h *house) getenv(name string) (string, bool) { v, ok := h.secrets[name]; return v, ok }

// serve runs the service within the test, with its world clock, and adds the webhook.
func (h *house) serve() {
	h.Helper()
	checked, err := config.Load(h.file, config.Source{Getenv: h.getenv, ReadFile: os.ReadFile})
	check(h, err)
	self, err := product()
	check(h, err)
	ctx, stop := context.WithCancel(context.Background())
	h.service, err = service.New(ctx, service.Options{
		Config: checked, File: h.file, Source: config.Source{Getenv: h.getenv, ReadFile: os.ReadFile}, Log: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Clock: h.clock,
		Self: self, Environ: []string{"PATH=" + os.Getenv("PATH")}, Prober: h.prober,
	})
	check(h, err)
	listener, err := net.Listen("tcp", strings.TrimPrefix(h.url, "http://"))
	check(h, err)
	var work sync.WaitGroup
	ended := make(chan error, 1)
	work.Go(func() { h.mover.Run(ctx) })
	serving, stopServing := context.WithCancel(ctx)
	go func() { ended <- h.service.Run(serving, listener) }()
	h.Cleanup(func() {
		for _, point := range []string{"init", "plan", "provisioner"} {
			h.release(point)
		}
		h.site.release()
		h.gitlab.Heal()
		stopServing()
		h.mover.Wait() // whoever cleans up waits for world time
		check(h, <-ended)
		stop()
		work.Wait()
		check(h, h.service.Close())
	})
	h.addHook()
}

func (h *house) nextWake(ctx context.Context) (time.Time, bool, error) {
	return h.service.Store.NextWake(ctx)
}

// asked reports that a run waits for a person's yes: a test that is about to give it must not find the
// deadline over.
func (h *house) asked(ctx context.Context) bool {
	runs, err := h.service.Store.Runs(ctx, upgrade.RunFilter{Phases: []upgrade.Phase{upgrade.PhaseAwaitingApproval}, Limit: 1})
	return err != nil || len(runs) > 0
}

// pass lets world time pass.
func (h *house) pass(d time.Duration) {
	h.Helper()
	end := h.clock.Now().Add(d)
	h.until(func() string {
		if now := h.clock.Now(); now.Before(end) {
			return "it is only " + now.Format(time.TimeOnly)
		}
		return ""
	})
}

// until waits until is says nothing any more; what it said last is why the test fails.
func (h *house) until(is func() string) {
	h.Helper()
	if h.mover != nil {
		defer h.mover.Wait()()
	}
	eventually(h, is)
}

// eventually is until without world time.
func eventually(tb testing.TB, is func() string) {
	tb.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	look := time.NewTicker(25 * time.Millisecond)
	defer look.Stop()
	for {
		said := is()
		if said == "" {
			return
		}
		select {
		case <-look.C:
		case <-deadline.C:
			tb.Fatalf("after %s: %s", patience, said)
		}
	}
}
