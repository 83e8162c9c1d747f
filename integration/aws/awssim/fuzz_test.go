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
		if allow, deny := p.judge(who, "111111111111", "Decrypt", nil); deny && (allow.direct || allow.account) {
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
