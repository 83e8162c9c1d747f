package config_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// TestProbingDocumentation reads every example of docs/probing.md within a whole file, and looks whether its table
// has every class that a probe can have.
func TestProbingDocumentation(t *testing.T) {
	data, err := os.ReadFile("../docs/probing.md")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "(docs/probing.md)") {
		t.Error("README.md does not link it")
	}
	_, rest, _ := strings.Cut(string(readme), "```yaml\nserver:")
	base, _, _ := strings.Cut("server:"+rest, "\ngates:\n")
	src := config.Source{
		Getenv:   func(name string) (string, bool) { return "the value of " + name, true },
		ReadFile: func(string) ([]byte, error) { return []byte("what a file holds"), nil },
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(data), -1)
	if len(blocks) < 4 {
		t.Fatalf("it has %d examples", len(blocks))
	}
	for _, block := range blocks {
		if _, err := config.Parse("docs/probing.md", []byte(base+"\n"+block[1]), src); err != nil {
			t.Errorf("%v\nof\n%s", err, block[1])
		}
	}
	for _, class := range append(probe.Failures(), probe.ClassStale, probe.ClassPerIP, probe.ClassPortOpen, probe.ClassHealthByVCL, probe.ClassForcedSick, probe.ClassPacketLoss, probe.ClassTLSExpires, probe.ClassTLSOld, probe.ClassGuarded) {
		if !strings.Contains(string(data), "`"+string(class)+"`") {
			t.Errorf("the table of classes lacks %s", class)
		}
	}
}

// TestAgentsReachTheirOwn: what only agents probe need not be in network.allow, which is of the service's own host.
func TestAgentsReachTheirOwn(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```yaml\nserver:")
	base, _, _ := strings.Cut("server:"+rest, "\ngates:\n")
	src := config.Source{
		Getenv:   func(name string) (string, bool) { return "the value of " + name, true },
		ReadFile: func(string) ([]byte, error) { return []byte("what a file holds"), nil },
	}
	for name, test := range map[string]struct {
		from string
		ok   bool
	}{"agents": {"from: [staging-a], ", true}, "here": {"from: [here], ", false}, "both": {"from: [here, staging-a], ", false}, "default": {"", false}} {
		t.Run(name, func(t *testing.T) {
			text := base + "\nvantages: [{name: staging-a, kind: agent}]\ngates:\n  - {name: site, kind: http, environments: [staging], " + test.from +
				"paths: [{url: \"http://10.99.0.5/\"}], closed: [{ports: [22], at: [10.99.0.6]}]}\n"
			_, err := config.Parse("x.yaml", []byte(text), src)
			if (err == nil) != test.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}
