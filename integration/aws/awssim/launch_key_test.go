package awssim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
)

// TestWhoMayLaunch is the table of ways in which a key is, or is not, there for the group's role.
func TestWhoMayLaunch(t *testing.T) {
	const statement = `{"Statement":[{"Effect":"Allow","Action":"kms:*","Principal":{"AWS":"arn:aws:iam::111111111111:root"}},%s]}`
	const slr = "arn:aws:iam::111111111111:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
	use := `{"Effect":"Allow","Principal":{"AWS":"` + slr + `"},"Resource":"*","Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*","kms:GenerateDataKey*","kms:DescribeKey"]}`
	attach := `{"Effect":"Allow","Principal":{"AWS":"` + slr + `"},"Resource":"*","Action":"kms:CreateGrant","Condition":{"Bool":{"kms:GrantIsForAWSResource":%s}}}`
	for _, tc := range []struct {
		name   string
		policy string
		grants [][]string // operations of each
		want   string
	}{
		{"root_statement_alone", "", nil, "Cancelled"},
		{"grant", "", [][]string{ebs()}, "Successful"},
		{"two_halves", "", [][]string{ebs()[:3], ebs()[3:]}, "Successful"},
		{"one_operation_short", "", [][]string{ebs()[1:]}, "Cancelled"},
		{"policy", fmt.Sprintf(statement, use+","+fmt.Sprintf(attach, "true")), nil, "Successful"},
		{"policy_bare_words", fmt.Sprintf(statement, use+","+fmt.Sprintf(attach, `["True"]`)), nil, "Successful"},
		{"policy_without_attach", fmt.Sprintf(statement, use), nil, "Cancelled"},
		{"policy_not_for_resources", fmt.Sprintf(statement, use+","+fmt.Sprintf(attach, `"false"`)), nil, "Cancelled"},
		{"policy_and_grant", fmt.Sprintf(statement, use), [][]string{{"CreateGrant"}}, "Successful"},
		{"denied", fmt.Sprintf(statement, `{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt"}`), [][]string{ebs()}, "Cancelled"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, nil)
			key, err := w.sim.AddKey("", "", "", tc.policy)
			if err != nil {
				t.Fatal(err)
			}
			for _, operations := range tc.grants {
				if _, err := w.sim.AddGrant(key, "", slr, operations...); err != nil {
					t.Fatal(err)
				}
			}
			c := w.cluster(t, w.sim.AddImage(awssim.Image{KeyARN: key}), 1)
			w.clock.move(time.Minute)
			if all, messages := c.activities(t); all[0] != tc.want {
				t.Errorf("got %v %v, want %s", all, messages, tc.want)
			}
		})
	}
}

// TestConstrainedGrant checks that a grant which is bound to an encryption context is none for EBS, whose own
// context is the volume's id.
func TestConstrainedGrant(t *testing.T) {
	w := newWorld(t, func(cfg *awssim.Config) { cfg.Timing.GrantDelay = -1 })
	key, err := w.sim.AddKey("", "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	w.must(t, "kms", "CreateGrant", "KeyId", key, "GranteePrincipal", w.sim.ServiceLinkedRole(""), "Operations", ebs(),
		"Constraints", map[string]any{"EncryptionContextSubset": map[string]string{"app": "web"}})
	c := w.cluster(t, w.sim.AddImage(awssim.Image{KeyARN: key}), 1)
	w.clock.move(time.Minute)
	if all, _ := c.activities(t); all[0] != "Cancelled" {
		t.Errorf("got %v, want Cancelled", all)
	}
}

// TestRemovedRole checks that the grants of a role do not outlive it, though they are listed.
func TestRemovedRole(t *testing.T) {
	w := newWorld(t, nil)
	vars := w.encrypted(t)
	role := w.sim.AddServiceLinkedRole("", "web")
	if _, err := w.sim.AddGrant(vars["KEY"], "", role, ebs()...); err != nil {
		t.Fatal(err)
	}
	w.sim.RemoveRole(role)
	if got := w.must(t, "kms", "ListGrants", "KeyId", vars["KEY"]).body["Grants"].([]any)[1].(map[string]any)["GranteePrincipal"].(string); !strings.HasPrefix(got, "AROA") {
		t.Errorf("the grantee is %s, want AROA…", got)
	}
	w.sim.AddServiceLinkedRole("", "web")
	c := w.cluster(t, vars["AMI"], 1, "ServiceLinkedRoleARN", role)
	w.clock.move(time.Minute)
	if all, _ := c.activities(t); all[0] != "Cancelled" {
		t.Errorf("a new role of the same name has the old one's grant: %v", all)
	}
}

