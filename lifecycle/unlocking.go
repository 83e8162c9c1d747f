package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// lookAgain is how often a run that waits for GitLab looks by itself; deliveries wake it earlier.
const lookAgain = time.Minute

// unlocking delivers the upgrade's orders to GitLab, once every stack that it touches is open.
func (l *Lifecycle) unlocking(ctx context.Context, run upgrade.Run) (upgrade.Step, error) {
	if step, changed, err := l.stillTrue(ctx, run); changed || err != nil {
		return step, err
	}
	reason, err := l.othersOpen(ctx, run)
	if err != nil {
		return upgrade.Step{}, err
	}
	if reason != "" {
		return l.waits(run, reason, upgrade.Park(l.Clock.Now().Add(lookAgain))), nil
	}
	missing, err := l.ordersIfAllOpen(ctx, run)
	if err != nil {
		return upgrade.Step{}, err
	}
	if len(missing) > 0 { // two stacks became open at the same moment, and each left it to the other
		return upgrade.Step{Orders: missing, Next: upgrade.Go()}, nil
	}
	orders, events, err := l.deliver(ctx, run)
	if err != nil {
		return upgrade.Step{}, err
	}
	run.Reason = unlockedReason(orders)
	step := l.to(run, upgrade.PhaseUnlocked)
	step.Runs[0].Reason = run.Reason
	step.Orders = orders
	step.Events = append(events, step.Events...)
	return step, nil
}

// unlockedReason says what is left for people to do, in the words of the next step.
func unlockedReason(orders []upgrade.Order) string {
	for _, order := range orders {
		if order.Hold.Kind != upgrade.HoldPlayJob {
			continue
		}
		switch {
		case order.State == upgrade.OrderArmed:
			return fmt.Sprintf("Merge it: %s is played as soon as its production pipeline appears.", order.Hold.Job)
		case order.Hold.Opens == upgrade.OpensDeploy:
			return "Nothing: production is being deployed."
		}
	}
	return "Start the production job in GitLab."
}

// stillTrue asks S1 once more of the run itself. If it no longer holds, the step locks the run again.
func (l *Lifecycle) stillTrue(ctx context.Context, run upgrade.Run) (step upgrade.Step, changed bool, err error) {
	reason, err := l.falsified(ctx, run)
	if err != nil || reason == "" {
		return upgrade.Step{}, false, err
	}
	step, err = l.relock(ctx, run, reason)
	return step, true, err
}

// falsified says why the run's pass no longer counts, "" if it does (S1): this very run made the last
// apply on its staging stack, and it ended well; a watched ref leads to its tree; the answers of its
// gates are fresh and still add up to a pass.
func (l *Lifecycle) falsified(ctx context.Context, run upgrade.Run) (string, error) {
	last, begun, err := l.Store.LastApply(ctx, run.Stack, run.Environment)
	switch {
	case err != nil:
		return "", fmt.Errorf("read the last apply of %s: %w", run.Stack, err)
	case !begun || last.Run == run.ID && (last.State != upgrade.ApplyExited || !last.OK):
		return "it was never applied to " + string(run.Environment) + " whole", nil
	case last.Run != run.ID:
		return fmt.Sprintf("run %d has changed %s since", last.Run, run.Environment), nil
	}
	wanted, err := l.wanted(ctx, run)
	if err != nil {
		return "", err
	}
	if !wanted {
		return "no watched branch leads to this content any more", nil
	}
	results, err := l.Store.Results(ctx, run.ID)
	if err != nil {
		return "", fmt.Errorf("read results of run %d: %w", run.ID, err)
	}
	now := l.Clock.Now()
	counted := l.counting(run, results)
	for _, result := range counted {
		if result.Required && result.Expired(now) {
			return fmt.Sprintf("the answer of %s is older than %s", result.Gate, result.GoodFor), nil
		}
	}
	if verdict, causes := upgrade.Fold(counted); verdict != upgrade.VerdictOpen {
		return "its gates no longer add up to a pass: " + causes[0].Message, nil
	}
	return "", nil
}

// wanted reports whether a watched ref leads to the run's tree, or it was head of the production branch.
func (l *Lifecycle) wanted(ctx context.Context, run upgrade.Run) (bool, error) {
	refs, err := l.Store.Refs(ctx, run.ProjectID)
	if err != nil {
		return false, fmt.Errorf("read refs of %s: %w", run.Project, err)
	}
	leads := slices.ContainsFunc(refs, func(r upgrade.RefState) bool { return r.Tree == run.Tree })
	return leads || l.wasProduction(run), nil
}

// relock closes an open run for a reason. Orders that were not delivered are void.
func (l *Lifecycle) relock(ctx context.Context, run upgrade.Run, reason string) (upgrade.Step, error) {
	step := l.ended(run, upgrade.PhaseRelocked, upgrade.Cause{Kind: upgrade.CauseRelocked, Message: reason})
	var err error
	if step.Orders, err = l.voided(ctx, run, step.Runs[0]); err != nil {
		return upgrade.Step{}, err
	}
	step.Wake, err = l.siblingJobs(ctx, run)
	return step, err
}

// newestOf returns the newest run of each stack of the run's upgrade, the run itself as it is given.
func (l *Lifecycle) newestOf(ctx context.Context, run upgrade.Run) (map[upgrade.StackName]upgrade.Run, error) {
	runs, err := l.Store.Runs(ctx, upgrade.RunFilter{Upgrade: run.Upgrade, Limit: 500})
	if err != nil {
		return nil, fmt.Errorf("read runs of upgrade %d: %w", run.Upgrade, err)
	}
	newest := map[upgrade.StackName]upgrade.Run{}
	for _, other := range runs { // newest first
		if _, seen := newest[other.Stack]; !seen {
			newest[other.Stack] = other
		}
	}
	newest[run.Stack] = run
	return newest, nil
}

