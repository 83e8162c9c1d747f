package awssim

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

func FuzzParseAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKIA/20250613/eu-west-2/kms/aws4_request, SignedHeaders=host;x-amz-date, Signature=00ff")
	f.Add("AWS4-HMAC-SHA256 Credential=AKIA/20250613//kms/aws4_request,SignedHeaders=host,Signature=0")
	f.Add("Basic YTpi")
	f.Fuzz(func(t *testing.T, header string) {
		sig, err := parseAuthorization(header)
		if err != nil {
			return
		}
		if sig.key == "" || sig.service == "" || sig.region == "" || sig.value == "" || !slices.Contains(sig.headers, "host") {
			t.Errorf("accepted %q as %+v", header, sig)
		}
	})
}

// FuzzParseTree checks that every parameter can be found again, or is named as unread.
func FuzzParseTree(f *testing.F) {
	f.Add("Action=DescribeVpcs&Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-1&Filter.2.Name=state")
	f.Add("Tags.member.1.Key=a&Tags.member.1.Value=b&Tags.member.01.Key=c")
	f.Add("a=1&a.b=2&a..b=3&.=4")
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		root, err := parseTree(values)
		if err != nil {
			return
		}
		unread := root.clone().unread()
		for name := range values {
			at := root
			for part := range strings.SplitSeq(name, ".") {
				if part != "member" {
					at = at.at(part)
				}
			}
			if !at.set {
				t.Errorf("%q is lost", name)
			}
		}
		if len(values) > 0 && len(unread) == 0 && !root.set {
			t.Errorf("nothing of %q is reported as unread", query)
		}
		_ = dataNode("x", root).document()
		_ = root.items("Filter")
	})
}

func FuzzParsePolicy(f *testing.F) {
	f.Add(defaultKeyPolicy("111111111111"))
	f.Add(`{"Statement":[{"Effect":"Deny","Principal":"*","NotAction":"kms:Describe*","Condition":{"Bool":{"x":true}}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePolicy(text)
		if err != nil {
			return
		}
		who := identity{ARN: "arn:aws:iam::111111111111:role/r", Principal: "arn:aws:iam::111111111111:role/r", Account: "111111111111"}
		if allow, deny := p.judge(who, "Decrypt", nil); deny && (allow.direct || allow.account) {
			t.Errorf("%s both allows and denies", text)
		}
	})
}

func TestWild(t *testing.T) {
	for _, tc := range []struct {
		pattern, v string
		want       bool
	}{
		{"ecs-*", "ecs-2025/06", true},
		{"*", "", true},
		{"kms:ReEncrypt*", "kms:ReEncryptTo", true},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"[a]", "a", false},
		{"[a]*", "[a]b", true},
		{"ab", "abc", false},
	} {
		if got := wild(tc.pattern, tc.v); got != tc.want {
			t.Errorf("wild(%q, %q) = %t, want %t", tc.pattern, tc.v, got, tc.want)
		}
	}
}

// FuzzParseIdentityPolicy checks that whatever is accepted can be judged, and that a denial of everything
// denies everything.
func FuzzParseIdentityPolicy(f *testing.F) {
	f.Add(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ec2:*","Resource":"*","Condition":{"Bool":{"ec2:IsLaunchTemplateResource":true}}}}`)
	f.Add(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","NotAction":["kms:List*"],"NotResource":["arn:aws:kms:*:1:key/*"],"Condition":{"ForAllValues:StringLikeIfExists":{"aws:TagKeys":["gate:*"]}}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseIdentityPolicy(text)
		if err != nil {
			return
		}
		all, err := parseIdentityPolicy(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`)
		if err != nil {
			t.Fatal(err)
		}
		who := identity{Principal: "arn:aws:iam::111111111111:role/r"}
		w := &world{policies: map[string][]identityPolicy{who.Principal: {p}}}
		a := access{"ec2:RunInstances", "arn:aws:ec2:eu-west-2:111111111111:instance/*", facts{"aws:tagkeys": {"gate:run"}}}
		_ = w.judge(who, a)
		w.policies[who.Principal] = append(w.policies[who.Principal], all)
		if got := w.judge(who, a); got != forbidden {
			t.Errorf("with everything denied: %d", got)
		}
	})
}

func FuzzParseContainerFilter(f *testing.F) {
	f.Add("ec2InstanceId in [i-1, i-2] and agentConnected == true")
	f.Add("ec2InstanceId != i-1")
	f.Fuzz(func(t *testing.T, text string) {
		tests, err := parseContainerFilter(text)
		if err != nil {
			return
		}
		for _, one := range tests {
			if one.attribute == "" || len(one.values) == 0 || slices.Contains(one.values, "") {
				t.Errorf("%q became %+v", text, one)
			}
		}
		if len(tests) == 0 && strings.TrimSpace(text) != "" {
			t.Errorf("%q asks nothing", text)
		}
	})
}
