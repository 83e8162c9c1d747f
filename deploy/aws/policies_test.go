// Package aws_test holds the policies of the gates' roles against what they promise.
package aws_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	account = "111111111111"
	region  = "eu-west-2"
)

// smallest is a role that reads, as that of production is.
func smallest() wishes {
	return wishes{Account: account, Region: region, Trusted: []string{"arn:aws:iam::333333333333:role/upgradegate"}, ExternalID: "only the two of us know"}
}

// largest is a role that does all that gates can do.
func largest() wishes {
	w := smallest()
	w.Trusted = append(w.Trusted, "arn:aws:iam::333333333333:role/upgradegate-standby")
	w.Keys = []string{"arn:aws:kms:eu-west-2:111111111111:key/mrk-1", "arn:aws:kms:eu-west-2:222222222222:key/mrk-1"}
	w.Parameters = []string{"aws/service/ecs/*", "/golden/ami"}
	w.Probe = true
	w.Launch, w.ScaleOut = true, []string{"ecs-cluster", "ecs-spare"}
	w.Clusters, w.Templates = []string{"main", "spare"}, []string{"lt-0a1b", "lt-0c2d"}
	w.InstanceRoles = []string{"arn:aws:iam::111111111111:role/ecs-instance"}
	w.GroupRoles = []string{"arn:aws:iam::111111111111:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling_ecs"}
	return w
}

// TestFiles holds each file against the form that IAM takes and the order in which people find things.
func TestFiles(t *testing.T) {
	files, err := filepath.Glob("policies/*.json")
	if err != nil || len(files) != 8 {
		t.Fatalf("got %d files: %v", len(files), err)
	}
	action := regexp.MustCompile(`^[a-z0-9]+:[A-Z][A-Za-z]+\*?$`)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			p := read(t, name)
			if p.Version != "2012-10-17" || len(p.Statement) == 0 {
				t.Errorf("version %q with %d statements", p.Version, len(p.Statement))
			}
			seen := map[string]bool{}
			for _, s := range p.Statement {
				sid, _ := s["Sid"].(string)
				if sid == "" || seen[sid] {
					t.Errorf("statement %q: a name of its own is needed", sid)
				}
				seen[sid] = true
				effect := "Allow"
				if name == "deny" {
					effect = "Deny"
				}
				if s["Effect"] != effect {
					t.Errorf("%s: effect %v", sid, s["Effect"])
				}
				actions := strs(s["Action"])
				if len(actions) == 0 || !slices.IsSorted(actions) {
					t.Errorf("%s: actions %v, want some, in order", sid, actions)
				}
				for _, one := range actions {
					if !action.MatchString(one) || effect == "Allow" && strings.Contains(one, "*") {
						t.Errorf("%s: %s is too much", sid, one)
					}
				}
			}
		})
	}
}