// othersOpen says which other stack of the upgrade is not open, or open on results that no longer
// count; "" if none (S1).
func (l *Lifecycle) othersOpen(ctx context.Context, run upgrade.Run) (string, error) {
	newest, err := l.newestOf(ctx, run)
	if err != nil {
		return "", err
	}
	for _, name := range sortedKeys(newest) {
		other := newest[name]
		if name == run.Stack {
			continue
		}
		if !other.Phase.Opens() {
			return fmt.Sprintf("run %d of %s is not open yet", other.ID, name), nil
		}
		reason, err := l.falsified(ctx, other) // its own job will lock it again
		if err != nil {
			return "", err
		}
		if reason != "" {
			return fmt.Sprintf("run %d of %s does not count: %s", other.ID, name, reason), nil
		}
	}
	return "", nil
}

func (l *Lifecycle) siblingJobs(ctx context.Context, run upgrade.Run) ([]upgrade.JobID, error) {
	newest, err := l.newestOf(ctx, run)
	if err != nil {
		return nil, err
	}
	var jobs []upgrade.JobID
	for _, name := range sortedKeys(newest) {
		if name != run.Stack && !newest[name].Phase.Final() {
			jobs = append(jobs, upgrade.JobForRun(newest[name].ID))
		}
	}
	return jobs, nil
}

func sortedKeys[V any](m map[upgrade.StackName]V) []upgrade.StackName {
	keys := make([]upgrade.StackName, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// ordersIfAllOpen returns the unlock orders of the upgrade that do not exist yet, if every stack that
// it touches is open. Stacks that name the same job share one order.
func (l *Lifecycle) ordersIfAllOpen(ctx context.Context, run upgrade.Run) ([]upgrade.Order, error) {
	newest, err := l.newestOf(ctx, run)
	if err != nil {
		return nil, err
	}
	existing, err := l.Store.Orders(ctx, run.Upgrade)
	if err != nil {
		return nil, fmt.Errorf("read orders of upgrade %d: %w", run.Upgrade, err)
	}
	held := map[string]bool{}
	for _, order := range existing {
		if order.State != upgrade.OrderVoid {
			held[order.Hold.Key()] = true
		}
	}
	var orders []upgrade.Order
	for _, name := range sortedKeys(newest) {
		if name != run.Stack && !newest[name].Phase.Opens() {
			return nil, nil
		}
		for _, hold := range l.stacks[name].Holds {
			if held[hold.Key()] {
				continue
			}
			held[hold.Key()] = true
			orders = append(orders, upgrade.Order{Upgrade: run.Upgrade, Run: run.ID, Hold: hold, State: upgrade.OrderOpen, At: l.Clock.Now()})
		}
	}
	return orders, nil
}

// deliver carries out what of the upgrade's orders can be carried out now, and arms the rest. It is
// idempotent: each act reads first what is there.
func (l *Lifecycle) deliver(ctx context.Context, run upgrade.Run) (orders []upgrade.Order, events []upgrade.Event, err error) {
	existing, err := l.Store.Orders(ctx, run.Upgrade)
	if err != nil {
		return nil, nil, fmt.Errorf("read orders of upgrade %d: %w", run.Upgrade, err)
	}
	for _, order := range existing {
		if order.State == upgrade.OrderVoid || order.Hold.Kind != upgrade.HoldPlayJob {
			continue // a commit status is delivered by the status job, once the run is unlocked
		}
		before := order
		if err := l.play(ctx, run, &order); err != nil {
			return nil, nil, fmt.Errorf("play %s: %w", order.Hold.Job, err)
		}
		if order.State == before.State && order.Result == before.Result {
			continue
		}
		order.Attempts++
		orders = append(orders, order)
		event := l.event(run, upgrade.EventOrder, "", fmt.Sprintf("%s: %s.", order.Hold.Key(), order.Result))
		event.Data = map[string]string{"hold": order.Hold.Key(), "state": string(order.State), "target": order.Target}
		events = append(events, event)
	}
	return orders, events, nil
}

// play plays the held job in the newest production pipeline of a commit of this tree.
func (l *Lifecycle) play(ctx context.Context, run upgrade.Run, order *upgrade.Order) error {
	job, found, err := l.heldJob(ctx, run, order.Hold.Job)
	if err != nil {
		return err
	}
	if order.State == upgrade.OrderDone && (!found || job.Status != "manual") {
		return nil // delivered; only a further pipeline of the same content brings the job back
	}
	if !found {
		order.State, order.Result = upgrade.OrderArmed, "waits for a production pipeline of this content"
		return nil
	}
	order.Target = fmt.Sprintf("job %d", job.ID)
	switch job.Status {
	case "manual":
		played, err := l.Forge.Play(ctx, run.ProjectID, job.ID)
		if err != nil {
			return err
		}
		order.State, order.Result = upgrade.OrderDone, fmt.Sprintf("played in pipeline %d", played.PipelineID)
	case "success", "running", "pending", "waiting_for_resource", "preparing":
		order.State, order.Result = upgrade.OrderDone, fmt.Sprintf("was already played in pipeline %d", job.PipelineID)
	case "created", "scheduled":
		order.State, order.Result = upgrade.OrderArmed, fmt.Sprintf("pipeline %d has not come to it yet", job.PipelineID)
	default:
		order.State, order.Result = upgrade.OrderArmed, fmt.Sprintf("is %s in pipeline %d: run it again in GitLab", job.Status, job.PipelineID)
	}
	return nil
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
