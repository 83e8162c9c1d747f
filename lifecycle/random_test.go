package lifecycle_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// TestRandomHistories plays histories that nobody wrote and asks the model of each thing that is done
// whether a rule broke: S1, S2, S3, S5, S6, S7, S12, S13. UPGRADEGATE_SOAK_SEED repeats one.
func TestRandomHistories(t *testing.T) {
	histories := 12
	switch {
	case raced:
		histories = 2
	case soak():
		histories = 2000
	}
	t.Logf("seed %d: repeat with UPGRADEGATE_SOAK_SEED=%d", seed(), seed())
	for i := range histories {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed(), uint64(i)))
			stacks := [][]upgrade.Stack{{one()}, two(), chain()}[i%3]
			newStroll(t, rng, stacks).walk(30)
		})
	}
}

// stroll is one random history.
type stroll struct {
	*script
	model  *model
	lines  []string
	moves  map[string]int // how often a ref was moved to a content: that many attempts are due
	asked  int            // further attempts that were asked for
	merges int64
	heads  []string // contents that were pushed

	invariant *invariant // of production; nil: none stands
}

func newStroll(t *testing.T, rng *rand.Rand, stacks []upgrade.Stack) *stroll {
	t.Helper()
	s := &stroll{
		script: &script{
			house: newHouseWith(t, allGates, stacks...), rng: rng, variant: []string{"", doubled, reordered}[rng.IntN(3)],
			commits: map[string]upgrade.Commit{},
		},
		moves: map[string]int{},
	}
	s.assumeBases()
	s.model = newModel(s.house)
	s.judges(s.model)
	for _, stack := range stacks {
		s.model.production[stack.Staging.Workspace] = part("base", stack.Dir)
	}
	s.terraform.set(func(f *fakeTerraform) { f.model = s.model })
	s.gitlab.onPlay = s.model.opened
	return s
}

// judges has the model told which plan files were judged: it is what the first plan gate is asked about.
func (s *stroll) judges(m *model) {
	guard := s.gates[0].Check
	s.gates[0].Check = func(ctx context.Context, in gates.Input, rec *gates.Recorder) error {
		m.do(func() { m.judged[in.Run.Plan.FileDigest] = true })
		return guard(ctx, in, rec)
	}
	if s.rng.IntN(2) == 0 {
		s.stands(m)
	}
	s.close() // the service has the gates of its start
	s.open(s.stacks)
	if s.invariant != nil {
		if err := s.store.Ensure(s.ctx, "periodic/standing/grants-always/production", s.clock.Now()); err != nil {
			s.t.Fatal(err)
		}
		s.rest()
	}
}

// stands has production asked again and again.
func (s *stroll) stands(m *model) {
	s.invariant, m.invariant = &invariant{}, &answered{}
	gate := s.invariant.gate()
	gate.Check = func(ctx context.Context, in gates.Input, rec *gates.Recorder) error {
		err := s.invariant.check(ctx, in, rec)
		m.stood(err)
		return err
	}
	s.gates = append(s.gates, gate)
}

// productionChanges has its standing gate say something else from now on.
func (s *stroll) productionChanges() {
	if s.invariant == nil {
		return
	}
	answers := map[string]error{
		"ok": nil, "no": gone(), "unknown": &upgrade.Error{Code: upgrade.CodeForbidden, Msg: "AWS refuses kms:ListGrants"},
	}
	answer := []string{"ok", "ok", "no", "unknown"}[s.rng.IntN(4)]
	s.say("invariant %s", answer)
	s.invariant.says(answers[answer])
}

func (s *stroll) walk(steps int) {
	s.t.Helper()
	for range steps {
		s.once()
		s.flush()
		s.rest()
		s.look()
	}
	// In the end everything that can end by itself has: deadlines have passed, one run's after the other's,
	// and answers are too old.
	s.gate.says(nil)
	if s.invariant != nil {
		s.invariant.says(nil)
	}
	for range 12 {
		s.pass(5 * time.Hour)
		s.look()
		if s.waiting().ID == 0 {
			return
		}
	}
	run := s.waiting()
	s.line = strings.Join(s.lines, "\n")
	s.fatalf("run %d is still %s: %s", run.ID, run.Phase, run.Reason)
}

