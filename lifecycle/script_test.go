package lifecycle_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// A history is a short script: a line for each thing that happens, and for each thing that must be true
// then. Contents are one word, or parts such as a=1,b=2, and say what comes of them by the signs of
// terraform_test.go. A run is named CONTENT@STACK, the newest attempt, or CONTENT@STACK#2.
//
//	push [PROJECT:]BRANCH CONTENT    force is the same        wait 7m
//	mr N CONTENT                     a merge request, approved and passed; again: a push to it
//	draft|ready|close|reopen|unapprove|reapprove|retarget|land N
//	same [PROJECT:]BRANCH CONTENT    another commit of the same content (squash, rebase, merge commit)
//	delete|protect|unprotect BRANCH  rename PROJECT TO
//	gate ok|no|unknown               hold|release [init|plan|gate], an apply unless it says so
//	lose [rest|whole]                stale: the next plan is refused before its first change      restart
//	stop|recheck|relock|approve|refuse|resolve|override RUN [PERSON]
//	retry|rehearse RUN               base STACK CONTENT       deploy CONTENT STATUS [quietly]
//	again                            every delivery so far comes once more, days late
//
//	RUN PHASE[|PHASE] ["part of the headline, next step or reason"]    none: there is no such run
//	opened CONTENT | shut CONTENT    asks CONTENT open|closed|waiting  status CONTENT STATE
//	staging WORKSPACE CONTENT        runs N                   fate PART    note N PART
//	refused COMMAND…                 the command must be refused
type script struct {
	*house
	rng     *rand.Rand
	variant string // "", "doubled", "reordered"

	commits map[string]upgrade.Commit // newest of a content
	held    []upgrade.Hint            // deliveries on their way
	sent    []upgrade.Hint
	n       int
	line    string
}

// Variants of how deliveries arrive.
const (
	doubled   = "doubled"   // each twice under its id, and once more under another
	reordered = "reordered" // held up, and then in any order
)

// play runs a script.
func play(t *testing.T, variant string, seed uint64, text string, stacks ...upgrade.Stack) {
	t.Helper()
	s := &script{
		house: newHouseWith(t, allGates, stacks...), rng: rand.New(rand.NewPCG(seed, 1)), variant: variant,
		commits: map[string]upgrade.Commit{},
	}
	for line := range strings.Lines(text) {
		s.line = strings.TrimSpace(line)
		if s.line != "" && !strings.HasPrefix(s.line, "#") {
			s.step(s.line)
		}
	}
	s.flush()
	s.rest()
}

// allGates are a guard against destruction and a watch over the site, besides the gate that starts an
// instance.
func allGates(h *house) []gates.Gate {
	guard := gates.Gate{Name: "guard", Kind: gates.KindGuard, Stage: upgrade.StagePlan, Environment: "staging", Required: true, Deadline: time.Minute}
	if err := (gates.GuardSettings{}).Bind(&guard, gates.Deps{Clock: h.clock}); err != nil {
		h.t.Fatal(err)
	}
	outage := gates.Gate{
		Name: "outage", Kind: gates.KindOutage, Stage: upgrade.StageDuring, Environment: "staging", Required: true,
		Deadline: time.Minute, During: h.terraform.watch,
	}
	return []gates.Gate{guard, outage}
}

func (s *script) fatalf(format string, args ...any) {
	s.t.Helper()
	for _, run := range s.runs() {
		s.t.Logf("run %d: %s@%s#%d is %s (from %s): %q %v", run.ID, s.gitlab.contentOf(run.Tree), run.Stack, run.Attempt, run.Phase, run.From, run.Reason, run.Causes)
		events, _ := s.store.Events(s.ctx, upgrade.EventFilter{Run: run.ID})
		for _, event := range events {
			s.t.Logf("    %s %s %s: %s", event.At.Format("15:04:05"), event.Kind, event.Who, event.Text)
		}
	}
	deliveries, _ := s.store.Deliveries(s.ctx, upgrade.DeliveryFilter{})
	for _, d := range deliveries {
		s.t.Logf("delivery %s: %s: %s %v", d.ID, d.Fate, d.Reason, d.Runs)
	}
	s.t.Fatalf("%s: %s", s.line, fmt.Sprintf(format, args...))
}

