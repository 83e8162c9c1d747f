package gitlab_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/gitlab"
	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/internal/testkit"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// fixture is what the suite needs to find in a GitLab: a project with an open merge request whose source
// branch "feature" is one commit ahead of main, approved by somebody else than its author, with a
// pipeline on the branch, and a pipeline on main that waits at the manual, blocking job "upgrade-gate" in front
// of a manual job "deploy-production" with environment production.
type fixture struct {
	client  *gitlab.Client
	project string
	iid     int64
}

func TestContractSimulated(t *testing.T) {
	testContract(t, func(t *testing.T) fixture {
		t.Helper()
		w := newWorld(t)
		head, err := w.sim.Commit(t.Context(), w.project.ID, gitlabsim.CommitSpec{Branch: "feature", Message: "add a thing", Author: w.dev.ID, Files: map[string]string{"a.tf": "# a\n"}})
		check(t, err)
		mr, err := w.sim.CreateMR(t.Context(), w.project.ID, gitlabsim.MergeRequestSpec{Title: "Add a thing", Source: "feature", Author: w.dev.ID})
		check(t, err)
		check(t, w.sim.Approve(w.project.ID, mr.IID, w.rev.ID))
		if mr.Head != head {
			t.Fatalf("head is %s, want %s", mr.Head, head)
		}
		_, err = w.sim.RunPipeline(t.Context(), w.project.ID, "main", w.rev.ID)
		check(t, err)
		return fixture{client: w.client(t, gitlab.Config{}), project: w.project.Path, iid: mr.IID}
	})
}

// TestContractReal runs the suite against a GitLab. UPGRADEGATE_TEST_GITLAB is its address,
// …_GITLAB_TOKEN a token with scope api, …_GITLAB_PROJECT and …_GITLAB_MR name the fixture, whose held
// job is played: it needs a new pipeline on main for each run.
func TestContractReal(t *testing.T) {
	url := testkit.Target(t, "gitlab")
	testContract(t, func(t *testing.T) fixture {
		t.Helper()
		c, err := gitlab.New(gitlab.Config{URL: url, Token: upgrade.Secret(os.Getenv("UPGRADEGATE_TEST_GITLAB_TOKEN"))})
		check(t, err)
		iid, err := strconv.ParseInt(os.Getenv("UPGRADEGATE_TEST_GITLAB_MR"), 10, 64)
		check(t, err)
		return fixture{client: c, project: os.Getenv("UPGRADEGATE_TEST_GITLAB_PROJECT"), iid: iid}
	})
}

// testContract says what the adapter promises. It changes what it is given: a status, a note, a played job.
func testContract(t *testing.T, newFixture func(*testing.T) fixture) {
	t.Helper()
	f := newFixture(t)
	c, ctx := f.client, t.Context()
	me, name, err := c.Me(ctx)
	check(t, err)
	if me == 0 || name == "" {
		t.Fatalf("Me() = %d, %q", me, name)
	}
	project, err := c.Project(ctx, f.project)
	check(t, err)
	mr, err := c.MergeRequest(ctx, project.ID, f.iid)
	check(t, err)

	t.Run("project", func(t *testing.T) { contractProject(t, c, project, f.project) })
	t.Run("branches", func(t *testing.T) { contractBranches(t, c, project) })
	t.Run("merge_request", func(t *testing.T) { contractMergeRequest(t, c, project, mr) })
	t.Run("approvals", func(t *testing.T) { contractApprovals(t, c, project, mr) })
	t.Run("status", func(t *testing.T) { contractStatus(t, c, project, mr, me) })
	t.Run("play", func(t *testing.T) { contractPlay(t, c, project) })
	t.Run("note", func(t *testing.T) { contractNote(t, c, project, mr, me) })
	t.Run("members", func(t *testing.T) { contractMembers(t, c, project, me) })
	t.Run("absent", func(t *testing.T) { contractAbsent(t, c, project) })
}

