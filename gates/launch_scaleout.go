package gates

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// scaleOut launches one instance more in the real group, and takes it back. Unlike a trial's, the instance
// takes traffic and tasks for a while, so it is for staging only.
func (w *watch) scaleOut(ctx context.Context, in Input) (took time.Duration, err error) {
	if in.Run.Environment != "" && in.Run.Environment != w.env {
		return 0, &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the method %s would change %s, and this run changes %s", MethodScaleOut, w.env, in.Run.Environment),
			Hint: fmt.Sprintf("use the method %s there", MethodTrial),
		}
	}
	tags := w.tags(in)
	w.run = tags[TagRun]
	before, err := w.aws.Activities(ctx, w.name)
	if err != nil {
		return 0, fmt.Errorf("read the scaling activities of %s: %w", w.name, err)
	}
	w.known = map[string]bool{}
	for _, activity := range before {
		w.known[activity.ID] = true
	}
	if w.pre != nil {
		if templates := launched(w.pre.chain.group); len(templates) == 1 { // else AWS chooses
			w.template = templates[0]
		}
	}
	if err := in.intend(ctx, "one instance more is about to be asked of %s; it is to be gone by %s", w.name, goneBy(tags)); err != nil {
		return 0, err
	}
	w.begin()
	defer func() { err = errors.Join(err, w.cleanUp(ctx, "the one instance more of "+w.name, w.takeBack)) }()
	if err := w.aws.AddOne(ctx, w.name, tags); err != nil {
		return 0, fmt.Errorf("ask one instance more of %s: %w", w.name, err)
	}
	w.rec.Logf("asked one instance more of %s", w.name)
	w.reach(pieceCreated)
	return w.untilHealthy(ctx)
}

// cleanUp removes what was made, whatever became of the asking. What could not be removed is a warning of its
// own, and the reaper's business (S4).
func (w *watch) cleanUp(ctx context.Context, what string, remove func(context.Context) (done bool, err error)) error {
	ctx, cancel := Runner{Clock: w.clock}.within(context.WithoutCancel(ctx), cleanupLimit)
	defer cancel()
	if err := w.untilDone(ctx, remove); err != nil {
		w.rec.Warnf("%s could not be removed and may still cost money: %s", what, upgrade.Public(err))
		w.rec.Logf("clean up %s: %v", what, err)
		return nil
	}
	w.rec.Logf("%s is gone", what)
	w.fact("Clean-up", "%s is gone", what)
	return nil
}

func (w *watch) untilDone(ctx context.Context, remove func(context.Context) (done bool, err error)) error {
	for {
		done, err := remove(ctx)
		switch {
		case err != nil && !upgrade.Transient(err):
			return err
		case err == nil && done:
			return nil
		}
		if wait := w.clock.Sleep(ctx, launchPoll); wait != nil {
			return errors.Join(err, fmt.Errorf("it was still there after %s: %w", cleanupLimit, wait))
		}
	}
}

// end removes the trial, with its instance.
func (w *watch) end(ctx context.Context) (done bool, err error) {
	if err := w.aws.EndTrial(ctx, w.name); err != nil {
		return false, err
	}
	return w.aws.Gone(ctx, w.name)
}

// takeBack takes the instance more from the real group, and waits until it is gone.
func (w *watch) takeBack(ctx context.Context) (done bool, err error) {
	if err := w.aws.TakeOne(ctx, cloud.Added{Group: w.name, Run: w.run, InstanceID: w.instance}); err != nil {
		return false, err
	}
	if w.instance == "" {
		return true, nil
	}
	instances, err := w.aws.Instances(ctx, []string{w.instance})
	return err == nil && (len(instances) == 0 || instances[0].State == "terminated"), err
}
