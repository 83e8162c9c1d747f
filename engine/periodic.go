package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Task is something done again and again. Its job has to be made once: upgrade.JobFor(JobPeriodic,
// name), by the store's Ensure.
type Task struct {
	Every time.Duration // from the end of one time to the start of the next, in world time
	Do    Handler       // its step's zero Next means: again after Every
}

// Periodic returns the handler of periodic jobs: each goes to the task of its subject. A job whose task
// is gone ends.
func Periodic(clock upgrade.Clock, tasks map[string]Task) (Handler, error) {
	for name, task := range tasks {
		if task.Every <= 0 || task.Do == nil {
			return nil, fmt.Errorf("make periodic task %s: it needs an interval and something to do", name)
		}
	}
	return func(ctx context.Context, w *Work) (upgrade.Step, error) {
		task, known := tasks[w.Job.Subject]
		if !known {
			return upgrade.Step{Next: upgrade.End()}, nil
		}
		step, err := task.Do(ctx, w)
		if err == nil && step.Next.Do == upgrade.NextKeep {
			step.Next = upgrade.Park(clock.Now().Add(task.Every))
		}
		return step, err
	}, nil
}