func contractProject(t *testing.T, c *gitlab.Client, p forge.Project, path string) {
	t.Helper()
	if !strings.EqualFold(p.Path, path) || p.DefaultBranch == "" || !strings.HasSuffix(p.GitURL, p.Path+".git") || strings.Contains(p.GitURL, "@") {
		t.Errorf("project is %+v", p)
	}
	again, err := c.ProjectByID(t.Context(), p.ID)
	check(t, err)
	if again != p {
		t.Errorf("by id it is %+v, want %+v", again, p)
	}
}

func contractBranches(t *testing.T, c *gitlab.Client, p forge.Project) {
	t.Helper()
	all, err := c.Branches(t.Context(), p.ID)
	check(t, err)
	seen := map[string]forge.Branch{}
	for _, b := range all {
		seen[b.Name] = b
	}
	one, err := c.Branch(t.Context(), p.ID, p.DefaultBranch)
	check(t, err)
	if one != seen[p.DefaultBranch] || !one.Protected || one.Title == "" || one.Author == "" {
		t.Errorf("default branch is %+v, in the list %+v", one, seen[p.DefaultBranch])
	}
	if _, err := upgrade.ParseCommit(string(one.Commit)); err != nil {
		t.Error(err)
	}
	if seen["feature"].Protected {
		t.Error("the feature branch is protected")
	}
}

func contractMergeRequest(t *testing.T, c *gitlab.Client, p forge.Project, mr forge.MergeRequest) {
	t.Helper()
	if mr.State != "opened" || mr.Draft || mr.SourceBranch != "feature" || mr.SourceProjectID != p.ID || mr.TargetProjectID != p.ID || mr.AuthorID == 0 || mr.WebURL == "" || mr.MergeCommit != "" {
		t.Errorf("merge request is %+v", mr)
	}
	if mr.Pipeline.ID == 0 || mr.Pipeline.Commit != mr.Head || mr.Pipeline.Status == "" {
		t.Errorf("its pipeline is %+v", mr.Pipeline)
	}
	open, err := c.OpenMergeRequests(t.Context(), p.ID, mr.TargetBranch)
	check(t, err)
	var found bool
	for _, o := range open {
		found = found || o.IID == mr.IID && o.Head == mr.Head && o.Pipeline.ID == 0
	}
	if !found {
		t.Errorf("it is not among the open ones: %+v", open)
	}
	none, err := c.OpenMergeRequests(t.Context(), p.ID, "no-such-branch")
	check(t, err)
	if len(none) != 0 {
		t.Errorf("merge requests to a branch that does not exist: %+v", none)
	}
}

func contractApprovals(t *testing.T, c *gitlab.Client, p forge.Project, mr forge.MergeRequest) {
	t.Helper()
	approvals, err := c.Approvals(t.Context(), p.ID, mr.IID)
	check(t, err)
	versions, err := c.Versions(t.Context(), p.ID, mr.IID)
	check(t, err)
	if len(versions) == 0 || versions[0].Head != mr.Head || versions[0].CreatedAt.IsZero() {
		t.Fatalf("versions are %+v, head %s", versions, mr.Head)
	}
	authors, err := c.Authors(t.Context(), p.ID, mr.IID)
	check(t, err)
	if len(authors) != 1 || authors[0].Name == "" || !strings.Contains(authors[0].Email, "@") {
		t.Errorf("authors are %+v", authors)
	}
	user, err := c.User(t.Context(), mr.AuthorID)
	check(t, err)
	if user.ID != mr.AuthorID || user.Username == "" || user.Name == "" || len(user.Emails) == 0 {
		t.Errorf("author is %+v", user)
	}
	_, err = c.User(t.Context(), 1<<30)
	wantCode(t, upgrade.CodeNotFound, err)
	if len(approvals) != 1 || approvals[0].UserID == mr.AuthorID || approvals[0].Name == "" || approvals[0].FullName == "" || approvals[0].At.Before(versions[0].CreatedAt) {
		t.Errorf("approvals are %+v, newest version %+v", approvals, versions[0])
	}
}

