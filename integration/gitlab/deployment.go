package gitlab

import (
	"context"
	"fmt"
	"net/http"
	"time"

	gl "github.com/xanzy/go-gitlab"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// deployment has what we read of one; the library's struct lacks the job's address.
type deployment struct {
	ID          int64      `json:"id"`
	Ref         string     `json:"ref"`
	SHA         string     `json:"sha"`
	Status      string     `json:"status"`
	UpdatedAt   *time.Time `json:"updated_at"`
	Environment struct {
		Name string `json:"name"`
	} `json:"environment"`
	Deployable struct { // null for a deployment that was made over the API
		ID     int64  `json:"id"`
		Name   string `json:"name"`
		WebURL string `json:"web_url"`
	} `json:"deployable"`
}

// Deployments returns the newest deployments to an environment, at most limit (0: all), newest first.
// An empty environment means all of them. JobID is 0 for a deployment that was made over the API.
func (c *Client) Deployments(ctx context.Context, projectID int64, environment string, limit int) ([]forge.Deployment, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	what := fmt.Sprintf("list deployments to %s of project %d", environment, projectID)
	got, err := list(ctx, c, what, limit,
		func(opts gl.ListOptions, opt ...gl.RequestOptionFunc) (page []*deployment, _ *gl.Response, _ error) {
			o := &gl.ListProjectDeploymentsOptions{ListOptions: opts, OrderBy: new("id"), Sort: new("desc")}
			if environment != "" {
				o.Environment = &environment
			}
			req, err := c.api.NewRequest(http.MethodGet, fmt.Sprintf("projects/%d/deployments", projectID), o, opt)
			if err != nil {
				return nil, nil, err
			}
			resp, err := c.api.Do(req, &page)
			return page, resp, err
		})
	return each(got, func(d *deployment) forge.Deployment {
		return forge.Deployment{
			ID: d.ID, Commit: upgrade.Commit(d.SHA), Ref: d.Ref, Environment: d.Environment.Name, Status: d.Status,
			JobID: d.Deployable.ID, JobName: d.Deployable.Name, JobURL: d.Deployable.WebURL, UpdatedAt: timeOf(d.UpdatedAt),
		}
	}), err
}
