package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// mergeRequest deals with a merge request as it is now: its upgrade is the tree that merging it would
// give.
func (l *Lifecycle) mergeRequest(ctx context.Context, project forge.Project, iid int64) (upgrade.Step, error) {
	mr, err := l.Forge.MergeRequest(ctx, project.ID, iid)
	if err != nil {
		if upgrade.CodeOf(err) == upgrade.CodeNotFound {
			return fate(upgrade.FateIgnored, "!%d no longer exists", iid), nil
		}
		return upgrade.Step{}, fmt.Errorf("read !%d: %w", iid, err)
	}
	var stacks []upgrade.Stack
	var when []upgrade.Condition
	for _, stack := range l.stacksOf(project.Path) {
		if stack.Trigger.MergeRequestTo == mr.TargetBranch {
			stacks = append(stacks, stack)
			when = append(when, stack.Trigger.When...)
		}
	}
	if len(stacks) == 0 {
		return l.forget(ctx, project, mergeRef(iid), fmt.Sprintf("merge requests to %s are not watched", mr.TargetBranch))
	}
	switch mr.State {
	case "opened":
	case "merged": // its tree is about to arrive on its target
		return fate(upgrade.FateIgnored, "!%d is merged", iid), nil
	default:
		return l.forget(ctx, project, mergeRef(iid), fmt.Sprintf("!%d is %s", iid, mr.State))
	}
	state, _, err := l.Store.Ref(ctx, upgrade.RefKey{ProjectID: project.ID, Ref: mergeRef(iid)})
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read ref of !%d: %w", iid, err)
	}
	if state.Tree != "" && state.Commit == mr.Head { // what was let in stays in, as long as neither side moves
		tree, conflict, err := l.merged(ctx, project, mr)
		if err != nil {
			return upgrade.Step{}, err
		}
		if !conflict && tree == state.Tree {
			return fate(upgrade.FateIgnored, "!%d has not moved since the last delivery", iid), nil
		}
	}
	unmet, err := l.unmet(ctx, project, mr, when)
	if err != nil {
		return upgrade.Step{}, err
	}
	if len(unmet) > 0 {
		return l.refuse(ctx, project, mergeRef(iid), mr.Head, fmt.Sprintf("!%d", iid), strings.Join(unmet, "; "))
	}
	tree, conflict, err := l.merged(ctx, project, mr)
	if err != nil {
		return upgrade.Step{}, err
	}
	if conflict {
		return l.refuse(ctx, project, mergeRef(iid), mr.Head, fmt.Sprintf("!%d", iid),
			fmt.Sprintf("it conflicts with %s: resolve the conflict and push", mr.TargetBranch))
	}
	step, err := l.arrive(ctx, arrival{
		project: project, stacks: stacks, ref: mergeRef(iid), tree: tree,
		answer: upgrade.Answer{Ref: mr.SourceBranch, Commit: mr.Head, MergeRequest: iid, At: l.Clock.Now()},
		title:  mr.Title, author: mr.Author,
	})
	step.Wake = append(step.Wake, upgrade.JobForNote(project.ID, iid))
	return step, err
}

// merged returns the tree that merging the merge request now would give.
func (l *Lifecycle) merged(ctx context.Context, project forge.Project, mr forge.MergeRequest) (tree upgrade.Tree, conflict bool, err error) {
	target, err := l.Forge.Branch(ctx, project.ID, mr.TargetBranch)
	if err != nil {
		return "", false, fmt.Errorf("read branch %s: %w", mr.TargetBranch, err)
	}
	for _, commit := range []upgrade.Commit{target.Commit, mr.Head} {
		if err := l.Git.Ensure(ctx, project, commit); err != nil {
			return "", false, fmt.Errorf("fetch %s: %w", commit.Short(), err)
		}
	}
	tree, conflict, err = l.Git.MergeTree(ctx, project, target.Commit, mr.Head)
	if err != nil {
		return "", false, fmt.Errorf("merge !%d: %w", mr.IID, err)
	}
	return tree, conflict, nil
}

