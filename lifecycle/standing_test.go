package lifecycle_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// invariant is a standing gate of production that answers as it is told to.
type invariant struct {
	mu    sync.Mutex // guards the fields below
	err   error
	memos []string // what each asking got
}

func (i *invariant) says(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.err = err
}

func (i *invariant) asked() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.memos)
}

func (i *invariant) check(_ context.Context, in gates.Input, rec *gates.Recorder) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.memos = append(i.memos, in.Memo)
	if i.err == nil {
		rec.Passed("all is there")
		rec.Keep("as of " + strings.Repeat("I", len(i.memos)))
	}
	return i.err
}

// invariantGoodFor is how long its pass counts.
const invariantGoodFor = 12 * time.Minute

func (i *invariant) gate() gates.Gate {
	return gates.Gate{
		Name: "grants-always", Kind: gates.KindGrants, Stage: upgrade.StageStanding, Environment: "production", Required: true,
		Every: 5 * time.Minute, GoodFor: invariantGoodFor, Deadline: time.Minute, Check: i.check,
	}
}

// watchedHouse is a house whose production is asked about again and again.
func watchedHouse(t *testing.T, change func(*gates.Gate), stacks ...upgrade.Stack) (*house, *invariant) {
	t.Helper()
	i := &invariant{}
	gate := i.gate()
	if change != nil {
		change(&gate)
	}
	h := newHouseWith(t, func(*house) []gates.Gate { return []gates.Gate{gate} }, stacks...)
	h.rest()
	if err := h.lifecycle.Start(h.ctx); err != nil {
		t.Fatal(err)
	}
	h.rest()
	return h, i
}

// invariant returns what is known by the only standing gate.
func (h *house) invariant() upgrade.Standing {
	h.t.Helper()
	all, err := h.lifecycle.Invariants(h.ctx)
	if err != nil || len(all) != 1 {
		h.t.Fatalf("got %+v, %v", all, err)
	}
	return all[0]
}

func gone() error { return gates.FailBrief("production cannot start instances", "the grant is gone") }

// TestS1StandingLocksAgain: what was open is locked when a standing gate says no, or could not tell for longer
// than its pass counts, and opens again only when the gates have been asked once more.
func TestS1StandingLocksAgain(t *testing.T) {
	throttled := &upgrade.Error{Code: upgrade.CodeLimited, Msg: "AWS throttles"}
	for name, test := range map[string]struct {
		err   error
		after time.Duration
		says  string
		state upgrade.InvariantState
	}{
		"broken":           {gone(), 6 * time.Minute, "the grant is gone", upgrade.InvariantBroken},
		"could_not_tell":   {throttled, 14 * time.Minute, "grants-always of production was not verified since", upgrade.InvariantNotVerified},
		"not_told_briefly": {throttled, 6 * time.Minute, "", upgrade.InvariantHeld},
	} {
		t.Run(name, func(t *testing.T) {
			h, i := watchedHouse(t, nil)
			h.push("staging", "v1")
			h.pass(6 * time.Minute)
			run := h.want(h.run().ID, upgrade.PhaseUnlocked)
			i.says(test.err)
			h.pass(test.after)
			if got := h.invariant().State(h.clock.Now()); got != test.state {
				t.Errorf("the invariant is %s, want %s", got, test.state)
			}
			if test.says == "" {
				h.want(run.ID, upgrade.PhaseUnlocked)
				return
			}
			run = h.want(run.ID, upgrade.PhaseRelocked)
			if len(run.Causes) != 1 || !strings.Contains(run.Causes[0].Message, test.says) {
				t.Errorf("locked for %+v, want %q", run.Causes, test.says)
			}
			i.says(nil)
			h.pass(10 * time.Minute)
			h.want(run.ID, upgrade.PhaseRelocked) // by itself it does not open again
			if err := h.lifecycle.Ask(h.ctx, upgrade.Request{Run: run.ID, Kind: upgrade.RequestRecheck, By: hugo()}); err != nil {
				t.Fatal(err)
			}
			h.rest()
			h.want(run.ID, upgrade.PhaseUnlocked)
		})
	}
}

// TestS1StandingBlocks: a run does not open while a standing gate says no; it is asked anew then, for the run
// may be what mends it.
func TestS1StandingBlocks(t *testing.T) {
	h, i := watchedHouse(t, nil)
	i.says(gone())
	h.pass(6 * time.Minute)
	h.push("staging", "v1")
	h.pass(6 * time.Minute)
	run := h.want(h.run().ID, upgrade.PhaseBlocked)
	if len(run.Causes) != 1 || run.Causes[0].Gate != "grants-always" || run.Causes[0].Kind != upgrade.CauseGateFailed || run.Causes[0].Effect != upgrade.EffectProductionBroken {
		t.Errorf("blocked for %+v", run.Causes)
	}
	i.says(nil)
	if err := h.lifecycle.Ask(h.ctx, upgrade.Request{Run: run.ID, Kind: upgrade.RequestRecheck, By: hugo()}); err != nil {
		t.Fatal(err)
	}
	h.rest()
	h.want(run.ID, upgrade.PhaseUnlocked)
}

