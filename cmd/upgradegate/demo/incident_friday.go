package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// tellIncident plays the Friday once per way in which gates are switched off, then lets the weekend pass:
// on Monday production needs more instances.
func tellIncident(ctx context.Context, p *performance) error {
	friday, monday := weekend(p.clock.Now())
	if err := p.travel(ctx, friday); err != nil {
		return err
	}
	scenes := p.story.clusters()
	for _, stack := range scenes {
		for env, size := range map[upgrade.EnvName]int{staging: 1, production: 3} {
			if err := p.aws.Scale("", region, stack.scene.group(string(env)), size); err != nil {
				return fmt.Errorf("start the cluster: %w", err)
			}
		}
	}
	for i, stack := range scenes {
		if err := p.friday(ctx, p.story.several[2*i+1], stack); err != nil {
			return fmt.Errorf("play %d: %w", stack.scene.play, err)
		}
	}
	if err := p.travel(ctx, monday); err != nil {
		return err
	}
	return p.monday(ctx, scenes)
}

// clusters are the stacks of the clusters, in the order of the plays.
func (s story) clusters() []stack {
	var all []stack
	for _, stack := range s.stacks() {
		if stack.scene.cluster {
			all = append(all, stack)
		}
	}
	return all
}

// weekend returns the next Friday at 16:00, and the Monday after it at 09:16 (UTC).
func weekend(now time.Time) (friday, monday time.Time) {
	now = now.UTC()
	friday = time.Date(now.Year(), now.Month(), now.Day(), 16, 0, 0, 0, time.UTC)
	for friday.Weekday() != time.Friday || friday.Before(now.Add(10*time.Minute)) { // what was just granted must be in force
		friday = friday.AddDate(0, 0, 1)
	}
	return friday, time.Date(friday.Year(), friday.Month(), friday.Day()+3, 9, 16, 0, 0, time.UTC)
}

// travel lets the time until then pass at once: nothing happens that anybody would watch.
func (p *performance) travel(ctx context.Context, to time.Time) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !p.clock.MoveTo(to) {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-limited.Done():
			return fmt.Errorf("wait until nobody works: %w", context.Cause(limited))
		}
	}
	p.options.say("  it is %s", to.Format("Monday 15:04"))
	return nil
}

// ending is how a play must end.
type ending struct {
	end      func(context.Context, *performance, stack) (upgrade.Run, error)
	headline string // words of the first line
	next     string // words of the second
	repair   func(context.Context, *performance, stack, string) error
}

func endings() []ending {
	return []ending{
		{endOwnership, "destroys a grant that aws-accounts-1 also owns", "forget aws_kms_grant.autoscaling here instead", handOver},
		{endGrants, "production's group ecs-production-2 cannot use the key of its image", "Restore the grant ecs-cluster-launches", runCommand},
		{endLaunch, "staging cannot start new instances", "command under Repair", runCommand},
		{endNothing, "no gate touched the running system", "Configure a required", nil},
	}
}

// friday moves the grant from the cluster's code to that of the accounts, which have had it since
// Thursday, and demands that it ends as it must with what is switched off.
func (p *performance) friday(ctx context.Context, in repository, cluster stack) error {
	p.project, p.said = p.projects[in.path], ""
	off := "every gate is on"
	if n := len(cluster.scene.off); n > 0 {
		off = "switched off: " + strings.Join(cluster.scene.off, ", ")
	}
	p.options.say("  play %d of %d, %s", cluster.scene.play, len(plays()), off)
	err := p.request(ctx, gitlabsim.CommitSpec{Branch: "move-grant", Message: "Leave the grant to aws-accounts", Delete: []string{grantFile}})
	if err != nil {
		return err
	}
	want := endings()[cluster.scene.play-1]
	run, err := want.end(ctx, p, cluster)
	if err != nil {
		return err
	}
	told, err := p.tellPlay(ctx, run, cluster.scene, want)
	if err != nil {
		return err
	}
	for _, line := range told.Report {
		p.options.say("    %s", line)
	}
	p.plays = append(p.plays, told)
	if err := p.shows(ctx, run, "failed"); err != nil {
		return err
	}
	if told.Repair == "" {
		return nil
	}
	return want.repair(ctx, p, cluster, told.Repair)
}

