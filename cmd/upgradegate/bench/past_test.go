package bench

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
)

// modelDay is the day of all that happens to the models; each copy gets a day of its own.
const modelDay = "2001-01-01"

// What the models hold in place of what each copy has of its own.
const (
	markStack   = "zzstack"
	markVersion = "zzversion"
	markBase    = "zzbase"
	markFirst   = "zzfirst"
	markFamily  = "zzfamily"
	markGrant   = "zzgrant"
	markThing   = "zzthing"
	markRequest = 424242 // number of the merge request
)

// model is a run that the history has many copies of.
type model struct {
	name      string
	share     int // of all runs, in twentieths; 0: only one of the newest
	resources int // that its apply changes
	path      []upgrade.Phase
	watched   bool // its apply was watched from outside
}

func models() []model {
	const (
		queued, preparing, planning, judging = upgrade.PhaseQueued, upgrade.PhasePreparing, upgrade.PhasePlanning, upgrade.PhaseJudging
		applying, settling, checking         = upgrade.PhaseApplying, upgrade.PhaseSettling, upgrade.PhaseChecking
		unlocking, unlocked                  = upgrade.PhaseUnlocking, upgrade.PhaseUnlocked
	)
	whole := []upgrade.Phase{preparing, planning, judging, applying, settling, checking, unlocking, unlocked}
	then := func(more ...upgrade.Phase) []upgrade.Phase { return append(slices.Clip(whole), more...) }
	return []model{
		{"small", 4, 10, then(upgrade.PhasePromoted), false},
		{"middle", 4, 20, then(upgrade.PhasePromoted), true},
		{"large", 1, 100, then(upgrade.PhasePromoted), true},
		{"locked again", 1, 20, then(upgrade.PhaseRelocked), false},
		{"blocked", 3, 20, []upgrade.Phase{preparing, planning, judging, applying, settling, checking, upgrade.PhaseBlocked}, true},
		{"denied", 2, 0, []upgrade.Phase{preparing, planning, judging, upgrade.PhaseBlocked}, false},
		{"apply failed", 1, 21, []upgrade.Phase{preparing, planning, judging, applying, upgrade.PhaseFailed}, false},
		{"checkout failed", 1, 0, []upgrade.Phase{preparing, upgrade.PhaseFailed}, false},
		{"stopped", 1, 0, []upgrade.Phase{preparing, planning, upgrade.PhaseStopped}, false},
		{"replaced", 2, 0, []upgrade.Phase{upgrade.PhaseSuperseded}, false},
		{"unlocked", 0, 12, whole, true},
		{"checking", 0, 30, []upgrade.Phase{preparing, planning, judging, applying, settling, checking}, true},
		{"applying", 0, 200, []upgrade.Phase{preparing, planning, judging, applying}, false},
		{"waiting", 0, 0, []upgrade.Phase{preparing, planning, judging, upgrade.PhaseAwaitingApproval}, false},
		{"queued", 0, 0, nil, false},
	}
}