func contractStatus(t *testing.T, c *gitlab.Client, p forge.Project, mr forge.MergeRequest, me int64) {
	t.Helper()
	ctx := t.Context()
	pipelines, err := c.Pipelines(ctx, p.ID, mr.Head)
	check(t, err)
	if len(pipelines) == 0 {
		t.Fatal("the merge request's head has no pipeline")
	}
	pl := pipelines[0]
	name := "upgradegate/contract-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	post := func(state upgrade.CommitState) error {
		return c.PostStatus(ctx, forge.StatusPost{
			ProjectID: p.ID, Commit: mr.Head, Ref: pl.Ref, PipelineID: pl.ID, Name: name, State: state, Description: strings.Repeat("ü", 300), TargetURL: "https://gate.example.org/runs/1",
		})
	}
	for _, step := range []struct {
		state upgrade.CommitState
		code  upgrade.Code // empty: taken
		now   upgrade.CommitState
	}{
		{upgrade.CommitPending, "", upgrade.CommitPending},
		{upgrade.CommitPending, "", upgrade.CommitPending}, // GitLab says 400, and it is so already
		{upgrade.CommitRunning, "", upgrade.CommitRunning},
		{upgrade.CommitRunning, "", upgrade.CommitRunning},
		{upgrade.CommitPending, upgrade.CodeConflict, upgrade.CommitRunning},
		{upgrade.CommitFailed, "", upgrade.CommitFailed},
		{upgrade.CommitPending, "", upgrade.CommitPending}, // a new row, the old one is hidden
		{upgrade.CommitSuccess, "", upgrade.CommitSuccess},
	} {
		err := post(step.state)
		if step.code == "" && err != nil || step.code != "" && (err == nil || upgrade.CodeOf(err) != step.code) {
			t.Fatalf("posting %s: %v, want code %q", step.state, err, step.code)
		}
		rows, err := c.Statuses(ctx, p.ID, mr.Head, name)
		check(t, err)
		if len(rows) != 1 || rows[0].State != step.now || rows[0].PipelineID != pl.ID || rows[0].AuthorID != me || rows[0].TargetURL != "https://gate.example.org/runs/1" || len([]rune(rows[0].Description)) != 255 {
			t.Fatalf("after posting %s the rows are %+v", step.state, rows)
		}
	}
	wantCode(t, upgrade.CodeInvalid, c.PostStatus(ctx, forge.StatusPost{ProjectID: p.ID, Commit: mr.Head, Name: name, State: upgrade.CommitSuccess}))
	wantCode(t, upgrade.CodeNotFound, c.PostStatus(ctx, forge.StatusPost{ProjectID: p.ID, Commit: mr.Head, Ref: pl.Ref, PipelineID: pl.ID + 1_000_000_000, Name: name, State: upgrade.CommitSuccess}))
}

func contractPlay(t *testing.T, c *gitlab.Client, p forge.Project) {
	t.Helper()
	ctx := t.Context()
	pipelines, err := c.PipelinesOnRef(ctx, p.ID, p.DefaultBranch, 1)
	check(t, err)
	if len(pipelines) != 1 {
		t.Fatalf("pipelines are %+v", pipelines)
	}
	jobs := jobsByName(t, c, p.ID, pipelines[0].ID)
	gate, deploy := jobs["upgrade-gate"], jobs["deploy-production"]
	if gate.Status != "manual" || gate.AllowFailure || gate.Commit != pipelines[0].Commit || gate.PipelineID != pipelines[0].ID || gate.WebURL == "" {
		t.Fatalf("the gate is %+v", gate)
	}
	_, err = c.Play(ctx, p.ID, deploy.ID)
	wantCode(t, upgrade.CodeConflict, err) // held by the gate
	for range 2 {
		played, err := c.Play(ctx, p.ID, gate.ID)
		check(t, err)
		if played.ID != gate.ID || played.Status == "manual" {
			t.Errorf("after playing the gate is %+v", played)
		}
	}
	for range 60 {
		if deploy, err = c.Job(ctx, p.ID, deploy.ID); err != nil || deploy.Status == "manual" {
			break
		}
		time.Sleep(time.Second) // a real runner needs its time; the simulated one none
	}
	check(t, err)
	if deploy.Status != "manual" {
		t.Errorf("the deploy job is %+v, want it to wait", deploy)
	}
	deployments, err := c.Deployments(ctx, p.ID, "production", 5)
	check(t, err)
	for _, d := range deployments {
		if d.JobID == deploy.ID && (d.Status == "success" || d.Commit != deploy.Commit || d.JobName != deploy.Name || d.Environment != "production") {
			t.Errorf("the deployment is %+v", d)
		}
	}
}

