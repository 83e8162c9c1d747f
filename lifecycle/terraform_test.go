package lifecycle_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/internal/world"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// What a content does, by the signs in it: what Terraform does with it, and what gates say of it.
const (
	signOutage  = "~" // applying it interrupts the site for a moment
	signBroken  = "x" // staging cannot start instances with it
	signGuarded = "!" // applying it destroys something guarded
	signFails   = "^" // Terraform stops in the middle of applying it
	signNew     = "+" // what it changes is created
)

// fakeTerraform keeps what each stack's staging is, plans the way to what is checked out, and applies it
// at once, or as it is told.
type fakeTerraform struct {
	clock *world.Clock
	git   *fakeGitLab
	model *model // told of everything; nil: nobody

	mu      sync.Mutex           // guards the fields below
	state   map[string]string    // by workspace
	planned map[string]plannedTo // by file digest
	initErr error
	planErr error
	applies []plan.Attempt
	ended   *plan.Ended   // nil: ended well
	hold    chan struct{} // not nil: an apply waits for it
	hangs   chan struct{} // not nil: the next plan closes it and hangs until its context ends
	found   plan.Found    // what Adopt finds
	stopped int
	refuse  int        // how many applies are refused before their first change
	locked  bool       // a lost apply left its lock: nothing is planned until it is broken
	ours    bool       // and provably so
	strange string     // workspace of which the next plan changes what no plan changed before
	running *plannedTo // what is being applied and waits; nil: nothing
	plans   int
	outages map[string]int           // by workspace
	holds   map[string]chan struct{} // by what is held up: init, plan, gate
}

// plannedTo is what a plan makes of a workspace. content is the whole of what is checked out; empty when
// everything is to go.
type plannedTo struct{ workspace, from, to, content string }

func newFakeTerraform(clock *world.Clock, git *fakeGitLab) *fakeTerraform {
	return &fakeTerraform{
		clock: clock, git: git, state: map[string]string{}, planned: map[string]plannedTo{}, outages: map[string]int{},
		holds: map[string]chan struct{}{},
	}
}

// held waits as long as what is held up; meanwhile the world goes on.
func (f *fakeTerraform) held(ctx context.Context, what string) error {
	f.mu.Lock()
	hold := f.holds[what]
	f.mu.Unlock()
	if hold == nil {
		return nil
	}
	f.clock.Idle(func() {
		select {
		case <-hold:
		case <-ctx.Done():
		}
	})
	return context.Cause(ctx)
}

