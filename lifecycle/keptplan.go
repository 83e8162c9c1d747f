package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// Plan returns the summary of the plan that a run made last, masked as it was written. CodeNotFound when there is
// none (yet, or any more).
func (l *Lifecycle) Plan(_ context.Context, run upgrade.RunID) (plan.Summary, error) {
	summary, err := l.plan(run)
	if errors.Is(err, fs.ErrNotExist) {
		return summary, &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("run %d has no plan", run), Hint: "it has not been planned yet, or what it left was removed"}
	}
	return summary, err
}
