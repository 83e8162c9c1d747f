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

// job returns the job of the newest production pipeline of the story's commit.
func (p *performance) job(name string) (gitlabsim.Job, error) {
	pipelines := p.gitlab.Pipelines(p.project.ID)
	slices.SortFunc(pipelines, func(a, b gitlabsim.Pipeline) int { return int(b.ID - a.ID) })
	for _, pipeline := range pipelines {
		if pipeline.Commit != p.commit || pipeline.Ref != "main" {
			continue
		}
		for _, job := range p.gitlab.Jobs(pipeline.ID) {
			if job.Name == name && !job.Retried {
				return job, nil
			}
		}
	}
	return gitlabsim.Job{}, fmt.Errorf("there is no job %s in a production pipeline of %s", name, p.commit.Short())
}

func (p *performance) jobIs(ctx context.Context, name, status string) error {
	return p.eventually(ctx, func() error {
		job, err := p.job(name)
		if err == nil && job.Status != status {
			err = fmt.Errorf("job %s is %s, want %s", name, job.Status, status)
		}
		return err
	})
}

// eventually waits until check says nothing any more.
func (p *performance) eventually(ctx context.Context, check func() error) error {
	defer p.mover.Wait()()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// playedBy returns who played the job in this story.
func (p *performance) playedBy(name string) string {
	for _, act := range p.gitlab.Acts()[p.from:] {
		if act.Act == "play" && strings.HasSuffix(act.Target, " "+name) {
			return act.By
		}
	}
	return ""
}

// acts returns what the service did in GitLab, from an act on. Stories are played one after the other.
func (st *stage) acts(from int) []Act {
	acts := []Act{}
	for _, act := range st.gitlab.Acts()[from:] {
		if act.By == st.bot.Username {
			acts = append(acts, Act{Act: act.Act, Target: act.Target, Result: act.Result})
		}
	}
	return acts
}

// shows waits until GitLab's status of the commit is the state, with the run's own headline.
func (p *performance) shows(ctx context.Context, run upgrade.Run, state string) error {
	return p.eventually(ctx, func() error {
		now, err := p.service.Store.Run(ctx, run.ID)
		if err != nil {
			return fmt.Errorf("read run %d: %w", run.ID, err)
		}
		seen := ""
		for _, pipeline := range p.gitlab.Pipelines(p.project.ID) {
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
