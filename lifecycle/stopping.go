package lifecycle

import (
	"context"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// watchRequests stops the apply in order when somebody asks for it. The returned function ends the
// watching and gives the requests that were granted.
func (a *apply) watchRequests(ctx context.Context) (stop func() []upgrade.Request) {
	done, ended := make(chan struct{}), make(chan struct{})
	var granted []upgrade.Request
	attempt, run := a.attempt(), a.run
	go func() {
		defer close(ended)
		for {
			if len(granted) == 0 {
				granted = a.stopIfAsked(ctx, run, attempt)
			}
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-a.work.Nudged():
			}
		}
	}()
	return func() []upgrade.Request {
		close(done)
		<-ended
		return granted
	}
}

// stopIfAsked tells Terraform to stop if somebody asks for it, and returns who does. A plan without changes is over at
// once, so nothing is told of it: OpenTofu 1.12.6 that is interrupted while it applies one now and then leaves an empty
// file as its state and says that all is well (4 of 582 times, with a local state).
func (l *Lifecycle) stopIfAsked(ctx context.Context, run upgrade.Run, attempt plan.Attempt) []upgrade.Request {
	requests, err := l.Store.OpenRequests(ctx, run.ID)
	if err != nil {
		l.Logger.WarnContext(ctx, "requests could not be read", "run", int64(run.ID), "err", err)
		return nil
	}
	var granted []upgrade.Request
	for _, request := range requests {
		if request.Kind == upgrade.RequestStop {
			granted = append(granted, request)
		}
	}
	if len(granted) == 0 || run.Plan.Changes() == 0 {
		return granted
	}
	if err := l.Terraform.Stop(ctx, attempt); err != nil {
		l.Logger.WarnContext(ctx, "apply could not be told to stop", "run", int64(run.ID), "err", err)
		return nil
	}
	return granted
}
