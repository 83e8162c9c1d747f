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
	attempt, id := a.attempt(), a.run.ID
	go func() {
		defer close(ended)
		for {
			if len(granted) == 0 {
				granted = a.stopIfAsked(ctx, id, attempt)
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

func (l *Lifecycle) stopIfAsked(ctx context.Context, id upgrade.RunID, attempt plan.Attempt) []upgrade.Request {
	requests, err := l.Store.OpenRequests(ctx, id)
	if err != nil {
		l.Logger.WarnContext(ctx, "requests could not be read", "run", int64(id), "err", err)
		return nil
	}
	var granted []upgrade.Request
	for _, request := range requests {
		if request.Kind == upgrade.RequestStop {
			granted = append(granted, request)
		}
	}
	if len(granted) == 0 {
		return nil
	}
	if err := l.Terraform.Stop(ctx, attempt); err != nil {
		l.Logger.WarnContext(ctx, "apply could not be told to stop", "run", int64(id), "err", err)
		return nil
	}
	return granted
}
