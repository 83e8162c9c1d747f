package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// story is one change on its way, and how it should end.
type story struct {
	name   string
	title  string // what is told to people
	commit string // the message of the change
	change func(*content)
	after  func(ctx context.Context, p *performance) error
}

func (s story) stack() upgrade.StackName { return upgrade.StackName(s.name) }

func (s story) project() string { return "platform/" + s.name }

// The images that the simulated AWS has.
const (
	goodImage = "web-2026-11-01"
	deadImage = "web-2026-11-20"
)

// Amazon's own words when the service-linked role may not use the image's key (aws.md §2).
const (
	deadCode    = "Client.InvalidKMSKey.InvalidState"
	deadMessage = "The KMS key provided is in an incorrect state"
)

func stories() []story {
	return []story{
		{
			name: "clean", title: "a harmless change goes to production",
			commit: "Allow two more web servers",
			change: func(c *content) { c.maxSize += 2 },
			after:  func(ctx context.Context, p *performance) error { return p.promoted(ctx) },
		},
		{
			name: "outage", title: "a new rule no longer admits the load balancer to Varnish",
			commit: "Move to the new load balancer",
			change: func(c *content) { c.outage = true },
			after: func(ctx context.Context, p *performance) error {
				return p.blockedBy(ctx, "site-outage", "TCP")
			},
		},
		{
			name: "launch", title: "the new image cannot be started by the group's role",
			commit: "Use the image of 20 November",
			change: func(c *content) { c.image = deadImage },
			after: func(ctx context.Context, p *performance) error {
				if err := p.blockedBy(ctx, "launch-launch", deadMessage); err != nil {
					return err
				}
				return p.nothingLeft()
			},
		},
	}
}

// performance is a story while it is played.
type performance struct {
	*stage
	story  story
	commit upgrade.Commit
}