// request opens a merge request of one commit, and has it approved.
func (p *performance) request(ctx context.Context, commit gitlabsim.CommitSpec) (err error) {
	commit.From, commit.Author = "main", p.priya.ID
	p.commit, err = p.gitlab.Commit(ctx, p.project.ID, commit)
	if err != nil {
		return fmt.Errorf("push: %w", err)
	}
	mr, err := p.gitlab.CreateMR(ctx, p.project.ID, gitlabsim.MergeRequestSpec{Title: commit.Message, Source: commit.Branch, Author: p.priya.ID})
	if err != nil {
		return fmt.Errorf("open the merge request: %w", err)
	}
	if err := p.gitlab.Approve(p.project.ID, mr.IID, p.hugo.ID); err != nil {
		return fmt.Errorf("approve the merge request: %w", err)
	}
	p.options.say("  Priya opens !%d of %s: %s. Hugo approves it", mr.IID, p.project.Path, mr.Title)
	return nil
}

// endOwnership is how it ends with every gate on: before anything changes.
func endOwnership(ctx context.Context, p *performance, cluster stack) (upgrade.Run, error) {
	const address = "aws_kms_grant.autoscaling"
	gate := cluster.scene.gate("ownership")
	run, err := p.blocked(ctx, cluster, noes{gate: address, cluster.scene.gate("guard"): address})
	if err != nil {
		return run, err
	}
	if run.Applies != 0 {
		return run, fmt.Errorf("run %d applied %d times, want nothing to have changed", run.ID, run.Applies)
	}
	words := append(cluster.scene.lost(), address, "aws-accounts-1/staging", "aws_kms_grant.cluster_launches")
	if err := p.names(ctx, run, gate, words); err != nil {
		return run, err
	}
	return run, p.grants(ctx, cluster.scene, 1)
}

// lost are the words without which nobody knows what is lost: the grant, the key and the role.
func (s *scene) lost() []string {
	_, key, _ := strings.Cut(s.prop.key, ":key/")
	return []string{"ecs-cluster-launches", key, "AWSServiceRoleForAutoScaling"}
}

// endGrants is how it ends without the index of owners: right after the apply.
func endGrants(ctx context.Context, p *performance, cluster stack) (upgrade.Run, error) {
	if err := p.yes(ctx, cluster, "aws-accounts has the grant"); err != nil {
		return upgrade.Run{}, err
	}
	grants := []upgrade.GateName{cluster.scene.gate("grants-staging"), cluster.scene.gate("grants-production")}
	run, err := p.blocked(ctx, cluster, noes{grants[0]: "is gone", grants[1]: "is gone", cluster.scene.gate("launch"): "Client error on launch"})
	if err != nil {
		return run, err
	}
	for _, gate := range grants {
		early, err := p.early(ctx, run, gate)
		if err != nil {
			return run, err
		}
		if after := early.StartedAt.Sub(run.ChangedAt); early.Outcome != upgrade.OutcomeFailed || after > time.Minute {
			return run, fmt.Errorf("gate %s %s %s after the apply, want it to fail at once", gate, early.Outcome, after)
		}
		if err := p.names(ctx, run, gate, cluster.scene.lost()); err != nil {
			return run, err
		}
	}
	if err := p.learned(ctx, run, grants); err != nil {
		return run, err
	}
	return run, p.grants(ctx, cluster.scene, 0)
}

// endLaunch is how it ends when nobody looks at grants: the first launch passes, since what was revoked
// goes on working for a while, and the second fails.
func endLaunch(ctx context.Context, p *performance, cluster stack) (upgrade.Run, error) {
	if err := p.yes(ctx, cluster, "aws-accounts has the grant"); err != nil {
		return upgrade.Run{}, err
	}
	gate := cluster.scene.gate("launch")
	run, err := p.blocked(ctx, cluster, noes{gate: "Client error on launch"})
	if err != nil {
		return run, err
	}
	early, err := p.early(ctx, run, gate)
	if err != nil {
		return run, err
	}
	if early.Outcome != upgrade.OutcomePassed {
		return run, fmt.Errorf("the early launch %s, want it to pass: a revoked grant goes on working for a while", early.Outcome)
	}
	if err := p.names(ctx, run, gate, cluster.scene.lost()[1:]); err != nil {
		return run, err
	}
	return run, p.grants(ctx, cluster.scene, 0)
}

// endNothing is how it ends with nobody looking: no gate says no. It is not a yes either (S5).
func endNothing(ctx context.Context, p *performance, cluster stack) (upgrade.Run, error) {
	run, err := p.until(ctx, cluster, upgrade.PhaseBlocked)
	if err != nil {
		return run, err
	}
	if err := p.answered(ctx, run, nil); err != nil {
		return run, err
	}
	for _, cause := range run.Causes {
		if cause.Kind != upgrade.CauseNoGates {
			return run, fmt.Errorf("run %d is closed for %q, want no gate to say no", run.ID, cause.Message)
		}
	}
	return run, p.grants(ctx, cluster.scene, 0)
}
