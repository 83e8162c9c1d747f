package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// impartial refuses a yes of somebody who wrote the change (S6). Who cannot be told from its authors may
// not say yes either.
func (l *Lifecycle) impartial(ctx context.Context, run upgrade.Run, request upgrade.Request) error {
	if request.Kind != upgrade.RequestApprove && request.Kind != upgrade.RequestOverride {
		return nil
	}
	if request.By.GitLabUser == 0 {
		return &upgrade.Error{
			Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("nobody can tell whether %s wrote this change", request.By.Name),
			Hint: "set gitlab_user_id for that token in the configuration",
		}
	}
	wrote, err := l.wroteIt(ctx, run, request.By.GitLabUser)
	if err != nil {
		return err
	}
	if wrote {
		return &upgrade.Error{
			Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("%s wrote some of this change, so it takes somebody else's yes", request.By.Name),
			Hint: "ask another release manager",
		}
	}
	return nil
}

// wroteIt reports whether the GitLab user opened a merge request that the run answers for, or wrote or
// committed any commit since the base.
func (l *Lifecycle) wroteIt(ctx context.Context, run upgrade.Run, id int64) (bool, error) {
	project, err := l.Forge.ProjectByID(ctx, run.ProjectID)
	if err != nil {
		return false, fmt.Errorf("read project %s: %w", run.Project, err)
	}
	for _, answer := range run.Answers {
		if answer.MergeRequest == 0 {
			continue
		}
		mr, err := l.Forge.MergeRequest(ctx, run.ProjectID, answer.MergeRequest)
		if err != nil {
			return false, fmt.Errorf("read !%d: %w", answer.MergeRequest, err)
		}
		if mr.AuthorID == id {
			return true, nil
		}
	}
	user, err := l.Forge.User(ctx, id)
	if err != nil {
		return false, fmt.Errorf("read user %d: %w", id, err)
	}
	base, _, err := l.Store.Base(ctx, run.Stack)
	if err != nil {
		return false, fmt.Errorf("read the base of %s: %w", run.Stack, err)
	}
	authors, err := l.Git.Authors(ctx, project, base.Commit, run.Commit)
	if err != nil {
		return false, fmt.Errorf("read who wrote %s: %w", run.Commit.Short(), err)
	}
	return slices.ContainsFunc(authors, func(a forge.Author) bool { return isBy(a, user) }), nil
}

// isBy reports whether a commit names the user. Commits know no user ids, so names and addresses have to
// do; a namesake's yes is lost, which is the safe side.
func isBy(author forge.Author, user forge.User) bool {
	if author.Name != "" && (strings.EqualFold(author.Name, user.Name) || strings.EqualFold(author.Name, user.Username)) {
		return true
	}
	return slices.ContainsFunc(user.Emails, func(email string) bool { return email != "" && strings.EqualFold(author.Email, email) })
}