// say keeps a line of the history, for whoever has to understand it.
func (s *stroll) say(format string, args ...any) {
	s.lines = append(s.lines, s.clock.Now().Format("15:04 ")+fmt.Sprintf(format, args...))
}

func (s *stroll) look() {
	s.t.Helper()
	var wrong []string
	s.model.do(func() { wrong = slices.Clone(s.model.wrong) })
	attempts := map[string]int{}
	for _, run := range s.runs() {
		if run.Phase.Opens() && run.Phase != upgrade.PhasePromoted && run.Verdict != upgrade.VerdictOpen {
			s.model.do(func() {
				if !s.clock.Now().Before(s.model.overridden[s.gitlab.contentOf(run.Tree)]) {
					wrong = append(wrong, fmt.Sprintf("S6: run %d is %s although its verdict is %s, and no two people said so", run.ID, run.Phase, run.Verdict))
				}
			})
		}
		attempts[fmt.Sprintf("%s@%s", s.gitlab.contentOf(run.Tree), run.Stack)]++
	}
	for name, n := range attempts {
		content, _, _ := strings.Cut(name, "@")
		if n > s.moves[content]+s.asked+1 { // one more when a stack turned out to be touched later
			wrong = append(wrong, fmt.Sprintf("S7: %s has %d runs after %d moves", name, n, s.moves[content]))
		}
	}
	if len(wrong) > 0 {
		s.line = strings.Join(s.lines, "\n")
		s.fatalf("\n%s", strings.Join(wrong, "\n"))
	}
}

// waiting returns a run that is still on its way. Behind one that was interrupted it may be for ever.
func (s *stroll) waiting() upgrade.Run {
	s.t.Helper()
	var live upgrade.Run
	for _, run := range s.runs() {
		if run.Phase == upgrade.PhaseInterrupted {
			return upgrade.Run{}
		}
		if run.Phase.Live() {
			live = run
		}
	}
	return live
}

// invent returns a content: few values, so that they come again, and signs that make trouble.
func (s *stroll) invent() string {
	value := func() string {
		sign := ""
		if s.rng.IntN(2) == 0 {
			sign = []string{signOutage, signBroken, signGuarded, signFails, signOutage + signGuarded}[s.rng.IntN(5)]
		}
		return fmt.Sprint(s.rng.IntN(4)) + sign
	}
	if len(s.stacks) == 1 {
		return "v" + value()
	}
	return "a=" + value() + " b=" + value()
}

// old returns a content that was pushed before, or a new one.
func (s *stroll) old() string {
	if len(s.heads) == 0 {
		return s.invent()
	}
	return s.heads[s.rng.IntN(len(s.heads))]
}

func (s *stroll) once() {
	kinds := []struct {
		weight int
		do     func()
	}{
		{20, func() { s.pushBranch("staging", s.invent()) }},
		{6, func() { s.pushBranch("staging", s.old()) }},
		{10, func() { s.pushBranch("main", s.old()) }},
		{3, func() { s.pushBranch("main", s.invent()) }},
		{8, s.openOrPush},
		{5, s.landOne},
		{5, s.changeOne},
		{10, s.deployOne},
		{25, s.waitSome},
		{20, s.askSomething},
		{4, s.repeatSomething},
		{5, func() {
			answer := []string{"ok", "ok", "no", "unknown"}[s.rng.IntN(4)]
			s.say("gate %s", answer)
			acts()["gate"](s.script, []string{answer})
		}},
		{2, func() {
			s.say("restart")
			s.flush()
			s.rest()
			s.close()
			s.open(s.stacks)
			s.rest()
		}},
		{12, s.productionChanges},
		{2, s.interrupt},
		{2, func() { s.say("again"); acts()["again"](s.script, nil) }},
	}
	total := 0
	for _, kind := range kinds {
		total += kind.weight
	}
	n := s.rng.IntN(total)
	for _, kind := range kinds {
		if n -= kind.weight; n < 0 {
			kind.do()
			return
		}
	}
}

