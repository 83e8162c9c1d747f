package gitlabsim_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// TestCurl asks as a stranger's program would.
func TestCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl")
	}
	r := newRig(t, gitlabsim.Config{})
	token := r.Bot.Token.Reveal()
	project := r.url + "/api/v4/projects/platform%2Fexample"
	head, _ := r.Branch(r.Seeded.Project.ID, "main")
	for _, tc := range []struct {
		name string
		args []string
		want string // status and a part of the body
	}{
		{"private_token", []string{"-H", "PRIVATE-TOKEN: " + token, r.url + "/api/v4/user"}, `200 "username":"upgradegate"`},
		{"bearer", []string{"-H", "Authorization: Bearer " + token, project}, `200 "path_with_namespace":"platform/example"`},
		{"query", []string{project + "?private_token=" + token}, `200 "default_branch":"main"`},
		{"nobody", []string{project}, `401 {"message":"401 Unauthorized"}`},
		{"wrong_token", []string{"-H", "PRIVATE-TOKEN: nope", project}, `401 {"message":"401 Unauthorized"}`},
		{"no_project", []string{"-H", "PRIVATE-TOKEN: " + token, r.url + "/api/v4/projects/9"}, `404 {"message":"404 Project Not Found"}`},
		{"no_endpoint", []string{"-H", "PRIVATE-TOKEN: " + token, r.url + "/api/v4/nope"}, `404 {"error":"404 Not Found"}`},
		{"branch_with_slash", []string{"-H", "PRIVATE-TOKEN: " + token, project + "/repository/branches/a%2Fb"}, `404 {"message":"404 Branch Not Found"}`},
		{"form", []string{"-H", "PRIVATE-TOKEN: " + token, "-d", "state=pending", "-d", "name=lint", project + "/statuses/" + string(head)}, `201 "status":"pending"`},
		{"form_again", []string{"-H", "PRIVATE-TOKEN: " + token, "-d", "state=pending", "-d", "name=lint", project + "/statuses/" + string(head)}, `400 Cannot transition status via :enqueue from :pending`},
		{"page", []string{r.url + "/"}, `200 <h2>platform/example</h2>`},
		{"project_page", []string{r.url + "/platform/example/-/jobs/1"}, `200 no pipeline_id, and no pipeline to put it in`},
		{"no_page", []string{r.url + "/platform/nothing"}, `404 `},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), "curl", append([]string{"-s", "-w", "\n%{http_code}"}, tc.args...)...).Output()
			check(t, err)
			i := strings.LastIndexByte(string(out), '\n')
			status, part, _ := strings.Cut(tc.want, " ")
			if got := string(out[i+1:]); got != status || !strings.Contains(string(out), part) {
				t.Errorf("curl got %s, want %s", out, tc.want)
			}
		})
	}
}

// TestStatuses: what GitLab answers to each post, and what the rows are then.
func TestStatuses(t *testing.T) {
	r := newRig(t, gitlabsim.Config{})
	id := r.Seeded.Project.ID
	pl, err := r.RunPipeline(t.Context(), id, "main", r.Reviewer.ID)
	check(t, err)
	other, err := r.RunPipeline(t.Context(), id, "staging", r.Reviewer.ID)
	check(t, err)
	long := strings.Repeat("x", 256)
	for _, step := range []struct {
		name   string
		as     gitlabsim.User
		fields map[string]any
		status int
		says   string
		rows   string // states of the rows of that pipeline, hidden ones in brackets
	}{
		{"no_state", r.Bot, map[string]any{"name": "gate"}, 400, "state does not have a valid value", ""},
		{"wrong_state", r.Bot, map[string]any{"name": "gate", "state": "passed"}, 400, "state does not have a valid value", ""},
		{"wrong_pipeline", r.Bot, map[string]any{"name": "gate", "state": "pending", "pipeline_id": 7}, 404, "404 Pipeline for pipeline_id, sha and ref Not Found", ""},
		{"pipeline_of_other_ref", r.Bot, map[string]any{"name": "gate", "state": "pending", "pipeline_id": other.ID, "ref": "main"}, 404, "Not Found", ""},
		{"full_ref", r.Bot, map[string]any{"name": "gate", "state": "pending", "pipeline_id": pl.ID, "ref": "refs/heads/main"}, 404, "Not Found", ""},
		{"developer", r.Developer, map[string]any{"name": "gate", "state": "pending", "pipeline_id": pl.ID}, 403, "403 Forbidden", ""},
		{"name_of_a_job", r.Bot, map[string]any{"name": "test", "state": "pending", "pipeline_id": pl.ID}, 400, `"name":["has already been taken"]`, ""},
		{"long_url", r.Bot, map[string]any{"name": "gate", "state": "pending", "pipeline_id": pl.ID, "target_url": "https://" + long}, 400, "is too long", ""},
		{"long_text", r.Bot, map[string]any{"name": "gate", "state": "pending", "pipeline_id": pl.ID, "description": long}, 400, "is too long", ""},
		{"pending", r.Bot, map[string]any{"name": "gate", "state": "pending", "pipeline_id": pl.ID}, 201, `"status":"pending"`, "pending"},
		{"pending_again", r.Bot, map[string]any{"name": "gate", "state": "pending", "pipeline_id": pl.ID}, 400, "Cannot transition status via :enqueue from :pending", "pending"},
		{"running", r.Bot, map[string]any{"name": "gate", "state": "running", "pipeline_id": pl.ID}, 201, `"status":"running"`, "running"},
		{"running_again", r.Bot, map[string]any{"name": "gate", "state": "running", "pipeline_id": pl.ID}, 400, "Cannot transition status via :run from :running", "running"},
		{"back_to_pending", r.Bot, map[string]any{"name": "gate", "state": "pending", "pipeline_id": pl.ID}, 400, "Cannot transition status via :enqueue from :running", "running"},
		{"somebody_else", r.Reviewer, map[string]any{"name": "gate", "state": "success", "pipeline_id": pl.ID}, 201, `"status":"success"`, "(running) success"},
		{"failed", r.Bot, map[string]any{"name": "gate", "state": "failed", "pipeline_id": pl.ID}, 201, `"status":"failed"`, "(failed) success"},
		{"anew", r.Bot, map[string]any{"name": "gate", "state": "success", "pipeline_id": pl.ID}, 201, `"status":"success"`, "(failed) (success) success"},
	} {
		t.Run(step.name, func(t *testing.T) {
			status, body, _ := r.call(t, step.as, "POST", "/statuses/"+string(pl.Commit), step.fields)
			if status != step.status || !strings.Contains(body, step.says) {
				t.Errorf("%d %s, want %d %s", status, body, step.status, step.says)
			}
			var rows []string
			for _, s := range r.Statuses(pl.ID) {
				if s.Retried {
					s.Status = "(" + s.Status + ")"
				}
				rows = append(rows, s.Status)
			}
			if got := strings.Join(rows, " "); got != step.rows {
				t.Errorf("rows are %q, want %q", got, step.rows)
			}
		})
	}
}

