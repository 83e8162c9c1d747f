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
