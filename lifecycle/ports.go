package lifecycle

import (
	"context"
	"io"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// Store is what the steps read, and the few things that are written outside a step.
type Store interface {
	runReader
	refReader
	bookkeeper
	inbox
}

type runReader interface {
	Run(ctx context.Context, id upgrade.RunID) (upgrade.Run, error)
	Runs(ctx context.Context, filter upgrade.RunFilter) ([]upgrade.Run, error)
	Results(ctx context.Context, id upgrade.RunID) ([]upgrade.Result, error)
	Events(ctx context.Context, filter upgrade.EventFilter) ([]upgrade.Event, error)
	Applies(ctx context.Context, id upgrade.RunID) ([]upgrade.Apply, error)
	Outcomes(ctx context.Context, id upgrade.RunID) ([]upgrade.Result, error)
	AppliesSince(ctx context.Context, stack upgrade.StackName, env upgrade.EnvName, seq int64) ([]upgrade.Apply, error)
	LastApply(ctx context.Context, stack upgrade.StackName, env upgrade.EnvName) (upgrade.Apply, bool, error)
	Orders(ctx context.Context, id upgrade.UpgradeID) ([]upgrade.Order, error)
	OpenRequests(ctx context.Context, id upgrade.RunID) ([]upgrade.Request, error)
	Posted(ctx context.Context, id upgrade.RunID) ([]upgrade.Posted, error)
	OpenResults(ctx context.Context, limit int) ([]upgrade.Open, error)
	Standings(ctx context.Context) ([]upgrade.Standing, error)
}

type refReader interface {
	Ref(ctx context.Context, key upgrade.RefKey) (upgrade.RefState, bool, error)
	Refs(ctx context.Context, projectID int64) ([]upgrade.RefState, error)
	Base(ctx context.Context, stack upgrade.StackName) (upgrade.Base, bool, error)
}

type bookkeeper interface {
	SetBase(ctx context.Context, base upgrade.Base) error
	Verification(ctx context.Context, id upgrade.VerificationID) (upgrade.Verification, error)
	PurgeVerifications(ctx context.Context, before time.Time) (int, error)
	Waiting(ctx context.Context, projectID int64) ([]upgrade.Verification, error)
}

type inbox interface {
	Delivery(ctx context.Context, id upgrade.DeliveryID) (upgrade.Delivery, error)
	Deliver(ctx context.Context, delivery upgrade.Delivery) (fresh bool, err error)
	PurgeStretches(ctx context.Context, before time.Time) (int, error)
	PurgeDeliveries(ctx context.Context, before time.Time) (int, error)
	Ask(ctx context.Context, request upgrade.Request) (upgrade.RequestID, error)
	Ensure(ctx context.Context, id upgrade.JobID, at time.Time) error
	Wake(ctx context.Context, ids ...upgrade.JobID) error
}

// Forge is GitLab.
type Forge interface {
	Project(ctx context.Context, path string) (forge.Project, error)
	ProjectByID(ctx context.Context, id int64) (forge.Project, error)
	Branch(ctx context.Context, projectID int64, name string) (forge.Branch, error)
	MergeRequest(ctx context.Context, projectID, iid int64) (forge.MergeRequest, error)
	OpenMergeRequests(ctx context.Context, projectID int64, target string) ([]forge.MergeRequest, error)
	Approvals(ctx context.Context, projectID, iid int64) ([]forge.Approval, error)
	Versions(ctx context.Context, projectID, iid int64) ([]forge.Version, error)
	Authors(ctx context.Context, projectID, iid int64) ([]forge.Author, error)
	Pipelines(ctx context.Context, projectID int64, commit upgrade.Commit) ([]forge.Pipeline, error)
	Jobs(ctx context.Context, projectID, pipelineID int64) ([]forge.Job, error)
	Play(ctx context.Context, projectID, jobID int64) (forge.Job, error)
	Statuses(ctx context.Context, projectID int64, commit upgrade.Commit, name string) ([]forge.Status, error)
	PostStatus(ctx context.Context, post forge.StatusPost) error
	Deployments(ctx context.Context, projectID int64, environment string, limit int) ([]forge.Deployment, error)
	User(ctx context.Context, id int64) (forge.User, error)
	UpsertNote(ctx context.Context, projectID, iid int64, marker, body string) error
}

// Git is the mirrors of the projects.
type Git interface {
	// Ensure makes the commit available in the project's mirror and fetches tags and branches.
	Ensure(ctx context.Context, project forge.Project, commit upgrade.Commit) error
	Tree(ctx context.Context, project forge.Project, commit upgrade.Commit) (upgrade.Tree, error)
	// MergeTree returns the tree that merging head into target would give; conflict reports that it
	// cannot be merged.
	MergeTree(ctx context.Context, project forge.Project, target, head upgrade.Commit) (tree upgrade.Tree, conflict bool, err error)
	// Touched returns the paths that differ between two trees.
	Touched(ctx context.Context, project forge.Project, from, to upgrade.Tree) ([]string, error)
	// Describe returns the nearest tag of the commit, else its first seven digits.
	Describe(ctx context.Context, project forge.Project, commit upgrade.Commit) (string, error)
	// Authors returns who wrote and who committed each commit between base and head.
	Authors(ctx context.Context, project forge.Project, base, head upgrade.Commit) ([]forge.Author, error)
	// HasDir reports whether the tree has the folder.
	HasDir(ctx context.Context, project forge.Project, tree upgrade.Tree, dir string) (bool, error)
	// Checkout writes the tree's files into dir and proves them against the tree's hash.
	Checkout(ctx context.Context, project forge.Project, tree upgrade.Tree, dir string) error
	// ResolveDir returns the stack's folder in a checkout, refusing missing ones and links.
	ResolveDir(checkout, dir string) (string, error)
}

// Terraform is the tool that plans and applies.
type Terraform interface {
	Init(ctx context.Context, root plan.Root, log io.Writer) error
	Plan(ctx context.Context, root plan.Root, log io.Writer) (plan.Planned, error)
	Show(ctx context.Context, root plan.Root, planned plan.Planned) (plan.Summary, error)
	// Apply starts the attempt under the shim and waits for its end. When ctx ends first it returns
	// the context's cause and the apply goes on.
	Apply(ctx context.Context, root plan.Root, attempt plan.Attempt, tick func(plan.Tick)) (plan.Ended, error)
	// Adopt waits for an attempt that an earlier process started, and says what became of it. It tells
	// every tick from the start again. Errors of both: plan.ErrLost when nobody knows how it ended,
	// CodeConflict when the plan was refused before its first change, CodeBusy when nothing was started.
	Adopt(ctx context.Context, attempt plan.Attempt, tick func(plan.Tick)) (plan.Ended, plan.Found, error)
	// BreakLock breaks the lock of the state of which failed, an error of Plan, tells, if it is provably the
	// attempt's own; false: a person has to look.
	BreakLock(ctx context.Context, root plan.Root, attempt plan.Attempt, failed error) (bool, error)
	// Stop asks a running attempt to end in order.
	Stop(ctx context.Context, attempt plan.Attempt) error
}
