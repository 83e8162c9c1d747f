package lifecycle

import (
	"context"
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Ask stores what a person asks of a run, after looking whether they may and whether it makes sense
// now. The run's own job grants it, so that the answer is seen in the run, not here. CodeForbidden,
// CodeConflict, CodeInvalid, CodeNotFound.
func (l *Lifecycle) Ask(ctx context.Context, request upgrade.Request) error {
	run, err := l.Store.Run(ctx, request.Run)
	if err != nil {
		return fmt.Errorf("read run %d: %w", request.Run, err)
	}
	if err := may(request, run); err != nil {
		return err
	}
	if request.At.IsZero() {
		request.At = l.Clock.Now()
	}
	if _, err := l.Store.Ask(ctx, request); err != nil {
		return fmt.Errorf("ask run %d: %w", request.Run, err)
	}
	return nil
}

func may(request upgrade.Request, run upgrade.Run) error {
	needs := upgrade.RoleDeveloper
	if request.Kind == upgrade.RequestRelock {
		needs = upgrade.RoleReleaseManager
	}
	if request.Kind == upgrade.RequestSupersede {
		return &upgrade.Error{Code: upgrade.CodeForbidden, Msg: "only a newer commit supersedes a run"}
	}
	if !request.By.Role.Includes(needs) {
		return &upgrade.Error{
			Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("%s may not %s a run", request.By.Name, request.Kind),
			Hint: fmt.Sprintf("ask somebody with the role %s", needs),
		}
	}
	if _, ok := target(run, request.Kind); !ok {
		return &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: fmt.Sprintf("run %d is %s, so it cannot be asked to %s", run.ID, run.Phase, request.Kind),
			Hint: "look at what the run says to do next",
		}
	}
	if request.Reason == "" && (request.Kind == upgrade.RequestRelock || request.Kind == upgrade.RequestStop && run.Phase == upgrade.PhaseApplying) {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "a reason is missing", Hint: "say why, in one sentence"}
	}
	return nil
}
