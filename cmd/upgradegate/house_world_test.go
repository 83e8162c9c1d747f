package main

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/integration/varnish/standin"
)

func (h *house) openAWS() {
	h.Helper()
	var err error
	h.aws, err = awssim.New(awssim.Config{Clock: h.clock, Roles: []awssim.Role{{ARN: gateRole, ExternalID: externalID}}})
	check(h, err)
	ctx, stop := context.WithCancel(context.Background()) // longer than the test's own, for what is cleaned up
	addr, err := h.aws.Start(ctx, "127.0.0.1:0")
	check(h, err)
	h.Cleanup(func() { stop(); h.aws.Wait() })
	h.awsURL = "http://" + addr
}

func (h *house) openGitLab() {
	h.Helper()
	var err error
	h.gitlab, err = gitlabsim.New(gitlabsim.Config{Clock: h.clock, Dir: h.path("gitlab"), HookTimeout: 5 * time.Second})
	check(h, err)
	h.Cleanup(func() { check(h, h.gitlab.Close()) })
	_, err = h.gitlab.Start(context.Background(), "127.0.0.1:0")
	check(h, err)
	h.bot = h.gitlab.AddUser(gitlabsim.User{Username: "upgradegate", Bot: true})
	h.priya = h.gitlab.AddUser(gitlabsim.User{Username: "priya"})
	h.hugo = h.gitlab.AddUser(gitlabsim.User{Username: "hugo"})
	h.rene = h.gitlab.AddUser(gitlabsim.User{Username: "rene"})
	files := map[string]string{}
	for _, name := range h.stacks {
		maps.Copy(files, h.stackOf(name, "0"))
	}
	if h.stacks == nil {
		files = h.stack("0")
	}
	maps.Copy(files, h.files)
	ci := h.ci
	if ci == nil {
		ci = gitlabsim.ProductionCI("main", "upgrade-gate", time.Second)
	}
	h.project, err = h.gitlab.AddProject(h.Context(), gitlabsim.ProjectSpec{
		Path: "platform/web", Files: files, Author: h.hugo.ID, Branches: []string{"staging"},
		Members: map[int64]gitlabsim.Access{h.bot.ID: gitlabsim.Maintainer, h.priya.ID: gitlabsim.Maintainer, h.hugo.ID: gitlabsim.Maintainer, h.rene.ID: gitlabsim.Maintainer},
		Protected: []gitlabsim.ProtectedBranch{
			{Name: "main", Push: gitlabsim.Maintainer, Merge: gitlabsim.Maintainer},
			{Name: "staging", Push: gitlabsim.Developer, Merge: gitlabsim.Developer, ForcePush: true},
		},
		Environments: []gitlabsim.ProtectedEnvironment{{Name: "upgrade-gate", Users: []int64{h.bot.ID}}},
		CI:           ci,
	})
	check(h, err)
}

// site is a page behind the stand-in for Varnish, on loopback.
type site struct {
	port int
	mu   sync.Mutex        // guards the fields below
	held chan struct{}     // not nil: pages wait until it is closed
	came chan struct{}     // somebody waits
	body string            // of each page
	page map[string]string // of some pages, by path
}

func openSite(t *testing.T) *site {
	t.Helper()
	s := &site{body: "hello", page: map[string]string{}, came: make(chan struct{}, 1)}
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		held, body := s.held, s.body
		if of, has := s.page[r.URL.Path]; has {
			body = of
		}
		s.mu.Unlock()
		w.Header().Set("Cache-Control", "no-store")
		if held != nil {
			select {
			case s.came <- struct{}{}:
			default:
			}
			select {
			case <-held:
			case <-r.Context().Done():
			}
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(back.Close)
	proxy, err := standin.New(standin.Config{Backends: []string{back.Listener.Addr().String()}, FirstByte: time.Minute})
	check(t, err)
	front := httptest.NewServer(proxy)
	t.Cleanup(func() { s.release(); front.Close(); proxy.Close() })
	s.port = front.Listener.Addr().(*net.TCPAddr).Port
	return s
}

// hold makes the site keep whoever asks waiting. A probe waits for an answer for a few seconds only.
func (s *site) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = make(chan struct{})
}

func (s *site) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != nil {
		close(s.held)
		s.held = nil
	}
}

func (s *site) say(body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body = body
}

// sayAt is say for one page.
func (s *site) sayAt(path, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.page[path] = body
}