// TestSizes holds all policies of a role against what IAM takes: 10,240 characters together inside a role,
// 6,144 each as managed policies, white space not counted.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
func TestSizes(t *testing.T) {
	w, total := largest(), 0
	for _, name := range w.names() {
		text, err := json.Marshal(w.render(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if total += len(text); len(text) > 6144 {
			t.Errorf("%s has %d characters", name, len(text))
		}
	}
	if total > 10_240 {
		t.Errorf("together they have %d characters", total)
	}
}

// TestStatementsWithoutResources looks at what becomes of lists that are empty.
func TestStatementsWithoutResources(t *testing.T) {
	w := smallest()
	w.Launch = true
	for _, s := range w.render(t, "launch").Statement {
		if sid := s["Sid"]; sid == "PassRolesOfInstances" || sid == "PassRolesOfGroups" || sid == "DrainTestInstance" {
			t.Errorf("%s is about nothing, and is there", sid)
		}
	}
	for _, s := range w.render(t, "deny").Statement {
		if not, ok := s["NotResource"]; ok && len(strs(not)) != 1 {
			t.Errorf("%s spares %v, want test groups alone", s["Sid"], not)
		}
	}
}

// TestTerraformSaysTheSame renders the policies with Terraform and OpenTofu and compares them with the files
// as people fill them in.
func TestTerraformSaysTheSame(t *testing.T) {
	needed := strings.Split(os.Getenv("UPGRADEGATE_TEST_NEED"), ",")
	for name, variable := range map[string]string{"terraform": "UPGRADEGATE_TEST_TERRAFORM", "tofu": "UPGRADEGATE_TEST_TOFU"} {
		t.Run(name, func(t *testing.T) {
			binary := os.Getenv(variable)
			if binary == "" && slices.Contains(needed, name) {
				t.Fatalf("UPGRADEGATE_TEST_NEED lists %s but %s is empty", name, variable)
			}
			if binary == "" {
				t.Skipf("no %s: set %s", name, variable)
			}
			asked := map[string]wishes{"smallest": smallest(), "largest": largest()}
			launches := smallest()
			launches.Launch = true
			asked["launches"] = launches
			got := rendered(t, binary, asked)
			for name, w := range asked {
				want := map[string]policy{"trust": w.render(t, "trust")}
				for _, one := range w.names() {
					want[one] = w.render(t, one)
				}
				if diff := cmp.Diff(want, got[name]); diff != "" {
					t.Errorf("%s: files (-), %s (+):\n%s", name, binary, diff)
				}
			}
		})
	}
}

// rendered returns what the module makes of each of the wishes.
func rendered(t *testing.T, binary string, asked map[string]wishes) map[string]map[string]policy {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "policies"), os.DirFS("policies")); err != nil {
		t.Fatal(err)
	}
	modules, outputs := map[string]any{}, map[string]any{}
	for name, w := range asked {
		module := map[string]any{}
		data, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &module); err != nil {
			t.Fatal(err)
		}
		module["source"] = "./policies"
		modules[name] = module
		outputs[name] = map[string]string{"value": "${merge(module." + name + ".policies, {trust = module." + name + ".trust})}"}
	}
	root, err := json.Marshal(map[string]any{"module": modules, "output": outputs})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.tf.json"), root, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, binary, dir, "init", "-input=false")
	run(t, binary, dir, "apply", "-input=false", "-auto-approve")
	var values map[string]struct{ Value map[string]string }
	if err := json.Unmarshal(run(t, binary, dir, "output", "-json"), &values); err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]policy{}
	for name, one := range values {
		out[name] = map[string]policy{}
		for file, text := range one.Value {
			var p policy
			if err := json.Unmarshal([]byte(text), &p); err != nil {
				t.Fatal(err)
			}
			out[name][file] = p
		}
	}
	return out
}

// run runs Terraform and returns what it prints.
func run(t *testing.T, binary, dir string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	var wrong bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &wrong
	cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "NO_COLOR=1"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, out, wrong.Bytes())
	}
	return out
}

// TestModulePassesEverything looks whether the module that makes the role hands each variable on.
func TestModulePassesEverything(t *testing.T) {
	variable := regexp.MustCompile(`(?m)^variable "([a-z_]+)"`)
	texts := map[string]string{}
	for _, file := range []string{"main.tf", "variables.tf", "policies/policies.tf"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(data)
	}
	_, module, found := strings.Cut(texts["main.tf"], `module "policies" {`)
	module, _, closed := strings.Cut(module, "\n}\n")
	if !found || !closed {
		t.Fatal("main.tf has no module policies")
	}
	for _, match := range variable.FindAllStringSubmatch(texts["policies/policies.tf"], -1) {
		given := regexp.MustCompile(`(?m)^  ` + match[1] + ` += `)
		if !given.MatchString(module) {
			t.Errorf("main.tf does not give %s to the policies", match[1])
		}
	}
	for _, match := range variable.FindAllStringSubmatch(texts["variables.tf"], -1) {
		if !strings.Contains(texts["main.tf"], "var."+match[1]) {
			t.Errorf("main.tf does not use the variable %s", match[1])
		}
	}
}