// TestWhichKeys checks that a launch needs every key there is: of the snapshot, of the template's
// mapping, of the account's default.
func TestWhichKeys(t *testing.T) {
	mapping := []any{"LaunchTemplateData.BlockDeviceMapping.1.DeviceName", "/dev/xvda", "LaunchTemplateData.BlockDeviceMapping.1.Ebs.Encrypted", "true"}
	for _, tc := range []struct {
		name            string
		image, template bool // encrypted with the key
		byDefault       bool
		want            string
	}{
		{"nothing_encrypted", false, false, false, "Successful"},
		{"image", true, false, false, "Cancelled"},
		{"template", false, true, false, "Cancelled"},
		{"default", false, false, true, "Cancelled"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, nil)
			key, err := w.sim.AddKey("", "", "", "")
			if err != nil {
				t.Fatal(err)
			}
			add := awssim.Image{}
			if tc.image {
				add.KeyARN = key
			}
			if tc.byDefault {
				w.sim.DefaultKey("", "", key, true)
			}
			c := w.cluster(t, w.sim.AddImage(add), 0)
			params := []any{"LaunchTemplateId", c.template, "SourceVersion", "1"}
			params = append(params, mapping...)
			if tc.template {
				params = append(params, "LaunchTemplateData.BlockDeviceMapping.1.Ebs.KmsKeyId", key)
				w.must(t, "ec2", "CreateLaunchTemplateVersion", params...)
			}
			c.desire(t, 1)
			w.clock.move(time.Minute)
			if all, messages := c.activities(t); all[0] != tc.want {
				t.Errorf("got %v %v, want %s", all, messages, tc.want)
			}
		})
	}
	t.Run("aws_managed", func(t *testing.T) {
		w := newWorld(t, nil)
		w.sim.DefaultKey("", "", "", true)
		c := w.cluster(t, w.sim.AddImage(awssim.Image{}), 1)
		w.clock.move(time.Minute)
		if all, messages := c.activities(t); all[0] != "Successful" {
			t.Errorf("got %v %v: the key aws/ebs needs no permission", all, messages)
		}
	})
	t.Run("disabled", func(t *testing.T) {
		w := newWorld(t, nil)
		vars := w.encrypted(t)
		w.must(t, "kms", "DisableKey", "KeyId", vars["KEY"])
		c := w.cluster(t, vars["AMI"], 1)
		w.clock.move(time.Minute)
		if _, messages := c.activities(t); !strings.HasSuffix(messages[0], "Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state") {
			t.Errorf("got %v", messages)
		}
	})
}

// TestKeyOfAnotherAccount is the shared key: only a principal of the group's account can grant its role.
func TestKeyOfAnotherAccount(t *testing.T) {
	const shared = "999999999999"
	w := newWorld(t, func(cfg *awssim.Config) { cfg.Timing.GrantDelay = -1 })
	closed, err := w.sim.AddKey(shared, "", "of all accounts", "")
	if err != nil {
		t.Fatal(err)
	}
	if r := w.ask(t, "kms", "DescribeKey", "KeyId", closed); r.code != "AccessDeniedException" {
		t.Errorf("a key that is not shared: %q, want AccessDeniedException", r.code)
	}
	open, err := w.sim.AddKey(shared, "", "of all accounts", `{"Statement":[{"Effect":"Allow","Action":"kms:*","Principal":{"AWS":["arn:aws:iam::999999999999:root","111111111111"]}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if r := w.ask(t, "kms", "GetKeyPolicy", "KeyId", open); r.code != "AccessDeniedException" {
		t.Errorf("GetKeyPolicy across accounts: %q, want AccessDeniedException", r.code)
	}
	w.must(t, "kms", "ListGrants", "KeyId", open)
	c := w.cluster(t, w.sim.AddImage(awssim.Image{Account: shared, KeyARN: open, Shared: []string{"111111111111"}}), 1)
	w.clock.move(time.Minute)
	if all, _ := c.activities(t); all[0] != "Cancelled" {
		t.Errorf("shared with the account, not with its role: %v", all)
	}
	w.must(t, "kms", "CreateGrant", "KeyId", open, "GranteePrincipal", w.sim.ServiceLinkedRole(""), "Operations", ebs())
	w.clock.move(10 * time.Minute)
	if got := c.states(t); got != "InService" {
		t.Errorf("with a grant: %s", got)
	}
}

func TestRoleWithSuffix(t *testing.T) {
	w := newWorld(t, nil)
	vars := w.encrypted(t) // granted to the role without a suffix
	role := w.sim.AddServiceLinkedRole("", "moodle")
	c := w.cluster(t, vars["AMI"], 1, "ServiceLinkedRoleARN", role)
	w.clock.move(time.Minute)
	if all, _ := c.activities(t); all[0] != "Cancelled" {
		t.Errorf("with the default role's grant: %v", all)
	}
	if _, err := w.sim.AddGrant(vars["KEY"], "", role, ebs()...); err != nil {
		t.Fatal(err)
	}
	w.clock.move(10 * time.Minute)
	if got := c.states(t); got != "InService" {
		t.Errorf("with its own: %s", got)
	}
}