// TestExternalPipelineOpens: a status without a pipeline makes one of its own, and by that alone a merge
// request whose tests failed can be merged. The log of acts says so.
func TestExternalPipelineOpens(t *testing.T) {
	r := newRig(t, gitlabsim.Config{})
	p, err := r.AddProject(t.Context(), gitlabsim.ProjectSpec{
		Path: "platform/strict", Author: r.Reviewer.ID, PipelinesMustSucceed: true, CI: []gitlabsim.JobSpec{{Name: "test", Fails: true, Branches: []string{"other"}}},
	})
	check(t, err)
	head, err := r.Commit(t.Context(), p.ID, gitlabsim.CommitSpec{Branch: "feature", Message: "x", Author: r.Reviewer.ID, Files: map[string]string{"x": "x"}})
	check(t, err)
	mr, err := r.CreateMR(t.Context(), p.ID, gitlabsim.MergeRequestSpec{Title: "x", Source: "feature", Author: r.Reviewer.ID})
	check(t, err)
	if _, err := r.Merge(t.Context(), p.ID, mr.IID, r.Reviewer.ID, false); err == nil {
		t.Fatal("merged without a pipeline")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/api/v4/projects/"+itoa(p.ID)+"/statuses/"+string(head), strings.NewReader("state=success&name=lint"))
	check(t, err)
	req.Header.Set("PRIVATE-TOKEN", r.Reviewer.Token.Reveal())
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	check(t, resp.Body.Close())
	acts := r.Acts()
	if last := acts[len(acts)-1]; resp.StatusCode != http.StatusCreated || last.Act != "status" || last.Warning == "" {
		t.Errorf("%d, the last act is %+v", resp.StatusCode, last)
	}
	if pls := r.Pipelines(p.ID); len(pls) != 1 || pls[0].Source != "external" {
		t.Errorf("pipelines are %+v", pls)
	}
	if _, err := r.Merge(t.Context(), p.ID, mr.IID, r.Reviewer.ID, false); err != nil {
		t.Errorf("it is still shut: %v", err)
	}
}

func TestPagesAndLimits(t *testing.T) {
	r := newRig(t, gitlabsim.Config{RateLimit: 4})
	_, body, h := r.call(t, r.Bot, "GET", "/repository/branches?per_page=1&page=2", nil)
	for name, want := range map[string]string{"X-Page": "2", "X-Per-Page": "1", "X-Next-Page": "", "X-Prev-Page": "1", "X-Total": "2", "X-Total-Pages": "2", "Ratelimit-Limit": "4", "Ratelimit-Remaining": "3"} {
		if got := h.Get(name); got != want || len(h.Values(name)) != 1 {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !strings.Contains(body, `"staging"`) || strings.Contains(body, `"name":"main"`) || !strings.Contains(h.Get("Link"), `page=1&per_page=1>; rel="prev"`) {
		t.Errorf("link %q, body %s", h.Get("Link"), body)
	}
	for range 3 {
		r.call(t, r.Bot, "GET", "", nil)
	}
	status, _, h := r.call(t, r.Bot, "GET", "", nil)
	if status != 429 || h.Get("Retry-After") == "" || h.Get("Ratelimit-Resettime") == "" {
		t.Errorf("%d %v", status, h)
	}
	if status, _, _ := r.call(t, r.Developer, "GET", "", nil); status != 200 {
		t.Errorf("another user is limited too: %d", status)
	}
}

func TestApproving(t *testing.T) {
	r := newRig(t, gitlabsim.Config{OldApprovals: true})
	r.change(t, "feature", "a.tf", "# a\n")
	r.request(t, "feature")
	if status, body, _ := r.call(t, r.Reviewer, "POST", "/merge_requests/1/approve", map[string]any{"sha": "0000"}); status != 409 || !strings.Contains(body, "SHA does not match HEAD") {
		t.Errorf("%d %s", status, body)
	}
	if status, body, _ := r.call(t, r.Reviewer, "POST", "/merge_requests/1/approve", nil); status != 201 || strings.Contains(body, "approved_at") {
		t.Errorf("%d %s", status, body)
	}
	if status, _, _ := r.call(t, r.Reviewer, "POST", "/merge_requests/1/approve", nil); status != 401 {
		t.Errorf("approving twice says %d", status)
	}
	if status, _, _ := r.call(t, r.Reviewer, "POST", "/merge_requests/1/unapprove", nil); status != 201 {
		t.Errorf("unapproving says %d", status)
	}
	if _, body, _ := r.call(t, r.Bot, "GET", "/merge_requests/1/approvals", nil); !strings.Contains(body, `"approved":true,"approved_by":[]`) {
		t.Errorf("nobody approved, and it says %s", body)
	}
}

// TestIDToken checks one as somebody would who knows only the address.
func TestIDToken(t *testing.T) {
	r := newRig(t, gitlabsim.Config{})
	pl, err := r.RunPipeline(t.Context(), r.Seeded.Project.ID, "main", r.Reviewer.ID)
	check(t, err)
	token, err := r.IDToken(jobs(r.Server, pl.ID)["upgrade-gate"].ID, "https://gate.example.org")
	check(t, err)
	var found struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	get(t, r.url+"/.well-known/openid-configuration", &found)
	var set struct {
		Keys []struct{ N, E string } `json:"keys"`
	}
	get(t, found.Keys, &set)
	dec := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		check(t, err)
		return b
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(dec(set.Keys[0].N)), E: int(new(big.Int).SetBytes(dec(set.Keys[0].E)).Int64())}
	parts := strings.Split(token, ".")
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	check(t, rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], dec(parts[2])))
	var claims map[string]any
	check(t, json.Unmarshal(dec(parts[1]), &claims))
	for name, want := range map[string]any{
		"iss": found.Issuer, "aud": "https://gate.example.org", "sha": string(pl.Commit), "project_id": itoa(r.Seeded.Project.ID), "ref": "main", "ref_protected": "true", "environment": "upgrade-gate",
	} {
		if claims[name] != want {
			t.Errorf("%s is %v, want %v", name, claims[name], want)
		}
	}
}

