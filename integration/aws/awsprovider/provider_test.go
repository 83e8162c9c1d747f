package awsprovider

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/upgradegate/upgradegate/upgrade"
)

func TestSchema(t *testing.T) {
	server := providerserver.NewProtocol6(newProvider(upgrade.SystemClock{}, func(string) string { return "" }))()
	got, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range got.Diagnostics {
		t.Errorf("schema: %s: %s", d.Summary, d.Detail)
	}
	attributes := func(s *tfprotov6.Schema, is func(*tfprotov6.SchemaAttribute) bool) string {
		var names []string
		for _, a := range s.Block.Attributes {
			if is(a) {
				names = append(names, a.Name)
			}
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	required := func(a *tfprotov6.SchemaAttribute) bool { return a.Required }
	given := func(a *tfprotov6.SchemaAttribute) bool { return a.Computed && !a.Optional }
	for kind, want := range map[string]struct{ required, given string }{
		"aws_autoscaling_group":               {"max_size min_size", "arn id"},
		"aws_kms_grant":                       {"grantee_principal key_id operations", "grant_id grant_token id"},
		"aws_kms_key":                         {"", "arn id key_id tags_all"},
		"aws_launch_template":                 {"", "arn id latest_version tags_all"},
		"aws_security_group":                  {"", "arn id owner_id tags_all"},
		"aws_vpc_security_group_egress_rule":  {"ip_protocol security_group_id", "arn id security_group_rule_id tags_all"},
		"aws_vpc_security_group_ingress_rule": {"ip_protocol security_group_id", "arn id security_group_rule_id tags_all"},
	} {
		s := got.ResourceSchemas[kind]
		if s == nil {
			t.Errorf("%s is missing", kind)
			continue
		}
		if r := attributes(s, required); r != want.required {
			t.Errorf("required of %s: got %q, want %q", kind, r, want.required)
		}
		if g := attributes(s, given); g != want.given {
			t.Errorf("computed of %s: got %q, want %q", kind, g, want.given)
		}
	}
	for _, kind := range []string{"aws_ami", "aws_caller_identity"} {
		if got.DataSourceSchemas[kind] == nil {
			t.Errorf("data %s is missing", kind)
		}
	}
}

func TestConfigure(t *testing.T) {
	const keys = "AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=s "
	for _, tt := range []struct {
		name, environment string
		block             map[string]string
		want              string // in the error; empty: none
	}{
		{"nothing", "", nil, `"region" must be set`},
		{"no_endpoint", keys + "AWS_REGION=eu-west-2", nil, "no endpoint for ec2"},
		{"no_credentials", "AWS_REGION=eu-west-2 UPGRADEGATE_SIM_AWS=http://x", nil, "AWS_ACCESS_KEY_ID"},
		{"real_account", keys + "AWS_REGION=eu-west-2 AWS_ENDPOINT_URL=https://ec2.eu-west-2.AmazonAWS.com", nil, "refuses a real account"},
		{"real_account_in_one_service", keys + "AWS_REGION=eu-west-2 UPGRADEGATE_SIM_AWS=http://x AWS_ENDPOINT_URL_KMS=https://kms.amazonaws.com", nil, "refuses a real account"},
		{"environment", keys + "AWS_DEFAULT_REGION=eu-west-2 AWS_ENDPOINT_URL=http://x", nil, ""},
		{"block", "", map[string]string{"region": "eu-west-2", "access_key": "a", "secret_key": "s", "endpoint": "http://x"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			environ := map[string]string{}
			for line := range strings.FieldsSeq(tt.environment) {
				name, value, _ := strings.Cut(line, "=")
				environ[name] = value
			}
			server := providerserver.NewProtocol6(newProvider(upgrade.SystemClock{}, func(name string) string { return environ[name] }))()
			got, err := server.ConfigureProvider(t.Context(), &tfprotov6.ConfigureProviderRequest{Config: providerBlock(t, server, tt.block)})
			if err != nil {
				t.Fatal(err)
			}
			var said []string
			for _, d := range got.Diagnostics {
				said = append(said, d.Summary+": "+d.Detail)
			}
			all := strings.Join(said, "\n")
			if tt.want == "" && all != "" || !strings.Contains(all, tt.want) {
				t.Errorf("got %q, want %q", all, tt.want)
			}
		})
	}
}

// providerBlock is a provider block with the given arguments, that does not ask STS.
func providerBlock(t *testing.T, server tfprotov6.ProviderServer, arguments map[string]string) *tfprotov6.DynamicValue {
	t.Helper()
	described, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	object, ok := described.Provider.ValueType().(tftypes.Object)
	if !ok {
		t.Fatal("the provider block is no object")
	}
	values := map[string]tftypes.Value{}
	for name, kind := range object.AttributeTypes {
		values[name] = tftypes.NewValue(kind, nil)
		switch {
		case kind.Is(tftypes.List{}) || kind.Is(tftypes.Set{}):
			values[name] = tftypes.NewValue(kind, []tftypes.Value{})
		case name == "skip_requesting_account_id":
			values[name] = tftypes.NewValue(kind, true)
		case arguments[name] != "":
			values[name] = tftypes.NewValue(kind, arguments[name])
		}
	}
	value, err := tfprotov6.NewDynamicValue(object, tftypes.NewValue(object, values))
	if err != nil {
		t.Fatal(err)
	}
	return &value
}

func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &clients{clock: upgrade.SystemClock{}}
		tries := 0
		err := c.poll(t.Context(), time.Second, 10*time.Second, "deletion", func(context.Context) (bool, error) {
			tries++
			return false, nil
		})
		if err == nil || err.Error() != "deletion took longer than 10s" || tries != 11 {
			t.Errorf("got %v after %d tries", err, tries)
		}
		broken := errors.New("broken")
		if err := c.poll(t.Context(), time.Second, time.Minute, "x", func(context.Context) (bool, error) { return false, broken }); !errors.Is(err, broken) {
			t.Errorf("got %v, want the error of what is tried", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := c.poll(ctx, time.Second, time.Minute, "x", func(context.Context) (bool, error) { return false, nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of the context", err)
		}
	})
}

func TestWaitOrphaned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		parent := func() int {
			if time.Since(start) < time.Minute {
				return 7
			}
			return 1
		}
		waitOrphaned(t.Context(), upgrade.SystemClock{}, parent)
		if took := time.Since(start); took < time.Minute || took > time.Minute+time.Second {
			t.Errorf("returned after %s, want right after the minute", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		waitOrphaned(ctx, upgrade.SystemClock{}, parent)
	})
}

func TestNamePrefix(t *testing.T) {
	c := &clients{clock: upgrade.SystemClock{}}
	if got := c.name("", "web-"); namePrefix(got) != "web-" {
		t.Errorf("prefix of %s: got %q, want web-", got, namePrefix(got))
	}
	if got := c.name("", ""); namePrefix(got) != "terraform-" {
		t.Errorf("prefix of %s: got %q, want terraform-", got, namePrefix(got))
	}
	if got := c.name("web", ""); got != "web" {
		t.Errorf("name: got %s, want web", got)
	}
	for _, name := range []string{"", "web", "web-2025010112000000000000000g", "web-a0250101120000000000000000"} {
		if got := namePrefix(name); got != "" {
			t.Errorf("prefix of %q: got %q, want none", name, got)
		}
	}
}