// unmet lists the conditions that do not hold for the merge request, as sentences (S13).
func (l *Lifecycle) unmet(ctx context.Context, project forge.Project, mr forge.MergeRequest, when []upgrade.Condition) ([]string, error) {
	var unmet []string
	if slices.Contains(when, upgrade.WhenNotDraft) && mr.Draft {
		unmet = append(unmet, "it is a draft")
	}
	if slices.Contains(when, upgrade.WhenSameProject) && mr.SourceProjectID != mr.TargetProjectID {
		unmet = append(unmet, "it comes from another project")
	}
	if slices.Contains(when, upgrade.WhenPipelinePassed) {
		passed, why, err := l.pipelinePassed(ctx, project, mr)
		if err != nil {
			return nil, err
		}
		if !passed {
			unmet = append(unmet, why)
		}
	}
	if slices.Contains(when, upgrade.WhenApproved) {
		approved, why, err := l.approved(ctx, project, mr)
		if err != nil {
			return nil, err
		}
		if !approved {
			unmet = append(unmet, why)
		}
	}
	return unmet, nil
}

// pipelinePassed looks at the head pipeline's jobs without our own statuses: waiting for ourselves
// would wait for ever.
func (l *Lifecycle) pipelinePassed(ctx context.Context, project forge.Project, mr forge.MergeRequest) (passed bool, why string, err error) {
	if mr.Pipeline.ID == 0 || mr.Pipeline.Commit != mr.Head {
		return false, "its head has no pipeline", nil
	}
	if mr.Pipeline.Status == "success" {
		return true, "", nil
	}
	jobs, err := l.Forge.Jobs(ctx, project.ID, mr.Pipeline.ID)
	if err != nil {
		return false, "", fmt.Errorf("read jobs of pipeline %d: %w", mr.Pipeline.ID, err)
	}
	if len(jobs) == 0 {
		return false, fmt.Sprintf("its pipeline %d is %s", mr.Pipeline.ID, mr.Pipeline.Status), nil
	}
	for _, job := range jobs {
		if job.Status != "success" && !job.AllowFailure && job.Status != "skipped" {
			return false, fmt.Sprintf("job %s of its pipeline is %s", job.Name, job.Status), nil
		}
	}
	return true, "", nil
}

// approved counts approvals of people who wrote none of it, given at or after the newest version. An
// empty list is never approval, nor is a time that cannot be had.
func (l *Lifecycle) approved(ctx context.Context, project forge.Project, mr forge.MergeRequest) (ok bool, why string, err error) {
	approvals, err := l.Forge.Approvals(ctx, project.ID, mr.IID)
	if err != nil {
		return false, "", fmt.Errorf("read approvals of !%d: %w", mr.IID, err)
	}
	versions, err := l.Forge.Versions(ctx, project.ID, mr.IID)
	if err != nil {
		return false, "", fmt.Errorf("read versions of !%d: %w", mr.IID, err)
	}
	if len(approvals) == 0 || len(versions) == 0 {
		return false, "nobody has approved it", nil
	}
	authors, err := l.Forge.Authors(ctx, project.ID, mr.IID)
	if err != nil {
		return false, "", fmt.Errorf("read the authors of !%d: %w", mr.IID, err)
	}
	for _, approval := range approvals {
		if approval.UserID == mr.AuthorID || wrote(authors, approval) || approval.At.IsZero() || approval.At.Before(versions[0].CreatedAt) {
			continue
		}
		return true, "", nil
	}
	return false, "nobody but its authors has approved its newest version", nil
}

// wrote reports whether a commit names who approved. Commits know no user ids, so names have to do; a
// namesake's approval is lost, which is the safe side.
func wrote(authors []forge.Author, approval forge.Approval) bool {
	return slices.ContainsFunc(authors, func(a forge.Author) bool {
		return strings.EqualFold(a.Name, approval.FullName) || strings.EqualFold(a.Name, approval.Name)
	})
}
