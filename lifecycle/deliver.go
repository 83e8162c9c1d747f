package lifecycle

import (
	"context"
	"fmt"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// delivery is what came of delivering an upgrade's orders.
type delivery struct {
	orders  []upgrade.Order // all that are not void, as they are now
	changed []upgrade.Order // those of them that are to be written
	events  []upgrade.Event
}

// deliver carries out what of the upgrade's orders can be carried out now, and arms the rest. It is
// idempotent: each act reads first what is there, and is claimed in a transaction that looks at S1 once
// more (given). CodeStale when that no longer holds: look again.
func (l *Lifecycle) deliver(ctx context.Context, w *engine.Work, run upgrade.Run, given upgrade.Given) (d delivery, err error) {
	existing, err := l.Store.Orders(ctx, run.Upgrade)
	if err != nil {
		return d, fmt.Errorf("read orders of upgrade %d: %w", run.Upgrade, err)
	}
	for _, order := range existing {
		if order.State == upgrade.OrderVoid {
			continue
		}
		before := order
		if err := l.deliverOne(ctx, w, run, &order, given); err != nil {
			return d, fmt.Errorf("deliver %s: %w", order.Hold.Key(), err)
		}
		if order.State != before.State || order.Result != before.Result {
			order.Attempts++
			d.changed = append(d.changed, order)
			d.events = append(d.events, l.ordered(run, order))
		}
		d.orders = append(d.orders, order)
	}
	return d, nil
}

func (l *Lifecycle) deliverOne(ctx context.Context, w *engine.Work, run upgrade.Run, order *upgrade.Order, given upgrade.Given) error {
	if order.Run != run.ID {
		other, err := l.Store.Run(ctx, order.Run)
		if err != nil {
			return fmt.Errorf("read run %d: %w", order.Run, err)
		}
		if other.Phase == upgrade.PhaseUnlocking || other.Phase == upgrade.PhaseUnlocked {
			return nil // its job delivers it: two would act at once
		}
		order.Run = run.ID
	}
	switch order.Hold.Kind {
	case upgrade.HoldPlayJob:
		return l.play(ctx, w, run, order, given)
	case upgrade.HoldVerifyJob:
		if order.State == upgrade.OrderOpen {
			order.State, order.Result = upgrade.OrderArmed, "waits for the production pipeline to ask"
		}
	case upgrade.HoldCommitStatus: // delivered by the status job, once the run is unlocked
	case upgrade.HoldDeploymentApproval, upgrade.HoldCreatePipeline, upgrade.HoldStatusCheck:
	}
	return nil
}

func (l *Lifecycle) ordered(run upgrade.Run, order upgrade.Order) upgrade.Event {
	event := l.event(run, upgrade.EventOrder, "", fmt.Sprintf("%s: %s.", order.Hold.Key(), order.Result))
	event.Data = map[string]string{"hold": order.Hold.Key(), "state": string(order.State), "target": order.Target}
	return event
}

// play plays the held job in the newest production pipeline of a commit of this tree.
func (l *Lifecycle) play(ctx context.Context, w *engine.Work, run upgrade.Run, order *upgrade.Order, given upgrade.Given) error {
	job, found, err := l.heldJob(ctx, run, order.Hold.Job)
	if err != nil {
		return err
	}
	if order.State == upgrade.OrderDone && (!found || job.Status != "manual") {
		return nil // delivered; only a further pipeline of the same content brings the job back
	}
	if !found || job.Status != "manual" {
		seen(order, job, found)
		return nil
	}
	order.State, order.Target = upgrade.OrderClaimed, fmt.Sprintf("job %d", job.ID)
	if err := w.Commit(ctx, upgrade.Step{Orders: []upgrade.Order{*order}, Given: given}); err != nil {
		return fmt.Errorf("claim the order: %w", err)
	}
	if job, found, err = l.heldJob(ctx, run, order.Hold.Job); err != nil {
		return err
	}
	if !found || job.Status != "manual" {
		seen(order, job, found)
		return nil
	}
	played, err := l.Forge.Play(ctx, run.ProjectID, job.ID)
	if err != nil {
		return err
	}
	order.State, order.Result = upgrade.OrderDone, fmt.Sprintf("played in pipeline %d", played.PipelineID)
	return nil
}

// seen says what the state of a held job, which cannot be played now, means for its order.
func seen(order *upgrade.Order, job forge.Job, found bool) {
	if !found {
		order.State, order.Result = upgrade.OrderArmed, "waits for a production pipeline of this content"
		return
	}
	order.Target = fmt.Sprintf("job %d", job.ID)
	switch job.Status {
	case "success", "running", "pending", "waiting_for_resource", "preparing":
		order.State, order.Result = upgrade.OrderDone, fmt.Sprintf("already played in pipeline %d", job.PipelineID)
	case "created", "scheduled":
		order.State, order.Result = upgrade.OrderArmed, fmt.Sprintf("pipeline %d has not come to it yet", job.PipelineID)
	default:
		order.State, order.Result = upgrade.OrderArmed, fmt.Sprintf("is %s in pipeline %d: run it again in GitLab", job.Status, job.PipelineID)
	}
}

// decideClaims finds out what became of orders that were claimed when the run was locked, or when the
// service was cut off: an act in GitLab is not repeated, and not believed either, before it was looked
// up. Until then no apply begins on the upgrade's stacks.
func (l *Lifecycle) decideClaims(ctx context.Context, run upgrade.Run) (step upgrade.Step, undecided bool, err error) {
	orders, err := l.Store.Orders(ctx, run.Upgrade)
	if err != nil {
		return step, false, fmt.Errorf("read orders of upgrade %d: %w", run.Upgrade, err)
	}
	for _, order := range orders {
		if order.State != upgrade.OrderClaimed {
			continue
		}
		job, found, err := l.heldJob(ctx, run, order.Hold.Job)
		if err != nil {
			return step, false, fmt.Errorf("look what became of %s: %w", order.Hold.Key(), err)
		}
		seen(&order, job, found)
		if order.State != upgrade.OrderDone {
			order.State, order.Result = upgrade.OrderVoid, "was not delivered, and is no longer wanted"
		}
		step.Orders = append(step.Orders, order)
		step.Events = append(step.Events, l.ordered(run, order))
	}
	step.Next = upgrade.Go()
	return step, len(step.Orders) > 0, nil
}

// heldJob finds the job in the newest pipeline on the production branch of a commit that the run
// answers for.
func (l *Lifecycle) heldJob(ctx context.Context, run upgrade.Run, name string) (forge.Job, bool, error) {
	branch := l.stacks[run.Stack].Production.Branch
	var newest forge.Pipeline
	for _, answer := range run.Answers {
		if answer.Ref != branch {
			continue
		}
		pipelines, err := l.Forge.Pipelines(ctx, run.ProjectID, answer.Commit)
		if err != nil {
			return forge.Job{}, false, err
		}
		for _, pipeline := range pipelines {
			if pipeline.Ref == branch && pipeline.Source != "external" && pipeline.ID > newest.ID {
				newest = pipeline
			}
		}
	}
	if newest.ID == 0 {
		return forge.Job{}, false, nil
	}
	jobs, err := l.Forge.Jobs(ctx, run.ProjectID, newest.ID)
	if err != nil {
		return forge.Job{}, false, err
	}
	for _, job := range jobs {
		if job.Name == name {
			return job, true, nil
		}
	}
	return forge.Job{}, false, nil
}
