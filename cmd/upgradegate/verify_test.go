package main

import (
	"bytes"
	"context"
	"maps"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// pipeline is a production pipeline whose first job runs `upgradegate verify`, and what came of it.
type pipeline struct {
	mu     sync.Mutex // guards the fields below
	house  *house
	tokens map[int64]string // by job
	heard  *logBuffer       // what the newest job has written to stderr so far
	said   map[int64]said
}

// script is what the job of the pipeline runs.
func (p *pipeline) script(ctx context.Context, job gitlabsim.Job) error {
	p.mu.Lock()
	h := p.house
	p.mu.Unlock()
	if h == nil { // the pipeline of the first commit
		return nil
	}
	token, err := h.idToken(job.ID, nil)
	if err != nil {
		return err
	}
	self, err := product()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	heard := &logBuffer{}
	p.mu.Lock()
	p.heard = heard
	p.mu.Unlock()
	cmd := exec.CommandContext(ctx, self, "verify")
	cmd.Env = []string{"UPGRADEGATE_URL=" + h.url, "GATE_ID_TOKEN=" + token}
	cmd.Stdout, cmd.Stderr = &out, heard
	h.clock.Idle(func() { err = cmd.Run() })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens[job.ID], p.said[job.ID] = token, said{code: cmd.ProcessState.ExitCode(), out: out.String(), err: heard.String()}
	return err
}

// idToken returns a token of the job for the service. It lasts long: world time jumps.
func (h *house) idToken(job int64, change map[string]any) (string, error) {
	claims, err := h.gitlab.Claims(job, h.url)
	if err != nil {
		return "", err
	}
	claims["exp"] = h.clock.Now().Add(1000 * time.Hour).Unix()
	maps.Copy(claims, change)
	return h.gitlab.SignClaims(nil, claims)
}

// verify runs `upgradegate verify` with the token.
func (h *house) verify(token string, args ...string) said {
	h.Helper()
	return cli(h.T, []string{"UPGRADEGATE_URL=" + h.url, "GATE_ID_TOKEN=" + token}, append([]string{"verify"}, args...)...)
}

// newVerifyHouse is a house whose production is held by the job, and by nothing else.
func newVerifyHouse(t *testing.T, s setup) (*house, *pipeline) {
	t.Helper()
	p := &pipeline{tokens: map[int64]string{}, said: map[int64]said{}, heard: &logBuffer{}}
	s.ci = []gitlabsim.JobSpec{
		{Name: "test", Stage: "test"},
		{Name: "may-it-go", Stage: "gate", Branches: []string{"main"}, Script: p.script},
		{Name: "deploy-production", Stage: "deploy", Branches: []string{"main"}, Environment: "production", Takes: time.Second},
	}
	h := newHouse(t, s)
	raw, err := os.ReadFile(h.file)
	check(t, err)
	const plain = "holds: [{kind: play_job, job: upgrade-gate, opens: step}, {kind: commit_status}]"
	if !strings.Contains(string(raw), plain) {
		t.Fatal("the operator's file has other holds")
	}
	check(t, os.WriteFile(h.file, []byte(strings.Replace(string(raw), plain, "holds: [{kind: verify_job, job: may-it-go}, {kind: commit_status}]", 1)), 0o600))
	p.mu.Lock()
	p.house = h
	p.mu.Unlock()
	return h, p
}

// asked waits for the end of the job that asked about the commit, and returns what came of it.
func (p *pipeline) asked(h *house, commit upgrade.Commit) (gitlabsim.Job, said) {
	h.Helper()
	var job gitlabsim.Job
	h.until(func() string {
		for _, pl := range h.gitlab.Pipelines(h.project.ID) {
			for _, j := range h.gitlab.Jobs(pl.ID) {
				if pl.Commit == commit && pl.Ref == "main" && j.Name == "may-it-go" && (j.Status == "success" || j.Status == "failed") {
					job = j
					return ""
				}
			}
		}
		return "may-it-go has not ended for " + commit.Short()
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	return job, p.said[job.ID]
}

// waits waits until the job of the newest pipeline has been told how far its run is.
func (p *pipeline) waits(h *house) {
	h.Helper()
	eventually(h, func() string {
		p.mu.Lock()
		defer p.mu.Unlock()
		if heard := p.heard.String(); strings.HasPrefix(heard, "upgradegate: ") {
			return ""
		}
		return "nobody waits for an answer"
	})
}

// deployed reports whether the commit ever was deployed to production.
func (h *house) deployed(commit upgrade.Commit) bool {
	for _, pl := range h.gitlab.Pipelines(h.project.ID) {
		for _, job := range h.gitlab.Jobs(pl.ID) {
			if pl.Commit == commit && job.Name == "deploy-production" && job.Status == "success" {
				return true
			}
		}
	}
	return false
}

// TestVerifyJob is the hold verify_job from end to end: GitLab's pipeline runs `upgradegate verify`, which
// asks the service, and only an answer of open lets the pipeline go on to deploy (S1).
func TestVerifyJob(t *testing.T) {
	t.Parallel()
	h, p := newVerifyHouse(t, setup{})
	h.serve()

	// It was tested, then merged.
	first := h.push("1")
	h.runIs(first, upgrade.PhaseUnlocked)
	h.merge(first)
	job, got := p.asked(h, first)
	got.is(t, exitOK, `[A-Z].*\.\n`, `(?s).*upgradegate: commit `+first.Short()+` of platform/web may go to production\n`)
	h.runIs(first, upgrade.PhasePromoted)
	h.appliedOnce("1")

	t.Run("replayed", func(t *testing.T) {
		h := h.in(t)
		h.verify(p.tokens[job.ID]).is(t, exitError, "", `upgradegate: this ID token was used before\nupgradegate: hint: .*\n`)
	})
	t.Run("another_commit_as_argument", func(t *testing.T) {
		h := h.in(t)
		token, err := h.idToken(job.ID, nil)
		check(t, err)
		h.verify(token, strings.Repeat("ab", 20)).is(t, exitError, "", `upgradegate: the ID token is of commit `+first.Short()+`, .*\nupgradegate: hint: .*\n`)
		h.verify(token, string(first)).is(t, exitOK, `.*\n`, `.*may go.*`) // it was not spent
	})
	for _, test := range []struct {
		name   string
		change map[string]any
		code   int
		says   string // stderr of a question that could not be asked, else the answer
	}{
		{"unknown_commit", map[string]any{"sha": strings.Repeat("ab", 20)}, exitClosed, `.*abababa.*`},
		{"unknown_project", map[string]any{"project_id": "987654"}, exitClosed, `.*not known.*`},
		{"tag", map[string]any{"ref_type": "tag"}, exitClosed, `.*is a tag.*`},
		{"merge_request", map[string]any{"pipeline_source": "merge_request_event"}, exitClosed, `.*merge.request.*`},
		{"unprotected_ref", map[string]any{"ref_protected": "false"}, exitClosed, `.*not protected.*`},
		{"another_branch", map[string]any{"ref": "feature"}, exitClosed, `.*feature.*`},
		{"another_project", map[string]any{"project_path": "platform/other", "project_id": "7"}, exitError, `upgradegate: the ID token is of project "platform/other", .*\nupgradegate: hint: .*\n`},
		{"another_service", map[string]any{"aud": "https://gate.example.net"}, exitError, `upgradegate: the ID token was made for another service than .*\nupgradegate: hint: set aud: http.*\n`},
		{"expired", map[string]any{"exp": 1000000000}, exitError, `upgradegate: the ID token expired at .*\nupgradegate: hint: .*\n`},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := h.in(t)
			token, err := h.idToken(job.ID, test.change)
			check(t, err)
			out, errs := test.says+`\n`, `.*may not go to production.*`
			if test.code == exitError {
				out, errs = "", test.says
			}
			h.verify(token).is(t, test.code, out, errs)
		})
	}

	// It was merged while it is still being tested: the job waits, and says for what.
	p.mu.Lock()
	p.heard = &logBuffer{}
	p.mu.Unlock()
	h.hold("provisioner")
	second := h.push("2")
	h.runIs(second, upgrade.PhaseApplying)
	h.merge(second)
	p.waits(h)
	h.release("provisioner")
	_, got = p.asked(h, second)
	got.is(t, exitOK, `[A-Z].*\.\n`, `upgradegate: [A-Z].*\nupgradegate: commit `+second.Short()+` of platform/web may go to production\n`)
	h.runIs(second, upgrade.PhasePromoted)

	// It was merged though it did not pass.
	h.site.say("somebody else's page")
	third := h.push("3")
	h.runIs(third, upgrade.PhaseBlocked)
	h.merge(third)
	job, got = p.asked(h, third)
	got.is(t, exitClosed, `Not ready for production.*\n`, `upgradegate: commit `+third.Short()+` of platform/web may not go to production\nupgradegate: hint: see `+h.url+`/runs/\d+\n`)
	if job.Status != "failed" || h.deployed(third) {
		t.Errorf("the job is %s, deployed: %t", job.Status, h.deployed(third))
	}
	if strings.Contains(h.log.String(), p.tokens[job.ID]) {
		t.Error("an ID token is in the log (S9)")
	}
}

// TestVerifyJobSurvivesRestart kills the service while a job waits for its answer. The job says so, goes on
// waiting, and gets the answer of the next service (S11).
func TestVerifyJobSurvivesRestart(t *testing.T) {
	t.Parallel()
	h, p := newVerifyHouse(t, setup{real: true})
	first := h.start()
	h.addHook()
	h.hold("provisioner")
	commit := h.push("1")
	h.seen(commit, upgrade.PhaseApplying)
	h.merge(commit)
	p.waits(h)
	first.kill()
	h.start()
	h.release("provisioner")
	_, got := p.asked(h, commit)
	got.is(t, exitOK, `[A-Z].*\.\n`, `upgradegate: [A-Z].*\nupgradegate: 127\.0\.0\.1:\d+ (does not answer|stopped in the middle of its answer); trying again for up to 5m0s\n`+
		`upgradegate: .* answers again\n.*upgradegate: commit `+commit.Short()+` of platform/web may go to production\n`)
	h.runIs(commit, upgrade.PhasePromoted)
	h.appliedOnce("1")
}