// TestIDTokenOfMergeRequest: a token of a merge request's pipeline names the source branch.
func TestIDTokenOfMergeRequest(t *testing.T) {
	r := newRig(t, gitlabsim.Config{})
	r.change(t, "feature", "a.tf", "# a\n")
	r.request(t, "feature")
	for _, pl := range r.Pipelines(r.Seeded.Project.ID) {
		if pl.Source != "merge_request_event" {
			continue
		}
		claims, err := r.Claims(r.Jobs(pl.ID)[0].ID, "https://gate.example.org")
		check(t, err)
		if claims["ref"] != "feature" || claims["pipeline_source"] != "merge_request_event" || claims["ref_protected"] != "false" || claims["ref_path"] != pl.Ref {
			t.Errorf("claims %v", claims)
		}
		return
	}
	t.Fatal("the merge request has no pipeline")
}

// TestRotateKey: keys are published as long as they should be, and the newest one signs.
func TestRotateKey(t *testing.T) {
	r := newRig(t, gitlabsim.Config{})
	published := func() (ids []string) {
		var set struct {
			Keys []struct{ Kid string } `json:"keys"`
		}
		get(t, r.url+"/oauth/discovery/keys", &set)
		for _, key := range set.Keys {
			ids = append(ids, key.Kid)
		}
		return ids
	}
	first := published()
	check(t, r.RotateKey(true))
	second, _, err := r.SigningKey()
	check(t, err)
	if got := published(); len(first) != 1 || len(got) != 2 || got[0] != first[0] || got[1] != second {
		t.Errorf("published %v, then %v; %s signs", first, got, second)
	}
	check(t, r.RotateKey(false))
	third, _, err := r.SigningKey()
	check(t, err)
	if got := published(); len(got) != 1 || got[0] != third || third == second {
		t.Errorf("published %v; %s signs", got, third)
	}
}

func get(t *testing.T, url string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	check(t, err)
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	check(t, err)
	check(t, json.Unmarshal(raw, into))
}
