package awsprovider

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func TestFill(t *testing.T) {
	open, all := fill{openOnly: true}, fill{}
	for _, tt := range []struct {
		name     string
		f        fill
		was      types.String
		aws      *string
		computed types.String // result for a computed attribute
		argument types.String // result for an argument
	}{
		{"planned_stays", open, types.StringValue("a"), aws.String("b"), types.StringValue("a"), types.StringValue("a")},
		{"open_is_filled", open, types.StringUnknown(), aws.String("b"), types.StringValue("b"), types.StringUnknown()},
		{"refresh_takes_over", all, types.StringValue("a"), aws.String("b"), types.StringValue("b"), types.StringValue("b")},
		{"none_and_empty_are_one", all, types.StringNull(), aws.String(""), types.StringValue(""), types.StringNull()},
		{"empty_and_none_are_one", all, types.StringValue(""), nil, types.StringNull(), types.StringValue("")},
		{"gone", all, types.StringValue("a"), nil, types.StringNull(), types.StringNull()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			computed, argument := tt.was, tt.was
			tt.f.text(&computed, tt.aws)
			tt.f.maybeText(&argument, tt.aws)
			if !computed.Equal(tt.computed) || !argument.Equal(tt.argument) {
				t.Errorf("got %v and %v, want %v and %v", computed, argument, tt.computed, tt.argument)
			}
		})
	}
}

