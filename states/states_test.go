package states_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// TestGrantInTwoStates finds a grant that two stacks and a foreign state have, in all three.
func TestGrantInTwoStates(t *testing.T) {
	h := newHouse(t, stack("accounts"), stack("ecs"))
	h.text["accounts/staging"] = stateOf("a", "shared", "mine")
	h.text["ecs/staging"] = stateOf("e", "other", "shared")
	h.text["network"] = stateOf("n", "shared")
	h.same("before anything was read", h.owners("shared"), []string(nil))
	h.same("never read", h.reading("ecs/staging"), upgrade.Reading{State: "ecs/staging", Stack: "ecs", Env: "staging"})
	h.refresh("accounts/staging", "accounts/production", "ecs/staging", "ecs/production", "network", "network")
	h.same("shared", h.owners("shared"), []string{"accounts/staging aws_kms_grant.g0", "ecs/staging aws_kms_grant.g1", "network aws_kms_grant.g0"})
	h.same("mine", h.owners("mine"), []string{"accounts/staging aws_kms_grant.g1"})
	now := h.clock.Now()
	h.same("reading", h.reading("ecs/staging"), upgrade.Reading{
		State: "ecs/staging", Stack: "ecs", Env: "staging", Account: "111111111111", Region: "eu-west-2",
		ReadAt: now, TriedAt: now, Lineage: "e", Serial: 2, Objects: 2,
	})
	h.same("the empty state of a new stack", h.reading("ecs/production"), upgrade.Reading{
		State: "ecs/production", Stack: "ecs", Env: "production", ReadAt: now, TriedAt: now,
	})
	var names []upgrade.StateName
	readings, err := h.Readings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, reading := range readings {
		names = append(names, reading.State)
	}
	h.same("all", names, []upgrade.StateName{"accounts/production", "accounts/staging", "ecs/production", "ecs/staging", "network"})
}

// TestUnsaidProductionIsNotRead: nobody here knows where the state is of a production that says nothing of it.
func TestUnsaidProductionIsNotRead(t *testing.T) {
	unsaid := stack("ecs")
	unsaid.Production.Site = upgrade.Site{Environment: "production"}
	h := newHouse(t, unsaid)
	err := h.Refresh(t.Context(), []upgrade.StateName{"ecs/production"})
	if err == nil || upgrade.CodeOf(err) != upgrade.CodeNotFound || upgrade.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
}

// TestBrokenStateKeepsOldReading: what was read stays, with its age and the reason; secrets do not reach it.
func TestBrokenStateKeepsOldReading(t *testing.T) {
	h := newHouse(t, stack("ecs"))
	h.text["network"] = stateOf("n", "shared")
	h.refresh("network")
	first := h.clock.Now()
	for name, breakIt := range map[string]func(){
		"no_access": func() {
			h.fails["network"] = &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "access denied with hunter2", Hint: "allow s3:GetObject", Cause: errors.New("hunter2")}
		},
		"half_of_it":       func() { h.text["network"] = stateOf("n", "other")[:200] },
		"half_and_failure": func() { h.text["network"], h.fails["network"] = stateOf("n", "other")[:200], errors.New("cut off") },
		"no_state":         func() { h.text["network"] = "<html>sign in</html>" },
		"other_version":    func() { h.text["network"] = `{"version": 9, "resources": []}` },
		"init":             func() { h.initFails = errors.New("no provider"); h.fails["network"] = errors.New("x") },
	} {
		t.Run(name, func(t *testing.T) {
			breakIt()
			h.clock.pass(time.Hour)
			for range 2 { // the second time it begins anew
				h.refresh("network")
			}
			got := h.reading("network")
			if got.Problem == "" || !got.TriedAt.Equal(h.clock.Now()) || !got.ReadAt.Equal(first) || got.Objects != 1 || got.Lineage != "n" {
				t.Errorf("the reading is %+v", got)
			}
			h.same("owners", h.owners("shared"), []string{"network aws_kms_grant.g0"})
			if name == "no_access" {
				h.same("problem", got.Problem, "access denied with (secret); allow s3:GetObject")
			}
			h.text["network"], h.initFails = stateOf("n", "shared"), nil
			delete(h.fails, "network")
		})
	}
	h.refresh("network")
	if got := h.reading("network"); got.Problem != "" || !got.ReadAt.Equal(h.clock.Now()) {
		t.Errorf("the reading is %+v", got)
	}
	if strings.Contains(h.log.String(), "hunter2") {
		t.Error("the log has a secret")
	}
}

