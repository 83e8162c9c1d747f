package config_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/gates"
)

// TestReadme reads the example of README.md, for people begin with it, and looks whether the table has every
// kind of gate.
func TestReadme(t *testing.T) {
	data, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(data), "```yaml\nserver:")
	example, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("README.md has no example")
	}
	src := config.Source{
		Getenv:   func(name string) (string, bool) { return "the value of " + name, true },
		ReadFile: func(string) ([]byte, error) { return []byte("what a file holds"), nil },
	}
	if _, err := config.Parse("README.md", []byte("server:"+example), src); err != nil {
		t.Error(err)
	}
	for _, kind := range gates.Kinds() {
		if row := regexp.MustCompile("(?m)^\\| `" + kind.Name + "` \\|"); !row.Match(data) {
			t.Errorf("the table of gates lacks %s", kind.Name)
		}
	}
}
