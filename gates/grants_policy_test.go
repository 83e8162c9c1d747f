package gates

import (
	"strings"
	"testing"
)

const (
	testRole = "arn:aws:iam::111111111111:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
	testKey  = "arn:aws:kms:eu-west-2:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab"
)

func TestPolicyRules(t *testing.T) {
	role := `"Principal":{"AWS":["arn:aws:iam::111111111111:user/x","` + testRole + `"]}`
	root := `"Principal":{"AWS":"arn:aws:iam::111111111111:root"}`
	all, every := `"Action":"kms:*"`, `"Resource":"*"`
	allow := func(parts ...string) string { return `{"Effect":"Allow",` + strings.Join(parts, ",") + `}` }
	deny := func(parts ...string) string { return `{"Sid":"No","Effect":"Deny",` + strings.Join(parts, ",") + `}` }
	when := func(operator, key, value string) string {
		return `"Condition":{"` + operator + `":{"` + key + `":` + value + `}}`
	}
	tests := []struct {
		name       string
		statements string
		op         string
		allow      tri
		deny       tri
		condition  string
	}{
		{"role", allow(role, all, every), "Decrypt", yes, no, ""},
		{"account_leaves_it_to_iam", allow(root, all, every), "Decrypt", no, no, ""},
		{"account_as_number", allow(`"Principal":{"AWS":"111111111111"}`, all, every), "Decrypt", no, no, ""},
		{"somebody_else", allow(`"Principal":{"AWS":"arn:aws:iam::111111111111:role/x"}`, all, every), "Decrypt", no, no, ""},
		{"service", allow(`"Principal":{"Service":"ec2.amazonaws.com"}`, all, every), "Decrypt", no, no, ""},
		{"everybody", allow(`"Principal":"*"`, all, every), "Decrypt", yes, no, ""},
		{"everybody_of_aws", allow(`"Principal":{"AWS":"*"}`, all, every), "Decrypt", yes, no, ""},
		{"one_statement_bare", "BARE" + allow(role, all, every), "Decrypt", yes, no, ""},
		{"wildcard", allow(role, `"Action":["kms:ReEncrypt*","kms:GenerateDataKey*"]`, every), "ReEncryptTo", yes, no, ""},
		{"wildcard_of_others", allow(role, `"Action":["kms:ReEncrypt*"]`, every), "Decrypt", no, no, ""},
		{"question_mark", allow(role, `"Action":"KMS:decryp?"`, every), "Decrypt", yes, no, ""},
		{"all_but", allow(role, `"NotAction":"kms:Decrypt"`, every), "ReEncryptTo", yes, no, ""},
		{"all_but_this", allow(role, `"NotAction":"kms:Decrypt"`, every), "Decrypt", no, no, ""},
		{"no_resource", allow(role, all), "Decrypt", no, no, ""},
		{"no_action", allow(role, every), "Decrypt", no, no, ""},
		{"another_key", allow(role, all, `"Resource":"arn:aws:kms:eu-west-2:111111111111:key/other"`), "Decrypt", no, no, ""},
		{"not_another_key", allow(role, all, `"NotResource":"arn:aws:kms:eu-west-2:111111111111:key/other"`), "Decrypt", yes, no, ""},
		{"denied", allow(role, all, every) + "," + deny(role, all, every), "Decrypt", yes, yes, ""},
		{"denied_to_account", allow(role, all, every) + "," + deny(root, `"Action":"kms:Decrypt"`, every), "Decrypt", yes, yes, ""},
		{"denied_something_else", allow(role, all, every) + "," + deny(root, `"Action":"kms:ScheduleKeyDeletion"`, every), "Decrypt", yes, no, ""},
		{"denied_to_all_but_role", deny(`"NotPrincipal":{"AWS":"`+testRole+`"}`, all, every), "Decrypt", no, no, ""},
		{"denied_to_all_but_another", deny(`"NotPrincipal":{"AWS":"arn:aws:iam::111111111111:role/x"}`, all, every), "Decrypt", no, yes, ""},
		{"denied_to_all_but_account", deny(`"NotPrincipal":{"AWS":"arn:aws:iam::111111111111:root"}`, all, every), "Decrypt", no, unclear, ""},
		{"allowed_to_all_but_another", allow(`"NotPrincipal":{"AWS":"arn:aws:iam::111111111111:role/x"}`, all, every), "Decrypt", unclear, no, ""},
		{"for_resource", allow(role, all, every, when("Bool", "kms:GrantIsForAWSResource", "true")), "CreateGrant", yes, no, ""},
		{"for_resource_as_text", allow(role, all, every, when("Bool", "kms:GrantIsForAWSResource", `["true"]`)), "CreateGrant", yes, no, ""},
		{"for_resource_is_no_fact_of_decrypt", allow(role, all, every, when("Bool", "kms:GrantIsForAWSResource", "true")), "Decrypt", no, no, ""},
		{"for_resource_if_there", allow(role, all, every, when("BoolIfExists", "kms:GrantIsForAWSResource", "true")), "Decrypt", yes, no, ""},
		{"not_for_resource", deny(`"Principal":"*"`, all, every, when("Bool", "kms:GrantIsForAWSResource", "false")), "CreateGrant", no, no, ""},
		{"via_ec2", allow(role, all, every, when("StringEquals", "kms:ViaService", `"ec2.eu-west-2.amazonaws.com"`)), "Decrypt", yes, no, ""},
		{"via_ec2_anywhere", allow(role, all, every, when("StringLike", "KMS:viaservice", `["rds.*","ec2.*.amazonaws.com"]`)), "Decrypt", yes, no, ""},
		{"via_rds", allow(role, all, every, when("StringEquals", "kms:ViaService", `"rds.eu-west-2.amazonaws.com"`)), "Decrypt", no, no, ""},
		{"caller_account", allow(`"Principal":"*"`, all, every, when("StringEquals", "kms:CallerAccount", `"111111111111"`)), "Decrypt", yes, no, ""},
		{"other_account", allow(`"Principal":"*"`, all, every, when("StringEquals", "kms:CallerAccount", `"222222222222"`)), "Decrypt", no, no, ""},
		{"by_arn", allow(`"Principal":"*"`, all, every, when("ArnLike", "aws:PrincipalArn", `"arn:aws:iam::*:role/aws-service-role/*"`)), "Decrypt", yes, no, ""},
		{"denied_to_others", deny(`"Principal":"*"`, all, every, when("StringNotLike", "aws:PrincipalArn", `"*AWSServiceRoleForAutoScaling"`)), "Decrypt", no, no, ""},
		{"absent_key", allow(role, all, every, when("Null", "kms:GrantIsForAWSResource", `"true"`)), "Decrypt", yes, no, ""},
		{"unheard_of_condition", allow(role, all, every, when("StringEquals", "aws:PrincipalOrgID", `"o-1"`)), "Decrypt", unclear, no, "aws:PrincipalOrgID"},
		{"unheard_of_operator", allow(role, all, every, when("ForAllValues:StringEquals", "kms:CallerAccount", `"1"`)), "Decrypt", unclear, no, "kms:CallerAccount"},
		{"variable", allow(role, all, every, when("StringEquals", "aws:PrincipalArn", `"${aws:x}"`)), "Decrypt", unclear, no, "aws:PrincipalArn"},
		{"no_beats_unclear", allow(role, all, every, `"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1","kms:CallerAccount":"2"}}`), "Decrypt", no, no, ""},
		{"yes_beats_unclear", allow(role, all, every, when("IpAddress", "aws:SourceIp", `"10.0.0.0/8"`)) + "," + allow(role, all, every), "Decrypt", yes, no, ""},
		{"unclear_denial", allow(role, all, every) + "," + deny(root, all, every, when("StringNotEquals", "aws:SourceVpce", `"vpce-1"`)), "Decrypt", yes, unclear, "aws:SourceVpce"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := `{"Version":"2012-10-17","Statement":[` + test.statements + `]}`
			if bare, ok := strings.CutPrefix(test.statements, "BARE"); ok {
				text = `{"Statement":` + bare + `}`
			}
			p, err := readPolicy(text)
			if err != nil {
				t.Fatal(err)
			}
			got := p.rules(caller{role: testRole, account: "111111111111", ec2: "ec2.eu-west-2.amazonaws.com"}, testKey, test.op)
			if got.allow != test.allow || got.deny != test.deny || got.condition != test.condition {
				t.Errorf("got %+v, want allow %d, deny %d, condition %q", got, test.allow, test.deny, test.condition)
			}
		})
	}
}

