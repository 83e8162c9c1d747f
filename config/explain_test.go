package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/internal/testkit"
)

// TestExplain: every value with its line, defaults behind, and no secret.
func TestExplain(t *testing.T) {
	for _, name := range []string{"minimal", "full"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name+".yaml")
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(string(data), "\n")
			var b strings.Builder
			for _, s := range config.Explain(file, data) {
				kind := ""
				if s.Secret {
					kind = " (secret)"
				}
				fmt.Fprintf(&b, "%4d %s = %s%s\n", s.Line, s.Path, s.Value, kind)
				if s.Line > len(lines) {
					t.Errorf("%s is on line %d of %d", s.Path, s.Line, len(lines))
				}
			}
			testkit.Golden(t, filepath.Join("testdata", name+".explained"), []byte(b.String()))
		})
	}
}

func TestExplainHidesAddresses(t *testing.T) {
	const file = "hooks:\n  - name: chat\n    url: https://hooks.example.org/services/T0/B0/secret-path?key=secret-query\ngitlab:\n  url: https://user:secret-word@gitlab.example.org/\n"
	for _, s := range config.Explain("gate.yaml", []byte(file)) {
		if strings.Contains(s.Value, "secret") {
			t.Errorf("%s shows %q", s.Path, s.Value)
		}
	}
}

func TestExplainOfNoFile(*testing.T) {
	for _, data := range []string{"", "\x00", "a: [", "- 1\n- 2\n", "just text"} {
		_ = config.Explain("gate.yaml", []byte(data)) // it is for files that are right, and yet must end
	}
}