// TestStandingCountsWhereItApplies: not where it is not required, not for other stacks, and not when it is
// paused.
func TestStandingCountsWhereItApplies(t *testing.T) {
	other := edge()
	other.Name, other.Project, other.Holds = "other", "platform/other", []upgrade.Hold{{Kind: upgrade.HoldCommitStatus}}
	for name, change := range map[string]func(*gates.Gate){
		"not_required": func(g *gates.Gate) { g.Required = false },
		"other_stack":  func(g *gates.Gate) { g.Stacks = []upgrade.StackName{"other"} },
		"skipped":      func(g *gates.Gate) { g.Skip = &gates.Skip{Reason: "AWS moves", Until: friday().Add(240 * time.Hour)} },
	} {
		t.Run(name, func(t *testing.T) {
			h, i := watchedHouse(t, change, edge(), other)
			i.says(gone())
			h.push("staging", "v1")
			h.pass(7 * time.Minute)
			h.want(h.run().ID, upgrade.PhaseUnlocked)
		})
	}
}

// TestStandingGoesOn: it is asked at its interval with what it kept, sooner when it could not tell, and on
// demand.
func TestStandingGoesOn(t *testing.T) {
	h, i := watchedHouse(t, nil)
	start := i.asked()
	if start == 0 {
		t.Fatal("not asked at the start")
	}
	h.pass(11 * time.Minute)
	if got := i.memos[start:]; len(got) != 2 || got[1] != got[0]+"I" {
		t.Errorf("it got %q in 11 minutes", got)
	}
	kept := h.invariant().Result.Memo
	i.says(&upgrade.Error{Code: upgrade.CodeForbidden, Msg: "AWS refuses kms:ListGrants"})
	h.pass(6 * time.Minute)
	if n := i.asked() - start; n != 4 && n != 5 {
		t.Errorf("asked %d times, want again within a minute", n)
	}
	if got := h.invariant(); got.Result.Memo != kept || got.Rev != 2 || got.Result.Outcome != upgrade.OutcomeUnknown {
		t.Errorf("got %+v", got)
	}
	before := i.asked()
	key := upgrade.StandingKey{Gate: "grants-always", Environment: "production"}
	for name, test := range map[string]struct {
		key  upgrade.StandingKey
		role upgrade.Role
		want upgrade.Code
	}{
		"viewer":  {key, upgrade.RoleViewer, upgrade.CodeForbidden},
		"unknown": {upgrade.StandingKey{Gate: "launch", Environment: "staging"}, upgrade.RoleDeveloper, upgrade.CodeNotFound},
		"asked":   {key, upgrade.RoleDeveloper, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := h.lifecycle.CheckInvariant(h.ctx, test.key, upgrade.Person{Name: "eve", Role: test.role})
			if upgrade.CodeOf(err) != test.want && (err != nil || test.want != "") {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	h.rest()
	if i.asked() != before+1 {
		t.Errorf("asked %d times on demand", i.asked()-before)
	}
}

// TestS1StandingUnderOtherSettings: what a gate said of another group, before the configuration was changed, is
// no pass of today's.
func TestS1StandingUnderOtherSettings(t *testing.T) {
	h, i := watchedHouse(t, nil)
	if got := h.invariant(); got.State(h.clock.Now()) != upgrade.InvariantHeld {
		t.Fatalf("got %+v", got)
	}
	h.close()
	i.says(&upgrade.Error{Code: upgrade.CodeForbidden, Msg: "AWS refuses autoscaling:DescribeAutoScalingGroups"})
	h.gates[0].Settings = "of another group"
	h.open(h.stacks)
	if got := h.invariant(); got.State(h.clock.Now()) != upgrade.InvariantNotVerified || got.Result.Memo != "" {
		t.Errorf("before it is asked: %+v", got)
	}
	if err := h.lifecycle.Start(h.ctx); err != nil {
		t.Fatal(err)
	}
	h.rest()
	if got := h.invariant(); got.State(h.clock.Now()) != upgrade.InvariantNotVerified {
		t.Errorf("after it could not tell: %+v", got)
	}
	h.push("staging", "v1")
	h.pass(6 * time.Minute)
	if run := h.want(h.run().ID, upgrade.PhaseBlocked); !strings.Contains(run.Causes[0].Message, "was not verified: AWS refuses") {
		t.Errorf("blocked for %+v", run.Causes)
	}
}

// TestStandingDrift: a gate of each stack plans that stack's state, and not while a run changes it.
func TestStandingDrift(t *testing.T) {
	states := &fakeStates{plans: map[upgrade.StateName]plan.Summary{
		"edge/staging": {Header: plan.Header{FormatVersion: "1.2", Tool: "1.11.4"}},
	}}
	drift := gates.Gate{
		Name: "drift", Kind: gates.KindSettled, Stage: upgrade.StageStanding, Environment: "staging", Required: true, PerStack: true,
		Every: 10 * time.Minute, GoodFor: time.Hour, Deadline: time.Minute,
	}
	if err := (gates.SettledSettings{}).Bind(&drift, gates.Deps{}); err != nil {
		t.Fatal(err)
	}
	h := newHouseWith(t, func(*house) []gates.Gate { return []gates.Gate{drift} })
	h.with(states)
	if got := h.invariant(); got.Key.String() != "drift/staging/edge" || got.State(h.clock.Now()) != upgrade.InvariantHeld {
		t.Fatalf("got %+v", got)
	}
	h.push("staging", "v1")
	h.want(h.run().ID, upgrade.PhaseSettling)
	states.mu.Lock()
	states.plans["edge/staging"] = plan.Summary{
		Header: plan.Header{FormatVersion: "1.2", Tool: "1.11.4"}, Changes: []plan.Change{{Address: "a.b", Action: plan.Update}}, Drifted: []string{"a.b"},
	}
	states.mu.Unlock()
	if err := h.lifecycle.CheckInvariant(h.ctx, h.invariant().Key, hugo()); err != nil {
		t.Fatal(err)
	}
	h.pass(time.Minute)
	if got := h.invariant(); got.State(h.clock.Now()) != upgrade.InvariantHeld {
		t.Errorf("asked while the run changes it: %+v", got)
	}
	h.pass(12 * time.Minute)
	run := h.run() // it was asked just before or just after the run's own gates
	if run.Phase != upgrade.PhaseRelocked && run.Phase != upgrade.PhaseBlocked {
		t.Fatalf("the run is %s", run.Phase)
	}
	if got := h.invariant(); got.State(h.clock.Now()) != upgrade.InvariantBroken || !strings.Contains(run.Causes[0].Message, "a plan of edge in staging changes 1 resource: a.b") {
		t.Errorf("got %+v, locked for %+v", got, run.Causes)
	}
}

// TestLearnedLater: what a result left open goes into its evidence and the journal when it is known.
func TestLearnedLater(t *testing.T) {
	var mu sync.Mutex
	known, asks := "", 0
	trail := gates.Gate{
		Name: "grants", Kind: gates.KindGrants, Stage: upgrade.StageAfter, Environment: "staging", Required: true, Deadline: time.Minute,
		Check: func(_ context.Context, _ gates.Input, rec *gates.Recorder) error {
			rec.Fact("Done by", "not known yet")
			rec.Leave("who took it?")
			return gone()
		},
		Learn: func(_ context.Context, pending string, rec *gates.Recorder) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			asks++
			switch {
			case asks == 1:
				return "", &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "throttled"}
			case known == "":
				rec.Leave(pending)
				return "", nil
			}
			rec.Fact("Done by", "%s", known)
			return known + " took it", nil
		},
	}
	h := newHouseWith(t, func(*house) []gates.Gate { return []gates.Gate{trail} })
	h.rest()
	if err := h.lifecycle.Start(h.ctx); err != nil {
		t.Fatal(err)
	}
	h.push("staging", "v1")
	h.pass(9 * time.Minute)
	run := h.want(h.run().ID, upgrade.PhaseBlocked)
	done := func() string {
		t.Helper()
		results, err := h.store.Results(h.ctx, run.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Gate == "grants" {
				return r.Evidence.Facts[0].Value + "|" + r.Pending
			}
		}
		return ""
	}
	if got := done(); got != "not known yet|who took it?" {
		t.Fatalf("got %q", got)
	}
	mu.Lock()
	known = "terraform"
	mu.Unlock()
	h.pass(3 * time.Minute)
	if got := done(); got != "terraform|" {
		t.Errorf("got %q", got)
	}
	events, err := h.store.Events(h.ctx, upgrade.EventFilter{Run: run.ID})
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	for _, event := range events {
		if event.Text == "grants, learned later: terraform took it." {
			said++
		}
	}
	if asked := asks; said != 1 {
		t.Errorf("the journal says it %d times", said)
	} else if h.pass(5 * time.Minute); asks != asked {
		t.Error("it is asked again although it is known")
	}
	h.want(run.ID, upgrade.PhaseBlocked)
}