func (s *stroll) pushBranch(branch, content string) {
	s.say("push %s %s", branch, content)
	s.moves[content]++
	s.heads = append(s.heads, content)
	s.model.do(func() {
		s.model.reviewed[content] = true
		s.model.mainHeads[content] = s.model.mainHeads[content] || branch == "main"
	})
	project, branch := s.place(branch)
	commit := s.gitlab.push(project, branch, content)
	s.commits[content] = commit
	if branch == "main" { // what merge requests give now is reviewed before anybody is told of the push
		s.mergesMove()
	}
	s.pushed(project, branch, commit)
}

// interrupt cuts off whatever is applied when something is pushed: nobody knows how it ended.
func (s *stroll) interrupt() {
	s.flush()
	s.rest()
	acts()["hold"](s.script, nil)
	s.pushBranch("staging", s.invent())
	s.flush()
	s.pass(time.Minute)
	how := []string{"", "rest", "whole"}[s.rng.IntN(3)]
	s.say("lose what is applied %s", how)
	acts()["lose"](s.script, []string{how})
	s.close()
	s.model.lost()
	s.open(s.stacks)
	s.rest()
}

// mergesMove notes what every open merge request gives now that its target has moved.
func (s *stroll) mergesMove() {
	unlock, _ := s.gitlab.lock()
	var gives []string
	for _, mr := range s.gitlab.merges {
		if mr.State != "opened" || mr.Draft || len(s.gitlab.approvals[mr.IID]) == 0 {
			continue
		}
		target := s.gitlab.contents[s.gitlab.branches["1/main"].Commit]
		if content, ok := merge(s.gitlab.forked[mr.IID], target, s.gitlab.contents[mr.Head]); ok {
			gives = append(gives, content)
		}
	}
	unlock()
	for _, content := range gives {
		s.moves[content]++
		s.model.do(func() { s.model.reviewed[content] = true })
	}
}

func (s *stroll) openOrPush() {
	iid := s.merges
	if iid == 0 || s.rng.IntN(2) == 0 {
		s.merges++
		iid = s.merges
	}
	content := s.invent()
	s.say("mr %d %s", iid, content)
	s.commits[content] = s.gitlab.openMerge(s.stacks[0].Project, iid, content)
	s.mergesMove()
	s.merge(iid)
}

func (s *stroll) landOne() {
	unlock, _ := s.gitlab.lock()
	var open []int64
	for _, mr := range s.gitlab.merges {
		target := s.gitlab.contents[s.gitlab.branches["1/main"].Commit]
		if _, ok := merge(s.gitlab.forked[mr.IID], target, s.gitlab.contents[mr.Head]); ok && mr.State == "opened" {
			open = append(open, mr.IID)
		}
	}
	unlock()
	if len(open) == 0 {
		return
	}
	iid := open[s.rng.IntN(len(open))]
	commit, content := s.gitlab.landMerge(s.stacks[0].Project, iid)
	s.say("land %d: %s", iid, content)
	s.moves[content]++
	s.heads = append(s.heads, content)
	s.model.do(func() { s.model.reviewed[content], s.model.mainHeads[content] = true, true })
	s.commits[content] = commit
	s.merge(iid)
	s.pushed(s.stacks[0].Project, "main", commit)
	s.mergesMove()
}

func (s *stroll) changeOne() {
	if s.merges == 0 {
		return
	}
	iid := 1 + s.rng.Int64N(s.merges)
	changes := mergeChanges()
	verbs := []string{"draft", "ready", "close", "reopen", "retarget", "unapprove", "reapprove"}
	verb := verbs[s.rng.IntN(len(verbs))]
	s.say("%s %d", verb, iid)
	s.gitlab.change(iid, func(mr *forge.MergeRequest) {
		if mr.State != "merged" {
			changes[verb](s.script, mr)
		}
	})
	s.mergesMove()
	s.merge(iid)
}

