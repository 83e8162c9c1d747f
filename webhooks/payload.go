package webhooks

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode"

	"github.com/upgradegate/upgradegate/upgrade"
)

// payload is the few fields of GitLab's bodies that are used; all events share it. Nothing else is
// decoded, so nothing else can break it: durations, which GitLab sends as numbers or as strings, are
// not in it at all.
//
// Shapes: doc/user/project/integrations/webhook_events.md of GitLab 17 and 18.
type payload struct {
	ObjectKind string  `json:"object_kind"`
	Project    project `json:"project"`
	ProjectID  number  `json:"project_id"`

	// Push Hook, Job Hook, Deployment Hook
	Ref       string `json:"ref"`
	Tag       bool   `json:"tag"`
	Before    string `json:"before"`
	After     string `json:"after"`
	SHA       string `json:"sha"`
	BeforeSHA string `json:"before_sha"`

	// Job Hook
	BuildID     number `json:"build_id"`
	BuildName   string `json:"build_name"`
	BuildStatus string `json:"build_status"`
	PipelineID  number `json:"pipeline_id"`

	// Deployment Hook, Job Hook
	Status      string `json:"status"`
	Deployable  number `json:"deployable_id"` // a job
	Environment named  `json:"environment"`
	ShortSHA    string `json:"short_sha"`
	CommitURL   string `json:"commit_url"`

	// Merge Request Hook, Pipeline Hook, Note Hook
	Attributes   attributes   `json:"object_attributes"`
	MergeRequest mergeRequest `json:"merge_request"`
}

type project struct {
	ID   number `json:"id"`
	Path string `json:"path_with_namespace"`
}

type attributes struct {
	ID              number     `json:"id"`
	IID             number     `json:"iid"`
	Action          string     `json:"action"`
	SourceBranch    string     `json:"source_branch"`
	TargetBranch    string     `json:"target_branch"`
	TargetProjectID number     `json:"target_project_id"`
	OldRev          string     `json:"oldrev"`
	LastCommit      lastCommit `json:"last_commit"`
	HeadPipelineID  number     `json:"head_pipeline_id"`
	Ref             string     `json:"ref"`
	Tag             bool       `json:"tag"`
	SHA             string     `json:"sha"`
	BeforeSHA       string     `json:"before_sha"`
	Status          string     `json:"status"`
	NoteableType    string     `json:"noteable_type"`
}

type mergeRequest struct {
	IID          number     `json:"iid"`
	SourceBranch string     `json:"source_branch"`
	TargetBranch string     `json:"target_branch"`
	LastCommit   lastCommit `json:"last_commit"`
}

type lastCommit struct {
	ID string `json:"id"`
}

// number is an id that may come as a string. What is no whole number of at least 0 is 0.
type number int64

// UnmarshalJSON never fails: an id that cannot be read is an id that is absent.
func (n *number) UnmarshalJSON(b []byte) error {
	*n = 0
	if v, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64); err == nil && v >= 0 {
		*n = number(v)
	}
	return nil
}

// named is an environment: a name in deployments, an object with a name in jobs, or null.
type named string

// UnmarshalJSON never fails: a name that cannot be read is a name that is absent.
func (n *named) UnmarshalJSON(b []byte) error {
	var s string
	var o struct {
		Name string `json:"name"`
	}
	switch {
	case json.Unmarshal(b, &s) == nil:
		*n = named(s)
	case json.Unmarshal(b, &o) == nil:
		*n = named(o.Name)
	default:
		*n = ""
	}
	return nil
}

// hint returns what the delivery is about: HintOther unless it is of a kind that is understood and
// names its project.
func (p *payload) hint() upgrade.Hint {
	h := upgrade.Hint{ProjectID: int64(p.Project.ID), Project: clean(p.Project.Path)}
	if h.ProjectID == 0 {
		h.ProjectID = int64(p.ProjectID)
	}
	switch p.ObjectKind {
	case "push":
		p.push(&h)
	case "merge_request":
		p.mergeRequest(&h)
	case "pipeline":
		p.pipeline(&h)
	case "build":
		p.job(&h)
	case "deployment":
		p.deployment(&h)
	case "note":
		p.note(&h)
	}
	if h.Kind == "" || h.ProjectID == 0 {
		return upgrade.Hint{Kind: upgrade.HintOther, ProjectID: h.ProjectID, Project: h.Project}
	}
	return h
}

