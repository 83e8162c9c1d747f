package lifecycle

import (
	"context"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// status keeps the commit statuses of one run true: one for each commit that the run answers for and
// that has a pipeline. It never lets GitLab create a pipeline, since that could open the merge
// request (gitlab.md §4).
func (l *Lifecycle) status(ctx context.Context, w *engine.Work) (upgrade.Step, error) {
	run, err := l.Store.Run(ctx, w.Job.RunID())
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read run %s: %w", w.Job.Subject, err)
	}
	posted, err := l.Store.Posted(ctx, run.ID)
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read what was posted for run %d: %w", run.ID, err)
	}
	step := upgrade.Step{Next: upgrade.ParkUntilWoken()}
	for _, answer := range latest(run.Answers) {
		newest, err := l.answersFor(ctx, run, answer)
		if err != nil {
			return upgrade.Step{}, err
		}
		if !newest {
			continue // a newer run answers for this commit
		}
		if err := l.post(ctx, run, answer, posted, &step); err != nil {
			return upgrade.Step{}, err
		}
	}
	if run.Phase.Opens() && run.Phase != upgrade.PhaseUnlocking && len(step.Posted) > 0 {
		orders, err := l.statusOrders(ctx, run, step.Posted)
		if err != nil {
			return upgrade.Step{}, err
		}
		step.Orders = orders
	}
	return step, nil
}

// latest returns one answer per commit, the newest.
func latest(answers []upgrade.Answer) []upgrade.Answer {
	byCommit := map[upgrade.Commit]int{}
	var kept []upgrade.Answer
	for _, answer := range answers {
		if at, seen := byCommit[answer.Commit]; seen {
			kept[at] = answer
			continue
		}
		byCommit[answer.Commit] = len(kept)
		kept = append(kept, answer)
	}
	return kept
}

// answersFor reports whether run is the newest run of its stack that answers for the commit.
func (l *Lifecycle) answersFor(ctx context.Context, run upgrade.Run, answer upgrade.Answer) (bool, error) {
	runs, err := l.Store.Runs(ctx, upgrade.RunFilter{Stack: run.Stack, ProjectID: run.ProjectID, Commit: answer.Commit, Limit: 1})
	if err != nil {
		return false, fmt.Errorf("read runs of commit %s: %w", answer.Commit.Short(), err)
	}
	return len(runs) == 0 || runs[0].ID == run.ID, nil
}

func (l *Lifecycle) post(ctx context.Context, run upgrade.Run, answer upgrade.Answer, posted []upgrade.Posted, step *upgrade.Step) error {
	pipelines, err := l.Forge.Pipelines(ctx, run.ProjectID, answer.Commit)
	if err != nil {
		return fmt.Errorf("read pipelines of %s: %w", answer.Commit.Short(), err)
	}
	pipeline, found := newestReal(pipelines)
	if !found {
		return nil
	}
	told := upgrade.Tell(run)
	name := l.statusName(run)
	want := upgrade.Posted{
		Run: run.ID, Commit: answer.Commit, Pipeline: pipeline.ID,
		State: run.Phase.CommitState(), Text: told.Headline, At: l.Clock.Now(),
	}
	shown, err := l.shown(ctx, run, answer, pipeline.ID, name)
	if err != nil {
		return err
	}
	if shown.State == want.State && (shown.Description == want.Text || !want.State.Final()) {
		return nil // GitLab refuses the same live state twice
	}
	err = l.Forge.PostStatus(ctx, forge.StatusPost{
		ProjectID: run.ProjectID, Commit: answer.Commit, Ref: pipeline.Ref, PipelineID: pipeline.ID, Name: name,
		State: want.State, Description: want.Text, TargetURL: fmt.Sprintf("%s/runs/%d", l.PublicURL, run.ID),
	})
	if err != nil {
		return fmt.Errorf("post %s on %s: %w", want.State, answer.Commit.Short(), err)
	}
	step.Posted = append(step.Posted, want)
	text := fmt.Sprintf("GitLab shows %s on %s.", want.State, answer.Commit.Short())
	if last, ok := lastPosted(posted, want); ok && shown.State != "" && shown.State != last.State {
		text = fmt.Sprintf("GitLab showed %s on %s, which this run had not said; corrected to %s.", shown.State, answer.Commit.Short(), want.State)
	}
	event := l.event(run, upgrade.EventStatus, "", text)
	event.Data = map[string]string{"commit": string(answer.Commit), "state": string(want.State), "pipeline": fmt.Sprint(pipeline.ID)}
	step.Events = append(step.Events, event)
	return nil
}

// statusName is the name of the status: one per stack, so that two stacks of a project do not
// overwrite each other.
func (l *Lifecycle) statusName(run upgrade.Run) string {
	return l.StatusName + "/" + string(run.Stack)
}

// newestReal returns the newest pipeline that is not one of external statuses.
func newestReal(pipelines []forge.Pipeline) (forge.Pipeline, bool) {
	var newest forge.Pipeline
	for _, pipeline := range pipelines {
		if pipeline.Source != "external" && pipeline.ID > newest.ID {
			newest = pipeline
		}
	}
	return newest, newest.ID != 0
}

// shown returns the status that GitLab shows now under our name; zero if there is none.
func (l *Lifecycle) shown(ctx context.Context, run upgrade.Run, answer upgrade.Answer, pipeline int64, name string) (forge.Status, error) {
	statuses, err := l.Forge.Statuses(ctx, run.ProjectID, answer.Commit, name)
	if err != nil {
		return forge.Status{}, fmt.Errorf("read statuses of %s: %w", answer.Commit.Short(), err)
	}
	var newest forge.Status
	var at time.Time
	for _, status := range statuses {
		if status.PipelineID == pipeline && status.Name == name && !status.CreatedAt.Before(at) {
			newest, at = status, status.CreatedAt
		}
	}
	return newest, nil
}

func lastPosted(posted []upgrade.Posted, like upgrade.Posted) (upgrade.Posted, bool) {
	var last upgrade.Posted
	for _, p := range posted {
		if p.Commit == like.Commit && p.Pipeline == like.Pipeline && !p.At.Before(last.At) {
			last = p
		}
	}
	return last, last.Run != 0
}

// statusOrders returns the upgrade's commit_status orders as done, now that the status was posted.
func (l *Lifecycle) statusOrders(ctx context.Context, run upgrade.Run, posted []upgrade.Posted) ([]upgrade.Order, error) {
	orders, err := l.Store.Orders(ctx, run.Upgrade)
	if err != nil {
		return nil, fmt.Errorf("read orders of upgrade %d: %w", run.Upgrade, err)
	}
	var done []upgrade.Order
	for _, order := range orders {
		if order.Hold.Kind != upgrade.HoldCommitStatus || order.State == upgrade.OrderDone || order.State == upgrade.OrderVoid {
			continue
		}
		order.State, order.Attempts = upgrade.OrderDone, order.Attempts+1
		order.Target = "commit " + posted[0].Commit.Short()
		order.Result = fmt.Sprintf("%s posted to pipeline %d", posted[0].State, posted[0].Pipeline)
		done = append(done, order)
	}
	return done, nil
}
