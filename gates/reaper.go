package gates

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Reap ends every trial whose time is over. It needs nothing but the tags (S4): a trial without a
// readable expiry is ended too, since no gate made it so. It returns the names that were ended and
// what could not be removed.
func Reap(ctx context.Context, aws Cloud, now time.Time) (ended []string, err error) {
	trials, err := aws.Trials(ctx)
	if err != nil {
		return nil, fmt.Errorf("list test groups: %w", err)
	}
	var problems []error
	for _, trial := range trials {
		expires, parse := time.Parse(time.RFC3339, trial.Tags[TagExpires])
		if parse == nil && now.Before(expires) || trial.Status != "" {
			continue
		}
		if err := aws.EndTrial(ctx, trial.Name); err != nil {
			problems = append(problems, &upgrade.Error{
				Code: upgrade.CodeOf(err), Msg: "the test group " + trial.Name + " could not be removed",
				Hint: "delete it by hand: aws autoscaling delete-auto-scaling-group --force-delete --auto-scaling-group-name " + trial.Name, Cause: err,
			})
			continue
		}
		ended = append(ended, trial.Name)
	}
	return ended, errors.Join(problems...)
}
