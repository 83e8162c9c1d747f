package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/gates"
)

// TestPlanCheck runs the command as a pipeline does: what it exits with, and what goes where.
func TestPlanCheck(t *testing.T) {
	t.Parallel()
	plans, err := filepath.Abs("../../upgrade/plan/testdata")
	check(t, err)
	states, err := filepath.Abs("../../gates/testdata/states")
	check(t, err)
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		check(t, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	removed, renamed, updated := filepath.Join(plans, "01-grant-removed.json"), filepath.Join(plans, "02-grant-renamed-without-moved.json"), filepath.Join(plans, "08-template-and-group-updated.json")
	newer := write("newer.json", `{"format_version":"2.0","planned_values":{}}`)
	broken := write("broken.json", `{"serial":1,"encrypted_data":"x"}`)
	operator := write("upgradegate.yaml", `server: {listen: 127.0.0.1:8080, public_url: https://gate.example.org, tokens: [{name: hugo, role: release_manager, token: {file: /not/here/hugo}}, {name: eva, role: developer, token: {env: EVA}}]}
database: sqlite:///var/lib/upgradegate/gate.db
gitlab: {url: https://gitlab.example.org, token: {env: GITLAB_TOKEN}, webhook: {secret_token: {file: /not/here}, signing_token: {env: SIGNING}}}
environments: {staging: {}, production: {}}
stacks:
  - {name: ecs-master, project: platform/ecs-master, trigger: {push: staging}, staging: {workspace: staging}, production: {branch: main, environment: production}, holds: [{kind: commit_status}]}
gates:
  - {name: guard, kind: destroy-guard, environments: [staging], allow: [{match: aws_kms_grant.asg, reason: moves, until: 2999-01-01}]}
  - {name: site, kind: varnish, environments: [staging], paths: [{url: "https://staging.example.org/"}]}
`)
	allowed := []string{"--allow", "aws_kms_*=2999-01-01:moves to aws-accounts"}
	tests := []struct {
		name     string
		args     []string
		code     int
		out, err string
	}{
		{"passed", []string{updated}, exitOK, `.*2 to change .*Passed.*destroy-guard.*Passed.*ownership.*`, ""},
		{"guarded", []string{removed}, exitClosed, `.*Failed.*destroy-guard.*Not asked.*ownership.*`, `upgradegate: the plan did not pass\nupgradegate: hint: .*the change to agree to is bf55b72e.*\n`},
		{"owned", append([]string{removed, "--states", states}, allowed...), exitClosed, `.*Passed.*moves to aws-accounts.*Failed.*aws-accounts also owns.*`, `upgradegate: the plan did not pass\n`},
		{"allowed", append([]string{removed}, allowed...), exitOK, `.*Passed.*Not asked.*`, ""},
		{"allowed_once", []string{removed, "--allow", "aws_kms_*=2001-01-01:moved"}, exitClosed, `.*was allowed until 1 Jan 2001.*`, `.*`},
		{"race_without_states", append([]string{renamed}, allowed...), exitClosed, `.*Failed.*ownership.*moved \{.*`, `upgradegate: the plan did not pass\n`},
		{"refused", append([]string{removed, "--refuse", `aws_x.y["a"]`, "--refuse", "aws_kms_grant.*"}, allowed...), exitClosed, `.*whoever agrees.*`, `upgradegate: the plan did not pass\n`},
		{"could_not_tell", append([]string{removed, "--states", filepath.Dir(broken)}, allowed...), exitError, `.*Not complete.*was never read.*`, `upgradegate: whether the plan may go could not be told\n`},
		{"configured", []string{removed, "--config", operator, "--stack", "ecs-master"}, exitOK, `ecs-master: .*Passed.*guard.*as the configuration allows.*`, ""},
		{"newer_format", []string{newer}, exitError, "", `upgradegate: read .*: the plan has format version "2.0", and only 0.x and 1.x are understood\n`},
		{"missing", []string{filepath.Join(dir, "none.json")}, exitUsage, "", `upgradegate: .*none.json cannot be read.*\nupgradegate: hint: .*terraform show -json.*\n`},
		{"no_states", []string{removed, "--states", filepath.Join(dir, "none")}, exitUsage, "", `upgradegate: .*cannot be read.*`},
		{"allow_nonsense", []string{removed, "--allow", "aws_kms_*"}, exitUsage, "", `upgradegate: --allow "aws_kms_\*" is not GLOB=DAY:REASON\nupgradegate: hint: .*\n`},
		{"no_glob", []string{removed, "--also", "aws_["}, exitUsage, "", `upgradegate: "aws_\[" is not a glob.*\n`},
		{"no_glob_to_refuse", []string{removed, "--refuse", "aws_["}, exitUsage, "", `upgradegate: .*"aws_\[" is not a glob.*\n`},
		{"config_without_stack", []string{removed, "--config", operator}, exitUsage, "", `upgradegate: --config needs --stack\n.*`},
		{"config_and_flags", []string{removed, "--config", operator, "--stack", "ecs-master", "--also", "x"}, exitUsage, "", `upgradegate: --config has the settings.*`},
		{"no_such_stack", []string{removed, "--config", operator, "--stack", "web"}, exitUsage, "", `upgradegate: .*has no stack "web"\n.*`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cli(t, nil, append([]string{"plan", "check"}, test.args...)...).is(t, test.code, test.out, test.err)
		})
	}
	t.Run("json_and_junit", func(t *testing.T) {
		t.Parallel()
		junit := filepath.Join(dir, "plan.xml")
		got := cli(t, nil, "plan", "check", removed, "--states", states, "--json", "--junit", junit)
		var report struct {
			Outcome string `json:"outcome"`
			Gates   []struct{ Kind, Outcome string }
		}
		if err := json.Unmarshal([]byte(got.out), &report); err != nil || got.code != exitClosed || report.Outcome != "failed" || len(report.Gates) != 2 || report.Gates[1].Kind != gates.KindOwner {
			t.Errorf("got %d, %+v, %v", got.code, report, err)
		}
		if text, err := os.ReadFile(junit); err != nil || strings.Count(string(text), "<failure ") != 2 {
			t.Errorf("got %s, %v", text, err)
		}
	})
}
