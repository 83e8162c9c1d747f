//nolint:thelper // its functions are tests, run by TestContract
package terraform_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

func testSecretsMasked(t *testing.T, binary string) {
	const secret, inJSON = "hunter2&\"<ünïcode>", "correct-horse"
	s := newStack(t, binary, `
variable "password" {}
resource "terraform_data" "tell" {
  input = var.password
  provisioner "local-exec" { command = "printf '%s\\n' \"$MY_SECRET\"; printf correct-; sleep 0.1; echo horse; echo glpat-`+"abcdefghij0123456789"+`" }
  provisioner "local-exec" { command = "echo \"$MY_SECRET\" >&2; exit 1" }
}
`)
	s.root.Env["MY_SECRET"] = secret
	s.root.Env["TF_VAR_password"] = inJSON
	var shown strings.Builder
	s.init()
	planned, err := s.tf.Plan(t.Context(), s.root, &shown)
	if err != nil {
		t.Fatal(err)
	}
	var seen ticks
	attempt := s.attempt(planned)
	ended := s.apply(attempt, seen.add)
	if ended.OK {
		t.Error("the apply ended well")
	}
	all, err := json.Marshal(seen.all)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{secret, inJSON, "glpat-abcdefghij"} {
		if strings.Contains(shown.String()+ended.Message+string(all), text) {
			t.Errorf("%q is shown", text)
		}
		nowhere(t, text, filepath.Join(s.root.Data, "logs"), attempt.Dir)
	}
	if log := s.read("logs/apply.log"); strings.Count(log, "(secret)") < 3 {
		t.Errorf("apply.log: %s", log)
	}
	if len(seen.of(plan.TickFailed)) != 1 {
		t.Errorf("got ticks %+v", seen.all)
	}
}

func testEnvironment(t *testing.T, binary string) {
	s := newStack(t, binary, `
variable "greeting" {}
resource "terraform_data" "env" {
  input = var.greeting
  provisioner "local-exec" {
    command     = "env > seen; echo \"$INPUT\" >> seen"
    environment = { INPUT = self.input }
  }
}
`)
	s.root.Env["AWS_REGION"] = "eu-west-2"
	s.root.Env["TF_VAR_greeting"] = "it's $HOME"
	if ended := s.apply(s.ready(), nil); !ended.OK {
		t.Fatalf("got %+v", ended)
	}
	seen, err := os.ReadFile(filepath.Join(s.root.Dir, "seen"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"AWS_REGION=eu-west-2\n", "HOME=" + s.root.Data + "/home\n", "TF_IN_AUTOMATION=1\n", "\nit's $HOME\n"} {
		if !strings.Contains(string(seen), want) {
			t.Errorf("no %q in %s", want, seen)
		}
	}
	for _, never := range []string{"AWS_PROFILE", "UPGRADEGATE_", "GOCACHE"} {
		if strings.Contains(string(seen), never) {
			t.Errorf("%s reached Terraform", never)
		}
	}
}

func testStalePlan(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	first := s.ready()
	copied := filepath.Join(s.root.Data, "copy.tfplan")
	raw, err := os.ReadFile(first.File)
	if err != nil {
		t.Fatal(err)
	}
	write(t, copied, string(raw))
	if ended := s.apply(first, nil); !ended.OK {
		t.Fatalf("got %+v", ended)
	}
	second := first
	second.Dir += "-again"
	second.File = copied
	ended := s.apply(second, nil)
	if ended.OK || !ended.Stale || !strings.HasPrefix(ended.Message, "Saved plan is stale") {
		t.Errorf("got %+v, want a stale plan", ended)
	}
}

func testChangedPlanFile(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	attempt := s.ready()
	file, err := os.OpenFile(attempt.File, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	_, err = s.tf.Apply(t.Context(), s.root, attempt, nil)
	wantCode(t, err, upgrade.CodeConflict, "the plan file is not the one that was judged")
	_, found, err := s.tf.Adopt(t.Context(), attempt, nil)
	wantCode(t, err, upgrade.CodeConflict, "not the one")
	if found != plan.FoundNeverRan || s.state() != nil {
		t.Errorf("found %q, state %v", found, s.state())
	}
	_, err = s.tf.Show(t.Context(), s.root, plan.Planned{File: attempt.File, FileDigest: attempt.FileDigest})
	wantCode(t, err, upgrade.CodeConflict, "not the one")
}

func testChangedLockFile(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	attempt := s.ready()
	write(t, filepath.Join(s.root.Dir, ".terraform.lock.hcl"), "# another\n")
	_, err := s.tf.Apply(t.Context(), s.root, attempt, nil)
	wantCode(t, err, upgrade.CodeConflict, "provider lock file is not the one")
	if s.state() != nil {
		t.Errorf("state %v", s.state())
	}
}

func testSecondApply(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	attempt := s.ready()
	if _, found, err := s.tf.Adopt(t.Context(), attempt, nil); found != plan.FoundNeverRan || err != nil {
		t.Errorf("found %q, %v before it began", found, err)
	}
	s.apply(attempt, nil)
	_, err := s.tf.Apply(t.Context(), s.root, attempt, nil)
	wantCode(t, err, upgrade.CodeConflict, "begun before")
}

func testBusy(t *testing.T, binary string) {
	s := newStack(t, binary, slow)
	attempt := s.ready()
	ended := make(chan plan.Ended, 1)
	go func() {
		got, err := s.tf.Apply(t.Context(), s.root, attempt, nil)
		if err != nil {
			t.Error(err)
		}
		ended <- got
	}()
	eventually(t, "the slow step begins", there(filepath.Join(s.root.Dir, "begun")))
	other := attempt
	other.Dir += "-other"
	_, err := s.tf.Apply(t.Context(), s.root, other, nil)
	wantCode(t, err, upgrade.CodeBusy, "still lives")
	write(t, filepath.Join(s.root.Dir, "go"), "")
	if got := <-ended; !got.OK {
		t.Errorf("got %+v", got)
	}
}