// modelled makes the models by the store itself, so that each row is as it writes them.
func modelled(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "models.db")
	s, err := store.Open(t.Context(), store.Config{URL: "sqlite://" + path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	morning, err := time.Parse("2006-01-02 15:04", modelDay+" 08:43")
	if err != nil {
		t.Fatal(err)
	}
	hint := upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 1, Project: "platform/edge", Ref: "staging", Before: commitOf("b"), After: commitOf("c")}
	d := upgrade.Delivery{ID: "zzdelivery", Event: "Push Hook", ReceivedAt: morning, Hint: hint, Body: []byte(strings.Repeat(`{"before":"0000","after":"1111"}`, 60))}
	if _, err := s.Deliver(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	job, ok, err := s.Claim(t.Context(), "models", time.Hour, morning)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	for i, m := range models() {
		b := builder{t: t, store: s, job: job, m: m, id: upgrade.RunID(i + 1), at: morning}
		b.build(t.Context())
	}
	return path
}

func commitOf(digit string) upgrade.Commit { return upgrade.Commit(strings.Repeat(digit, 40)) }

// builder takes a model through its phases.
type builder struct {
	t     *testing.T
	store *store.Store
	job   upgrade.Job
	m     model
	id    upgrade.RunID
	at    time.Time
}

func (b *builder) commit(ctx context.Context, step upgrade.Step) {
	b.t.Helper()
	step.Next = upgrade.Next{Do: upgrade.NextKeep}
	if err := b.store.Commit(ctx, b.job, b.at, step); err != nil {
		b.t.Fatalf("model %q: %v", b.m.name, err)
	}
	b.at = b.at.Add(20 * time.Second)
}

func (b *builder) build(ctx context.Context) {
	b.t.Helper()
	commit := commitOf(fmt.Sprintf("%x", int(b.id)%16))
	// A stack of its own, so that models do not wait for one another; the copies get others.
	stack := upgrade.StackName(fmt.Sprintf("%s%d", markStack, b.id))
	b.commit(ctx, upgrade.Step{Starts: []upgrade.Run{{
		ProjectID: 1, Project: "platform/edge", Stack: stack, Environment: "staging", Tree: upgrade.Tree(fmt.Sprintf("tree%d", b.id)), Commit: commit,
		Version: markVersion, Base: markBase, Title: "Move the grant " + markGrant + " of " + markStack, Author: markFirst + " " + markFamily,
		Reason: "A push to staging started the run",
		Answers: []upgrade.Answer{
			{Ref: "change-" + markVersion, Commit: commit, MergeRequest: markRequest}, {Ref: "staging", Commit: commit},
		},
	}}})
	for _, phase := range b.m.path {
		run, err := b.store.Run(ctx, b.id)
		if err != nil {
			b.t.Fatal(err)
		}
		b.commit(ctx, b.step(run, phase))
	}
}

// step is what a run does when it goes on to the phase.
func (b *builder) step(run upgrade.Run, phase upgrade.Phase) upgrade.Step {
	from := run.Phase
	run.Phase, run.Reason = phase, ""
	var step upgrade.Step
	note := func(kind upgrade.EventKind, text string, data map[string]string) {
		step.Events = append(step.Events, upgrade.Event{Run: b.id, Kind: kind, Who: upgrade.ByRule().Name, Text: text, Data: data})
	}
	switch phase { //nolint:exhaustive // the others do nothing of their own
	case upgrade.PhaseJudging:
		run.Plan = upgrade.PlanFacts{FileDigest: fmt.Sprintf("file%d", b.id), ChangeDigest: strings.Repeat("bb22", 16), Create: 4, Update: b.m.resources, Tool: "terraform 1.11.4"}
		step.Results = b.results(upgrade.StagePlan, false)
	case upgrade.PhaseApplying:
		run.Applies, run.Progress = 1, upgrade.Progress{Total: b.m.resources}
		step.Applies = []upgrade.Apply{b.apply(upgrade.ApplyStarted)}
		for i := range b.m.resources {
			address := fmt.Sprintf("module.edge.aws_security_group_rule.varnish_in[%d]", i)
			for _, state := range []string{"started", "done"} {
				note(upgrade.EventResource, address+" "+state, map[string]string{"address": address, "action": []string{"update", "create", "delete"}[i%3], "state": state})
			}
		}
	case upgrade.PhaseSettling:
		run.ChangedAt, run.Progress.Done, run.Round = b.at, b.m.resources, 1
		step.Applies = []upgrade.Apply{b.apply(upgrade.ApplyExited)}
	case upgrade.PhaseUnlocking, upgrade.PhaseBlocked, upgrade.PhaseFailed:
		b.judge(&run, &step, from)
	case upgrade.PhasePromoted:
		run.PromotedAt = b.at
	case upgrade.PhaseStopped:
		run.StoppedBy = markFirst + " " + markFamily
	}
	for _, r := range step.Results {
		note(upgrade.EventGate, r.Message, map[string]string{"gate": string(r.Gate), "environment": string(r.Environment), "outcome": string(r.Outcome)})
	}
	note(upgrade.EventStatus, "GitLab was told: "+string(phase.CommitState()), map[string]string{"state": string(phase.CommitState())})
	step.Posted = []upgrade.Posted{{Run: b.id, Commit: run.Commit, Pipeline: 77, State: phase.CommitState(), Text: string(phase)}}
	step.Runs = []upgrade.Run{run}
	return step
}

// judge gives the run its verdict.
func (b *builder) judge(run *upgrade.Run, step *upgrade.Step, from upgrade.Phase) {
	failed := run.Phase == upgrade.PhaseBlocked
	if from == upgrade.PhaseChecking {
		step.Results = b.results(upgrade.StageAfter, failed)
		run.Tally = upgrade.Tally{Gates: 4, Passed: 4}
	}
	switch {
	case run.Phase == upgrade.PhaseUnlocking:
		run.Verdict = upgrade.VerdictOpen
		step.Orders = []upgrade.Order{{Upgrade: run.Upgrade, Run: run.ID, Hold: upgrade.Hold{Kind: upgrade.HoldPlayJob, Job: "upgrade-gate"}, State: upgrade.OrderDone, Target: "job 4711", Result: "played", Attempts: 1, At: b.at}}
	case failed && from == upgrade.PhaseChecking:
		run.Tally = upgrade.Tally{Gates: 4, Passed: 3, Failed: 1}
		run.Causes = []upgrade.Cause{{Kind: upgrade.CauseGateFailed, Gate: "grants", Effect: upgrade.EffectGrants, Message: "1 of 4 grants is gone: " + markGrant + " on alias/edge-ebs"}}
	case failed:
		run.Causes = []upgrade.Cause{{Kind: upgrade.CauseGateFailed, Gate: "destroy-guard", Message: "the plan destroys a KMS grant"}}
	case from == upgrade.PhaseApplying:
		run.Causes = []upgrade.Cause{{Kind: upgrade.CauseApply, Message: "creating i-" + markThing + ": InsufficientInstanceCapacity"}}
		step.Applies = []upgrade.Apply{b.apply(upgrade.ApplyExited)}
		step.Applies[0].OK = false
	default:
		run.Causes = []upgrade.Cause{{Kind: upgrade.CauseCheckout, Message: "the commit is gone"}}
	}
}

func (b *builder) apply(state upgrade.ApplyState) upgrade.Apply {
	a := upgrade.Apply{
		Run: b.id, N: 1, Stack: upgrade.StackName(fmt.Sprintf("%s%d", markStack, b.id)), Environment: "staging", Tree: upgrade.Tree(fmt.Sprintf("tree%d", b.id)),
		FileDigest: fmt.Sprintf("file%d", b.id), State: state, Host: "gate-1", Dir: "/var/lib/upgradegate/runs/1", BegunAt: b.at,
	}
	if state == upgrade.ApplyExited {
		a.OK, a.BegunAt, a.EndedAt = true, b.at.Add(-20*time.Second), b.at
	}
	return a
}
