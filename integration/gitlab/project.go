package gitlab

import (
	"context"
	"fmt"
	"slices"
	"strings"

	gl "github.com/xanzy/go-gitlab"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// Me returns the id and user name of the user whose token we have.
func (c *Client) Me(ctx context.Context) (userID int64, name string, err error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	u, err := c.whoami(ctx)
	return u.id, u.name, err
}

// whoami asks anew each time, because that also proves the token; it remembers the answer for author.
func (c *Client) whoami(ctx context.Context) (user, error) {
	var got *gl.User
	err := c.read(ctx, "ask who we are", func(opt gl.RequestOptionFunc) (resp *gl.Response, err error) {
		got, resp, err = c.api.Users.CurrentUser(opt)
		return resp, err
	})
	if err != nil {
		return user{}, err
	}
	u := user{id: int64(got.ID), name: got.Username}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.me = u
	return u, nil
}

// author returns our own user id, asking only once: a token never changes hands.
func (c *Client) author(ctx context.Context) (int64, error) {
	c.mu.Lock()
	u := c.me
	c.mu.Unlock()
	if u.id != 0 {
		return u.id, nil
	}
	u, err := c.whoami(ctx)
	return u.id, err
}

// User returns an account. GitLab shows a commit address of another account only when it is public, or to
// an administrator; the address that it makes for people who hide theirs is known either way.
func (c *Client) User(ctx context.Context, id int64) (forge.User, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	var got *gl.User
	err := c.read(ctx, fmt.Sprintf("read user %d", id), func(opt gl.RequestOptionFunc) (resp *gl.Response, err error) {
		got, resp, err = c.api.Users.GetUser(int(id), gl.GetUsersOptions{}, opt)
		return resp, err
	})
	if err != nil {
		return forge.User{}, err
	}
	u := forge.User{ID: int64(got.ID), Username: got.Username, Name: got.Name}
	hidden := fmt.Sprintf("%d-%s@users.noreply.%s", got.ID, got.Username, c.host())
	for _, email := range []string{got.Email, got.PublicEmail, hidden} {
		if email != "" && !slices.Contains(u.Emails, email) {
			u.Emails = append(u.Emails, email)
		}
	}
	return u, nil
}

func (c *Client) host() string { return c.api.BaseURL().Hostname() }

// Project returns the project of that path with namespace, such as "platform/ecs-master".
// CodeNotFound also when the bot may not see it.
func (c *Client) Project(ctx context.Context, path string) (forge.Project, error) {
	return c.project(ctx, path, "read project "+path)
}

// ProjectByID returns the project of that id.
func (c *Client) ProjectByID(ctx context.Context, id int64) (forge.Project, error) {
	return c.project(ctx, int(id), fmt.Sprintf("read project %d", id))
}

func (c *Client) project(ctx context.Context, id any, what string) (forge.Project, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	var got *gl.Project
	err := c.read(ctx, what, func(opt gl.RequestOptionFunc) (resp *gl.Response, err error) {
		got, resp, err = c.api.Projects.GetProject(id, nil, opt)
		return resp, err
	})
	if err != nil {
		return forge.Project{}, err
	}
	return forge.Project{
		ID: int64(got.ID), Path: got.PathWithNamespace, GitURL: got.HTTPURLToRepo, WebURL: got.WebURL, DefaultBranch: got.DefaultBranch,
	}, nil
}

// Branch returns one branch by its name without refs/heads/.
func (c *Client) Branch(ctx context.Context, projectID int64, name string) (forge.Branch, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	var got *gl.Branch
	what := fmt.Sprintf("read branch %s of project %d", name, projectID)
	err := c.read(ctx, what, func(opt gl.RequestOptionFunc) (resp *gl.Response, err error) {
		got, resp, err = c.api.Branches.GetBranch(int(projectID), name, opt)
		return resp, err
	})
	if err != nil {
		return forge.Branch{}, err
	}
	return branch(got), nil
}

// Branches returns all branches of a project, sorted as GitLab sorts them (by name).
func (c *Client) Branches(ctx context.Context, projectID int64) ([]forge.Branch, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	got, err := list(ctx, c, fmt.Sprintf("list branches of project %d", projectID), 0,
		func(opts gl.ListOptions, opt ...gl.RequestOptionFunc) ([]*gl.Branch, *gl.Response, error) {
			return c.api.Branches.ListBranches(int(projectID), &gl.ListBranchesOptions{ListOptions: opts}, opt...)
		})
	return each(got, branch), err
}

func branch(b *gl.Branch) forge.Branch {
	out := forge.Branch{Name: b.Name, Protected: b.Protected}
	if b.Commit != nil {
		out.Commit = upgrade.Commit(b.Commit.ID)
		out.Title, _, _ = strings.Cut(b.Commit.Message, "\n")
		out.Author = b.Commit.AuthorName
	}
	return out
}

// each translates a list; nil entries, which no GitLab sends, are left out.
func each[A, B any](in []*A, f func(*A) B) []B {
	out := make([]B, 0, len(in))
	for _, a := range in {
		if a != nil {
			out = append(out, f(a))
		}
	}
	return out
}