func contractNote(t *testing.T, c *gitlab.Client, p forge.Project, mr forge.MergeRequest, me int64) {
	t.Helper()
	ctx := t.Context()
	marker := "upgradegate:contract-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	for _, body := range []string{"**Testing.**", "**Passed.**", "**Passed.**"} {
		check(t, c.UpsertNote(ctx, p.ID, mr.IID, marker, body))
		notes, err := c.Notes(ctx, p.ID, mr.IID)
		check(t, err)
		var ours []forge.Note
		for _, n := range notes {
			if strings.Contains(n.Body, marker) {
				ours = append(ours, n)
			}
		}
		if len(ours) != 1 || !strings.Contains(ours[0].Body, body) || ours[0].AuthorID != me {
			t.Fatalf("after %q our notes are %+v", body, ours)
		}
	}
	wantCode(t, upgrade.CodeInvalid, c.UpsertNote(ctx, p.ID, mr.IID, "a --> b", "x"))
}

// contractMembers: levels of members of a project, and none for those who are no member of what there may be.
func contractMembers(t *testing.T, c *gitlab.Client, p forge.Project, me int64) {
	t.Helper()
	level, err := c.ProjectLevel(t.Context(), p.Path, me)
	check(t, err)
	if level < 30 {
		t.Errorf("our own level in %s is %d", p.Path, level)
	}
	for name, ask := range map[string]func() (int, error){
		"user_that_does_not_exist":  func() (int, error) { return c.ProjectLevel(t.Context(), p.Path, 1<<40) },
		"group_that_does_not_exist": func() (int, error) { return c.GroupLevel(t.Context(), "no-such-group/"+p.Path, me) },
	} {
		if level, err := ask(); err != nil || level != 0 {
			t.Errorf("%s: level %d, %v", name, level, err)
		}
	}
}

func contractAbsent(t *testing.T, c *gitlab.Client, p forge.Project) {
	t.Helper()
	ctx := t.Context()
	const none = 1 << 40
	for name, ask := range map[string]func() error{
		"project":       func() error { _, err := c.Project(ctx, p.Path+"-nope"); return err },
		"project_by_id": func() error { _, err := c.ProjectByID(ctx, none); return err },
		"branch":        func() error { _, err := c.Branch(ctx, p.ID, "no/such.branch"); return err },
		"merge_request": func() error { _, err := c.MergeRequest(ctx, p.ID, none); return err },
		"approvals":     func() error { _, err := c.Approvals(ctx, p.ID, none); return err },
		"jobs":          func() error { _, err := c.Jobs(ctx, p.ID, none); return err },
		"play":          func() error { _, err := c.Play(ctx, p.ID, none); return err },
		"statuses": func() error {
			_, err := c.Statuses(ctx, p.ID, upgrade.Commit(strings.Repeat("1", 40)), "x")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, upgrade.CodeNotFound, ask()) })
	}
}

func jobsByName(t *testing.T, c *gitlab.Client, project, pipeline int64) map[string]forge.Job {
	t.Helper()
	jobs, err := c.Jobs(t.Context(), project, pipeline)
	check(t, err)
	out := map[string]forge.Job{}
	for _, j := range jobs {
		out[j.Name] = j
	}
	return out
}

func wantCode(t *testing.T, want upgrade.Code, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want code %s", want)
		return
	}
	if got := upgrade.CodeOf(err); got != want {
		t.Errorf("code is %s, want %s: %v", got, want, err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
