package demo

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// performance is a story while it is played.
type performance struct {
	*stage
	story   story
	project gitlabsim.Project // in which the story is at present
	commit  upgrade.Commit    // the newest of staging, or of the merge request
	from    int               // first act in GitLab of this story
	seen    upgrade.RunID     // runs up to this one are told already
	said    string            // the last headline
	plays   []ToldPlay
}

// play plays a story: somebody pushes, and everything else follows from that.
func (st *stage) play(ctx context.Context, s story) (Told, error) {
	began := time.Now()
	st.options.say("")
	st.options.say("story %s: %s", s.name, s.title)
	p := &performance{stage: st, story: s, project: st.projects[s.repositories()[0].path], from: len(st.gitlab.Acts())}
	told := Told{Name: s.name}
	err := s.tell(ctx, p)
	if err == nil {
		err = p.pause(ctx, "/")
	}
	if ctx.Err() != nil {
		return told, context.Cause(ctx)
	}
	told.OK = err == nil
	if err != nil {
		told.Why = err.Error()
	} else {
		told.Why = "it ended as it should: " + s.title
	}
	told.TookMS, told.Plays = time.Since(began).Milliseconds(), p.plays
	told.Runs, err = st.report(ctx, s, p.from)
	if err != nil {
		return told, err
	}
	word := "as it should"
	if !told.OK {
		word = "NOT as it should: " + told.Why
	}
	st.options.say("  ended after %.1f s, %s", float64(told.TookMS)/1000, word)
	return told, nil
}

// top is the stack of a story that has one.
func (p *performance) top() stack { return p.story.stacks()[0] }

// push makes a commit on the staging branch that changes one stack, as its author would.
func (p *performance) push(ctx context.Context, stack stack, message string, change func(*content)) error {
	c := p.contents[stack.name]
	change(&c)
	p.contents[stack.name] = c
	files, err := c.files()
	if err != nil {
		return err
	}
	changed := map[string]string{}
	for name, text := range files {
		changed[path.Join(stack.dir, name)] = text
	}
	p.commit, err = p.gitlab.Commit(ctx, p.project.ID, gitlabsim.CommitSpec{
		Branch: "staging", Message: message, Files: changed, Author: p.priya.ID,
	})
	if err != nil {
		return fmt.Errorf("push: %w", err)
	}
	p.options.say("  Priya pushes %s to staging: %s", p.commit.Short(), message)
	return nil
}

// newest returns the stack's newest run of the commit that is not told yet.
func (p *performance) newest(ctx context.Context, stack stack) (run upgrade.Run, found bool, err error) {
	runs, err := p.service.Store.Runs(ctx, upgrade.RunFilter{Stack: stack.name, Commit: p.commit, Limit: 1})
	if err != nil {
		return run, false, fmt.Errorf("read runs: %w", err)
	}
	if len(runs) == 0 || runs[0].ID <= p.seen {
		return run, false, nil
	}
	return runs[0], true, nil
}

// until waits for the stack's run of the commit to be in one of the phases, telling people each headline
// on the way, and lets them look at it.
func (p *performance) until(ctx context.Context, stack stack, phases ...upgrade.Phase) (upgrade.Run, error) {
	run, err := p.reach(ctx, stack, phases)
	if err != nil {
		return run, err
	}
	return run, p.pause(ctx, fmt.Sprintf("/runs/%d", run.ID))
}

// pause lets people look at a page for as long as they like.
func (p *performance) pause(ctx context.Context, path string) error {
	if p.options.Pause == nil {
		return nil
	}
	return p.options.Pause(ctx, p.url+path)
}

func (p *performance) reach(ctx context.Context, stack stack, phases []upgrade.Phase) (run upgrade.Run, err error) {
	defer p.mover.Wait()()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	changed, stop := p.service.Store.Changed()
	defer stop()
	for {
		now, found, err := p.newest(limited, stack)
		if err != nil && limited.Err() == nil {
			return run, err
		}
		if found {
			run = now
			p.sayHeadline(run)
			if slices.Contains(phases, run.Phase) {
				return run, nil
			}
			if ended(run.Phase) && !slices.ContainsFunc(phases, run.Phase.CanFollow) {
				return run, fmt.Errorf("run %d is %s, want one of %v: %s", run.ID, run.Phase, phases, upgrade.Tell(run).Headline)
			}
		}
		select {
		case <-changed:
		case <-limited.Done():
			return run, fmt.Errorf("wait for %v: run %d is %s after %s", phases, run.ID, run.Phase, patience)
		}
	}
}

func (p *performance) sayHeadline(run upgrade.Run) {
	words := upgrade.Tell(run)
	text := fmt.Sprintf("%s: %s", words.Look.Word, words.Headline)
	if len(p.story.stacks()) > 1 {
		text = fmt.Sprintf("%s: %s", run.Stack, text)
	}
	if text != p.said {
		p.said = text
		p.options.say("  %s  %s", p.clock.Now().Format("15:04:05"), text)
	}
}

