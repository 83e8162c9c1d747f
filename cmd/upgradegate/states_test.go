package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/upgrade"
)

// withGrants is a stack that has grants on a key, by name. A grant of one name is the same in every stack:
// AWS gives who asks for it again the one that is there.
func (h *house) withGrants(stack, key string, names ...string) map[string]string {
	h.Helper()
	var main strings.Builder
	main.WriteString("terraform {\n  required_version = \">= 1.5\"\n  required_providers {\n    " + providerBlock + "\n  }\n  backend \"local\" {}\n}\n\nprovider \"aws\" {\n  region = \"eu-west-2\"\n}\n")
	for _, name := range names {
		fmt.Fprintf(&main, `
resource "aws_kms_grant" %q {
  name              = %q
  key_id            = %q
  grantee_principal = %q
  operations        = ["Decrypt", "CreateGrant"]
}
`, name, name, key, gateRole)
	}
	return map[string]string{filepath.Join(stack, "main.tf"): main.String(), filepath.Join(stack, ".terraform.lock.hcl"): h.lockFile(main.String())}
}

// revoked returns how many grants were revoked.
func (h *house) revoked() (n int) {
	for _, call := range h.aws.Calls() {
		if call.Action == "RevokeGrant" || call.Action == "RetireGrant" {
			n++
		}
	}
	return n
}

// onlyCause demands that a gate alone blocks a run, with a sentence that says all the words.
func (h *house) onlyCause(run client.Run, gate upgrade.GateName, words ...string) {
	h.Helper()
	if len(run.Causes) != 1 || run.Causes[0].Gate != gate {
		h.Fatalf("run %d is blocked for %+v, want %s alone", run.ID, run.Causes, gate)
	}
	h.tells(run.Causes[0].Message+" "+run.Causes[0].Hint, words)
}

// TestS5WhoElseOwnsIt: two stacks and a foreign state own one grant. A plan that destroys a thing is stopped
// while a state that might have it too cannot be read (S5), and for good when another state has it; one that
// destroys nothing is not held up.
func TestS5WhoElseOwnsIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{provider: true, stacks: []string{"a", "b"}})
	network := h.path("network.tfstate")
	h.states = fmt.Sprintf("  - {name: network, backend: local, config: {path: %q}}\n", network)
	h.gates = h.siteGate() + "  - {name: guard, kind: destroy-guard, environments: [staging], types: [aws_db_instance]}\n"
	h.writeFile(h.path("bin/terraform"))
	key, err := h.aws.AddKey("", "eu-west-2", "machine images", "")
	check(t, err)
	h.write("network.tfstate", "<html>sign in</html>", 0o600)
	h.serve()
	both := h.withGrants("a", key, "shared")
	maps.Copy(both, h.withGrants("b", key, "shared", "own"))
	first := h.pushFiles("both need it", both)
	h.runOnIs("a", first, upgrade.PhaseUnlocked)
	h.runOnIs("b", first, upgrade.PhaseUnlocked)

	unclear := h.runOnIs("b", h.pushFiles("b needs one less", h.withGrants("b", key, "shared")), upgrade.PhaseBlocked)
	h.onlyCause(unclear, "ownership", "network", "aws_kms_grant.own", "not known", "make it readable, and run this again")
	h.cli("state", "list").is(t, exitOK, `STATE +READ +THINGS +ACCOUNT +REGION +PROBLEM\na/staging +20.* UTC +1 +111111111111 +eu-west-2 +-\nb/staging +20.* UTC +2 +111111111111 +eu-west-2 +-\nnetwork +never +0 +- +- +[^\n]+\n`, "")
	h.cli("state", "refresh", "network").is(t, exitError, "", `upgradegate: network could not be read: .*\n`)

	state, err := os.ReadFile(h.path("state", "a.tfstate"))
	check(t, err)
	h.write("network.tfstate", strings.ReplaceAll(string(state), `"name": "shared"`, `"name": "of_the_network"`), 0o600)
	h.cli("state", "refresh", "network").is(t, exitOK, "", `network was read: 1 thing is in it\n`)
	h.cli("state", "refresh", "nothing").is(t, exitError, "", `upgradegate: no state is called nothing\nupgradegate: hint: .*\n`)
	h.act(unclear.ID, client.Act{Name: "retry"})
	h.attemptAfter(unclear, upgrade.PhaseUnlocked)
	if n := h.revoked(); n != 1 {
		t.Fatalf("%d grants were revoked, want the one that nobody else needs", n)
	}

	gone := h.runOnIs("b", h.pushFiles("b needs none", h.withGrants("b", key)), upgrade.PhaseBlocked)
	h.onlyCause(gone, "ownership", "aws_kms_grant.shared, which a/staging also owns", "what stands under Repair")
	h.tells(fmt.Sprint(h.lastOf("ownership", gone.ID).Evidence.Tables), []string{"network", "aws_kms_grant.of_the_network"})
	if n := h.revoked(); n != 1 {
		t.Fatalf("%d grants were revoked: a plan that was stopped was applied", n)
	}
	for _, leak := range []string{"grant_token", "machine images"} {
		if strings.Contains(h.log.String(), leak) {
			t.Errorf("the log tells %s of a state", leak)
		}
	}
}