// TestCheckoutIsKept: the folder of a state is made anew when its content changes or a reading fails, and
// only then.
func TestCheckoutIsKept(t *testing.T) {
	h := newHouse(t, stack("ecs"))
	read := func(what string, name upgrade.StateName, inits ...string) {
		t.Helper()
		h.refresh(name)
		got, _ := h.said()
		h.same(what, got, inits)
	}
	read("first", "ecs/production", "ecs/production tm1")
	read("again", "ecs/production")
	h.configure([]upgrade.Stack{stack("ecs")}, network())
	read("after a restart", "ecs/production")
	h.heads["main"] = "m2"
	read("another commit", "ecs/production", "ecs/production tm2")
	h.fails["ecs/production"] = errors.New("Backend initialization required")
	read("a failure", "ecs/production")
	delete(h.fails, "ecs/production")
	read("after a failure", "ecs/production", "ecs/production tm2")
	h.gitlab = &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "no answer"}
	read("without GitLab", "ecs/production")
	if got := h.reading("ecs/production"); got.Problem != "" {
		t.Errorf("the reading is %+v", got)
	}
	read("without GitLab or checkout", "ecs/staging")
	h.same("problem", h.reading("ecs/staging").Problem, "no answer")
	h.gitlab = nil
	read("foreign", "network", "network s3")
	read("foreign again", "network")
	// Somebody was killed while the checkout was made.
	work := filepath.Join(h.dir, "states", "stacks", "ecs", "staging", "work", "checkout")
	if err := os.MkdirAll(filepath.Join(work, "half"), 0o755); err != nil {
		t.Fatal(err)
	}
	read("after a kill", "ecs/staging", "ecs/staging ts1")
	if _, err := os.Stat(filepath.Join(work, "half")); err == nil {
		t.Error("what was left half is still there")
	}
}

// TestWhichContent: staging's state is read with what was applied, production's with its branch, and a stack
// that is not there yet with the other one.
func TestWhichContent(t *testing.T) {
	h := newHouse(t, stack("ecs"))
	inits := func(what, want string) {
		t.Helper()
		h.refresh("ecs/staging", "ecs/production")
		got, _ := h.said()
		joined := strings.Join(got, ", ")
		if len(got) == 2 && got[0] > got[1] {
			joined = got[1] + ", " + got[0]
		}
		h.same(what, joined, want)
	}
	inits("at first", "ecs/production tm1, ecs/staging ts1")
	h.without["tm1"] = true
	inits("not merged yet", "ecs/production ts1")
	delete(h.heads, "staging")
	h.without["tm1"], h.without["ts1"] = true, true
	h.refresh("ecs/staging")
	if got := h.reading("ecs/staging").Problem; !strings.Contains(got, "neither branch of platform/ecs has the folder") {
		t.Errorf("the problem is %q", got)
	}
	h.apply("ecs", "c7")
	inits("after an apply", "ecs/production applied-c7, ecs/staging applied-c7")
}

// apply has a run of a commit applied to a stack's staging.
func (h *house) apply(name upgrade.StackName, commit upgrade.Commit) {
	h.Helper()
	id := upgrade.JobFor(upgrade.JobPeriodic, "pen")
	if err := h.db.Ensure(h.Context(), id, h.clock.Now()); err != nil {
		h.Fatal(err)
	}
	job, _, err := h.db.Claim(h.Context(), "w", time.Minute, h.clock.Now())
	if err != nil {
		h.Fatal(err)
	}
	for _, step := range []upgrade.Step{
		{Starts: []upgrade.Run{{ProjectID: 1, Stack: name, Environment: "staging", Tree: "applied-" + upgrade.Tree(commit), Commit: commit}}},
		{Applies: []upgrade.Apply{{Run: 1, N: 1, Stack: name, Environment: "staging", Tree: "applied-" + upgrade.Tree(commit), FileDigest: "f"}}},
	} {
		if err := h.db.Commit(h.Context(), job, h.clock.Now(), step); err != nil {
			h.Fatal(err)
		}
	}
}