func (f *fakeTerraform) Init(ctx context.Context, _ plan.Root, log io.Writer) error {
	if err := f.held(ctx, "init"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := io.WriteString(log, "initialised\n")
	return errors.Join(f.initErr, err)
}

func (f *fakeTerraform) Plan(ctx context.Context, root plan.Root, _ io.Writer) (plan.Planned, error) {
	if err := f.held(ctx, "plan"); err != nil {
		return plan.Planned{}, err
	}
	tree, err := os.ReadFile(filepath.Join(root.Checkout, "tree"))
	if err != nil {
		return plan.Planned{}, err
	}
	dir := strings.Trim(strings.TrimPrefix(root.Dir, root.Checkout), "/")
	content := f.git.contentOf(upgrade.Tree(tree))
	want := part(content, dir)
	if root.Destroy {
		content, want = "", ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hangs != nil {
		close(f.hangs)
		f.hangs = nil
		<-ctx.Done()
		return plan.Planned{}, context.Cause(ctx)
	}
	if f.locked {
		return plan.Planned{}, &upgrade.Error{Code: upgrade.CodeConflict, Msg: "the state is locked"}
	}
	f.plans++
	to := plannedTo{workspace: root.Workspace, from: f.state[root.Workspace], to: want, content: content}
	file := filepath.Join(root.Data, "plan.tfplan")
	body := file + hash(to.from+">"+to.to) + strings.Repeat(" ", f.plans) // each plan is another file
	if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
		return plan.Planned{}, err
	}
	digest := hash(body)
	f.planned[digest] = to
	return plan.Planned{File: file, FileDigest: digest, Tool: "terraform 1.11.4", Empty: to.from == to.to}, f.planErr
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func (f *fakeTerraform) Show(_ context.Context, _ plan.Root, planned plan.Planned) (plan.Summary, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	to := f.planned[planned.FileDigest]
	if f.strange != "" && f.strange == to.workspace {
		f.strange = ""
		return plan.Summary{
			Header:  plan.Header{FormatVersion: "1.2", Tool: "1.11.4"},
			Changes: []plan.Change{{Address: "aws_x.stranger", Type: "aws_x", Action: plan.Create, After: json.RawMessage(`{}`)}},
		}, nil
	}
	empty, err := plan.Summarize(strings.NewReader(`{"format_version":"1.2","terraform_version":"1.11.4","resource_changes":[]}`))
	if err != nil || to.from == to.to {
		return empty, err
	}
	summary := plan.Summary{
		Header:  plan.Header{FormatVersion: "1.2", Tool: "1.11.4"},
		Changes: []plan.Change{{Address: "aws_x.y", Type: "aws_x", Action: plan.Update, After: json.RawMessage(`{"a": "value"}`)}},
		Digest:  hash(to.from + ">" + to.to),
	}
	if strings.Contains(to.to, signNew) {
		summary.Changes[0].Action = plan.Create
	}
	if strings.Contains(to.to, signGuarded) {
		summary.Changes = append(summary.Changes, plan.Change{Address: "aws_kms_grant.g", Type: "aws_kms_grant", Action: plan.Delete, Before: json.RawMessage(`{}`)})
	}
	return summary, nil
}

func (f *fakeTerraform) Apply(ctx context.Context, _ plan.Root, attempt plan.Attempt, tick func(plan.Tick)) (plan.Ended, error) {
	f.mu.Lock()
	f.applies = append(f.applies, attempt)
	hold, ended, refused, to := f.hold, f.ended, f.refuse > 0, f.planned[attempt.FileDigest]
	f.refuse--
	f.mu.Unlock()
	if refused {
		return plan.Ended{}, &upgrade.Error{Code: upgrade.CodeConflict, Msg: "the plan file is not the one that was judged"}
	}
	if f.model != nil {
		f.model.begins(attempt.FileDigest, to)
	}
	tick(plan.Tick{Kind: plan.TickStart, Address: "aws_x.y", Action: plan.Update, Total: 1, At: f.clock.Now()})
	if hold != nil {
		f.set(func(f *fakeTerraform) { f.running = &to })
		f.clock.Idle(func() {
			select {
			case <-hold:
			case <-ctx.Done():
			}
		})
		if ctx.Err() != nil {
			return plan.Ended{}, context.Cause(ctx)
		}
		f.set(func(f *fakeTerraform) { f.running = nil })
	}
	if ended != nil {
		return *ended, nil
	}
	if strings.Contains(to.to, signFails) && to.from != to.to {
		if f.model != nil {
			f.model.ended(to, false)
		}
		return plan.Ended{Message: "Error creating aws_x.y", Address: "aws_x.y", At: f.clock.Now()}, nil
	}
	f.change(to)
	tick(plan.Tick{Kind: plan.TickDone, Address: "aws_x.y", Action: plan.Update, Done: 1, Total: 1, At: f.clock.Now()})
	return plan.Ended{OK: true, At: f.clock.Now()}, nil
}

// change makes staging what was planned.
func (f *fakeTerraform) change(to plannedTo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if to.from != to.to && strings.Contains(to.to, signOutage) {
		f.outages[to.workspace]++
	}
	f.state[to.workspace] = to.to
	if f.model != nil {
		f.model.ended(to, true)
	}
}

func (f *fakeTerraform) Adopt(context.Context, plan.Attempt, func(plan.Tick)) (plan.Ended, plan.Found, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return plan.Ended{OK: true, At: f.clock.Now()}, f.found, nil
}

func (f *fakeTerraform) BreakLock(_ context.Context, _ plan.Root, attempt plan.Attempt, failed error) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.applies[len(f.applies)-1]
	if !f.locked || !f.ours || failed == nil || attempt.Dir != last.Dir {
		return false, nil
	}
	f.locked = false
	return true, nil
}

// lose lets whatever is applied vanish without a result: "whole" when it was through, "rest" before it
// changed anything; else somebody changed something meanwhile, so that nobody knows what is left.
func (f *fakeTerraform) lose(how string) {
	f.mu.Lock()
	f.found, f.hold = plan.FoundLost, nil
	running := f.running
	f.running = nil
	if running != nil && how == "" {
		f.strange = running.workspace
	}
	f.mu.Unlock()
	if running != nil && how == "whole" {
		f.change(*running)
	}
}

func (f *fakeTerraform) Stop(context.Context, plan.Attempt) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped++
	if f.hold != nil {
		close(f.hold)
		f.hold = nil
	}
	return nil
}

func (f *fakeTerraform) applied() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.applies)
}

// staging returns what a workspace is.
func (f *fakeTerraform) staging(workspace string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state[workspace]
}

// watch is the site during an apply: it says no if it was interrupted since it began.
func (f *fakeTerraform) watch(_ context.Context, in gates.Input) (gates.Watch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &fakeWatch{terraform: f, workspace: in.Stack.Staging.Workspace, before: f.outages[in.Stack.Staging.Workspace]}, nil
}

type fakeWatch struct {
	terraform *fakeTerraform
	workspace string
	before    int
}

func (w *fakeWatch) End(context.Context, *gates.Recorder) error {
	w.terraform.mu.Lock()
	defer w.terraform.mu.Unlock()
	if w.terraform.outages[w.workspace] > w.before {
		return gates.FailBrief("the site was down for 1.2 s", "longest outage 1.2 s, limit 0.5 s")
	}
	return nil
}

// fakeGate is what starts an instance: it fails on a staging that cannot, or answers as it is told.
type fakeGate struct {
	terraform *fakeTerraform

	mu     sync.Mutex // guards the fields below
	answer error
	asked  int
}

func (g *fakeGate) check(ctx context.Context, in gates.Input, rec *gates.Recorder) error {
	if err := g.terraform.held(ctx, "gate"); err != nil {
		return err
	}
	broken := strings.Contains(g.terraform.staging(in.Stack.Staging.Workspace), signBroken)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	if m := g.terraform.model; m != nil {
		m.saw(in.Stack.Staging.Workspace, g.answer == nil && !broken)
	}
	if g.answer == nil && broken {
		return gates.FailBrief("staging cannot start instances", "the instance was terminated")
	}
	rec.Passed("an instance was healthy")
	return g.answer
}

func (g *fakeGate) says(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer = err
}

// set changes how it behaves.
func (f *fakeTerraform) set(change func(*fakeTerraform)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}
