package upgrade

import "time"

// Stack is one Terraform root module of one GitLab project, as configured.
type Stack struct {
	Name       StackName
	Project    string   // path with namespace, such as "platform/ecs-master"
	Dir        string   // of the root module in the repository, slash-separated, "" for its top
	Paths      []string // globs that touch the stack besides Dir; empty: see Touches
	After      []StackName
	Trigger    Trigger
	Staging    Site
	Production Production
	Holds      []Hold
}

// Trigger says what starts a run. At least one of its fields is set.
type Trigger struct {
	Push           string // the staging branch, without refs/heads/
	MergeRequestTo string // the production branch to which merge requests are tested
	When           []Condition
}

// Condition is something that must hold before a merge request's code runs (S13).
type Condition string

// The conditions.
const (
	WhenNotDraft       Condition = "not_draft"
	WhenSameProject    Condition = "same_project"
	WhenApproved       Condition = "approved"
	WhenPipelinePassed Condition = "pipeline_passed"
)

// Conditions returns all conditions, which is also the default.
func Conditions() []Condition {
	return []Condition{WhenNotDraft, WhenSameProject, WhenApproved, WhenPipelinePassed}
}

// Site is where and how Terraform works on one environment of a stack.
type Site struct {
	Environment      EnvName
	Workspace        string // Terraform workspace; "" is "default"
	VarFiles         []string
	BackendConfig    map[string]string
	Env              map[string]Secret // added to the allow-list of Terraform's environment
	ApprovalDeadline time.Duration     // of awaiting_approval; default 4 h
}

// Production is how a stack reaches production.
type Production struct {
	Branch      string // whose pipeline deploys
	Environment string // GitLab environment whose successful deployment means promoted; may be empty
	Job         string // job whose success means promoted; may be empty
	Site        Site
}

// HoldKind is a way in which production is held shut: product.md §5.
type HoldKind string

// The kinds of holds.
const (
	HoldVerifyJob          HoldKind = "verify_job"
	HoldPlayJob            HoldKind = "play_job"
	HoldDeploymentApproval HoldKind = "deployment_approval"
	HoldCreatePipeline     HoldKind = "create_pipeline"
	HoldStatusCheck        HoldKind = "status_check"
	HoldCommitStatus       HoldKind = "commit_status"
)

// Opens says what playing a held job does.
type Opens string

// What a played job does.
const (
	OpensStep   Opens = "step"   // lets later manual jobs start; people start the deploy
	OpensDeploy Opens = "deploy" // deploys
)

// Hold is one configured way in which production is held for a stack.
type Hold struct {
	Kind  HoldKind
	Job   string // play_job, verify_job: the job's name
	Opens Opens  // play_job; default step
}

// Key identifies the hold within a project: stacks that name the same job share one order.
func (h Hold) Key() string {
	if h.Job == "" {
		return string(h.Kind)
	}
	return string(h.Kind) + ":" + h.Job
}

// Role is what a person or program may do.
type Role string

// The roles, each including the ones before it.
const (
	RoleViewer         Role = "viewer"
	RoleDeveloper      Role = "developer"
	RoleReleaseManager Role = "release_manager"
	RoleAdmin          Role = "admin"
)

// Roles returns all roles, the least one first.
func Roles() []Role { return []Role{RoleViewer, RoleDeveloper, RoleReleaseManager, RoleAdmin} }

// Includes reports whether r may do what other may.
func (r Role) Includes(other Role) bool { return r.rank() >= other.rank() && other.rank() > 0 }

func (r Role) rank() int {
	switch r {
	case RoleViewer:
		return 1
	case RoleDeveloper:
		return 2
	case RoleReleaseManager:
		return 3
	case RoleAdmin:
		return 4
	}
	return 0
}

// Person is who acts: somebody who signed in, a token's owner, or "rule" for what the service does by itself.
type Person struct {
	Name       string
	Role       Role  // everywhere
	GitLabUser int64 // 0: not known
	// Rights are what they may do in some projects besides; nil: nothing. Never changed once it is set.
	Rights *Rights
}

// Rights are roles by the path of a project.
type Rights map[string]Role

// RoleIn returns what they may do in the project of that path; "" asks for what is not a project's.
func (p Person) RoleIn(project string) Role {
	if p.Rights == nil || project == "" {
		return p.Role
	}
	if here := (*p.Rights)[project]; here.rank() > p.Role.rank() {
		return here
	}
	return p.Role
}

// Highest returns the highest role that they have anywhere.
func (p Person) Highest() Role {
	highest := p.Role
	if p.Rights == nil {
		return highest
	}
	for _, role := range *p.Rights {
		if role.rank() > highest.rank() {
			highest = role
		}
	}
	return highest
}

// AsKept returns the person as records hold them: who they are, and not what they might do elsewhere.
func (p Person) AsKept() Person {
	p.Rights = nil
	return p
}

// ByRule is the actor of what nobody asked for.
func ByRule() Person { return Person{Name: "by rule"} }
