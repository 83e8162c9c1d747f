package demo

import (
	"context"
	"errors"
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

// friday moves the grant from the cluster's code to that of the accounts, which have had it since
// Thursday, and demands that it ends as it must with what is switched off.
func (p *performance) friday(ctx context.Context, in repository, cluster stack) error {
	p.project, p.said = p.projects[in.path], ""
	off := "every gate is on"
	if n := len(cluster.scene.off); n > 0 {
		off = "switched off: " + strings.Join(cluster.scene.off, ", ")
	}
	p.options.say("  play %d of %d, %s", cluster.scene.play, len(plays()), off)
	if err := p.moveGrant(ctx); err != nil {
		return err
	}
	ends := []func(context.Context, *performance, stack) (upgrade.Run, error){endOwnership, endGrants, endLaunch, endNothing}
	run, err := ends[cluster.scene.play-1](ctx, p, cluster)
	if err != nil {
		return err
	}
	told, err := p.tellPlay(ctx, run, cluster.scene)
	if err != nil {
		return err
	}
	for _, line := range told.Report {
		p.options.say("    %s", line)
	}
	if told.Repair != "" {
		p.options.say("  Hugo repairs it: %s", told.Repair)
		if err := p.repair(ctx, told.Repair); err != nil {
			return err
		}
	}
	p.plays = append(p.plays, told)
	return p.shows(ctx, run, "failed")
}

// moveGrant opens the merge request and has it approved.
func (p *performance) moveGrant(ctx context.Context) (err error) {
	p.commit, err = p.gitlab.Commit(ctx, p.project.ID, gitlabsim.CommitSpec{
		Branch: "move-grant", From: "main", Message: "Leave the grant to aws-accounts", Delete: []string{grantFile}, Author: p.priya.ID,
	})
	if err != nil {
		return fmt.Errorf("push: %w", err)
	}
	mr, err := p.gitlab.CreateMR(ctx, p.project.ID, gitlabsim.MergeRequestSpec{
		Title: "Leave the grant to aws-accounts", Description: "aws-accounts has it since Thursday.", Source: "move-grant", Author: p.priya.ID,
	})
	if err != nil {
		return fmt.Errorf("open the merge request: %w", err)
	}
	if err := p.gitlab.Approve(p.project.ID, mr.IID, p.hugo.ID); err != nil {
		return fmt.Errorf("approve the merge request: %w", err)
	}
	p.options.say("  Priya's merge request takes %s out of %s; Hugo approves it", grantFile, p.project.Path)
	return nil
}

// endOwnership is how it ends with every gate on: before anything changes.
func endOwnership(ctx context.Context, p *performance, cluster stack) (upgrade.Run, error) {
	run, err := p.blocked(ctx, cluster, noes{
		cluster.scene.gate("ownership"): fmt.Sprintf("aws-accounts-%d/staging", cluster.scene.play), cluster.scene.gate("guard"): "aws_kms_grant.autoscaling",
	})
	if err != nil {
		return run, err
	}
	if run.Applies != 0 {
		return run, fmt.Errorf("run %d applied %d times, want nothing to have changed", run.ID, run.Applies)
	}
	return run, p.grants(ctx, cluster.scene, 1)
}

// endGrants is how it ends without the index of owners: right after the apply.
func endGrants(ctx context.Context, p *performance, cluster stack) (upgrade.Run, error) {
	if err := p.yes(ctx, cluster, "aws-accounts has the grant"); err != nil {
		return upgrade.Run{}, err
	}
	run, err := p.blocked(ctx, cluster, noes{
		cluster.scene.gate("grants-staging"): "Decrypt", cluster.scene.gate("grants-production"): "Decrypt", cluster.scene.gate("launch"): "",
	})
	if err != nil {
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
	run, err := p.blocked(ctx, cluster, noes{cluster.scene.gate("launch"): "Client error on launch"})
	if err != nil {
		return run, err
	}
	early, err := p.early(ctx, run, cluster.scene.gate("launch"))
	if err != nil {
		return run, err
	}
	if early.Outcome != upgrade.OutcomePassed {
		return run, fmt.Errorf("the early launch %s, want it to pass: a revoked grant goes on working for a while", early.Outcome)
	}
	return run, p.grants(ctx, cluster.scene, 0)
}

// endNothing is how it ends with nobody looking: no gate says no. It is not a yes either (S5).
func endNothing(ctx context.Context, p *performance, cluster stack) (upgrade.Run, error) {
	run, err := p.until(ctx, cluster, upgrade.PhaseBlocked)
	if err != nil {
		return run, err
	}
	for _, cause := range run.Causes {
		if cause.Kind != upgrade.CauseNoGates {
			return run, fmt.Errorf("run %d is closed for %q, want no gate to say no", run.ID, cause.Message)
		}
	}
	return run, p.grants(ctx, cluster.scene, 0)
}

// early returns what the gate said before settling.
func (p *performance) early(ctx context.Context, run upgrade.Run, gate upgrade.GateName) (upgrade.Result, error) {
	results, err := p.service.Store.Results(ctx, run.ID)
	if err != nil {
		return upgrade.Result{}, fmt.Errorf("read results: %w", err)
	}
	for _, result := range results {
		if result.Gate == gate && result.Early {
			return result, nil
		}
	}
	return upgrade.Result{}, fmt.Errorf("gate %s was not asked before settling", gate)
}

// tellPlay writes what people are told of a play: the headline, what to do next, and what was said no for.
func (p *performance) tellPlay(ctx context.Context, run upgrade.Run, s *scene) (ToldPlay, error) {
	words := upgrade.Tell(run)
	told := ToldPlay{Play: s.play, Off: append([]string{}, s.off...), Run: run.ID, Report: []string{words.Headline, words.Next}}
	for _, cause := range run.Causes {
		told.Report = append(told.Report, cause.Message)
	}
	if words.Headline == "" || words.Next == "" {
		return told, errors.New("the report does not say what happened and what to do")
	}
	results, err := p.service.Store.Results(ctx, run.ID)
	if err != nil {
		return told, fmt.Errorf("read results: %w", err)
	}
	if run.Applies > 0 {
		told.Repair = repairOf(results)
	}
	return told, nil
}