func (p *payload) push(h *upgrade.Hint) {
	h.Ref = branch(p.Ref, false)
	if h.Ref == "" {
		return // not a branch: nothing that could be watched
	}
	h.Kind, h.Before, h.After = upgrade.HintPush, commit(p.Before), commit(p.After)
}

func (p *payload) mergeRequest(h *upgrade.Hint) {
	a := p.Attributes
	if h.ProjectID == 0 {
		h.ProjectID = int64(a.TargetProjectID)
	}
	if a.IID == 0 {
		return
	}
	h.Kind, h.MergeRequest, h.Action = upgrade.HintMergeRequest, int64(a.IID), clean(a.Action)
	h.Ref, h.TargetBranch = clean(a.SourceBranch), clean(a.TargetBranch)
	h.Before, h.After, h.Pipeline = commit(a.OldRev), commit(a.LastCommit.ID), int64(a.HeadPipelineID)
}

func (p *payload) pipeline(h *upgrade.Hint) {
	a := p.Attributes
	if a.ID == 0 {
		return
	}
	h.Kind, h.Pipeline, h.Status = upgrade.HintPipeline, int64(a.ID), clean(a.Status)
	h.Ref, h.Before, h.After = branch(a.Ref, a.Tag), commit(a.BeforeSHA), commit(a.SHA)
	h.MergeRequest, h.TargetBranch = int64(p.MergeRequest.IID), clean(p.MergeRequest.TargetBranch)
}

func (p *payload) job(h *upgrade.Hint) {
	if p.BuildID == 0 {
		return
	}
	h.Kind, h.Job, h.JobName, h.Status = upgrade.HintJob, int64(p.BuildID), clean(p.BuildName), clean(p.BuildStatus)
	h.Pipeline, h.Environment = int64(p.PipelineID), clean(string(p.Environment))
	h.Ref, h.Before, h.After = branch(p.Ref, p.Tag), commit(p.BeforeSHA), commit(p.SHA)
}

func (p *payload) deployment(h *upgrade.Hint) {
	h.Kind, h.Status, h.Environment = upgrade.HintDeployment, clean(p.Status), clean(string(p.Environment))
	h.Job, h.Ref = int64(p.Deployable), branch(p.Ref, false)
	// The body has only a short name of the commit; the full one ends the commit's address.
	last := p.CommitURL[strings.LastIndexByte(p.CommitURL, '/')+1:]
	if p.ShortSHA != "" && strings.HasPrefix(last, p.ShortSHA) {
		h.After = commit(last)
	}
}

func (p *payload) note(h *upgrade.Hint) {
	if p.MergeRequest.IID == 0 || p.Attributes.NoteableType != "MergeRequest" {
		return
	}
	m := p.MergeRequest
	h.Kind, h.Action, h.MergeRequest = upgrade.HintNote, clean(p.Attributes.Action), int64(m.IID)
	h.Ref, h.TargetBranch, h.After = clean(m.SourceBranch), clean(m.TargetBranch), commit(m.LastCommit.ID)
}

// branch returns the name of a branch, "" if ref is a tag or another kind of ref.
func branch(ref string, tag bool) string {
	if tag {
		return ""
	}
	name, ok := strings.CutPrefix(ref, "refs/heads/")
	if !ok && strings.HasPrefix(ref, "refs/") {
		return ""
	}
	return clean(name)
}

// commit returns s if it is the full name of a commit, else "", which also stands for "none".
func commit(s string) upgrade.Commit {
	c, err := upgrade.ParseCommit(s)
	if err != nil {
		return ""
	}
	return c
}

// clean returns s, or "" for what no name in GitLab looks like: longer than 1024 bytes, or with
// control characters. A shortened name would be the name of something else.
func clean(s string) string {
	if len(s) > 1024 || strings.ContainsFunc(s, unicode.IsControl) {
		return ""
	}
	return s
}