// step does one line.
func (s *script) step(line string) {
	s.t.Helper()
	words := strings.Fields(line)
	verb, args := words[0], words[1:]
	if act, known := acts()[verb]; known {
		act(s, args)
		return
	}
	s.flush()
	s.rest()
	if check, known := checks()[verb]; known {
		check(s, args)
		return
	}
	if !strings.Contains(verb, "@") {
		s.fatalf("nobody knows this line")
	}
	s.checkRun(line)
}

// told brings a delivery in, as the variant has it.
func (s *script) told(hint upgrade.Hint) {
	if s.variant == reordered {
		s.held = append(s.held, hint)
		return
	}
	s.send(hint)
	s.rest()
}

func (s *script) send(hint upgrade.Hint) {
	s.n++
	s.sent = append(s.sent, hint)
	s.deliver(fmt.Sprintf("d%d", s.n), hint)
	if s.variant == doubled {
		s.deliver(fmt.Sprintf("d%d", s.n), hint)
		s.deliver(fmt.Sprintf("d%d-anew", s.n), hint)
	}
}

// flush lets the deliveries arrive that were held up.
func (s *script) flush() {
	s.rng.Shuffle(len(s.held), func(i, j int) { s.held[i], s.held[j] = s.held[j], s.held[i] })
	for _, hint := range s.held {
		s.send(hint)
	}
	s.held = nil
}

// place splits "project:branch".
func (s *script) place(word string) (project, branch string) {
	if project, branch, ok := strings.Cut(word, ":"); ok {
		return project, branch
	}
	return s.stacks[0].Project, word
}

func contentOf(word string) string { return strings.ReplaceAll(word, ",", " ") }

func (s *script) pushTo(word, content string) {
	project, branch := s.place(word)
	commit := s.gitlab.push(project, branch, content)
	s.commits[content] = commit
	s.pushed(project, branch, commit)
}

func (s *script) pushed(project, branch string, commit upgrade.Commit) {
	s.told(upgrade.Hint{Kind: upgrade.HintPush, ProjectID: s.gitlab.projectID(project), Project: project, Ref: branch, After: commit})
}

func (s *script) merge(iid int64) {
	project := s.stacks[0].Project
	s.told(upgrade.Hint{Kind: upgrade.HintMergeRequest, ProjectID: s.gitlab.projectID(project), Project: project, MergeRequest: iid, TargetBranch: "main"})
}

// runOf finds a run by its name.
func (s *script) runOf(name string) (upgrade.Run, bool) {
	name, attempt, numbered := strings.Cut(name, "#")
	content, stack, _ := strings.Cut(name, "@")
	runs, err := s.store.Runs(s.ctx, upgrade.RunFilter{Stack: upgrade.StackName(stack), Tree: treeOf(contentOf(content)), Limit: 500})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, run := range runs {
		if !numbered || strconv.Itoa(run.Attempt) == attempt {
			return run, true
		}
	}
	return upgrade.Run{}, false
}

func (s *script) mustRun(name string) upgrade.Run {
	s.t.Helper()
	s.flush()
	s.rest()
	run, found := s.runOf(name)
	if !found {
		s.fatalf("there is no run %s", name)
	}
	return run
}