// deployOne has production start what is on its branch, if it was opened.
func (s *stroll) deployOne() {
	unlock, _ := s.gitlab.lock()
	commit := s.gitlab.branches["1/main"].Commit
	content := s.gitlab.contents[commit]
	opened := slices.ContainsFunc(s.gitlab.jobs, func(j forge.Job) bool { return j.Commit == commit && j.Status == "success" })
	unlock()
	if !opened {
		return
	}
	s.say("deploy %s", content)
	s.model.deployed(content)
	s.gitlab.deploy(commit, "success")
	s.told(upgrade.Hint{Kind: upgrade.HintDeployment, ProjectID: 1, Project: s.stacks[0].Project, Environment: "production", Status: "success"})
	s.flush()
	s.pass(2 * time.Minute) // until that was seen
}

func (s *stroll) waitSome() {
	d := time.Duration(1+s.rng.IntN(12)) * time.Minute
	s.say("wait %s", d)
	s.flush()
	s.pass(d)
}

func (s *stroll) someRun() (upgrade.Run, bool) {
	runs := s.runs()
	if len(runs) == 0 {
		return upgrade.Run{}, false
	}
	return runs[s.rng.IntN(min(len(runs), 4))], true
}

func (s *stroll) askSomething() {
	s.flush()
	s.rest()
	run, found := s.someRun()
	if !found {
		return
	}
	kinds := []upgrade.RequestKind{
		upgrade.RequestApprove, upgrade.RequestApprove, upgrade.RequestApprove, upgrade.RequestRefuse, upgrade.RequestRecheck, upgrade.RequestRecheck,
		upgrade.RequestStop, upgrade.RequestRelock, upgrade.RequestOverride, upgrade.RequestResolve,
	}
	kind := kinds[s.rng.IntN(len(kinds))]
	who := []string{"hugo", "rene", "priya", "dev", "nobody"}[s.rng.IntN(5)]
	request := upgrade.Request{Run: run.ID, Kind: kind, By: person([]string{who}), Reason: "because it is right, as everybody knows", Digest: run.Plan.ChangeDigest}
	if kind == upgrade.RequestOverride {
		request.Digest = upgrade.CausesDigest(run.Causes)
	}
	content := s.gitlab.contentOf(run.Tree)
	if kind == upgrade.RequestApprove { // what may begin at once is known before it does
		s.terraform.set(func(f *fakeTerraform) {
			if to, known := f.planned[run.Plan.FileDigest]; known && request.By.Role == upgrade.RoleReleaseManager {
				s.model.do(func() { s.model.agreed[to.workspace+" "+to.from+">"+to.to] = true })
			}
		})
	}
	second := kind == upgrade.RequestOverride && run.Override != nil && len(run.Override.By) == 1 &&
		run.Override.By[0].Name != who && request.By.Role == upgrade.RoleReleaseManager && request.By.GitLabUser != 0
	if second {
		s.model.do(func() { s.model.overridden[content] = s.clock.Now().Add(upgrade.OverrideDefault) })
	}
	err := s.lifecycle.Ask(s.ctx, request)
	if second && err != nil {
		s.model.do(func() { delete(s.model.overridden, content) })
	}
	s.say("%s asks run %d (%s@%s, %s) to %s: %v", who, run.ID, content, run.Stack, run.Phase, kind, err)
	s.rest()
}

func (s *stroll) repeatSomething() {
	s.flush()
	s.rest()
	run, found := s.someRun()
	if !found {
		return
	}
	kind := []upgrade.HintKind{upgrade.HintRetry, upgrade.HintRehearse}[s.rng.IntN(2)]
	_, err := s.lifecycle.Repeat(s.ctx, run.ID, kind, person(nil), "once more")
	s.say("%s run %d (%s@%s, %s): %v", kind, run.ID, s.gitlab.contentOf(run.Tree), run.Stack, run.Phase, err)
	if err == nil {
		s.asked++
	}
	s.rest()
}
