package gitlab

import (
	"context"
	"fmt"

	gl "github.com/xanzy/go-gitlab"

	"github.com/upgradegate/upgradegate/upgrade"
)

// GroupLevel returns a user's level in a group, inherited membership included: 10 guest, 20 reporter, 30
// developer, 40 maintainer, 50 owner; 0 for no active member. CodeNotFound is not told from "no member":
// GitLab hides groups that the bot may not see, and what it does not see gives nobody a role.
func (c *Client) GroupLevel(ctx context.Context, group string, user int64) (int, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	var got *gl.GroupMember
	err := c.read(ctx, fmt.Sprintf("read user %d in group %s", user, group), func(opt gl.RequestOptionFunc) (resp *gl.Response, err error) {
		got, resp, err = c.api.GroupMembers.GetInheritedGroupMember(group, int(user), opt)
		return resp, err
	})
	switch {
	case err != nil && upgrade.CodeOf(err) == upgrade.CodeNotFound:
		return 0, nil
	case err != nil:
		return 0, err
	}
	return level(got.State, int(got.AccessLevel)), nil
}

// ProjectLevel returns a user's level in a project, as GroupLevel does in a group.
func (c *Client) ProjectLevel(ctx context.Context, project string, user int64) (int, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	var got *gl.ProjectMember
	err := c.read(ctx, fmt.Sprintf("read user %d in project %s", user, project), func(opt gl.RequestOptionFunc) (resp *gl.Response, err error) {
		got, resp, err = c.api.ProjectMembers.GetInheritedProjectMember(project, int(user), opt)
		return resp, err
	})
	switch {
	case err != nil && upgrade.CodeOf(err) == upgrade.CodeNotFound:
		return 0, nil
	case err != nil:
		return 0, err
	}
	return level(got.State, int(got.AccessLevel)), nil
}

// level is 0 for whoever is blocked: GitLab goes on listing them.
func level(state string, access int) int {
	if state != "" && state != "active" {
		return 0
	}
	return access
}