// TestS13StateIsNotReadWithCodeThatNobodyReviewed: a branch to which anybody may push could send the
// credentials of the state anywhere.
func TestS13StateIsNotReadWithCodeThatNobodyReviewed(t *testing.T) {
	h := newHouse(t, stack("ecs"))
	h.unprotected["main"], h.unprotected["staging"] = true, true
	h.refresh("ecs/production", "ecs/staging")
	inits, pulls := h.said()
	if len(inits)+len(pulls) > 0 {
		t.Errorf("initialised %v, pulled %v", inits, pulls)
	}
	for _, name := range []upgrade.StateName{"ecs/production", "ecs/staging"} {
		if got := h.reading(name).Problem; !strings.Contains(got, "is not protected") || !strings.Contains(got, "protect the branch") {
			t.Errorf("the problem of %s is %q", name, got)
		}
	}
}

// TestChangedConfiguration: what was read of a state counts no more when its name means another one.
func TestChangedConfiguration(t *testing.T) {
	h := newHouse(t, stack("ecs"), stack("old"))
	h.text["network"], h.text["old/staging"], h.text["ecs/staging"] = stateOf("n", "shared"), stateOf("o", "shared"), stateOf("e", "shared")
	h.refresh("network", "old/staging", "ecs/staging")
	h.same("all", len(h.owners("shared")), 3)
	other := network()
	other.Config = map[string]string{"key": "another"}
	h.configure([]upgrade.Stack{stack("ecs")}, other)
	h.same("left", h.owners("shared"), []string{"ecs/staging aws_kms_grant.g0"})
	h.same("another", h.reading("network"), upgrade.Reading{State: "network"})
	if _, err := os.Stat(filepath.Join(h.dir, "states", "stacks", "old", "staging")); !os.IsNotExist(err) {
		t.Errorf("the folder of a state that is not configured: %v", err)
	}
	other.Env = map[string]upgrade.Secret{"TF_HTTP_ADDRESS": "https://elsewhere"}
	h.refresh("network")
	h.configure([]upgrade.Stack{stack("ecs")}, other)
	h.same("elsewhere", h.reading("network"), upgrade.Reading{State: "network"})
}

// TestOneReadingForAllWhoAsk: whoever asks while a state is read waits for that.
func TestOneReadingForAllWhoAsk(t *testing.T) {
	h := newHouse(t, stack("ecs"))
	h.hold, h.begun = make(chan struct{}), make(chan string, 10)
	var group sync.WaitGroup
	ask := func() { group.Go(func() { h.refresh("network") }) }
	ask()
	<-h.begun
	for range 5 {
		ask()
	}
	time.Sleep(20 * time.Millisecond) // so that they have asked; if not, there are more pulls
	close(h.hold)
	group.Wait()
	if _, pulls := h.said(); len(pulls) != 1 {
		t.Errorf("it was read %d times", len(pulls))
	}
	h.refresh("network")
	if _, pulls := h.said(); len(pulls) != 1 {
		t.Errorf("then it was read %d times", len(pulls))
	}
}