// checkRun is `RUN PHASE[|PHASE] ["text"]`.
func (s *script) checkRun(line string) {
	s.t.Helper()
	line, text, _ := strings.Cut(line, ` "`)
	text = strings.TrimSuffix(text, `"`)
	name, phases, _ := strings.Cut(line, " ")
	run, found := s.runOf(name)
	phase := string(run.Phase)
	if !found {
		phase = "none"
	}
	if !slices.Contains(strings.Split(phases, "|"), phase) {
		s.fatalf("it is %s", phase)
	}
	told := upgrade.Tell(run)
	var said strings.Builder
	said.WriteString(told.Headline + "\n" + told.Next + "\n" + run.Reason + "\n" + strings.Join(run.Warnings, "\n"))
	for _, cause := range run.Causes {
		said.WriteString("\n" + cause.Message)
	}
	if !strings.Contains(said.String(), text) {
		s.fatalf("it says %q", said.String())
	}
	open := run.Verdict == upgrade.VerdictOpen
	if found && open != (run.Phase.Opens() && run.Override == nil) {
		s.fatalf("the verdict of a run that is %s is %s", run.Phase, run.Verdict)
	}
	if found && told.Key == "" {
		s.fatalf("nobody has words for it")
	}
}

// person returns who acts: hugo and rene are release managers, dev a developer, priya a release manager
// who wrote it.
func person(args []string) upgrade.Person {
	name := "hugo"
	if len(args) > 0 {
		name = args[0]
	}
	switch name {
	case "rene":
		return upgrade.Person{Name: name, Role: upgrade.RoleReleaseManager, GitLabUser: reneID}
	case "priya":
		return upgrade.Person{Name: name, Role: upgrade.RoleReleaseManager, GitLabUser: priyaID}
	case "nobody":
		return upgrade.Person{Name: name, Role: upgrade.RoleReleaseManager}
	case "dev":
		return upgrade.Person{Name: name, Role: upgrade.RoleDeveloper, GitLabUser: 20}
	}
	return upgrade.Person{Name: "hugo", Role: upgrade.RoleReleaseManager, GitLabUser: 17}
}

func (s *script) ask(kind upgrade.RequestKind, args []string) error {
	run := s.mustRun(args[0])
	request := upgrade.Request{Run: run.ID, Kind: kind, By: person(args[1:]), Reason: "because it is right, as everybody knows"}
	switch kind {
	case upgrade.RequestApprove, upgrade.RequestRefuse:
		request.Digest = run.Plan.ChangeDigest
	case upgrade.RequestOverride:
		request.Digest = upgrade.CausesDigest(run.Causes)
	case upgrade.RequestStop, upgrade.RequestRecheck, upgrade.RequestSupersede, upgrade.RequestRelock, upgrade.RequestResolve:
	}
	err := s.lifecycle.Ask(s.ctx, request)
	s.rest()
	return err
}

func (s *script) repeat(kind upgrade.HintKind, args []string) error {
	run := s.mustRun(args[0])
	_, err := s.lifecycle.Repeat(s.ctx, run.ID, kind, person(args[1:]), "once more")
	s.rest()
	return err
}

func (s *script) setBase(args []string) error {
	_, err := s.lifecycle.SetBase(s.ctx, upgrade.StackName(args[0]), s.commits[contentOf(args[1])], person(args[2:]), "that is what production has")
	return err
}

// tries are the acts that may be refused.
func tries() map[string]func(*script, []string) error {
	asks := func(kind upgrade.RequestKind) func(*script, []string) error {
		return func(s *script, args []string) error { return s.ask(kind, args) }
	}
	return map[string]func(*script, []string) error{
		"stop": asks(upgrade.RequestStop), "recheck": asks(upgrade.RequestRecheck), "relock": asks(upgrade.RequestRelock),
		"approve": asks(upgrade.RequestApprove), "refuse": asks(upgrade.RequestRefuse), "resolve": asks(upgrade.RequestResolve),
		"override": asks(upgrade.RequestOverride),
		"retry":    func(s *script, args []string) error { return s.repeat(upgrade.HintRetry, args) },
		"rehearse": func(s *script, args []string) error { return s.repeat(upgrade.HintRehearse, args) },
		"base":     (*script).setBase,
	}
}

