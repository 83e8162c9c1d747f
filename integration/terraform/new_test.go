package terraform_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/integration/terraform"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// fake writes a program that answers `version` and does body for everything else.
func fake(t *testing.T, path, version, body string) string {
	t.Helper()
	script := "#!/bin/sh\nif [ \"$1\" = version ]; then\n  if [ \"$2\" = -json ]; then echo '{\"terraform_version\":\"1.5.7\"}'; else echo '" +
		version + "'; fi\n  exit\nfi\n" + body + "\n"
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNewFindsTheTool(t *testing.T) {
	dir := t.TempDir()
	fake(t, dir+"/old/terraform", "Terraform v1.4.6", "")
	fake(t, dir+"/new/terraform", "Terraform v1.5.7\non linux_amd64", "")
	fake(t, dir+"/tofu/tofu", "OpenTofu v1.12.6-dev\non linux_amd64", "")
	fake(t, dir+"/odd/terraform", "hello", "")
	fake(t, dir+"/broken/terraform", "", "exit 1")
	if err := os.MkdirAll(dir+"/folder/terraform", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, path, binary, want, err string }{
		{"terraform", "new:tofu", "", "terraform 1.5.7", ""},
		{"too_old_then_tofu", "old:tofu", "", "tofu 1.12.6-dev", ""},
		{"only_tofu", "tofu", "", "tofu 1.12.6-dev", ""},
		{"by_name", "new:tofu", "tofu", "tofu 1.12.6-dev", ""},
		{"by_path", "", "new/terraform", "terraform 1.5.7", ""},
		{"skips_folders", "folder:new", "", "terraform 1.5.7", ""},
		{"none", "folder", "", "", "terraform: no such program; tofu: no such program"},
		{"too_old", "old", "", "", "its version is 1.4.6, and 1.5 is the oldest"},
		{"something_else", "odd", "", "", "neither Terraform nor OpenTofu"},
		{"named_but_missing", "new", "terraform-2", "", "terraform-2: no such program"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(t, tt.binary)
			if strings.Contains(tt.binary, "/") {
				cfg.Binary = filepath.Join(dir, tt.binary)
			}
			var path []string
			for part := range strings.SplitSeq(tt.path, ":") {
				path = append(path, filepath.Join(dir, part))
			}
			cfg.Environ = []string{"PATH=" + strings.Join(append(path, "."), ":")}
			tf, err := terraform.New(cfg)
			if tt.err != "" {
				wantCode(t, err, upgrade.CodeInvalid, tt.err)
				wantCode(t, err, upgrade.CodeInvalid, "https://opentofu.org/docs/intro/install")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if name, version, err := tf.Tool(t.Context()); err != nil || name+" "+version != tt.want {
				t.Errorf("got %s %s, %v, want %s", name, version, err, tt.want)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	binary := fake(t, t.TempDir()+"/terraform", "Terraform v1.5.7", "")
	for name, edit := range map[string]func(*terraform.Config){
		"self":     func(c *terraform.Config) { c.Self = "upgradegate" },
		"lock_dir": func(c *terraform.Config) { c.LockDir = "" },
		"log":      func(c *terraform.Config) { c.Log = nil },
		"clock":    func(c *terraform.Config) { c.Clock = nil },
		"user":     func(c *terraform.Config) { c.User = "no-such-user" },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t, binary)
			edit(&cfg)
			if _, err := terraform.New(cfg); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// The command lines are part of what was promised: a lock file that nothing changes, no questions, one
// file that is planned and applied.
func TestCommandLines(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	binary := fake(t, dir+"/terraform", "Terraform v1.5.7", `echo "$@" >> `+log+`
case $1 in
workspace) [ "$2" = show ] && echo default; if [ "$2" = list ]; then printf '  default\n* other\n  staging\n'; fi ;;
plan) for a in "$@"; do case $a in -out=*) echo plan > "${a#-out=}" ;; esac; done; echo '{"@message":"x","type":"log"}'; exit 2 ;;
show) echo '{"format_version":"1.2","resource_changes":[]}' ;;
apply) echo '{"@message":"Apply complete!","type":"change_summary","changes":{"operation":"apply"}}' ;;
esac`)
	s := newStack(t, binary, "")
	s.root.Workspace = "staging"
	s.root.VarFiles = []string{"a.tfvars", "b.tfvars"}
	s.root.BackendConfig = map[string]string{"key": "x/y", "bucket": "b"}
	s.init()
	planned := s.plan()
	if _, err := s.tf.Show(t.Context(), s.root, planned); err != nil {
		t.Fatal(err)
	}
	if ended := s.apply(s.attempt(planned), nil); !ended.OK {
		t.Errorf("got %+v", ended)
	}
	if err := s.tf.InitBackend(t.Context(), s.root); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.root.Data, "plan.tfplan")
	want := []string{
		"init -no-color -input=false -backend=true -get=true -upgrade=false -backend-config=bucket=b -backend-config=key=x/y -lockfile=readonly",
		"workspace show -no-color",
		"workspace list -no-color",
		"workspace select -no-color staging",
		"plan -no-color -input=false -detailed-exitcode -lock-timeout=3s -out=" + file +
			" -var-file=a.tfvars -var-file=b.tfvars -lock=true -parallelism=10 -refresh=true -json",
		"show -json -no-color " + file,
		"apply -no-color -auto-approve -input=false -lock-timeout=3s -lock=true -parallelism=10 -refresh=true -json " + file,
		"init -no-color -input=false -backend=true -get=true -upgrade=false -backend-config=bucket=b -backend-config=key=x/y -plugin-dir=" +
			filepath.Join(s.root.Data, "no-plugins"),
		"workspace show -no-color",
		"workspace list -no-color",
		"workspace select -no-color staging",
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(string(raw)), "\n"), want); diff != "" {
		t.Errorf("command lines (-got +want):\n%s", diff)
	}
}

// Each process of Terraform that a run starts costs it a part of a second: none is started for what is known.
func TestDefaultWorkspaceIsAskedForOnlyIfOneWasSelected(t *testing.T) {
	dir := t.TempDir()
	binary := fake(t, dir+"/terraform", "Terraform v1.5.7", `echo $1 >> `+dir+`/log
if [ "$1" = workspace ]; then echo default; fi`)
	for _, tt := range []struct{ name, selected, want string }{
		{"never", "", "init\n"}, {"before", "staging", "init\nworkspace\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStack(t, binary, "")
			if tt.selected != "" {
				data := filepath.Join(s.root.Data, "terraform")
				if err := os.MkdirAll(data, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(data, "environment"), []byte(tt.selected), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Remove(dir + "/log"); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			s.init()
			if got, err := os.ReadFile(dir + "/log"); err != nil || string(got) != tt.want {
				t.Errorf("the commands are %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

func TestPlanNamesTheToolThatMadeIt(t *testing.T) {
	dir := t.TempDir()
	const body = `if [ "$1" = plan ]; then for a in "$@"; do case $a in -out=*) echo plan > "${a#-out=}" ;; esac; done; exit 2; fi`
	binary := fake(t, dir+"/terraform", "Terraform v1.5.7", body)
	s := newStack(t, binary, "")
	if got := s.plan().Tool; got != "terraform 1.5.7" {
		t.Errorf("the plan was made by %q", got)
	}
	fake(t, dir+"/terraform", "OpenTofu v1.12.6", body) // somebody replaces it while the service runs
	if got := s.plan().Tool; got != "tofu 1.12.6" {
		t.Errorf("after the tool was replaced the plan was made by %q", got)
	}
}

func TestVariablesThatAStackMayNotSet(t *testing.T) {
	s := newStack(t, fake(t, t.TempDir()+"/terraform", "Terraform v1.5.7", ""), "")
	for _, name := range []string{
		"HOME", "TMPDIR", "TF_DATA_DIR", "TF_CLI_ARGS_apply", "TF_WORKSPACE", "TF_LOG", "TF_LOG_PATH", "TF_REATTACH_PROVIDERS",
		"TF_PLUGIN_MAGIC_COOKIE", "UPGRADEGATE_X", "a b", "TF_VAR_a-b", "A=B", "",
	} {
		s.root.Env = map[string]upgrade.Secret{name: "value"}
		wantCode(t, s.tf.Init(t.Context(), s.root, nil), upgrade.CodeInvalid, name)
	}
	s.root.Env = map[string]upgrade.Secret{"A": "x\x00y"}
	wantCode(t, s.tf.Init(t.Context(), s.root, nil), upgrade.CodeInvalid, "NUL")
}

// Only init gets what git needs to read private modules (S10).
func TestOnlyInitSeesTheGitToken(t *testing.T) {
	dir := t.TempDir()
	binary := fake(t, dir+"/terraform", "Terraform v1.5.7", `env > `+dir+`/$1.env; echo from /dev/null in eu-west-2 with glpat-secretsecretsecret and b2F1dGgyOmFiYw >&2
case $1 in
workspace) echo default ;;
plan) for a in "$@"; do case $a in -out=*) echo plan > "${a#-out=}" ;; esac; done; exit 2 ;;
show) echo '{"format_version":"1.2","resource_changes":[]}' ;;
esac`)
	s := newStack(t, binary, "")
	cfg := s.cfg
	cfg.GitEnv = map[string]upgrade.Secret{
		"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_VALUE_0": "Authorization: Basic b2F1dGgyOmFiYw",
		"TF_TOKEN_example_org": "glpat-secretsecretsecret",
	}
	var err error
	if s.tf, err = terraform.New(cfg); err != nil {
		t.Fatal(err)
	}
	s.root.Env["AWS_REGION"] = "eu-west-2"
	s.init()
	planned := s.plan()
	if _, err := s.tf.Show(t.Context(), s.root, planned); err != nil {
		t.Fatal(err)
	}
	s.apply(s.attempt(planned), nil)
	if log := s.read("logs/prepare.log"); !strings.Contains(log, "from /dev/null in eu-west-2 with (secret) and (secret)\n") {
		t.Errorf("prepare.log: %s", log)
	}
	if log := s.read("logs/apply.log"); !strings.Contains(log, "from /dev/null in eu-west-2 with (secret)") {
		t.Errorf("apply.log: %s", log)
	}
	for _, command := range []string{"init", "plan", "show", "apply"} {
		env, err := os.ReadFile(filepath.Join(dir, command+".env"))
		if err != nil {
			t.Fatal(err)
		}
		if has := strings.Contains(string(env), "TF_TOKEN_example_org="); has != (command == "init") {
			t.Errorf("%s: the token is there: %v", command, has)
		}
		for _, want := range []string{"AWS_REGION=eu-west-2", "TMPDIR=", "TF_DATA_DIR=" + s.root.Data, "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE="} {
			if !strings.Contains(string(env), want) {
				t.Errorf("%s: no %s in %s", command, want, env)
			}
		}
		if strings.Contains(string(env), "AWS_PROFILE") {
			t.Errorf("%s sees the service's own variables", command)
		}
	}
}

func TestTMPDIRIsShortAndEmptied(t *testing.T) {
	dir := t.TempDir()
	binary := fake(t, dir+"/terraform", "Terraform v1.5.7", `echo "$TMPDIR" >> `+dir+`/tmp; touch "$TMPDIR/plugin123"
case $1 in
plan) for a in "$@"; do case $a in -out=*) echo plan > "${a#-out=}" ;; esac; done; exit 2 ;;
esac`)
	s := newStack(t, binary, "")
	for _, name := range []string{"short", strings.Repeat("long", 20)} {
		s.root.Data = filepath.Join(s.root.Data, name)
		s.init()
		s.apply(s.attempt(s.plan()), nil)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "tmp"))
	if err != nil {
		t.Fatal(err)
	}
	for tmp := range strings.FieldsSeq(string(raw)) {
		if len(tmp) > 90 {
			t.Errorf("TMPDIR %s has %d characters", tmp, len(tmp))
		}
		if _, err := os.Stat(filepath.Join(tmp, "plugin123")); err == nil {
			t.Errorf("%s was not emptied", tmp)
		}
		if _, err := os.Stat(tmp); err == nil && strings.HasPrefix(tmp, "/tmp/upgradegate-") {
			t.Errorf("%s was not removed", tmp)
		}
	}
	if n := strings.Count(string(raw), "/tmp/upgradegate-"); n != 3 {
		t.Errorf("got %d of 3 commands with a TMPDIR elsewhere: %s", n, raw)
	}
}

// Terraform dies with an error that is not its own.
func TestOddEnds(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		code       upgrade.Code
		want       string
	}{
		{"killed", "kill -9 $$", upgrade.CodeUnavailable, "Terraform was killed"},
		{"silent", "exit 7", upgrade.CodeInvalid, "exit code 7"},
		{"crash", "echo '!!!!!! TERRAFORM CRASH !!!!!!'; echo 'panic: nil' >&2; exit 11", upgrade.CodeInvalid, "exit code 11: panic: nil"},
		{"text", "echo 'Error: No value for required variable\n\n  on v.tf line 3:\n   3: variable \"x\" {}\n\nIt is not set.' >&2; exit 1", upgrade.CodeInvalid, "v.tf:3: No value for required variable: It is not set."},
		{"network", `echo '{"type":"diagnostic","@message":"x","diagnostic":{"severity":"error","summary":"Error loading state","detail":"dial tcp 10.0.0.1:443: connect: connection refused"}}'; exit 1`, upgrade.CodeUnavailable, "Error loading state: dial tcp"},
		{"lock", `echo '{"type":"diagnostic","@message":"x","diagnostic":{"severity":"error","summary":"Error acquiring the state lock","detail":"HTTP remote state already locked"}}'; exit 1`, upgrade.CodeUnavailable, "Error acquiring the state lock"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStack(t, fake(t, t.TempDir()+"/terraform", "Terraform v1.5.7", tt.body), "")
			_, err := s.tf.Plan(t.Context(), s.root, nil)
			wantCode(t, err, tt.code, tt.want)
		})
	}
}

// A shim that cannot be what it should be leaves nothing half done.
func TestShimThatCannotStart(t *testing.T) {
	binary := fake(t, t.TempDir()+"/terraform", "Terraform v1.5.7", "touch applied")
	s := newStack(t, binary, "")
	file := filepath.Join(s.root.Data, "plan.tfplan")
	write(t, file, "plan")
	digest, err := terraform.FileDigest(file)
	if err != nil {
		t.Fatal(err)
	}
	good := s.attempt(plan.Planned{File: file, FileDigest: digest})
	for _, tt := range []struct {
		name string
		self string
		edit func(*plan.Attempt)
		code upgrade.Code
		want string
	}{
		{"no_binary", "/nonexistent/upgradegate", nil, upgrade.CodeInternal, "could not be started"},
		{"another_binary", fake(t, t.TempDir()+"/x", "", "echo usage: x; exit 2"), nil, upgrade.CodeInternal, "usage: x"},
		{"another_tool", s.cfg.Self, func(a *plan.Attempt) { a.Tool = "terraform 1.11.4" }, upgrade.CodeConflict, "made by terraform 1.11.4, and 1.5.7 is installed"},
		{"no_plan", s.cfg.Self, func(a *plan.Attempt) { a.File += "x" }, upgrade.CodeConflict, "plan file is gone"},
		{"no_digest", s.cfg.Self, func(a *plan.Attempt) { a.FileDigest = "" }, upgrade.CodeConflict, "not the one that was judged"},
		{"lock_file_gone", s.cfg.Self, func(a *plan.Attempt) { a.LockDigest = digest }, upgrade.CodeConflict, "provider lock file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := s.cfg
			cfg.Self = tt.self
			tf, err := terraform.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			attempt := good
			attempt.Dir = filepath.Join(s.root.Data, tt.name)
			if tt.edit != nil {
				tt.edit(&attempt)
			}
			_, err = tf.Apply(t.Context(), s.root, attempt, nil)
			wantCode(t, err, tt.code, tt.want)
			if there(filepath.Join(s.root.Dir, "applied"))() {
				t.Error("Terraform ran")
			}
		})
	}
	// After each of these the attempt can be begun again.
	if ended := s.apply(good, nil); !ended.OK {
		t.Errorf("got %+v", ended)
	}
}

// Whoever reads the log slowly or not at all does not stop Terraform.
func TestLogThatFails(t *testing.T) {
	s := newStack(t, fake(t, t.TempDir()+"/terraform", "Terraform v1.5.7",
		`[ $1 = workspace ] && echo default && exit; i=0; while [ $i -lt 3000 ]; do echo "line $i of a long log, longer than a pipe"; i=$((i+1)); done`), "")
	if err := s.tf.Init(t.Context(), s.root, broken{}); err != nil && !strings.Contains(err.Error(), "workspace") {
		t.Error(err)
	}
	if log := s.read("logs/prepare.log"); !strings.Contains(log, "line 2999") {
		t.Error("the log ends early")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, fmt.Errorf("nobody reads") }

func goarch() string { return runtime.GOARCH }
