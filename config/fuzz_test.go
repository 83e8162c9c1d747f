package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

// FuzzParse feeds files of any kind. Whatever is accepted is safe to start with, and whatever is
// refused is refused with problems that hold no secret.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "testdata/wrong/*.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			f.Fatalf("no seeds in %s: %v", pattern, err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	src := source()
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 8<<10 {
			t.Skip("what matters fits into less")
		}
		cfg, err := config.Parse("gate.yaml", data, src)
		if err != nil {
			if cfg != nil {
				t.Error("both a configuration and an error")
			}
			if !strings.Contains(string(data), mark) { // what the file itself says may be quoted
				checkProblems(t, err)
			}
			return
		}
		checkSafe(t, cfg)
		again, err := config.Parse("gate.yaml", data, src)
		if err != nil {
			t.Errorf("accepted once, then: %v", err)
		} else if got, want := string(printed(t, again)), string(printed(t, cfg)); got != want {
			t.Errorf("read twice, got two things:\n%s\n%s", got, want)
		}
	})
}

// checkSafe holds what every accepted file has.
func checkSafe(t *testing.T, cfg *config.Config) {
	t.Helper()
	if !cfg.GitLab.SecretToken.Set() && !cfg.GitLab.SigningToken.Set() {
		t.Error("no webhook secret")
	}
	if !cfg.GitLab.Token.Set() || cfg.GitLab.URL == "" {
		t.Error("no GitLab")
	}
	if len(cfg.Server.Tokens) == 0 || len(cfg.Stacks) == 0 {
		t.Errorf("%d tokens and %d stacks", len(cfg.Server.Tokens), len(cfg.Stacks))
	}
	for _, token := range cfg.Server.Tokens {
		if len(token.Secret.Reveal()) < 16 || !token.Person.Role.Includes(upgrade.RoleViewer) || token.Person.Name == "" {
			t.Errorf("token of %+v", token.Person)
		}
	}
	if !strings.HasPrefix(cfg.Server.PublicURL, "https://") && !strings.HasPrefix(cfg.Server.Listen, "127.") &&
		!strings.HasPrefix(cfg.Server.Listen, "localhost:") && !strings.HasPrefix(cfg.Server.Listen, "[::") {
		t.Errorf("listens on %s in plain text", cfg.Server.Listen)
	}
	if !filepath.IsAbs(cfg.Data) || !strings.HasPrefix(cfg.Database, "sqlite:///") || cfg.Terraform.ParallelRuns < 1 {
		t.Errorf("data %q, database %q, %d runs", cfg.Data, cfg.Database, cfg.Terraform.ParallelRuns)
	}
	for _, stack := range cfg.Stacks {
		checkSafeStack(t, cfg, stack)
	}
	for _, state := range cfg.States {
		if state.Name == "" || strings.Contains(string(state.Name), "/") || state.Backend == "" || state.Env["TF_WORKSPACE"].Set() {
			t.Errorf("state %+v", state)
		}
	}
	for _, gate := range cfg.Gates {
		if settings, ok := gate.Settings.(gates.LaunchSettings); ok && settings.Method == gates.MethodScaleOut && gate.Environment != "staging" {
			t.Errorf("gate %s scales %s out", gate.Name, gate.Environment)
		}
		known := func(env config.Environment) bool { return env.Name == gate.Environment }
		if gate.Settings == nil || gate.Settings.Kind() != gate.Kind || gate.Deadline <= 0 || gate.Stage == "" || !slices.ContainsFunc(cfg.Environments, known) {
			t.Errorf("gate %+v", gate)
		}
	}
}

func checkSafeStack(t *testing.T, cfg *config.Config, stack upgrade.Stack) {
	t.Helper()
	touches := func(g config.Gate) bool {
		return g.Required && g.TouchesLive && g.Stage == upgrade.StageAfter && g.Environment == stack.Staging.Environment && g.AppliesTo(stack.Name)
	}
	if stack.Name == "" || !slices.ContainsFunc(cfg.Gates, touches) {
		t.Errorf("nothing touches the running system for stack %q", stack.Name)
	}
	if stack.Trigger.Push == "" && stack.Trigger.MergeRequestTo == "" || stack.Trigger.MergeRequestTo != "" && len(stack.Trigger.When) == 0 {
		t.Errorf("trigger %+v", stack.Trigger)
	}
	for _, path := range append(slices.Clone(stack.Staging.VarFiles), stack.Dir) {
		if filepath.IsAbs(path) || slices.Contains(strings.Split(path, "/"), "..") {
			t.Errorf("%q is outside of the repository", path)
		}
	}
	for _, hold := range stack.Holds {
		if hold.Kind == upgrade.HoldPlayJob && (hold.Job == "" || hold.Opens == "") {
			t.Errorf("hold %+v", hold)
		}
	}
}