func TestGlobbed(t *testing.T) {
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true},
		{"", "", true},
		{"", "a", false},
		{"a*c", "abbc", true},
		{"a*c", "abcb", false},
		{"*a*b*", "xxaxxbxx", true},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"**", "x", true},
		{"[a]", "a", false},
	} {
		if got := globbed(test.pattern, test.text); got != test.want {
			t.Errorf("%q on %q: got %t", test.pattern, test.text, got)
		}
	}
}

// FuzzReadPolicy: a policy that somebody else wrote is read or refused, gives the same answer each time, and
// never more to one who is denied everything.
func FuzzReadPolicy(f *testing.F) {
	f.Add(`{"Statement":{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"Bool":{"kms:GrantIsForAWSResource":true}}}}`)
	f.Add(`{"Statement":[{"Effect":"Deny","NotPrincipal":{"AWS":["1"]},"NotAction":["kms:*"],"NotResource":"*"}]}`)
	f.Add(`{"Statement":[{"Effect":"Allow","Principal":{"AWS":"` + testRole + `"},"Action":["kms:Re?ncrypt*"],"Resource":"*"}]}`)
	f.Add(`{"Statement":[null,{}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := readPolicy(text)
		if err != nil {
			return
		}
		who := caller{role: testRole, account: "111111111111", ec2: "ec2.eu-west-2.amazonaws.com"}
		got := p.rules(who, testKey, "CreateGrant")
		if again := p.rules(who, testKey, "CreateGrant"); got != again {
			t.Errorf("got %+v, then %+v", got, again)
		}
		p.Statement = append(p.Statement, statement{Effect: "Deny", Principal: principals{"*"}, Action: texts{"*"}, Resource: texts{"*"}})
		if denied := p.rules(who, testKey, "CreateGrant"); denied.deny != yes {
			t.Errorf("with a denial of everything: %+v", denied)
		}
	})
}
