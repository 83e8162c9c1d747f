package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// group is an Auto Scaling group with a launch template, as Terraform makes it.
func (h *house) group(size int) map[string]string {
	network := h.aws.Network("", "eu-west-2")
	quoted := make([]string, len(network.Subnets))
	for i, subnet := range network.Subnets {
		quoted[i] = fmt.Sprintf("%q", subnet)
	}
	image := h.aws.AddImage(awssim.Image{Name: fmt.Sprintf("web-%d", size)})
	files := map[string]string{"main.tf": strings.NewReplacer("PROVIDER", providerBlock, "IMAGE", image, "SUBNETS", strings.Join(quoted, ", "), "SIZE", fmt.Sprint(size)).Replace(`terraform {
  required_version = ">= 1.5"
  required_providers {
    PROVIDER
  }
  backend "local" {}
}

provider "aws" {
  region = "eu-west-2"
}

resource "aws_launch_template" "web" {
  name          = "web"
  image_id      = "IMAGE"
  instance_type = "t3.small"
}

resource "aws_autoscaling_group" "web" {
  name                      = "web"
  min_size                  = 0
  max_size                  = SIZE
  desired_capacity          = 0
  vpc_zone_identifier       = [SUBNETS]
  health_check_type         = "EC2"
  wait_for_capacity_timeout = "0"

  launch_template {
    id      = aws_launch_template.web.id
    version = aws_launch_template.web.latest_version
  }
}
`)}
	files[".terraform.lock.hcl"] = h.lockFile(files["main.tf"])
	return files
}

// lockFile returns the provider lock file of a configuration, as its author would have committed it.
func (h *house) lockFile(main string) string {
	h.Helper()
	dir := h.TempDir()
	check(h, os.WriteFile(filepath.Join(dir, "main.tf"), []byte(main), 0o600))
	cmd := exec.CommandContext(h.Context(), terraformBinary(h.T), "init", "-backend=false", "-input=false", "-no-color")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TF_CLI_CONFIG_FILE=" + h.path("terraform.rc")}
	if out, err := cmd.CombinedOutput(); err != nil {
		h.Fatalf("terraform init: %v\n%s", err, out)
	}
	lock, err := os.ReadFile(filepath.Join(dir, ".terraform.lock.hcl"))
	check(h, err)
	return string(lock)
}

const launchGate = `  - {name: launch, kind: instance-launch, environments: [staging], asg: web, settle: 0s, healthy_within: 5m, status_checks: true}
`

// TestS5LaunchGateDenied takes one permission after another from the launch gate. It then cannot tell, says
// which permission is missing, leaves nothing behind (S4) and opens nothing (S5). What it only needs to find
// a cause it does without, and says so.
func TestS5LaunchGateDenied(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{provider: true})
	h.gates = launchGate + h.siteGate()
	h.writeFile(h.path("bin/terraform"))
	h.serve()
	commit := h.pushFiles("the group", h.group(4))
	run := h.runIs(commit, upgrade.PhaseUnlocked, upgrade.PhaseBlocked)
	if run.Phase != upgrade.PhaseUnlocked {
		t.Fatalf("with every permission the run is %s: %+v", run.Phase, run.Causes)
	}
	actions := h.actionsOfGate()
	if len(actions) < 6 {
		t.Fatalf("the gate asked only %v", actions)
	}
	commit = h.pushFiles("a larger group", h.group(5))
	h.site.say("somebody else's page") // so that the run is blocked whatever the launch says, and can be asked again
	run = h.runIs(commit, upgrade.PhaseBlocked)
	h.merge(commit)
	forCauses := []string{
		"ec2:DescribeImages", "ec2:DescribeLaunchTemplateVersions", "ec2:DescribeSnapshots", "ec2:DescribeVolumes",
		"ec2:GetEbsDefaultKmsKeyId", "ec2:GetEbsEncryptionByDefault",
	}
	for _, action := range actions {
		if action == "autoscaling:DeleteAutoScalingGroup" || action == "autoscaling:SetDesiredCapacity" {
			continue // they come after the answer: see TestS4TrialIsReaped
		}
		t.Run(strings.ReplaceAll(action, ":", "_"), func(t *testing.T) {
			h := h.in(t)
			if run, _ := h.runOf(commit); run.Phase != upgrade.PhaseBlocked {
				t.Fatalf("the run is %s already", run.Phase)
			}
			h.aws.Deny(gateRole, action)
			defer h.aws.Allow(gateRole, action)
			gate := h.recheck(run.ID)
			if slices.Contains(forCauses, action) {
				if gate.Outcome != upgrade.OutcomePassed || !strings.Contains(strings.Join(gate.Warnings, "\n"), action) {
					t.Errorf("%s: %q with warnings %q, want a pass with a warning, naming %s", gate.Outcome, gate.Message, gate.Warnings, action)
				}
			} else if gate.Outcome != upgrade.OutcomeUnknown || !strings.Contains(gate.Message, action) {
				t.Errorf("%s: %q, want could not tell, naming %s", gate.Outcome, gate.Message, action)
			}
			h.aws.Allow(gateRole, action)
			h.noTrials()
			if len(h.plays()) > 0 {
				t.Errorf("production was opened: %v", h.plays())
			}
		})
	}
	h.site.say("hello")
	gate := h.recheck(run.ID)
	if gate.Outcome != upgrade.OutcomePassed {
		t.Errorf("with every permission again: %s %q", gate.Outcome, gate.Message)
	}
	h.heldJobIs(commit, "success")
	h.shows(commit, "success")
}