// ended reports whether a run stays where it is until something comes from outside.
func ended(phase upgrade.Phase) bool {
	return phase.Final() || phase == upgrade.PhaseBlocked || phase == upgrade.PhaseRelocked || phase == upgrade.PhaseUnlocked
}

// api is the service's API, as the release manager uses it.
func (p *performance) api() (*client.Client, error) {
	c, err := client.New(client.Config{URL: p.url, Token: hugoToken, HTTP: http.DefaultClient})
	if err != nil {
		return nil, fmt.Errorf("talk to the API: %w", err)
	}
	return c, nil
}

// act does something with a run as the release manager, over the API. What is told of the story after
// another attempt was asked for is that attempt.
func (p *performance) act(ctx context.Context, run upgrade.Run, name, reason, digest string) error {
	c, err := p.api()
	if err != nil {
		return err
	}
	if _, err := c.Do(ctx, run.ID, client.Act{Name: name, Reason: reason, Digest: digest}); err != nil {
		return fmt.Errorf("%s run %d: %w", name, run.ID, err)
	}
	if name == "retry" || name == "rehearse" {
		p.seen = run.ID
	}
	return nil
}

// yes waits until the plan of the stack's run needs a person's yes, and gives it.
func (p *performance) yes(ctx context.Context, stack stack, reason string) error {
	run, err := p.until(ctx, stack, upgrade.PhaseAwaitingApproval)
	if err != nil {
		return err
	}
	now, err := p.service.Store.Run(ctx, run.ID)
	if err != nil {
		return fmt.Errorf("read run %d: %w", run.ID, err)
	}
	if now.Phase != upgrade.PhaseAwaitingApproval { // they looked, and did it themselves
		return nil
	}
	if err := p.act(ctx, run, "approve", reason, run.Plan.ChangeDigest); err != nil {
		return err
	}
	p.options.say("  Hugo has looked at the plan, and agrees: %s", reason)
	return nil
}

// bases says what production of each stack has: what the repository began with.
func (p *performance) bases(ctx context.Context) error {
	c, err := p.api()
	if err != nil {
		return err
	}
	main, found := p.gitlab.Branch(p.project.ID, "main")
	if !found {
		return fmt.Errorf("%s has no branch main", p.project.Path)
	}
	for _, stack := range p.story.stacks() {
		err := p.eventually(ctx, func() error { // the service may be about to assume one
			_, err := c.SetBase(ctx, stack.name, main, "it was deployed last week")
			return err
		})
		if err != nil {
			return fmt.Errorf("set the base of %s: %w", stack.name, err)
		}
	}
	p.options.say("  Hugo says that production has %s", main.Short())
	return nil
}

// noes are the gates that say no, each with words that it says.
type noes map[upgrade.GateName]string

// blocked waits until the stack's run is blocked, and demands that these gates, and no others, say no.
func (p *performance) blocked(ctx context.Context, stack stack, want noes) (upgrade.Run, error) {
	run, err := p.until(ctx, stack, upgrade.PhaseBlocked)
	if err != nil {
		return run, err
	}
	return run, p.answered(ctx, run, want)
}

// answered demands that of the last answers of a run's gates these, and no others, are a no.
func (p *performance) answered(ctx context.Context, run upgrade.Run, want noes) error {
	results, err := p.service.Store.Results(ctx, run.ID)
	if err != nil {
		return fmt.Errorf("read results: %w", err)
	}
	type key struct {
		gate  upgrade.GateName
		stage upgrade.Stage
	}
	last := map[key]upgrade.Result{}
	for _, result := range results {
		if !result.Early {
			last[key{result.Gate, result.Stage}] = result
		}
	}
	said := map[upgrade.GateName]bool{}
	for _, result := range last {
		words, no := want[result.Gate]
		switch {
		case no && result.Stage == upgrade.StageBefore: // what it found before the change is not its answer
		case no && result.Outcome != upgrade.OutcomeFailed:
			return fmt.Errorf("gate %s %s, want it to fail", result.Gate, result.Outcome)
		case no && !strings.Contains(result.Message, words):
			return fmt.Errorf("gate %s says %q, want it to say %q", result.Gate, result.Message, words)
		case !no && result.Outcome != upgrade.OutcomePassed && result.Outcome != upgrade.OutcomeSkipped:
			return fmt.Errorf("gate %s %s (%s), want only %v to fail", result.Gate, result.Outcome, result.Message, want)
		default:
			said[result.Gate] = true
		}
	}
	for gate := range want {
		if !said[gate] {
			return fmt.Errorf("gate %s said nothing", gate)
		}
	}
	if len(last) == 0 {
		return fmt.Errorf("no gate of run %d was asked", run.ID)
	}
	return nil
}
