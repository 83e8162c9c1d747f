package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/integration/aws/awsprovider"
	"github.com/upgradegate/upgradegate/upgrade"
)

// reconciled is how often the service compares GitLab with what it decided.
const reconciled = time.Minute

// TestBadTerraform pushes one thing after another that Terraform cannot do. Each run fails with a sentence
// that says what and where; staging is not changed; and the next good commit goes through.
func TestBadTerraform(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{dir: "stacks/web", provider: true, files: map[string]string{"README.md": "hello"}})
	h.serve()
	main := "stacks/web/main.tf"
	good := h.stack("1")[main]
	provider := strings.Replace(good, "backend \"local\" {}", "backend \"local\" {}\n  required_providers {\n    "+providerBlock+"\n  }", 1)
	for _, test := range []struct {
		name  string
		files map[string]string
		gone  []string
		says  []string
	}{
		{"does_not_parse", map[string]string{main: good + "\nresource \"terraform_data\" {"}, nil, []string{"main.tf:14"}},
		{"unknown_resource", map[string]string{main: good + "\nresource \"terraform_date\" \"x\" {}\n"}, nil, []string{"terraform_date"}},
		{"lock_does_not_match", map[string]string{main: provider, "stacks/web/.terraform.lock.hcl": fmt.Sprintf(
			"provider %q {\n  version = %q\n  hashes = [\n    \"h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\n  ]\n}\n", awsprovider.Address, h.providerVersion())}, nil, []string{"not the build that .terraform.lock.hcl names"}},
		{"no_folder", map[string]string{"README.md": "nothing"}, []string{main, "stacks/web/.terraform.lock.hcl"}, []string{`no folder "stacks/web"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := h.in(t)
			commit := h.pushFiles(test.name, test.files, test.gone...)
			run := h.runIs(commit, upgrade.PhaseFailed)
			h.tells(run.Told.Headline+" "+run.Causes[0].Message, test.says)
			if run.Told.Next == "" {
				t.Error("nobody is told what to do")
			}
			h.shows(commit, "failed")
			h.appliedOnce()
		})
	}
	t.Run("link_out_of_the_checkout", func(t *testing.T) {
		h := h.in(t)
		commit := h.pushByGit(func(dir string) {
			check(t, os.MkdirAll(filepath.Join(dir, "stacks"), 0o755))
			check(t, os.Symlink("/etc", filepath.Join(dir, "stacks", "web")))
		})
		run := h.runIs(commit, upgrade.PhaseFailed)
		h.tells(run.Causes[0].Message, []string{"link"})
		h.shows(commit, "failed")
		h.pushByGit(func(dir string) { check(t, os.Remove(filepath.Join(dir, "stacks", "web"))) })
	})
	h.runIs(h.push("1"), upgrade.PhaseUnlocked)
	h.appliedOnce("1")
}

func (h *house) tells(text string, words []string) {
	h.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			h.Errorf("told %q, want it to say %q", text, word)
		}
	}
}

func (h *house) providerVersion() string {
	h.Helper()
	self, err := product()
	check(h, err)
	version, err := awsprovider.Version(self)
	check(h, err)
	return version
}

// pushByGit changes a clone and pushes it to staging, with git.
func (h *house) pushByGit(change func(dir string)) upgrade.Commit {
	h.Helper()
	dir := filepath.Join(h.TempDir(), "clone")
	git := func(args ...string) string {
		h.Helper()
		cmd := exec.CommandContext(h.Context(), "git", args...)
		cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_GLOBAL=/dev/null",
			"GIT_AUTHOR_NAME=Priya", "GIT_AUTHOR_EMAIL=priya@example.org", "GIT_COMMITTER_NAME=Priya", "GIT_COMMITTER_EMAIL=priya@example.org")
		out, err := cmd.CombinedOutput()
		if err != nil {
			h.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
		return strings.TrimSpace(string(out))
	}
	address := strings.Replace(h.project.GitURL, "://", "://oauth2:"+h.priya.Token.Reveal()+"@", 1)
	git("clone", "--quiet", "--branch", "staging", address, dir)
	change(dir)
	git("-C", dir, "add", "--all")
	git("-C", dir, "commit", "--quiet", "--message", "by hand")
	git("-C", dir, "push", "--quiet", "origin", "staging")
	return upgrade.Commit(git("-C", dir, "rev-parse", "HEAD"))
}

// TestHangingPlanIsStopped: a person stops a plan that hangs. Terraform ends, staging is untouched, and the
// next commit goes its way.
func TestHangingPlanIsStopped(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.serve()
	h.hold("plan")
	commit := h.push("1")
	run := h.runIs(commit, upgrade.PhasePlanning)
	h.until(func() string {
		if len(h.lines("terraform.calls")) < 2 {
			return "the plan has not begun"
		}
		return ""
	})
	_, err := h.api().Do(t.Context(), run.ID, client.Act{Name: "stop", Reason: "it hangs"})
	check(t, err)
	run = h.runIs(commit, upgrade.PhaseStopped)
	h.tells(run.Told.Headline, []string{"hugo"})
	h.shows(commit, string(upgrade.PhaseStopped.CommitState()))
	h.release("plan")
	h.runIs(h.push("2"), upgrade.PhaseUnlocked)
	h.appliedOnce("2")
}

// TestS9SecretsStayInside lets Terraform print a secret wherever it can: in the plan, from a provisioner,
// in an error. It is in no log, page, answer, status, note or row.
func TestS9SecretsStayInside(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.serve()
	spill := func(last string) map[string]string {
		return map[string]string{"main.tf": `terraform {
  required_version = ">= 1.5"
  backend "local" {}
}

variable "password" {
  type = string
}

output "open" {
  value = "it is ${var.password}"
}

resource "terraform_data" "it" {
  triggers_replace = ["` + last + `", var.password]

  provisioner "local-exec" {
    command = "echo the password is $TF_VAR_password; echo again: ${var.password} >&2; ` + last + `"
  }
}
`}
	}
	good := h.pushFiles("it prints a secret", spill("true"))
	first := h.runIs(good, upgrade.PhaseUnlocked)
	h.shows(good, "success")
	bad := h.pushFiles("it fails with a secret", spill("exit 3"))
	second := h.runIs(bad, upgrade.PhaseFailed)
	h.shows(bad, "failed")

	for _, run := range []upgrade.RunID{first.ID, second.ID} {
		for _, path := range []string{"", "/events?limit=200", "/results", "/gates", "/log/prepare", "/log/plan", "/log/apply"} {
			h.silent(pathOf("/api/v1/runs/%d", run) + path)
		}
		for _, path := range []string{"", "/log/plan", "/log/apply"} {
			h.silent(fmt.Sprintf("/runs/%d", run) + path)
		}
	}
	for _, path := range []string{"/", "/history", "/deliveries", "/api/v1/runs", "/api/v1/deliveries", "/metrics"} {
		h.silent(path)
	}
	if _, log := h.get(fmt.Sprintf("/api/v1/runs/%d/log/apply", first.ID)); !strings.Contains(log, "the password is") {
		t.Errorf("the log of the apply lacks what the provisioner printed: %s", log)
	}
	h.hides("the service's log", []byte(h.log.String()))
	for _, act := range h.gitlab.Acts() {
		h.hides("GitLab", []byte(act.Target+act.Result+act.Warning))
	}
	h.hidesFiles()
}

// silent demands that an answer has none of the secrets.
func (h *house) silent(path string) {
	h.Helper()
	status, body := h.get(path)
	if status != http.StatusOK && status != http.StatusNotFound && status != http.StatusSeeOther {
		h.Errorf("%s: %d", path, status)
	}
	h.hides(path, []byte(body))
}

func (h *house) hides(where string, data []byte) {
	h.Helper()
	for _, secret := range []string{stackSecret, h.bot.Token.Reveal(), hookToken, externalID, hugoToken, h.secrets["T_SECRET"]} {
		if bytes.Contains(data, []byte(secret)) {
			h.Errorf("%s has the secret %.4s…", where, secret)
		}
	}
}

// hidesFiles looks into everything that the service keeps. Neither run has a plan file any more.
func (h *house) hidesFiles() {
	h.Helper()
	looked := 0
	for _, root := range []string{h.path("data"), h.path("gate.db"), h.path("gate.db-wal")} {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				if os.IsNotExist(err) {
					return nil
				}
				return err
			}
			data, err := os.ReadFile(name)
			if os.IsNotExist(err) || !d.Type().IsRegular() {
				return nil
			}
			looked++
			h.hides(strings.TrimPrefix(name, h.dir), data)
			return err
		})
		check(h, err)
	}
	if looked < 10 {
		h.Errorf("only %d files were looked at", looked)
	}
}
