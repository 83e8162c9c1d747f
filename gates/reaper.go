package gates

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// stuckAfter is how long after its expiry a trial that is being deleted is told to be stuck.
const stuckAfter = time.Hour

// Reap ends every trial, and takes back every instance more of a real group, whose time is over. It needs
// nothing but the tags (S4): what has no readable expiry is ended too, since no gate made it so. It returns
// the names of what was ended, and what could not be removed.
func Reap(ctx context.Context, aws Cloud, now time.Time) (ended []string, err error) {
	trials, err := aws.Trials(ctx)
	problems := []error{doing("list test groups", err)}
	for _, trial := range trials {
		done, err := reapTrial(ctx, aws, trial, now)
		problems = append(problems, err)
		if done {
			ended = append(ended, trial.Name)
		}
	}
	added, err := aws.Added(ctx)
	problems = append(problems, doing("list groups with one instance more", err))
	for _, one := range added {
		if now.Before(one.Expires) {
			continue
		}
		if err := aws.TakeOne(ctx, one); err != nil {
			problems = append(problems, &upgrade.Error{
				Code: upgrade.CodeOf(err), Msg: "the group " + one.Group + " has one instance more than it should, and it could not be taken back",
				Hint: "set its desired capacity by hand, and remove its tag gate:added", Cause: err,
			})
			continue
		}
		ended = append(ended, one.Group+" (one instance more)")
	}
	return ended, errors.Join(problems...)
}

// reapTrial ends a trial whose time is over.
func reapTrial(ctx context.Context, aws Cloud, trial cloud.Group, now time.Time) (done bool, err error) {
	expires := expiry(trial)
	stuck := &upgrade.Error{
		Code: upgrade.CodeConflict, Msg: "the test group " + trial.Name + " could not be removed",
		Hint: "delete it by hand: aws autoscaling delete-auto-scaling-group --force-delete --auto-scaling-group-name " + quoted(trial.Name),
	}
	switch {
	case now.Before(expires):
		return false, nil
	case trial.Status != "" && (expires.IsZero() || now.Before(expires.Add(stuckAfter))):
		return false, nil // it goes already
	case trial.Status != "":
		stuck.Cause = fmt.Errorf("AWS says %q since more than %s", trial.Status, stuckAfter)
		return false, stuck
	}
	if err := aws.EndTrial(ctx, trial.Name); err != nil {
		stuck.Code, stuck.Cause = upgrade.CodeOf(err), err
		return false, stuck
	}
	return true, nil
}

// expiry returns when a trial is over; zero when its tag cannot be read.
func expiry(trial cloud.Group) time.Time {
	at, err := time.Parse(time.RFC3339, trial.Tags[TagExpires])
	if err != nil {
		return time.Time{}
	}
	return at
}

func doing(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
