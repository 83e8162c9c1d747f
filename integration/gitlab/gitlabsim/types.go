package gitlabsim

import (
	"context"
	"net/http"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Access is a role in a project, with GitLab's numbers.
type Access int

// The roles.
const (
	NoAccess   Access = 0
	Guest      Access = 10
	Reporter   Access = 20
	Developer  Access = 30
	Maintainer Access = 40
	Owner      Access = 50
)

// User is somebody with an access token of scope api.
type User struct {
	ID       int64
	Username string
	Name     string         // default: Username
	Email    string         // default: USERNAME@example.org
	Token    upgrade.Secret // default: a random one
	Bot      bool
}

// ProjectSpec is a project to be made.
type ProjectSpec struct {
	Path          string            // with namespace, such as "platform/ecs-master"
	DefaultBranch string            // default main; it is protected unless Protected says something about it
	Files         map[string]string // of the first commit, by path
	Message       string            // of the first commit
	Author        int64             // of the first commit, a user; made Owner
	Branches      []string          // made from the default branch, without events
	Public        bool
	Members       map[int64]Access
	Protected     []ProtectedBranch
	Environments  []ProtectedEnvironment
	CI            []JobSpec
	// PipelinesMustSucceed refuses a merge while the newest pipeline of the merge request is not green.
	PipelinesMustSucceed bool
	FastForward          bool // merge method "ff": no merge commits
}

// Project is a project.
type Project struct {
	ID            int64
	Path          string
	DefaultBranch string
	Public        bool
	GitURL        string // where git fetches from and pushes to
	WebURL        string
}

// ProtectedBranch says who may do what to a branch. Zero access means nobody.
type ProtectedBranch struct {
	Name      string // of one branch, or with * for any characters
	Push      Access
	Merge     Access
	ForcePush bool
}

// ProtectedEnvironment says who may deploy to an environment.
type ProtectedEnvironment struct {
	Name   string
	Users  []int64
	Access Access // or whoever has at least this role; zero: only Users
}

// JobSpec is a job of the project's CI, instead of a .gitlab-ci.yml.
type JobSpec struct {
	Name  string
	Stage string // default test; stages run in the order of their first jobs
	// Branches are the branches in whose push pipelines the job is, * for any characters; none: all.
	Branches []string
	// MergeRequests puts the job into merge request pipelines instead.
	MergeRequests bool
	Manual        bool // waits to be played; without AllowFailure it blocks later stages
	AllowFailure  bool
	Takes         time.Duration // world time from start to end; 0: over at once; negative: until FinishJob
	Fails         bool
	Environment   string // that it deploys to
	// Script, if set, is run when the job starts, before Takes begins; its error fails the job.
	Script func(ctx context.Context, job Job) error
}

// Pipeline is a pipeline.
type Pipeline struct {
	ID        int64
	ProjectID int64
	Commit    upgrade.Commit
	Ref       string
	Source    string
	Status    string
	UserID    int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Job is a job of a pipeline, or a status that was posted into it from outside.
type Job struct {
	ID           int64
	ProjectID    int64
	PipelineID   int64
	Commit       upgrade.Commit
	Ref          string
	Name         string
	Stage        string
	Status       string
	AllowFailure bool
	Manual       bool
	Environment  string
	UserID       int64 // who started it
	CreatedAt    time.Time
	StartedAt    time.Time
	FinishedAt   time.Time
	External     bool   // a commit status
	Description  string // of a commit status
	TargetURL    string // of a commit status
	Retried      bool   // a newer row of the same name took its place
	Failure      string // failure_reason
}

// Deployment is a deployment by a job.
type Deployment struct {
	ID          int64
	ProjectID   int64
	Commit      upgrade.Commit
	Ref         string
	Environment string
	Status      string
	JobID       int64
	UserID      int64
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// MergeRequest is a merge request within one project.
type MergeRequest struct {
	ID          int64
	IID         int64
	ProjectID   int64
	Title       string
	Description string
	State       string // opened, closed, merged
	Draft       bool
	Source      string
	Target      string
	AuthorID    int64
	Head        upgrade.Commit
	MergeCommit upgrade.Commit
	CreatedAt   time.Time
	UpdatedAt   time.Time
	MergedAt    time.Time
	MergedBy    int64
	Approvals   []Approval
	Versions    []Version // oldest first
	Notes       []Note
}

// Approval is one person's.
type Approval struct {
	UserID int64
	At     time.Time
}

// Version is one state of the source branch.
type Version struct {
	ID        int64
	Head      upgrade.Commit
	Base      upgrade.Commit
	CreatedAt time.Time
}

// Note is a comment on a merge request.
type Note struct {
	ID        int64
	AuthorID  int64
	Body      string
	System    bool
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Hook is a webhook of a project.
type Hook struct {
	ID    int64
	URL   string
	Token upgrade.Secret // sent as X-Gitlab-Token
	// SigningToken, whsec_ and base64, signs each delivery after the Standard Webhooks rules.
	SigningToken upgrade.Secret
	// Events are those it wants: push, tag_push, merge_request, pipeline, job, deployment, note; none: all.
	Events []string
}

// Delivery is one event for one webhook, and what the other side answered.
type Delivery struct {
	ID        int64
	HookID    int64
	ProjectID int64
	Event     string // X-Gitlab-Event, such as "Push Hook"
	Kind      string // such as push
	Key       string // Idempotency-Key and webhook-id; the same when sent again
	At        time.Time
	URL       string
	Header    http.Header // as sent
	Body      []byte
	State     DeliveryState
	Status    int    // of the answer; 0: there was none
	Answer    string // at most 8 KB of it
	Err       string // why there was no answer
	Took      time.Duration
	Resend    bool // sent again by a person, or twice by a mishap
}

// DeliveryState is how far a delivery is.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryQueued  DeliveryState = "queued"
	DeliverySent    DeliveryState = "sent"
	DeliveryDropped DeliveryState = "dropped" // by a mishap, or because the webhook is switched off
)

// Act is one thing that somebody did, in the order of doing.
type Act struct {
	At      time.Time
	By      string // user name; empty: nobody
	Act     string // push, status, play, note, approve, merge, create_merge_request …
	Target  string // such as "job 4711 upgrade-gate"
	Result  string // what came of it, such as "played" or "403 Forbidden"
	Warning string // what a person should know, such as that a status made a pipeline of its own
}

// Request is one API request.
type Request struct {
	At     time.Time
	Method string
	Path   string // escaped, with query
	By     string
	Status int // 0: cut off or never answered
}
