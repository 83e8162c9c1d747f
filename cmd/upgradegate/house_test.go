package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/cmd/upgradegate/service"
	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/integration/aws/awsprovider"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/integration/varnish/standin"
	"github.com/upgradegate/upgradegate/internal/world"
	"github.com/upgradegate/upgradegate/upgrade"
)

// What the operator's file refers to. No answer of the service may hold any of these but in use.
const (
	hugoToken     = "hugo-token-of-the-tests"
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
	world   *world.Clock // nil with the system's clock
	gitlab  *gitlabsim.Server
	aws     *awssim.Sim
	awsURL  string
	project gitlabsim.Project
	site    *site
	url     string // of the service
	file    string // the operator's
	secrets map[string]string

	bot, priya, hugo gitlabsim.User

	service *service.Service // of serve
	waiting *atomic.Int32    // waits, during which world time may jump
	log     *logBuffer
}

// logBuffer keeps what the service logs.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// need skips the test for want of a program, or fails it when UPGRADEGATE_TEST_NEED lists it.
func need(t *testing.T, name, why string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("UPGRADEGATE_TEST_NEED"), ","), name) {
		t.Fatalf("UPGRADEGATE_TEST_NEED lists %s, but: %s", name, why)
	}
	t.Skip(why)
}

func terraformBinary(t *testing.T) string {
	t.Helper()
	for _, key := range []string{"UPGRADEGATE_TEST_TERRAFORM", "UPGRADEGATE_TEST_TOFU"} {
		if path := os.Getenv(key); path != "" {
			return path
		}
	}
	path, err := exec.LookPath("terraform")
	if err != nil {
		need(t, "terraform", "no terraform: set UPGRADEGATE_TEST_TERRAFORM")
	}
	return path
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
	h := &house{T: t, setup: s, dir: dir, clock: upgrade.SystemClock{}, log: &logBuffer{}, waiting: &atomic.Int32{}}
	if !s.real {
		h.world = world.New(time.Now())
		h.clock = h.world
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

// hold makes Terraform, or the stack's provisioner, wait at a point: init, plan or provisioner.
func (h *house) hold(point string) { h.Helper(); h.write("hold-"+point, "", 0o644) }

// release lets whoever waits at the point go on.
func (h *house) release(point string) {
	h.Helper()
	if err := os.Remove(h.path("hold-" + point)); err != nil && !os.IsNotExist(err) {
		h.Fatal(err)
	}
}

// tool is a Terraform that waits where it is told to. It notes that it is there.
func (h *house) tool(binary string) string {
	h.Helper()
	script := strings.NewReplacer("DIR", h.dir, "BINARY", binary).Replace(`#!/bin/sh
for word in "$@"; do
	case "$word" in init|plan)
		echo "$word" >> DIR/terraform.calls
		while [ -e DIR/hold-"$word" ]; do sleep 0.05; done
		break;;
	esac
done
exec BINARY "$@"
`)
	return h.write("bin/terraform", script, 0o755)
}

// lines returns the lines of a file of the house; none if it does not exist.
func (h *house) lines(name string) []string {
	raw, err := os.ReadFile(h.path(name))
	if err != nil {
		return nil
	}
	return strings.Fields(string(raw))
}

// stack is a root module whose one resource notes each time that it is created, and needs no provider.
func (h *house) stack(version string) map[string]string {
	text := strings.NewReplacer("DIR", h.dir, "VERSION", version).Replace(`terraform {
  required_version = ">= 1.5"
  backend "local" {}
}

resource "terraform_data" "it" {
  triggers_replace = ["VERSION"]

  provisioner "local-exec" {
    command = "echo VERSION >> DIR/applies; while [ -e DIR/hold-provisioner ]; do sleep 0.05; done"
  }
}
`)
	return map[string]string{filepath.Join(h.setup.dir, "main.tf"): text}
}

// applies returns the versions that were really applied, one for each time.
func (h *house) applies() []string { return h.lines("applies") }

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
	files := h.stack("0")
	maps.Copy(files, h.files)
	ci := h.ci
	if ci == nil {
		ci = gitlabsim.ProductionCI("main", "upgrade-gate", time.Second)
	}
	h.project, err = h.gitlab.AddProject(h.Context(), gitlabsim.ProjectSpec{
		Path: "platform/web", Files: files, Author: h.hugo.ID, Branches: []string{"staging"},
		Members: map[int64]gitlabsim.Access{h.bot.ID: gitlabsim.Maintainer, h.priya.ID: gitlabsim.Maintainer, h.hugo.ID: gitlabsim.Maintainer},
		Protected: []gitlabsim.ProtectedBranch{
			{Name: "main", Push: gitlabsim.Maintainer, Merge: gitlabsim.Maintainer},
			{Name: "staging", Push: gitlabsim.Developer, Merge: gitlabsim.Developer, ForcePush: true},
		},
		Environments: []gitlabsim.ProtectedEnvironment{{Name: "upgrade-gate", Users: []int64{h.bot.ID}}},
		CI:           ci,
	})
	check(h, err)
}

// writeFile writes the operator's file, for a port that is free now.
func (h *house) writeFile(binary string) {
	h.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(h, err)
	h.url = "http://" + listener.Addr().String()
	check(h, listener.Close())
	cli := "disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path = \"" + h.path("mirror") + "\"\n  }\n}\n"
	check(h, os.MkdirAll(h.path("mirror"), 0o755))
	if h.provider {
		self, err := os.Executable()
		check(h, err)
		version, err := awsprovider.Version(self)
		check(h, err)
		check(h, awsprovider.Install(self, h.path("mirror"), version))
		cli = awsprovider.CLIConfig(h.path("mirror"))
	}
	gateList := h.gates
	if gateList == "" {
		gateList = h.siteGate()
	}
	check(h, os.MkdirAll(h.path("state"), 0o755))
	h.secrets = map[string]string{
		"T_HUGO": hugoToken, "T_GITLAB": h.bot.Token.Reveal(), "T_HOOK": hookToken, "T_EXTERNAL": externalID,
		"T_KEY": awssim.DefaultKeyID, "T_SECRET": awssim.DefaultSecret, "T_STACK": stackSecret,
	}
	h.file = h.write("upgradegate.yaml", fmt.Sprintf(`server:
  listen: %q
  public_url: %q
  tokens:
    - {name: hugo, role: release_manager, gitlab_user_id: %d, token: {env: T_HUGO}}
database: %q
data: %q
gitlab:
  url: %q
  token: {env: T_GITLAB}
  webhook: {secret_token: {env: T_HOOK}}
terraform: {binary: %q, cli_config: %q}
network: {allow: ["127.0.0.1/32:%d"]}
environments:
  staging:
    aws: {region: eu-west-2, role_arn: %q, external_id: {env: T_EXTERNAL}, endpoint: %q, access_key: {env: T_KEY}, secret_key: {env: T_SECRET}}
  production: {}
stacks:
  - name: web
    project: platform/web
    dir: %q
    trigger: {push: staging, merge_request: {to: main}}
    staging:
      backend_config: {path: %q}
      env: {AWS_ACCESS_KEY_ID: {env: T_KEY}, AWS_SECRET_ACCESS_KEY: {env: T_SECRET}, AWS_ENDPOINT_URL: %q, TF_VAR_password: {env: T_STACK}}
    production: {branch: main, environment: production}
    holds: [{kind: play_job, job: upgrade-gate, opens: step}, {kind: commit_status}]
gates:
%s`, strings.TrimPrefix(h.url, "http://"), h.url, h.hugo.ID, "sqlite://"+h.path("gate.db"), h.path("data"), h.gitlab.URL(), binary,
		h.write("terraform.rc", cli, 0o644), h.site.port, gateRole, h.awsURL, h.orTop(), h.path("state", "web.tfstate"), h.awsURL, gateList), 0o600)
}

func (h *house) orTop() string {
	if h.setup.dir == "" {
		return "."
	}
	return h.setup.dir
}

// siteGate asks the site, by name, past the cache.
func (h *house) siteGate() string {
	settle := h.settle
	if settle == "" {
		settle = "0s"
	}
	return fmt.Sprintf(`  - name: site
    kind: varnish
    environments: [staging]
    settle: %s
    tries: 1
    paths:
      - {url: %q, resolve: {www.site.test: 127.0.0.1}, bypass: {query: gate}, expect: {status: 200, body_contains: hello}}
`, settle, fmt.Sprintf("http://www.site.test:%d/", h.site.port))
}

// site is a page behind the stand-in for Varnish, on loopback.
type site struct {
	port int
	mu   sync.Mutex    // guards the fields below
	held chan struct{} // not nil: pages wait until it is closed
	came chan struct{} // somebody waits
	body string
}

func openSite(t *testing.T) *site {
	t.Helper()
	s := &site{body: "hello", came: make(chan struct{}, 1)}
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		held, body := s.held, s.body
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

// getenv finds what the operator's file refers to.
func (h *house) getenv(name string) (string, bool) { v, ok := h.secrets[name]; return v, ok }

// serve runs the service within the test, with its world clock, and adds the webhook.
func (h *house) serve() {
	h.Helper()
	checked, err := config.Load(h.file, config.Source{Getenv: h.getenv, ReadFile: os.ReadFile})
	check(h, err)
	self, err := os.Executable()
	check(h, err)
	ctx, stop := context.WithCancel(context.Background())
	h.service, err = service.New(ctx, service.Options{
		Config: checked, Log: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Clock: h.clock,
		Self: self, Environ: []string{"PATH=" + os.Getenv("PATH")}, Prober: h.prober,
	})
	check(h, err)
	listener, err := net.Listen("tcp", strings.TrimPrefix(h.url, "http://"))
	check(h, err)
	var work sync.WaitGroup
	ended := make(chan error, 1)
	work.Go(func() { h.move(ctx) })
	serving, stopServing := context.WithCancel(ctx)
	go func() { ended <- h.service.Run(serving, listener) }()
	h.Cleanup(func() {
		for _, point := range []string{"init", "plan", "provisioner"} {
			h.release(point)
		}
		h.site.release()
		h.gitlab.Heal()
		stopServing()
		h.waiting.Add(1) // whoever cleans up waits for world time
		check(h, <-ended)
		stop()
		work.Wait()
		check(h, h.service.Close())
	})
	h.addHook()
}

func (h *house) addHook() {
	h.Helper()
	_, err := h.gitlab.AddHook(h.project.ID, gitlabsim.Hook{URL: h.url + "/webhooks/gitlab", Token: hookToken})
	check(h, err)
}

// move lets world time flow, and while the test waits it jumps to what anybody waits for, as soon as
// nobody works.
func (h *house) move(ctx context.Context) {
	const every, calm = 2 * time.Millisecond, 10 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := time.Now()
	since, seen := last, uint64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		h.world.Advance(now.Sub(last))
		last = now
		quiet, begun := h.world.Quiet()
		if !quiet || begun != seen {
			since, seen = now, begun
			continue
		}
		if h.waiting.Load() > 0 && now.Sub(since) >= calm && h.jump(ctx) {
			since = time.Now()
		}
	}
}

func (h *house) jump(ctx context.Context) bool {
	next, known := h.world.NextDue()
	due, waits, err := h.service.Store.NextWake(ctx)
	if err != nil {
		return false
	}
	if waits && (!known || due.Before(next)) {
		next, known = due, true
	}
	return known && h.world.MoveTo(next) // a time that has passed only says to look again
}

// until waits until is says nothing any more; what it said last is why the test fails.
func (h *house) until(is func() string) {
	h.Helper()
	h.waiting.Add(1)
	defer h.waiting.Add(-1)
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

// push commits the plain stack in another version to staging, and returns the commit.
func (h *house) push(version string) upgrade.Commit {
	h.Helper()
	return h.pushFiles("version "+version, h.stack(version))
}

func (h *house) pushFiles(message string, files map[string]string, gone ...string) upgrade.Commit {
	h.Helper()
	commit, err := h.gitlab.Commit(h.Context(), h.project.ID, gitlabsim.CommitSpec{
		Branch: "staging", Message: message, Files: files, Delete: gone, Author: h.priya.ID,
	})
	check(h, err)
	return commit
}

// merge makes main lead to the commit.
func (h *house) merge(commit upgrade.Commit) {
	h.Helper()
	check(h, h.gitlab.SetBranch(h.Context(), h.project.ID, "main", commit, h.hugo.ID))
}

// api is the service's API, as the command line uses it.
func (h *house) api() *client.Client {
	h.Helper()
	c, err := client.New(client.Config{URL: h.url, Token: hugoToken, HTTP: &http.Client{}})
	check(h, err)
	return c
}

// runOf returns the newest run of the commit, over the API.
func (h *house) runOf(commit upgrade.Commit) (client.Run, string) {
	runs, err := h.api().Runs(h.Context(), "", 50)
	if err != nil {
		return client.Run{}, err.Error()
	}
	for _, run := range runs {
		if run.Commit == commit {
			return run, ""
		}
	}
	return client.Run{}, fmt.Sprintf("there is no run of %s", commit.Short())
}

// runIs waits until the commit's newest run is in one of the phases.
func (h *house) runIs(commit upgrade.Commit, phases ...upgrade.Phase) client.Run {
	h.Helper()
	var run client.Run
	h.until(func() (said string) {
		if run, said = h.runOf(commit); said != "" {
			return said
		}
		if slices.Contains(phases, run.Phase) {
			return ""
		}
		if run.Phase.Final() {
			h.Fatalf("run %d is %s (%s), want one of %v", run.ID, run.Phase, run.Told.Headline, phases)
		}
		return fmt.Sprintf("run %d is %s (%s), want one of %v", run.ID, run.Phase, run.Told.Headline, phases)
	})
	return run
}

// shows waits until GitLab's status of the commit is what the run says.
func (h *house) shows(commit upgrade.Commit, state string) {
	h.Helper()
	h.until(func() string {
		run, said := h.runOf(commit)
		if said != "" {
			return said
		}
		seen := "no status"
		for _, pipeline := range h.gitlab.Pipelines(h.project.ID) {
			if pipeline.Commit != commit || pipeline.Source == "external" {
				continue
			}
			for _, status := range h.gitlab.Statuses(pipeline.ID) {
				if !status.Retried {
					seen = fmt.Sprintf("%s %q", status.Status, status.Description)
				}
			}
			break // the newest
		}
		if seen == fmt.Sprintf("%s %q", state, run.Told.Headline) {
			return ""
		}
		return fmt.Sprintf("GitLab shows %s, want %s %q", seen, state, run.Told.Headline)
	})
}

// heldJob returns the newest held job of the commit on main.
func (h *house) heldJob(commit upgrade.Commit) (gitlabsim.Job, bool) {
	for _, pipeline := range h.gitlab.Pipelines(h.project.ID) { // newest first
		if pipeline.Commit != commit || pipeline.Ref != "main" {
			continue
		}
		for _, job := range h.gitlab.Jobs(pipeline.ID) {
			if job.Name == "upgrade-gate" && !job.Retried {
				return job, true
			}
		}
	}
	return gitlabsim.Job{}, false
}

func (h *house) heldJobIs(commit upgrade.Commit, status string) {
	h.Helper()
	h.until(func() string {
		job, found := h.heldJob(commit)
		if !found || job.Status != status {
			return fmt.Sprintf("upgrade-gate is %q, want %s", job.Status, status)
		}
		return ""
	})
}

// plays returns what came of each attempt to play a job.
func (h *house) plays() []string {
	var results []string
	for _, act := range h.gitlab.Acts() {
		if act.Act == "play" {
			results = append(results, act.Result)
		}
	}
	return results
}

// appliedOnce demands that each of the versions was applied exactly once, in this order, and nothing else.
func (h *house) appliedOnce(versions ...string) {
	h.Helper()
	if got := h.applies(); !slices.Equal(got, versions) {
		h.Errorf("applied %v, want %v", got, versions)
	}
}

// get reads something of the service as hugo.
func (h *house) get(path string) (int, string) {
	h.Helper()
	return h.send(http.MethodGet, path, http.Header{"Authorization": {"Bearer " + hugoToken}}, nil)
}

func (h *house) send(method, path string, header http.Header, body io.Reader) (int, string) {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), method, h.url+path, body)
	check(h, err)
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	check(h, err)
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	check(h, err)
	return resp.StatusCode, string(data)
}

// pathOf escapes a query value.
func pathOf(format string, args ...any) string {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = url.PathEscape(text)
		}
	}
	return fmt.Sprintf(format, args...)
}
