package demo

import (
	"context"
	"fmt"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// promoted is how a change ends that passed: the merge brings the production pipeline, whose held job
// the service plays; then a person starts the deployment.
func (p *performance) promoted(ctx context.Context, stack stack, run upgrade.Run) error {
	project := p.project.ID
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
	if _, err := p.until(ctx, stack, upgrade.PhasePromoted); err != nil {
		return err
	}
	if played := p.playedBy("upgrade-gate"); played != p.bot.Username {
		return fmt.Errorf("upgrade-gate was played by %q, want %s", played, p.bot.Username)
	}
	return p.shows(ctx, run, "success")
}

// shut is how a change ends that a gate stopped: production stays shut, and GitLab shows why.
func (p *performance) shut(ctx context.Context, run upgrade.Run) error {
	project := p.project.ID
	if err := p.gitlab.SetBranch(ctx, project, "main", p.commit, p.hugo.ID); err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	p.options.say("  somebody merges it all the same")
	if err := p.jobIs(ctx, "upgrade-gate", "manual"); err != nil {
		return err
	}
	if err := p.shows(ctx, run, "failed"); err != nil {
		return err
	}
	if played := p.playedBy("upgrade-gate"); played != "" {
		return fmt.Errorf("upgrade-gate was played by %s, want it to wait", played)
	}
	p.options.say("  production stays shut: upgrade-gate waits")
	return nil
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