// actionsOfGate returns what the gate's role has asked AWS so far, each once.
func (h *house) actionsOfGate() []string {
	var actions []string
	for _, call := range h.aws.Calls() {
		action := call.Service + ":" + call.Action
		if strings.Contains(call.Who, "assumed-role/upgradegate-staging") && !slices.Contains(actions, action) {
			actions = append(actions, action)
		}
	}
	slices.Sort(actions)
	return actions
}

// answer is what a gate said in the newest round.
type answer struct {
	Outcome  upgrade.Outcome
	Message  string
	Warnings []string
}

// recheck asks the gates of a blocked run again, and returns what the launch gate says.
func (h *house) recheck(id upgrade.RunID) answer {
	h.Helper()
	before, err := h.service.Store.Run(h.Context(), id)
	check(h, err)
	_, err = h.api().Do(h.Context(), id, client.Act{Name: "recheck"})
	check(h, err)
	h.until(func() string {
		run, err := h.service.Store.Run(h.Context(), id)
		if err != nil || run.Round <= before.Round || run.Phase == upgrade.PhaseChecking || run.Phase == upgrade.PhaseUnlocking {
			return fmt.Sprintf("round %d of run %d is %s: %v", run.Round, id, run.Phase, err)
		}
		return ""
	})
	last := h.lastOf("launch", id)
	return answer{Outcome: last.Outcome, Message: last.Message, Warnings: last.Warnings}
}

// lastOf returns what a gate said last in a run.
func (h *house) lastOf(gate upgrade.GateName, id upgrade.RunID) (last upgrade.Result) {
	h.Helper()
	results, err := h.service.Store.Results(h.Context(), id)
	check(h, err)
	for _, result := range results {
		if result.Gate == gate {
			last = result
		}
	}
	if last.Gate == "" {
		h.Fatalf("gate %s said nothing in run %d", gate, id)
	}
	return last
}

// noTrials waits until nothing of a test launch is left.
func (h *house) noTrials() {
	h.Helper()
	h.until(func() string {
		for _, instance := range h.aws.Instances() {
			if strings.HasPrefix(instance.Group, "gate-probe-") && instance.State != "terminated" && instance.State != "shutting-down" {
				return fmt.Sprintf("the test instance %s of %s is %s", instance.ID, instance.Group, instance.State)
			}
		}
		return ""
	})
}

// TestS4TrialIsReaped: a test group that the gate may not remove is reported, and removed by the reaper as
// soon as that is allowed.
func TestS4TrialIsReaped(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{provider: true, gates: launchGate})
	h.serve()
	h.aws.Deny(gateRole, "autoscaling:SetDesiredCapacity")
	h.aws.Deny(gateRole, "autoscaling:DeleteAutoScalingGroup")
	commit := h.pushFiles("the group", h.group(4))
	run := h.runIs(commit, upgrade.PhaseUnlocked, upgrade.PhaseBlocked)
	last := h.lastOf("launch", run.ID)
	if len(last.Warnings) == 0 || !strings.Contains(last.Warnings[0], "gate-probe-") || !strings.Contains(last.Warnings[0], "cost money") {
		t.Errorf("nobody is told of what is left: %q", last.Warnings)
	}
	if h.trials() == 0 {
		t.Fatal("nothing is left although nothing could be removed")
	}
	h.aws.Allow(gateRole, "autoscaling:DeleteAutoScalingGroup") // which is enough
	h.until(func() string {
		if n := h.trials(); n > 0 {
			return fmt.Sprintf("%d test groups are left", n)
		}
		return ""
	})
}

// trials counts the test groups that live, by what the simulator was asked.
func (h *house) trials() int {
	alive := map[string]bool{}
	for _, call := range h.aws.Calls() {
		name := call.Params["AutoScalingGroupName"]
		if call.Status != 200 || !strings.HasPrefix(name, "gate-probe-") {
			continue
		}
		switch call.Action {
		case "CreateAutoScalingGroup":
			alive[name] = true
		case "DeleteAutoScalingGroup":
			delete(alive, name)
		}
	}
	return len(alive)
}
