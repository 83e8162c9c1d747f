package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/config"
)

// TestUnwritten looks at the gates that stacks have without the file saying so.
func TestUnwritten(t *testing.T) {
	data, err := os.ReadFile("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	two := strings.Replace(string(data), "gates:", `  - name: web
    project: group/web
    trigger: {push: staging}
    staging: {workspace: staging}
    production: {branch: main, environment: production}
gates:`, 1)
	for _, tt := range []struct{ name, written, want string }{
		{"nothing_written", "", "destroy-guard[] ownership[] settled[]"},
		{"for_all", "  - {name: calm, kind: settled, environments: [staging]}", "calm[] destroy-guard[] ownership[]"},
		{"of_the_same_name", "  - {name: settled, kind: settled, environments: [staging]}", "settled[] destroy-guard[] ownership[]"},
		{"for_one", "  - {name: calm, kind: settled, environments: [staging], stacks: [web]}", "calm[web] destroy-guard[] ownership[] settled[app]"},
		{"for_each", `  - {name: calm, kind: settled, environments: [staging], stacks: [web]}
  - {name: still, kind: settled, environments: [staging], stacks: [app]}`, "calm[web] still[app] destroy-guard[] ownership[]"},
		{"not_required", "  - {name: losses, kind: destroy-guard, environments: [staging], required: false}", "losses[] ownership[] settled[]"},
		{"owners_for_one", "  - {name: owners, kind: ownership, environments: [staging], stacks: [app], max_age: 2h}", "owners[app] destroy-guard[] ownership[web] settled[]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := config.Parse("gate.yaml", []byte(two+tt.written+"\n"), source())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, gate := range cfg.Gates[1:] { // the first is the launch
				got = append(got, fmt.Sprint(gate.Name, gate.Stacks))
				if ours := string(gate.Name) == gate.Kind; ours && (!gate.Required || gate.Environment != "staging" || gate.Settings.Kind() != gate.Kind) {
					t.Errorf("got %+v", gate)
				}
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