// TestNobodyWaits: a reading ends when the last one who asked has gone, and says nothing about the state.
func TestNobodyWaits(t *testing.T) {
	h := newHouse(t, stack("ecs"))
	h.hold, h.begun = make(chan struct{}), make(chan string, 10)
	why := errors.New("it has gone")
	var group sync.WaitGroup
	var leave []context.CancelCauseFunc
	for range 3 {
		ctx, cancel := context.WithCancelCause(t.Context())
		leave = append(leave, cancel)
		group.Go(func() {
			if err := h.Refresh(ctx, []upgrade.StateName{"network"}); !errors.Is(err, why) {
				t.Errorf("got %v", err)
			}
		})
	}
	<-h.begun
	for _, one := range leave {
		one(why)
	}
	group.Wait()
	h.same("reading", h.reading("network"), upgrade.Reading{State: "network"})
	close(h.hold)
	h.refresh("network")
	if got := h.reading("network"); got.ReadAt.IsZero() || got.Problem != "" {
		t.Errorf("the reading is %+v", got)
	}
}

// TestNoMoreAtOnce: only so many are read at once, whatever is asked for.
func TestNoMoreAtOnce(t *testing.T) {
	var stacks []upgrade.Stack
	var names []upgrade.StateName
	for i := range 6 {
		stacks = append(stacks, stack(upgrade.StackName(fmt.Sprintf("s%d", i))))
		names = append(names, upgrade.StateOf(stacks[i].Name, "staging"), upgrade.StateOf(stacks[i].Name, "production"))
	}
	h := newHouse(t, stacks...)
	h.hold, h.begun = make(chan struct{}), make(chan string, 20)
	var group sync.WaitGroup
	group.Go(func() { h.refresh(names...) })
	<-h.begun
	<-h.begun
	time.Sleep(20 * time.Millisecond) // for a third one
	close(h.hold)
	group.Wait()
	if h.most != 2 {
		t.Errorf("%d were read at once", h.most)
	}
	if _, pulls := h.said(); len(pulls) != 12 {
		t.Errorf("read %v", pulls)
	}
}

// TestReadInAfterApply: a run's own reading waits for one that began before its apply had ended, and reads
// again.
func TestReadInAfterApply(t *testing.T) {
	h := newHouse(t, stack("ecs"))
	h.text["ecs/staging"] = stateOf("e", "before")
	h.hold, h.begun = make(chan struct{}), make(chan string, 10)
	var group sync.WaitGroup
	group.Go(func() { h.refresh("ecs/staging") })
	<-h.begun
	h.mu.Lock()
	h.text["run"] = stateOf("e", "before", "after")
	h.mu.Unlock()
	group.Go(func() {
		root := plan.Root{Dir: t.TempDir(), BackendConfig: map[string]string{"key": "run"}}
		if err := h.ReadIn(t.Context(), "ecs/staging", root); err != nil {
			t.Error(err)
		}
	})
	time.Sleep(20 * time.Millisecond) // so that it has asked
	close(h.hold)
	group.Wait()
	h.same("owners", h.owners("after"), []string{"ecs/staging aws_kms_grant.g1"})
	h.same("at once", h.most, 1)
	if err := h.ReadIn(t.Context(), "nobody/staging", plan.Root{}); err != nil {
		t.Errorf("a state that is not known: %v", err)
	}
	if inits, _ := h.said(); len(inits) != 1 {
		t.Errorf("initialised %v", inits)
	}
}

func TestRefreshOlder(t *testing.T) {
	h := newHouse(t, stack("ecs"))
	h.refresh("network")
	h.clock.pass(10 * time.Minute)
	_, _ = h.said()
	if err := h.RefreshOlder(t.Context(), h.clock.Now().Add(-15*time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, pulls := h.said()
	if len(pulls) != 2 {
		t.Errorf("read %v", pulls)
	}
	if err := h.RefreshOlder(t.Context(), h.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, pulls = h.said(); len(pulls) != 3 {
		t.Errorf("read %v", pulls)
	}
}

// TestNames: a foreign state may be called as a stack is.
func TestNames(t *testing.T) {
	h := newHouse(t, stack("network"))
	h.text["network"], h.text["network/staging"] = stateOf("f", "foreign"), stateOf("s", "own")
	h.refresh("network", "network/staging", "network/production")
	h.same("foreign", h.owners("foreign"), []string{"network aws_kms_grant.g0"})
	h.same("own", h.owners("own"), []string{"network/staging aws_kms_grant.g0"})
}
