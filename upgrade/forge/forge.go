// Package forge is what a GitLab says about projects, merge requests and pipelines, as plain structs
// that the adapter hands to the lifecycle. Standard library only.
package forge

import (
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Project is a GitLab project.
type Project struct {
	ID            int64
	Path          string // path with namespace
	GitURL        string // http(s) address to fetch from, without credentials
	WebURL        string
	DefaultBranch string
}

// Branch is a branch and whether GitLab shows it as protected.
type Branch struct {
	Name      string
	Commit    upgrade.Commit
	Title     string // first line of the commit's message
	Author    string
	Protected bool
}

// MergeRequest is a merge request as GitLab shows it now.
type MergeRequest struct {
	IID             int64
	State           string // opened, closed, locked, merged
	Draft           bool
	Title           string
	Author          string
	AuthorID        int64
	SourceBranch    string
	TargetBranch    string
	SourceProjectID int64
	TargetProjectID int64
	Head            upgrade.Commit
	MergeCommit     upgrade.Commit // once merged
	WebURL          string
	Pipeline        Pipeline // head pipeline; ID 0: none
}

// Approval is one person's approval of a merge request. A zero At means that the time cannot be had.
type Approval struct {
	UserID   int64
	Name     string // user name
	FullName string // as shown; what most people's commits say too
	At       time.Time
}

// Author is a person as commits name them: by themselves, unproven.
type Author struct {
	Name  string
	Email string
}

// User is an account of GitLab's. What the token may not see is empty.
type User struct {
	ID       int64
	Username string
	Name     string   // as shown
	Emails   []string // that its commits may carry, as far as they can be seen
}

// Version is one pushed state of a merge request; the newest comes first in lists.
type Version struct {
	Head      upgrade.Commit
	CreatedAt time.Time
}

// Pipeline is a pipeline.
type Pipeline struct {
	ID        int64
	Commit    upgrade.Commit
	Ref       string
	Source    string // push, merge_request_event, external …
	Status    string // created, pending, running, success, failed, canceled, skipped, manual …
	WebURL    string
	CreatedAt time.Time
}

// Job is a job of a pipeline. A bridge (trigger job) is never listed: it cannot be played.
type Job struct {
	ID           int64
	Name         string
	Stage        string
	Status       string // created, manual, pending, running, success, failed, canceled, skipped
	AllowFailure bool
	PipelineID   int64
	Commit       upgrade.Commit
	Ref          string
	WebURL       string
	FinishedAt   time.Time
}

// Status is one row of the statuses of a commit.
type Status struct {
	Name        string
	State       upgrade.CommitState
	Description string
	TargetURL   string
	Ref         string
	PipelineID  int64
	AuthorID    int64
	CreatedAt   time.Time
}

// Deployment is a deployment to a GitLab environment.
type Deployment struct {
	ID          int64
	Commit      upgrade.Commit
	Ref         string
	Environment string
	Status      string // created, running, success, failed, canceled, blocked
	JobID       int64
	JobName     string
	JobURL      string
	UpdatedAt   time.Time
}

// Note is a comment on a merge request.
type Note struct {
	ID       int64
	Body     string
	AuthorID int64
}

// StatusPost is a commit status to be written.
type StatusPost struct {
	ProjectID   int64
	Commit      upgrade.Commit
	Ref         string
	PipelineID  int64 // of an existing pipeline; 0 is refused, since GitLab would create one
	Name        string
	State       upgrade.CommitState
	Description string // at most 255 characters
	TargetURL   string
}
