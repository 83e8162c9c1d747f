//nolint:thelper // its functions are tests, run by TestContract
package terraform_test

import (
	"os"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade/plan"
)

func TestContract(t *testing.T) {
	for name, binary := range tools(t) {
		t.Run(name, func(t *testing.T) { testContract(t, binary) })
	}
}

const three = `
resource "terraform_data" "one" { input = "1" }
resource "terraform_data" "two" { input = terraform_data.one.output }
resource "terraform_data" "three" { input = terraform_data.two.output }
`

// slow has a step that waits for the file go, in the checkout, and says that it has begun by the file begun.
const slow = `
resource "terraform_data" "first" { input = "1" }
resource "terraform_data" "slow" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    command = "touch begun; while test -e main.tf && ! test -e go; do sleep 0.05; done; echo went"
  }
}
`

func testContract(t *testing.T, binary string) {
	for name, test := range map[string]func(t *testing.T, binary string){
		"plan_show_apply":              testPlanShowApply,
		"failing_resource":             testFailingResource,
		"parse_error":                  testParseError,
		"plan_error":                   testPlanError,
		"plan_cancelled":               testPlanCancelled,
		"secrets_masked":               testSecretsMasked,
		"environment":                  testEnvironment,
		"stale_plan":                   testStalePlan,
		"changed_plan_file":            testChangedPlanFile,
		"changed_lock_file":            testChangedLockFile,
		"service_killed":               testServiceKilled,
		"shim_killed":                  testShimKilled,
		"second_apply":                 testSecondApply,
		"busy":                         testBusy,
		"stop":                         testStop,
		"stop_before_start":            testStopBeforeStart,
		"stop_early":                   testStopEarly,
		"context_ends":                 testContextEnds,
		"workspace":                    testWorkspace,
		"destroy":                      testDestroy,
		"plan_without_lock":            testPlanWithoutLock,
		"missing_lock_file":            testMissingLockFile,
		"background_child_is_no_apply": testBackgroundChild,
		"remote_state":                 testRemoteState,
		"no_workspaces":                testNoWorkspaces,
		"state_lock":                   testStateLock,
		"state_pull":                   testStatePull,
		"state_pull_only_reads":        testStatePullOnlyReads,
		"state_of_unknown_provider":    testStateOfUnknownProvider,
		"foreign_workspace":            testForeignWorkspace,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, binary)
		})
	}
}

func testPlanShowApply(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	s.init()
	planned := s.plan()
	name, version, err := s.tf.Tool(t.Context())
	if err != nil || planned.Tool != name+" "+version || planned.Empty || len(planned.FileDigest) != 64 || planned.LockDigest != "" {
		t.Errorf("got %+v, %v", planned, err)
	}
	if info, err := os.Stat(planned.File); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("plan file: %v, %v", info.Mode(), err)
	}
	summary, err := s.tf.Show(t.Context(), s.root, planned)
	if err != nil || len(summary.Changes) != 3 || summary.Header.Tool != version {
		t.Fatalf("got %+v, %v", summary, err)
	}
	var seen ticks
	attempt := s.attempt(planned)
	if ended := s.apply(attempt, seen.add); !ended.OK || ended.ExitCode != 0 || ended.Message != "" || ended.At.IsZero() {
		t.Errorf("got %+v", ended)
	}
	done := seen.of(plan.TickDone)
	if len(done) != 3 || len(seen.of(plan.TickStart)) != 3 || len(done) == 3 && done[2].Done != 3 {
		t.Errorf("got ticks %+v", seen.all)
	}
	for i, tick := range done {
		want := "terraform_data." + []string{"one", "two", "three"}[i]
		if tick.Address != want || tick.Action != plan.Create || tick.Total != 3 || tick.At.IsZero() {
			t.Errorf("got tick %+v, want %s", tick, want)
		}
	}
	if log := s.read("logs/apply.log"); !strings.Contains(log, "terraform_data.one: Creation complete") {
		t.Errorf("apply.log: %s", log)
	}
	if log := s.read("logs/plan.log"); !strings.Contains(log, "Plan: 3 to add") {
		t.Errorf("plan.log: %s", log)
	}
	if again := s.plan(); !again.Empty {
		t.Error("the second plan is not empty")
	}
	if ended, found, err := s.tf.Adopt(t.Context(), attempt, nil); err != nil || found != plan.FoundResult || !ended.OK {
		t.Errorf("adopted %+v, %q, %v", ended, found, err)
	}
}

func testFailingResource(t *testing.T, binary string) {
	s := newStack(t, binary, `
resource "terraform_data" "one" { input = "1" }
resource "terraform_data" "bad" {
  depends_on = [terraform_data.one]
  provisioner "local-exec" { command = "echo no such thing; exit 3" }
}
resource "terraform_data" "never" { depends_on = [terraform_data.bad] }
`)
	var seen ticks
	ended := s.apply(s.ready(), seen.add)
	if ended.OK || ended.ExitCode != 1 || ended.Address != "terraform_data.bad" || ended.Stale {
		t.Errorf("got %+v", ended)
	}
	if want := "main.tf:5: local-exec provisioner error"; !strings.HasPrefix(ended.Message, want) || strings.Contains(ended.Message, "\n") {
		t.Errorf("got message %q, want %q…", ended.Message, want)
	}
	failed := seen.of(plan.TickFailed)
	if len(failed) != 1 || failed[0].Address != "terraform_data.bad" || failed[0].Done != 1 {
		t.Errorf("got failed ticks %+v of %+v", failed, seen.all)
	}
	if log := s.read("logs/apply.log"); !strings.Contains(log, "no such thing") {
		t.Errorf("apply.log: %s", log)
	}
}

func testDestroy(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	if ended := s.apply(s.ready(), nil); !ended.OK {
		t.Fatalf("got %+v", ended)
	}
	s.root.Destroy = true
	planned := s.plan()
	summary, err := s.tf.Show(t.Context(), s.root, planned)
	if err != nil || len(summary.Changes) != 3 || summary.Changes[0].Action != plan.Delete {
		t.Fatalf("got %+v, %v", summary, err)
	}
	if ended := s.apply(s.attempt(planned), nil); !ended.OK || len(s.state()) != 0 {
		t.Errorf("got %+v, state %v", ended, s.state())
	}
}
