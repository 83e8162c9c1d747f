package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/internal/testkit"
	"github.com/upgradegate/upgradegate/upgrade"
)

// TestWrong reads each wrong file; beside it are the messages that it must give, all of them.
func TestWrong(t *testing.T) {
	names, err := filepath.Glob("testdata/wrong/*.yaml")
	if err != nil || len(names) < 100 {
		t.Fatalf("only %d wrong files: %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Parse("gate.yaml", data, source())
			if err == nil || cfg != nil {
				t.Fatalf("accepted: %+v, %v", cfg, err)
			}
			checkProblems(t, err)
			testkit.Golden(t, strings.TrimSuffix(name, ".yaml")+".want", []byte(err.Error()+"\n"))
		})
	}
}

// checkProblems holds what every error of this package promises.
func checkProblems(t *testing.T, err error) {
	t.Helper()
	var problems config.Problems
	if !errors.As(err, &problems) || len(problems) == 0 {
		t.Fatalf("got error %T, want Problems", err)
	}
	if upgrade.CodeOf(err) != upgrade.CodeInvalid {
		t.Errorf("got code %s, want invalid", upgrade.CodeOf(err))
	}
	if !slices.IsSortedFunc(problems, func(a, b config.Problem) int { return a.Line - b.Line }) {
		t.Errorf("not in the order of lines:\n%v", err)
	}
	for _, p := range problems {
		if p.File == "" || p.Message == "" || strings.HasSuffix(p.Message, ".") && !strings.HasSuffix(p.Message, "..") {
			t.Errorf("incomplete: %+v", p)
		}
	}
	for name, value := range environ() {
		if strings.TrimSpace(value) != "" && strings.Contains(err.Error(), value) {
			t.Errorf("the secret %s is in the error:\n%v", name, err)
		}
	}
	if strings.Contains(err.Error(), mark) {
		t.Errorf("a secret is in the error:\n%v", err)
	}
}

// TestPlaces looks at where a problem is said to be: at the wrong value, or at the key of what is
// missing or has the wrong form.
func TestPlaces(t *testing.T) {
	for _, tt := range []struct{ file, path, at string }{
		{"role", "server.tokens[0].role", "release_manger,"},
		{"unknown_key", "stacks[0].staging.worksapce", "worksapce:"},
		{"duplicate_key", "stacks[0].project", "project: group/other"},
		{"dir_absolute", "stacks[0].dir", "/srv/app"},
		{"globs", "stacks[0].paths[2]", `"a/**b/c"`},
		{"wrong_types", "stacks[0].trigger", "push\n"},
		{"wrong_types", "gates[0].required", "yes,"},
		{"trigger_missing", "stacks[0].trigger", "name: app"},
		{"webhook_missing", "gitlab.webhook", "gitlab:"},
		{"path_expect_list", "gates[1].paths[0].expect.status[2]", "700"},
		{"aws_key_alone", "environments.staging.aws", "aws:"},
		{"text_of_many_lines", "stacks[0].project", "|\n"},
		{"path_resolve_private", `gates[1].paths[0].resolve["staging.example.org"]`, "10.20.0.5"},
		{"token_literal", "server.tokens[0].token", "s3cr3t"},
		{"stack_name_twice", "stacks[1].name", "app\n    project: group/other"},
		{"control_character", "", "\x01app"},
		{"tag", "", "!!str"},
	} {
		t.Run(tt.file, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata/wrong", tt.file+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			before, _, found := strings.Cut(string(data), tt.at)
			if !found {
				t.Fatalf("%q is not in the file", tt.at)
			}
			line := 1 + strings.Count(before, "\n")
			column := len(before) - strings.LastIndexByte(before, '\n')
			var problems config.Problems
			_, err = config.Parse("gate.yaml", data, source())
			if !errors.As(err, &problems) {
				t.Fatal(err)
			}
			i := slices.IndexFunc(problems, func(p config.Problem) bool { return p.Path == tt.path })
			if i < 0 {
				t.Fatalf("no problem at %s:\n%v", tt.path, err)
			}
			if problems[i].Line != line || problems[i].Column != column {
				t.Errorf("got %d:%d, want %d:%d: %s", problems[i].Line, problems[i].Column, line, column, problems[i])
			}
		})
	}
}
