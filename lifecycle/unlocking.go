package lifecycle

import (
	"context"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/upgrade"
)

// lookAgain is how often a run that waits for GitLab looks by itself; deliveries wake it earlier.
const lookAgain = time.Minute

// unlocking delivers the upgrade's orders to GitLab, once every stack that it touches is open.
func (l *Lifecycle) unlocking(ctx context.Context, w *engine.Work, run upgrade.Run) (upgrade.Step, error) {
	if err := l.tidy(ctx, run.ID); err != nil {
		return upgrade.Step{}, err
	}
	p, err := l.prove(ctx, run)
	if err != nil {
		return upgrade.Step{}, err
	}
	switch {
	case p.against != "" && p.expired:
		return l.askAnew(ctx, run, p.against)
	case p.against != "":
		return l.relock(ctx, run, p)
	case len(p.starts) > 0:
		return upgrade.Step{Starts: p.starts, Given: p.given, Next: upgrade.Go()}, nil
	case p.waits != "":
		return l.waits(run, p.waits, upgrade.Park(l.Clock.Now().Add(lookAgain))), nil
	}
	missing, err := l.missingOrders(ctx, run)
	if err != nil {
		return upgrade.Step{}, err
	}
	if len(missing) > 0 { // two stacks became open at the same moment, and each left it to the other
		return upgrade.Step{Orders: missing, Given: p.given, Next: upgrade.Go()}, nil
	}
	delivered, err := l.deliver(ctx, w, run, p.given)
	if err != nil {
		return upgrade.Step{}, err
	}
	step := l.to(run, upgrade.PhaseUnlocked)
	step.Runs[0].Reason = unlockedReason(delivered.orders)
	step.Orders = delivered.changed
	step.Events = append(delivered.events, step.Events...)
	step.Given = p.given
	return step, nil
}

// askAnew sends a run back to its gates because their answers are too old. It takes the slot again.
func (l *Lifecycle) askAnew(ctx context.Context, run upgrade.Run, why string) (upgrade.Step, error) {
	voided, err := l.voided(ctx, run, "its gates are asked again: "+why)
	if err != nil {
		return upgrade.Step{}, err
	}
	step := l.to(again(run), upgrade.PhaseChecking)
	step.Events[0].Data["why"] = why
	step.Orders = voided
	return step, nil
}

// again returns the run as it is when its gates are asked once more.
func again(run upgrade.Run) upgrade.Run {
	run.Verdict, run.Causes, run.Tally = upgrade.VerdictClosed, nil, upgrade.Tally{}
	run.Round++
	return run
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

// relock closes an open run for what stands against it. Orders that were not delivered are void; what
// was delivered cannot be taken back, and that is said.
func (l *Lifecycle) relock(ctx context.Context, run upgrade.Run, p *proof) (upgrade.Step, error) {
	cause := upgrade.Cause{Kind: upgrade.CauseRelocked, Message: p.against}
	if p.sibling != "" {
		cause.Kind, cause.Stack = upgrade.CauseSibling, p.sibling
		cause.Hint = fmt.Sprintf("bring %s through: this run is then judged again by itself", p.sibling)
	}
	return l.locked(ctx, run, "", cause)
}

// locked is the step of a run that is locked again.
func (l *Lifecycle) locked(ctx context.Context, run upgrade.Run, who string, cause upgrade.Cause) (upgrade.Step, error) {
	run.Verdict, run.Causes = upgrade.VerdictClosed, []upgrade.Cause{cause}
	next := l.move(run, upgrade.PhaseRelocked)
	step := upgrade.Step{Runs: []upgrade.Run{next}, Events: []upgrade.Event{l.moved(next, who, cause.Message)}, Next: upgrade.Go()}
	existing, err := l.Store.Orders(ctx, run.Upgrade)
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read orders of upgrade %d: %w", run.Upgrade, err)
	}
	for _, order := range existing {
		if order.State == upgrade.OrderDone && order.Hold.Kind != upgrade.HoldCommitStatus {
			step.Events = append(step.Events, l.event(run, upgrade.EventNote, "", fmt.Sprintf(
				"%s was %s already. That cannot be taken back: look at production's pipeline in GitLab.", order.Hold.Key(), order.Result)))
		}
	}
	if step.Orders, err = l.voided(ctx, run, upgrade.Tell(next).Headline); err != nil {
		return upgrade.Step{}, err
	}
	step.Wake, err = l.siblingJobs(ctx, run)
	return step, err
}

// voided returns the upgrade's undelivered orders as void. A claimed one is not among them: whether it
// was delivered has to be looked up first.
func (l *Lifecycle) voided(ctx context.Context, run upgrade.Run, why string) ([]upgrade.Order, error) {
	orders, err := l.Store.Orders(ctx, run.Upgrade)
	if err != nil {
		return nil, fmt.Errorf("read orders of upgrade %d: %w", run.Upgrade, err)
	}
	var voided []upgrade.Order
	for _, order := range orders {
		if order.State == upgrade.OrderOpen || order.State == upgrade.OrderArmed {
			order.State, order.Result = upgrade.OrderVoid, "no longer wanted: "+why
			voided = append(voided, order)
		}
	}
	return voided, nil
}

// relocked judges the run again when it was locked only because of another stack of its upgrade and
// that one is through; else it is a person's turn.
func (l *Lifecycle) relocked(ctx context.Context, run upgrade.Run) (upgrade.Step, error) {
	if step, undecided, err := l.decideClaims(ctx, run); undecided || err != nil {
		return step, err
	}
	rest := upgrade.Step{Next: upgrade.ParkUntilWoken()}
	if !judgedAgain(run) {
		return rest, l.tidy(ctx, run.ID)
	}
	p := &proof{given: upgrade.Given{Runs: map[upgrade.RunID]int64{}, Bases: map[upgrade.StackName]int64{}, Standings: map[upgrade.StandingKey]int64{}}}
	if err := l.proveRun(ctx, p, run); err != nil {
		return upgrade.Step{}, err
	}
	if p.against != "" && !p.expired { // it will never count again by itself, so nobody waits for it
		run.Causes = []upgrade.Cause{{Kind: upgrade.CauseRelocked, Message: p.against}}
		step := upgrade.Step{
			Runs: []upgrade.Run{run}, Events: []upgrade.Event{l.event(run, upgrade.EventNote, "", upgrade.Tell(run).Headline)}, Next: upgrade.Go(),
		}
		var err error
		step.Wake, err = l.siblingJobs(ctx, run)
		return step, err
	}
	newest, err := l.newestOf(ctx, run)
	if err != nil || newest[run.Stack].ID != run.ID {
		return rest, err
	}
	sibling := run.Causes[0].Stack
	if !newest[sibling].Phase.Opens() {
		return rest, nil
	}
	step := l.to(again(run), upgrade.PhaseChecking)
	step.Events[0].Data["why"] = fmt.Sprintf("%s is through", sibling)
	return step, nil
}

// missingOrders returns the unlock orders of the upgrade that do not exist yet. Stacks that name the
// same job share one order.
func (l *Lifecycle) missingOrders(ctx context.Context, run upgrade.Run) ([]upgrade.Order, error) {
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