// play plays a story: somebody pushes, and everything else follows from that.
func (st *stage) play(ctx context.Context, s story) (Told, error) {
	began, from := time.Now(), len(st.gitlab.Acts())
	st.options.say("")
	st.options.say("story %s: %s", s.name, s.title)
	p := &performance{stage: st, story: s}
	told := Told{Name: s.name}
	err := p.push(ctx)
	if err == nil {
		err = s.after(ctx, p)
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
	told.TookMS = time.Since(began).Milliseconds()
	told.Runs, err = st.report(ctx, s, from)
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

// push makes the story's commit on the staging branch, as its author would.
func (p *performance) push(ctx context.Context) (err error) {
	c := p.contents[p.story.name]
	p.story.change(&c)
	files, err := c.files()
	if err != nil {
		return err
	}
	p.commit, err = p.gitlab.Commit(ctx, p.projects[p.story.name].ID, gitlabsim.CommitSpec{
		Branch: "staging", Message: p.story.commit, Files: files, Author: p.priya.ID,
	})
	if err != nil {
		return fmt.Errorf("push: %w", err)
	}
	p.options.say("  Priya pushes %s to staging: %s", p.commit.Short(), p.story.commit)
	return nil
}

// until waits for the story's run to be in one of the phases, telling people each headline on the way.
func (p *performance) until(ctx context.Context, phases ...upgrade.Phase) (upgrade.Run, error) {
	p.mover.waiting.Add(1)
	defer p.mover.waiting.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	changed, stop := p.service.Store.Changed()
	defer stop()
	said := ""
	var run upgrade.Run
	for {
		runs, err := p.service.Store.Runs(ctx, upgrade.RunFilter{Stack: p.story.stack(), Commit: p.commit, Limit: 1})
		if err != nil && ctx.Err() == nil {
			return run, fmt.Errorf("read runs: %w", err)
		}
		if len(runs) > 0 {
			run = runs[0]
			words := upgrade.Tell(run)
			if text := fmt.Sprintf("%s: %s", words.Look.Word, words.Headline); text != said {
				said = text
				p.options.say("  %s  %s", p.clock.Now().Format("15:04:05"), text)
			}
			if slices.Contains(phases, run.Phase) {
				return run, nil
			}
			if run.Phase.Final() || run.Phase == upgrade.PhaseBlocked {
				return run, fmt.Errorf("run %d is %s, want one of %v: %s", run.ID, run.Phase, phases, words.Headline)
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return run, fmt.Errorf("wait for %v: run %d is %s after %s", phases, run.ID, run.Phase, patience)
		}
	}
}

// promoted is the way of a change that passes: the merge brings the production pipeline, whose held job
// the service plays; then a person starts the deployment.
func (p *performance) promoted(ctx context.Context) error {
	run, err := p.until(ctx, upgrade.PhaseUnlocked)
	if err != nil {
		return err
	}
	project := p.projects[p.story.name].ID
	if err := p.gitlab.SetBranch(ctx, project, "main", p.commit, p.hugo.ID); err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	p.options.say("  Hugo merges it: main is at %s", p.commit.Short())
	if err := p.jobIs(ctx, "upgrade-gate", "success"); err != nil {
		return err
	}
	p.options.say("  upgradegate plays the held job upgrade-gate")
	job, err := p.job("deploy-production")
	if err != nil {
		return err
	}
	if err := p.gitlab.Play(job.ID, p.hugo.ID); err != nil {
		return fmt.Errorf("start the deployment: %w", err)
	}
	p.options.say("  Hugo starts deploy-production")
	if _, err := p.until(ctx, upgrade.PhasePromoted); err != nil {
		return err
	}
	if played := p.playedBy("upgrade-gate"); played != p.bot.Username {
		return fmt.Errorf("upgrade-gate was played by %q, want %s", played, p.bot.Username)
	}
	return p.shows(ctx, run, "success")
}

// blockedBy is the way of a change that a gate stops: production stays shut, and the gate says why.
func (p *performance) blockedBy(ctx context.Context, gate upgrade.GateName, words string) error {
	run, err := p.until(ctx, upgrade.PhaseBlocked)
	if err != nil {
		return err
	}
	results, err := p.service.Store.Results(ctx, run.ID)
	if err != nil {
		return fmt.Errorf("read results: %w", err)
	}
	for _, result := range results {
		switch {
		case result.Early:
		case result.Gate == gate && result.Outcome != upgrade.OutcomeFailed:
			return fmt.Errorf("gate %s %s, want it to fail", gate, result.Outcome)
		case result.Gate == gate && !strings.Contains(result.Message, words):
			return fmt.Errorf("gate %s says %q, want it to say %q", gate, result.Message, words)
		case result.Gate != gate && result.Outcome != upgrade.OutcomePassed:
			return fmt.Errorf("gate %s %s (%s), want only %s to fail", result.Gate, result.Outcome, result.Message, gate)
		}
	}
	project := p.projects[p.story.name].ID
	if err := p.gitlab.SetBranch(ctx, project, "main", p.commit, p.hugo.ID); err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	p.options.say("  somebody merges it all the same")
	if err := p.jobIs(ctx, "upgrade-gate", "manual"); err != nil {
		return err
	}
	p.options.say("  production stays shut: upgrade-gate waits")
	return p.shows(ctx, run, "failed")
}

// nothingLeft looks for what the launch gate made and did not remove (S4).
func (p *performance) nothingLeft() error {
	for _, instance := range p.aws.Instances() {
		if strings.HasPrefix(instance.Group, "gate-probe-") && instance.State != "terminated" && instance.State != "shutting-down" {
			return fmt.Errorf("the test instance %s of %s is still %s", instance.ID, instance.Group, instance.State)
		}
	}
	return nil
}

// shows waits until GitLab's status of the commit is the state, with the run's own headline.
func (p *performance) shows(ctx context.Context, run upgrade.Run, state string) error {
	return p.eventually(ctx, func() error {
		now, err := p.service.Store.Run(ctx, run.ID)
		if err != nil {
			return fmt.Errorf("read run %d: %w", run.ID, err)
		}
		seen := ""
		for _, pipeline := range p.gitlab.Pipelines(p.projects[p.story.name].ID) {
			if pipeline.Commit != p.commit {
				continue
			}
			for _, status := range p.gitlab.Statuses(pipeline.ID) {
				if status.Retried {
					continue
				}
				seen = fmt.Sprintf("%s %q", status.Status, status.Description)
				if status.Status == state && status.Description == upgrade.Tell(now).Headline {
					return nil
				}
			}
		}
		return fmt.Errorf("GitLab shows %s, want %s and the run's headline", seen, state)
	})
}