func acts() map[string]func(*script, []string) {
	all := map[string]func(*script, []string){
		"push":  func(s *script, args []string) { s.pushTo(args[0], contentOf(args[1])) },
		"force": func(s *script, args []string) { s.pushTo(args[0], contentOf(args[1])) },
		"same":  func(s *script, args []string) { s.pushTo(args[0], contentOf(args[1])) },
		"wait": func(s *script, args []string) {
			s.flush()
			d, err := time.ParseDuration(args[0])
			if err != nil {
				s.fatalf("%v", err)
			}
			s.pass(d)
		},
		"mr": func(s *script, args []string) {
			s.commits[contentOf(args[1])] = s.gitlab.openMerge(s.stacks[0].Project, number(args[0]), contentOf(args[1]))
			s.merge(number(args[0]))
		},
		"land": func(s *script, args []string) {
			commit, content := s.gitlab.landMerge(s.stacks[0].Project, number(args[0]))
			s.commits[content] = commit
			s.merge(number(args[0]))
			s.pushed(s.stacks[0].Project, "main", commit)
		},
		"delete": func(s *script, args []string) {
			project, branch := s.place(args[0])
			s.gitlab.drop(project, branch)
			s.pushed(project, branch, "")
		},
		"unprotect": func(s *script, args []string) { s.gitlab.protect(s.stacks[0].Project, args[0], false) },
		"protect":   func(s *script, args []string) { s.gitlab.protect(s.stacks[0].Project, args[0], true) },
		"rename":    func(s *script, args []string) { s.gitlab.rename(args[0], args[1]) },
		"gate": func(s *script, args []string) {
			s.gate.says(map[string]error{
				"no":      gates.FailBrief("staging cannot start instances", "the instance was terminated"),
				"unknown": &upgrade.Error{Code: upgrade.CodeForbidden, Msg: "AWS denies it"},
			}[args[0]])
		},
		"hold": func(s *script, args []string) {
			s.terraform.set(func(f *fakeTerraform) {
				if len(args) > 0 {
					f.holds[args[0]] = make(chan struct{})
					return
				}
				f.hold = make(chan struct{})
			})
		},
		"release": func(s *script, args []string) {
			s.terraform.set(func(f *fakeTerraform) {
				if len(args) > 0 {
					close(f.holds[args[0]])
					delete(f.holds, args[0])
					return
				}
				close(f.hold)
				f.hold = nil
			})
			s.rest()
		},
		"lose":    func(s *script, args []string) { s.terraform.lose(strings.Join(args, "")) },
		"restart": func(s *script, _ []string) { s.flush(); s.rest(); s.close(); s.open(s.stacks); s.rest() },
		"stale":   func(s *script, _ []string) { s.terraform.set(func(f *fakeTerraform) { f.refuse = 1 }) },
		"deploy": func(s *script, args []string) {
			s.flush()
			s.gitlab.deploy(s.commits[contentOf(args[0])], args[1])
			if len(args) > 2 { // the delivery is lost
				return
			}
			s.told(upgrade.Hint{Kind: upgrade.HintDeployment, ProjectID: 1, Project: s.stacks[0].Project, Environment: "production", Status: args[1]})
		},
		"again": func(s *script, _ []string) {
			s.flush()
			for i, hint := range slices.Clone(s.sent) {
				s.deliver(fmt.Sprintf("late%d-%d", s.n, i), hint)
			}
			s.n++
			s.rest()
		},
		"refused": func(s *script, args []string) {
			if try, known := tries()[args[0]]; !known {
				s.fatalf("nobody knows what would be refused")
			} else if err := try(s, args[1:]); err == nil {
				s.fatalf("it was not refused")
			}
		},
	}
	for verb, try := range tries() {
		all[verb] = func(s *script, args []string) {
			if err := try(s, args); err != nil {
				s.fatalf("%v", err)
			}
		}
	}
	for verb, change := range mergeChanges() {
		all[verb] = func(s *script, args []string) {
			iid := number(args[0])
			s.gitlab.change(iid, func(mr *forge.MergeRequest) { change(s, mr) })
			s.merge(iid)
		}
	}
	return all
}