func TestTristate(t *testing.T) {
	for _, tt := range []struct {
		name string
		was  types.String
		aws  *bool
		want types.String
	}{
		{"same_in_other_words", types.StringValue("1"), aws.Bool(true), types.StringValue("1")},
		{"changed", types.StringValue("false"), aws.Bool(true), types.StringValue("true")},
		{"not_said_is_not_false", types.StringNull(), aws.Bool(false), types.StringNull()},
		{"not_said", types.StringNull(), nil, types.StringNull()},
		{"gone", types.StringValue("true"), nil, types.StringNull()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.was
			fill{}.maybeTristate(&got, tt.aws)
			if !got.Equal(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestTags(t *testing.T) {
	c := &clients{defaultTags: map[string]string{"team": "web", "stage": "prod"}}
	tags := func(pairs ...string) types.Map {
		values := map[string]attr.Value{}
		for i := 0; i < len(pairs); i += 2 {
			values[pairs[i]] = types.StringValue(pairs[i+1])
		}
		return types.MapValueMust(types.StringType, values)
	}
	for _, tt := range []struct {
		name     string
		was      types.Map
		has      map[string]string
		own, all types.Map
	}{
		{"none", types.MapNull(types.StringType), nil, types.MapNull(types.StringType), tags()},
		{"amazons_own", types.MapNull(types.StringType), map[string]string{"aws:x": "1"}, types.MapNull(types.StringType), tags()},
		{"default", types.MapNull(types.StringType), map[string]string{"team": "web"}, types.MapNull(types.StringType), tags("team", "web")},
		{"default_named_too", tags("team", "web"), map[string]string{"team": "web"}, tags("team", "web"), tags("team", "web")},
		{"default_changed_outside", types.MapNull(types.StringType), map[string]string{"team": "db"}, tags("team", "db"), tags("team", "db")},
		{"empty_stays_empty", tags(), nil, tags(), tags()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			own, all := tt.was, types.MapNull(types.StringType)
			c.setTags(&own, &all, tt.has)
			if !own.Equal(tt.own) || !all.Equal(tt.all) {
				t.Errorf("got %v and %v, want %v and %v", own, all, tt.own, tt.all)
			}
		})
	}
}

// What is put together of a group's permissions must mean the same when it is taken apart again.
func TestInlineRules(t *testing.T) {
	permissions := []ec2types.IpPermission{
		{
			IpProtocol: aws.String("tcp"), FromPort: aws.Int32(80), ToPort: aws.Int32(80),
			IpRanges:         []ec2types.IpRange{{CidrIp: aws.String("10.0.0.0/8")}, {CidrIp: aws.String("10.0.0.0/9"), Description: aws.String("d")}},
			Ipv6Ranges:       []ec2types.Ipv6Range{{CidrIpv6: aws.String("::/0")}},
			PrefixListIds:    []ec2types.PrefixListId{{PrefixListId: aws.String("pl-1")}},
			UserIdGroupPairs: []ec2types.UserIdGroupPair{{GroupId: aws.String("sg-me")}, {GroupId: aws.String("sg-2")}},
		},
		{IpProtocol: aws.String("-1"), FromPort: aws.Int32(-1), ToPort: aws.Int32(-1), IpRanges: []ec2types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}},
	}
	has := grainsFrom(permissions)
	rules := inlineRules(has, "sg-me")
	if n := len(rules.Elements()); n != 3 {
		t.Errorf("got %d rules, want 3: with a description, without, and for all protocols", n)
	}
	again, err := grainsOf(t.Context(), rules, "sg-me")
	if err != nil {
		t.Fatal(err)
	}
	if len(without(has, again)) > 0 || len(without(again, has)) > 0 {
		t.Errorf("got %v, want %v", again, has)
	}
	if n := len(without(has, nil)); n != 7 {
		t.Errorf("got %d permissions of one source each, want 7", n)
	}
	before := rules
	fill{}.rules(t.Context(), &rules, "sg-me", permissions)
	if !rules.Equal(before) {
		t.Errorf("rules that mean the same were written anew: %v", rules)
	}
}

func TestSameJSON(t *testing.T) {
	for _, tt := range []struct {
		name, a, b string
		want       bool
	}{
		{"spaces_and_order", `{"a":1,"b":[1, 2]}`, `{ "b":[1,2], "a": 1 }`, true},
		{"order_of_lists_counts", `[1,2]`, `[2,1]`, false},
		{"no_json", `x`, `x`, false},
		{"half", `{}`, ``, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := sameJSON(tt.a, tt.b); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestSplitGrantID(t *testing.T) {
	const arn = "arn:aws:kms:eu-west-2:111111111111:key/k"
	for _, tt := range []struct{ name, id, key, grant string }{
		{"bare", "k:g", "k", "g"},
		{"arn", arn + ":g", arn, "g"},
		{"alias", "alias/x:g", "alias/x", "g"},
		{"no_grant", "k:", "", ""},
		{"no_key", ":g", "", ""},
		{"arn_alone", arn, "", ""},
		{"empty", "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, grant, err := splitGrantID(tt.id)
			if key != tt.key || grant != tt.grant || (err == nil) != (tt.key != "") {
				t.Errorf("got %q, %q, %v", key, grant, err)
			}
		})
	}
}

// What can be taken apart is put together again as it was.
func FuzzSplitGrantID(f *testing.F) {
	f.Add("k:g")
	f.Add("arn:aws:kms:eu-west-2:111111111111:key/k:g")
	f.Add("arn:aws:kms:eu-west-2:111111111111:key/k")
	f.Fuzz(func(t *testing.T, id string) {
		key, grant, err := splitGrantID(id)
		if err != nil {
			if !errors.Is(err, errGrantID) {
				t.Errorf("got %v, want an error that says what is expected", err)
			}
			return
		}
		if key == "" || grant == "" || key+":"+grant != id {
			t.Errorf("%q: got %q and %q", id, key, grant)
		}
	})
}

func TestProtocol(t *testing.T) {
	for _, pair := range [][2]string{{"6", "TCP"}, {"-1", "all"}, {"58", "icmpv6"}, {"50", "50"}, {"17", "udp"}, {"1", "icmp"}} {
		if !sameProtocol(pair[0], pair[1]) {
			t.Errorf("%s and %s are not the same", pair[0], pair[1])
		}
	}
	if sameProtocol("6", "udp") {
		t.Error("6 and udp are the same")
	}
}
