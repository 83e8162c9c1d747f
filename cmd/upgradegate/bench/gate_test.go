package bench

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// What the service and its world share.
const (
	personToken  = "bench-release-manager"
	hookToken    = "bench-webhook-secret"
	signingToken = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
)

// gate says what the service is started with.
type gate struct {
	gitlab *gitlabsim.Server
	bot    upgrade.Secret
	stack  string // the stack's project and staging, in YAML
	cli    string // what the file says of Terraform besides its binary
}

// serve starts `upgradegate serve` with an empty database in dir. The one gate of its one stack asks a page
// of this machine and settles for no time.
func (g gate) serve(t *testing.T, dir string) *program {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("the site"))
	}))
	t.Cleanup(site.Close)
	addr := freeAddress(t)
	file := filepath.Join(dir, "upgradegate.yaml")
	text := fmt.Sprintf(`server:
  listen: %[1]q
  public_url: "http://%[1]s"
  tokens: [{name: hugo, role: release_manager, gitlab_user_id: 1, token: {env: BENCH_PERSON}}]
  pace: {per_second: 1000, burst: 100000}
database: %[2]q
data: %[3]q
gitlab: {url: %[4]q, token: {env: BENCH_BOT}, webhook: {secret_token: {env: BENCH_HOOK}, signing_token: {env: BENCH_SIGNING}}}
terraform: {binary: %[5]q%[6]s}
network: {allow: ["127.0.0.1/32:%[7]s"]}
environments: {staging: {}, production: {}}
stacks:
  - name: bench
    %[8]s
    trigger: {push: staging}
    production: {branch: main, environment: production}
    holds: [{kind: play_job, job: upgrade-gate, opens: step}, {kind: commit_status}]
gates:
  - {name: site, kind: varnish, environments: [staging], settle: 0s, paths: [{url: %[9]q, via_varnish: false}]}
`, addr, "sqlite://"+filepath.Join(dir, "gate.db"), filepath.Join(dir, "data"), g.gitlab.URL(), *terraform, g.cli,
		site.URL[strings.LastIndex(site.URL, ":")+1:], g.stack, site.URL+"/")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, dir, "serve", addr, []string{*binary, "serve", "--config", file}, map[string]string{
		"BENCH_PERSON": personToken, "BENCH_BOT": g.bot.Reveal(), "BENCH_HOOK": hookToken, "BENCH_SIGNING": signingToken,
		"BENCH_SECRET": terraformSecret,
	})
}

// simulateGitLab starts a GitLab that lives as long as the test.
func simulateGitLab(t *testing.T, dir string) *gitlabsim.Server {
	t.Helper()
	gitlab, err := gitlabsim.New(gitlabsim.Config{Clock: upgrade.SystemClock{}, Dir: filepath.Join(dir, "gitlab")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := gitlab.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := gitlab.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return gitlab
}

// example starts the service beside a GitLab with one example project, and returns both.
func example(t *testing.T, dir string) (*program, gitlabsim.Seeded) {
	t.Helper()
	gitlab := simulateGitLab(t, dir)
	seeded, err := gitlab.Seed(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	g := gate{gitlab: gitlab, bot: seeded.Bot.Token, stack: "project: " + seeded.Project.Path + "\n    staging: {}"}
	return g.serve(t, dir), seeded
}