func mergeChanges() map[string]func(*script, *forge.MergeRequest) {
	return map[string]func(*script, *forge.MergeRequest){
		"draft":     func(_ *script, mr *forge.MergeRequest) { mr.Draft = true },
		"ready":     func(_ *script, mr *forge.MergeRequest) { mr.Draft = false },
		"close":     func(_ *script, mr *forge.MergeRequest) { mr.State = "closed" },
		"reopen":    func(_ *script, mr *forge.MergeRequest) { mr.State = "opened" },
		"retarget":  func(_ *script, mr *forge.MergeRequest) { mr.TargetBranch = "develop" },
		"unapprove": func(s *script, mr *forge.MergeRequest) { s.gitlab.approvals[mr.IID] = nil },
		"reapprove": func(s *script, mr *forge.MergeRequest) {
			s.gitlab.approvals[mr.IID] = []forge.Approval{{UserID: reneID, Name: "rene", FullName: "Rene Reviewer", At: s.clock.Now().Add(time.Second)}}
		},
	}
}

func checks() map[string]func(*script, []string) {
	return map[string]func(*script, []string){
		"opened": func(s *script, args []string) {
			if n := s.gitlab.played(contentOf(args[0])); n != 1 {
				s.fatalf("production was opened %d times: %v", n, s.gitlab.said())
			}
		},
		"shut": func(s *script, args []string) {
			if n := s.gitlab.played(contentOf(args[0])); n != 0 {
				s.fatalf("production was opened: %v", s.gitlab.said())
			}
		},
		"status": func(s *script, args []string) {
			if state, text := s.gitlab.status(s.commits[contentOf(args[0])]); string(state) != args[1] {
				s.fatalf("it is %q (%s)", state, text)
			}
		},
		"staging": func(s *script, args []string) {
			if is := s.terraform.staging(args[0]); is != contentOf(args[1]) {
				s.fatalf("it is %q", is)
			}
		},
		"runs": func(s *script, args []string) {
			if n := len(s.runs()); n != int(number(args[0])) {
				s.fatalf("there are %d", n)
			}
		},
		"fate": func(s *script, args []string) {
			deliveries, err := s.store.Deliveries(s.ctx, upgrade.DeliveryFilter{})
			part := strings.Join(args, " ")
			if err != nil || !slices.ContainsFunc(deliveries, func(d upgrade.Delivery) bool { return strings.Contains(d.Reason, part) }) {
				s.fatalf("no delivery came to that")
			}
		},
		"note": func(s *script, args []string) {
			unlock, _ := s.gitlab.lock()
			body := s.gitlab.notes[number(args[0])]
			unlock()
			if !strings.Contains(body, strings.Join(args[1:], " ")) {
				s.fatalf("it says %q", body)
			}
		},
		"asks": (*script).checkAsks,
	}
}

// checkAsks has the production pipeline of a commit of that content ask whether it may go.
func (s *script) checkAsks(args []string) {
	s.t.Helper()
	s.n++
	v := upgrade.Verification{
		ID: upgrade.VerificationID(fmt.Sprint("v", s.n)), Token: fmt.Sprint("token", s.n), ProjectID: s.gitlab.projectID(s.stacks[0].Project),
		Commit: s.commits[contentOf(args[0])], Ref: "main", RefType: "branch", Protected: true, AskedAt: s.clock.Now(), Until: s.clock.Now().Add(time.Hour),
	}
	if v.Commit == "" {
		v.Commit = upgrade.Commit(fmt.Sprintf("%040x", 0xdead))
	}
	if err := s.store.Verify(s.ctx, v); err != nil {
		s.t.Fatal(err)
	}
	s.rest()
	got, err := s.store.Verification(s.ctx, v.ID)
	if err != nil || !slices.Contains(strings.Split(args[1], "|"), string(got.State)) || got.Sentence == "" {
		s.fatalf("it is %s: %q (%v)", got.State, got.Sentence, err)
	}
}

func number(word string) int64 {
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}
