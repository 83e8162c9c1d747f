package main

import (
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// TestGrantsGate: a stack makes its group for the first time, and nobody has let the group's role use the key
// of its image. The gate says so and how to put it right; when that is done it passes, in the run and asked by
// hand; and it cannot tell without a permission.
func TestGrantsGate(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{provider: true})
	h.gates = h.siteGate() + "  - {name: grants, kind: kms-grants, environments: [staging], asg: web}\n"
	h.writeFile(h.path("bin/terraform"))
	h.serve()
	key, err := h.aws.AddKey("", "", "of the volumes", "")
	check(t, err)
	files := h.group(4)
	plain, encrypted := imageIn(t, files["main.tf"]), h.aws.AddImage(awssim.Image{Name: "encrypted", KeyARN: key})
	files["main.tf"] = strings.ReplaceAll(files["main.tf"], plain, encrypted)
	commit := h.pushFiles("the group", files)
	run := h.runIs(commit, upgrade.PhaseBlocked)
	no := h.lastOf("grants", run.ID)
	if no.Outcome != upgrade.OutcomeFailed || !strings.Contains(no.Message, key) || !strings.Contains(no.Message, "AWSServiceRoleForAutoScaling") {
		t.Errorf("%s: %q, want a no that names key and role", no.Outcome, no.Message)
	}
	byHand := func() said { return h.cli("gate", "run", "grants", "--config", h.file) }
	byHand().is(t, exitClosed, `grants of staging: Failed\. .*`+"\n(?s:.*)", `.*upgradegate: the gate did not pass\n`)
	_, err = h.aws.AddGrant(key, "asg-ebs", h.aws.ServiceLinkedRole(""),
		"CreateGrant", "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo")
	check(t, err)
	byHand().is(t, exitOK, `grants of staging: Passed\. .*`+"\n(?s:.*)", "")
	h.aws.Deny(gateRole, "kms:ListGrants")
	byHand().is(t, exitError, `grants of staging: .*kms:ListGrants.*`+"\n(?s:.*)", `.*upgradegate: the gate did not pass\n`)
	h.aws.Allow(gateRole, "kms:ListGrants")
	h.act(run.ID, client.Act{Name: "recheck"})
	h.runIs(commit, upgrade.PhaseUnlocked)
	if last := h.lastOf("grants", run.ID); last.Outcome != upgrade.OutcomePassed {
		t.Errorf("with the grant: %s %q", last.Outcome, last.Message)
	}
}

// TestS1StandingGates: what is held when production is opened is asked again and again; when it is lost,
// production is locked, and a person sees why. Drift is told by a plan that nothing applies.
func TestS1StandingGates(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{provider: true})
	h.gates = h.siteGate() + "  - {name: grants, kind: kms-grants, stage: standing, environments: [staging], asg: web}\n" +
		"  - {name: drift, kind: settled, stage: standing, environments: [staging], required: false}\n"
	h.writeFile(h.path("bin/terraform"))
	h.serve()
	key, err := h.aws.AddKey("", "", "of the volumes", "")
	check(t, err)
	give := func() string {
		id, err := h.aws.AddGrant(key, "asg-ebs", h.aws.ServiceLinkedRole(""),
			"CreateGrant", "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo")
		check(t, err)
		return id
	}
	grant := give()
	files := h.group(4)
	files["main.tf"] = strings.ReplaceAll(files["main.tf"], imageIn(t, files["main.tf"]), h.aws.AddImage(awssim.Image{Name: "encrypted", KeyARN: key}))
	commit := h.pushFiles("the group", files)
	run := h.runIs(commit, upgrade.PhaseUnlocked)
	h.cli("invariant", "check", "grants/staging").is(t, exitOK, `grants/staging: held\nAWSServiceRoleForAutoScaling may use the 1 key of group web.*\n(?s:.*)`, "")
	h.cli("invariant", "check", "drift/staging/web").is(t, exitOK, `drift/staging/web: held\na plan of web in staging is empty\n(?s:.*)`, "")

	check(t, h.aws.TakeGrant(key, grant))
	check(t, h.aws.Scale("", "eu-west-2", "web", 1))
	h.cli("invariant", "check", "grants/staging").is(t, exitClosed, `grants/staging: broken\nthe grant asg-ebs .* is gone since .*\nnext: .*\n(?s:.*)`, `upgradegate: the invariant is broken\n`)
	h.cli("invariant", "check", "drift/staging/web").is(t, exitClosed, `drift/staging/web: broken\na plan of web in staging changes 1 resource: aws_autoscaling_group.web \(changed by something else since the apply\)\n(?s:.*)`, `upgradegate: the invariant is broken\n`)
	locked := h.runIs(commit, upgrade.PhaseRelocked)
	if len(locked.Causes) != 1 || !strings.Contains(locked.Causes[0].Message, "the grant asg-ebs") {
		t.Errorf("locked for %+v", locked.Causes)
	}
	h.cli("invariant", "list").is(t, exitOK, `INVARIANT +STATE +SINCE +CHECKED +WHAT WAS SEEN\ngrants/staging +broken +20.* UTC +20.* UTC +the grant .*\ndrift/staging/web +broken +.*\n`, "")
	h.cli("invariant", "show", "nothing/staging").is(t, exitError, "", `upgradegate: no standing gate is called nothing/staging\nupgradegate: hint: .*\n`)

	give()
	h.act(run.ID, client.Act{Name: "recheck"}) // asks what is broken by itself
	h.runIs(commit, upgrade.PhaseUnlocked)
	h.cli("invariant", "show", "grants/staging").is(t, exitOK, `grants/staging: held\n(?s:.*)`, "")
}

// imageIn returns the id of the image in a configuration.
func imageIn(t *testing.T, main string) string {
	t.Helper()
	_, after, found := strings.Cut(main, `image_id      = "`)
	id, _, closed := strings.Cut(after, `"`)
	if !found || !closed {
		t.Fatalf("no image in\n%s", main)
	}
	return id
}
