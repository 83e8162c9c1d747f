package git_test

import (
	"log/slog"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/upgradegate/upgradegate/integration/git"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

const token = "glpat-0123456789abcdefABCD"

// gitlab is a git server that wants the token, with one repository that tests commit to.
type gitlab struct {
	*testing.T
	*httptest.Server
	root      string
	work      string // a clone that is pushed to root
	git       *git.Git
	mirrors   string
	project   forge.Project
	status    atomic.Int64 // answer everything so, if not 0
	elsewhere atomic.Value // string: answer everything with a redirect to there, if set
	asked     atomic.Int64
}

func newGitlab(t *testing.T) *gitlab {
	t.Helper()
	g := &gitlab{T: t, root: t.TempDir(), mirrors: filepath.Join(t.TempDir(), "mirrors")}
	backend := filepath.Join(strings.TrimSpace(g.command(g.root, "--exec-path")), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		t.Skipf("no git http-backend: %v", err)
	}
	handler := &cgi.Handler{Path: backend, Stderr: g.Output(), Env: []string{"GIT_PROJECT_ROOT=" + g.root, "GIT_HTTP_EXPORT_ALL=1"}}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.asked.Add(1)
		user, password, _ := r.BasicAuth()
		switch {
		case g.status.Load() != 0:
			w.WriteHeader(int(g.status.Load()))
		case g.elsewhere.Load() != nil:
			http.Redirect(w, r, g.elsewhere.Load().(string)+r.URL.Path+"?"+r.URL.RawQuery, http.StatusFound)
		case user != "oauth2" || password != token:
			w.Header().Set("WWW-Authenticate", `Basic realm="GitLab"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			h := *handler
			h.Env = append(h.Env, "GIT_PROTOCOL="+r.Header.Get("Git-Protocol"))
			h.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(g.Close)
	g.git = g.client(git.Config{})
	g.work = g.repository("group/stack")
	g.project = forge.Project{ID: 7, Path: "group/stack", GitURL: g.URL + "/group/stack.git"}
	return g
}

func (g *gitlab) client(cfg git.Config) *git.Git {
	g.Helper()
	cfg.Dir, cfg.Log = g.mirrors, g.logger()
	if cfg.Token == "" {
		cfg.Token = token
	}
	client, err := git.New(cfg)
	if err != nil {
		g.Fatal(err)
	}
	return client
}

// repository makes a repository on the server and returns a clone of it.
func (g *gitlab) repository(name string) string {
	g.Helper()
	bare := filepath.Join(g.root, name+".git")
	g.command(g.root, "init", "-q", "--bare", "-b", "main", bare)
	work := g.TempDir()
	g.command(work, "init", "-q", "-b", "main")
	g.command(work, "remote", "add", "origin", bare)
	return work
}

// command runs git as a developer does.
func (g *gitlab) command(dir string, args ...string) string {
	g.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Bob", "GIT_COMMITTER_EMAIL=bob@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		g.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes files (name, content, …), commits and pushes them, and returns the commit.
func (g *gitlab) commit(work string, files ...string) upgrade.Commit {
	g.Helper()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(work, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			g.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			g.Fatal(err)
		}
	}
	g.command(work, "add", "-A", "-f")
	g.command(work, "commit", "-q", "--allow-empty", "-m", "change "+strings.Join(files, " "))
	g.command(work, "push", "-q", "--force", "--tags", "origin", "HEAD")
	return upgrade.Commit(g.command(work, "rev-parse", "HEAD"))
}

func (g *gitlab) tree(commit upgrade.Commit) upgrade.Tree {
	g.Helper()
	tree, err := g.git.Tree(g.Context(), g.project, commit)
	if err != nil {
		g.Fatal(err)
	}
	return tree
}

func (g *gitlab) ensure(commits ...upgrade.Commit) {
	g.Helper()
	for _, commit := range commits {
		if err := g.git.Ensure(g.Context(), g.project, commit); err != nil {
			g.Fatal(err)
		}
	}
}

func wantCode(t *testing.T, err error, code upgrade.Code, text string) {
	t.Helper()
	if err == nil {
		t.Errorf("got no error, want %s with %q", code, text)
		return
	}
	if upgrade.CodeOf(err) != code || !strings.Contains(err.Error()+" "+upgrade.HintOf(err), text) {
		t.Errorf("got error %v (%s), want %s with %q", err, upgrade.CodeOf(err), code, text)
	}
	if strings.Contains(err.Error(), token) {
		t.Errorf("the token is in %v", err)
	}
}

func (g *gitlab) logger() *slog.Logger { return slog.New(slog.NewTextHandler(g.Output(), nil)) }
