package awssim_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
)

func TestNewRefuses(t *testing.T) {
	for name, cfg := range map[string]awssim.Config{
		"no_clock": {},
		"account":  {Clock: upgrade.SystemClock{}, Account: "staging"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := awssim.New(cfg); upgrade.CodeOf(err) != upgrade.CodeInvalid {
				t.Errorf("got %v, want code %s", err, upgrade.CodeInvalid)
			}
		})
	}
}

func TestSignature(t *testing.T) {
	w := newWorld(t, nil)
	for _, tc := range []struct {
		name   string
		spoil  func(*http.Request)
		status int
		code   string
	}{
		{"none", func(r *http.Request) { r.Header.Del("Authorization") }, 403, "MissingAuthenticationToken"},
		{"basic", func(r *http.Request) { r.SetBasicAuth("a", "b") }, 400, "IncompleteSignature"},
		{"no_parts", func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 x") }, 400, "IncompleteSignature"},
		{"no_signature", replace(", Signature=", ", X="), 400, "IncompleteSignature"},
		{"short_scope", replace("/aws4_request", ""), 400, "IncompleteSignature"},
		{"unsorted", replace("host;x-amz-date", "x-amz-date;host"), 400, "IncompleteSignature"},
		{"no_date", func(r *http.Request) { r.Header.Del("X-Amz-Date") }, 400, "IncompleteSignature"},
		{"bad_date", func(r *http.Request) { r.Header.Set("X-Amz-Date", "today") }, 400, "IncompleteSignature"},
		{"other_day", func(r *http.Request) { r.Header.Set("X-Amz-Date", "20200101T000000Z") }, 403, "SignatureDoesNotMatch"},
		{"other_region", replace("eu-west-2", "eu-west-1"), 403, "SignatureDoesNotMatch"},
		{"unknown_key", replace(awssim.DefaultKeyID, "AKIANOBODY"), 403, "InvalidClientTokenId"},
		{"wrong_token", func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "x") }, 403, "InvalidClientTokenId"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := user().request(t, w.url, "sts", "GetCallerIdentity")
			tc.spoil(req)
			if r := send(t, req); r.status != tc.status || r.code != tc.code {
				t.Errorf("got %d %s (%s), want %d %s", r.status, r.code, r.message, tc.status, tc.code)
			}
		})
	}
}

func replace(from, to string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
	}
}

// TestUnknownKeyOfEachService checks that each service refuses a key in its own shape and words.
func TestUnknownKeyOfEachService(t *testing.T) {
	w := newWorld(t, nil)
	nobody := user()
	nobody.id = "AKIANOBODY"
	for service, want := range map[string]struct {
		action, code string
		status       int
	}{
		"sts":         {"GetCallerIdentity", "InvalidClientTokenId", 403},
		"kms":         {"ListKeys", "UnrecognizedClientException", 400},
		"ec2":         {"DescribeVpcs", "AuthFailure", 401},
		"autoscaling": {"DescribeAutoScalingGroups", "InvalidClientTokenId", 403},
	} {
		if r := w.as(t, nobody, service, want.action); r.code != want.code || r.status != want.status {
			t.Errorf("%s: got %d %s, want %d %s", service, r.status, r.code, want.status, want.code)
		}
	}
}

func TestSessionExpires(t *testing.T) {
	w := newWorld(t, nil)
	role := w.assume(t, "arn:aws:iam::111111111111:role/gate", "secret")
	if r := w.as(t, role, "sts", "GetCallerIdentity"); r.text("Arn") != "arn:aws:sts::111111111111:assumed-role/gate/run-1" {
		t.Errorf("got %+v", r)
	}
	stolen := role
	stolen.token = "of another session"
	if r := w.as(t, stolen, "sts", "GetCallerIdentity"); r.code != "InvalidClientTokenId" {
		t.Errorf("with another token: %q, want InvalidClientTokenId", r.code)
	}
	// By the client's clock: the world's may be anywhere.
	w.clock.move(24 * time.Hour)
	if r := w.as(t, role, "sts", "GetCallerIdentity"); r.code != "" {
		t.Errorf("a day of world time later: %s", r.code)
	}
	late := role.request(t, w.url, "sts", "GetCallerIdentity")
	role.sign(late, "sts", []byte("Action=GetCallerIdentity"), time.Now().Add(61*time.Minute))
	if r := send(t, late); r.code != "ExpiredToken" {
		t.Errorf("got %s, want ExpiredToken", r.code)
	}
}

func TestExternalID(t *testing.T) {
	w := newWorld(t, nil)
	for external, want := range map[string]string{"secret": "", "guess": "AccessDenied", "": "AccessDenied"} {
		params := []any{"RoleArn", "arn:aws:iam::111111111111:role/gate", "RoleSessionName", "run-1"}
		if external != "" {
			params = append(params, "ExternalId", external)
		}
		if r := w.ask(t, "sts", "AssumeRole", params...); r.code != want {
			t.Errorf("with %q: got %q, want %q", external, r.code, want)
		}
	}
}

func TestDeniedInEachShape(t *testing.T) {
	w := newWorld(t, nil)
	key, err := w.sim.AddKey("", "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	const me = "arn:aws:iam::111111111111:user/terraform"
	for _, tc := range []struct {
		service, action, code string
		status                int
		params                []any
	}{
		{"sts", "AssumeRole", "AccessDenied", 403, nil},
		{"kms", "ListGrants", "AccessDeniedException", 400, []any{"KeyId", key}},
		{"ec2", "DescribeVpcs", "UnauthorizedOperation", 403, nil},
		{"autoscaling", "DescribeTags", "AccessDenied", 403, nil},
	} {
		t.Run(tc.service, func(t *testing.T) {
			perm := tc.service + ":" + tc.action
			w.sim.Deny(me, perm)
			r := w.ask(t, tc.service, tc.action, tc.params...)
			if r.code != tc.code || r.status != tc.status || !strings.Contains(r.message, "User: "+me+" is not authorized to perform: "+perm) {
				t.Errorf("got %d %s: %s", r.status, r.code, r.message)
			}
			w.sim.Allow(me, perm)
			if r := w.ask(t, tc.service, tc.action, tc.params...); r.status == tc.status && r.code == tc.code {
				t.Errorf("allowed again, but refused: %s", r.message)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		service, action, code string
		status                int
	}{
		{"sts", "GetCallerIdentity", "Throttling", 400},
		{"kms", "ListKeys", "ThrottlingException", 400},
		{"ec2", "DescribeVpcs", "RequestLimitExceeded", 503},
		{"autoscaling", "DescribeTags", "Throttling", 400},
	} {
		t.Run(tc.service, func(t *testing.T) {
			w := newWorld(t, nil)
			w.sim.Inject(tc.service+":"+tc.action, awssim.FaultThrottled, 2)
			for range 2 {
				if r := w.ask(t, tc.service, tc.action); r.code != tc.code || r.status != tc.status {
					t.Errorf("got %d %s, want %d %s", r.status, r.code, tc.status, tc.code)
				}
			}
			w.must(t, tc.service, tc.action)
			w.sim.Inject("*", awssim.FaultUnavailable, 1)
			if r := w.ask(t, tc.service, tc.action); r.status != http.StatusServiceUnavailable {
				t.Errorf("got %d, want 503", r.status)
			}
		})
	}
}

// TestLostAnswer checks that what was asked is done though nobody hears of it.
func TestLostAnswer(t *testing.T) {
	w := newWorld(t, nil)
	w.sim.Inject("ec2:CreateSecurityGroup", awssim.FaultLost, 1)
	params := []any{"GroupName", "ecs", "GroupDescription", "of the cluster"}
	if r := w.ask(t, "ec2", "CreateSecurityGroup", params...); !r.lost {
		t.Errorf("an answer came: %+v", r)
	}
	if r := w.ask(t, "ec2", "CreateSecurityGroup", params...); r.code != "InvalidGroup.Duplicate" {
		t.Errorf("got %q, want InvalidGroup.Duplicate", r.code)
	}
	calls := w.sim.Calls()
	if len(calls) != 2 || !calls[0].Lost || calls[0].Code != "" || calls[1].Code != "InvalidGroup.Duplicate" {
		t.Errorf("calls: %+v", calls)
	}
}

func TestUnknown(t *testing.T) {
	w := newWorld(t, nil)
	for _, tc := range []struct{ service, action, code string }{
		{"kms", "Encrypt", "UnknownOperationException"},
		{"ec2", "RebootInstances", "InvalidAction"},
		{"autoscaling", "LaunchThem", "InvalidAction"},
		{"s3", "ListBuckets", "InvalidAction"},
	} {
		if r := w.ask(t, tc.service, tc.action); r.code != tc.code || r.status != http.StatusBadRequest {
			t.Errorf("%s:%s: got %d %s, want 400 %s", tc.service, tc.action, r.status, r.code, tc.code)
		}
	}
}

func TestOtherVersion(t *testing.T) {
	w := newWorld(t, nil)
	w.must(t, "ec2", "DescribeVpcs", "Version", "2016-11-15")
	if r := w.ask(t, "ec2", "DescribeVpcs", "Version", "2011-01-01"); r.code != "InvalidAction" {
		t.Errorf("got %q, want InvalidAction", r.code)
	}
}

// TestNotModelled checks that a parameter which does nothing is at least reported.
func TestNotModelled(t *testing.T) {
	w := newWorld(t, nil)
	w.must(t, "ec2", "DescribeVpcs", "Colour.1", "red")
	calls := w.sim.Calls()
	if got := calls[len(calls)-1].Unread; len(got) != 1 || got[0] != "Colour.1" {
		t.Errorf("got %v, want [Colour.1]", got)
	}
}

func TestSecretsAreNotLogged(t *testing.T) {
	w := newWorld(t, nil)
	w.assume(t, "arn:aws:iam::111111111111:role/gate", "secret")
	for _, call := range w.sim.Calls() {
		for name, v := range call.Params {
			if v == "secret" {
				t.Errorf("%s is in the log of calls", name)
			}
		}
	}
}

// TestAccountsAreApart checks that a role of another account sees that account's things.
func TestAccountsAreApart(t *testing.T) {
	w := newWorld(t, nil)
	const production = "arn:aws:iam::222222222222:role/gate"
	w.sim.AddRole(awssim.Role{ARN: production})
	other := w.assume(t, production, "")
	mine := w.must(t, "ec2", "DescribeVpcs").text("vpcId")
	theirs := w.as(t, other, "ec2", "DescribeVpcs").text("vpcId")
	if mine == "" || theirs == "" || mine == theirs {
		t.Errorf("VPCs: %q and %q", mine, theirs)
	}
	if r := w.as(t, other, "ec2", "DescribeSubnets", "SubnetId.1", w.sim.Network("", "").Subnets[0]); r.code != "InvalidSubnetID.NotFound" {
		t.Errorf("got %q, want InvalidSubnetID.NotFound", r.code)
	}
	if w.sim.Network("222222222222", "").VPC != theirs {
		t.Error("Network returns another VPC than the account sees")
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t, func(cfg *awssim.Config) { cfg.PageSize = 2 })
	seen, token := map[string]bool{}, ""
	for range 2 {
		params := []any{}
		if token != "" {
			params = append(params, "NextToken", token)
		}
		r := w.must(t, "ec2", "DescribeSubnets", params...)
		for _, s := range r.doc.all("subnetId") {
			seen[s.Text] = true
		}
		token = r.text("nextToken")
	}
	if len(seen) != 3 || token != "" {
		t.Errorf("saw %d subnets, then %q", len(seen), token)
	}
	for _, bad := range []string{"x", "cGFnZTotMQ"} {
		if r := w.ask(t, "ec2", "DescribeSubnets", "NextToken", bad); r.code != "InvalidNextToken" {
			t.Errorf("token %q: got %q, want InvalidNextToken", bad, r.code)
		}
	}
}

func TestSecurityGroupsAreAnnounced(t *testing.T) {
	w := newWorld(t, nil)
	changed := w.sim.Changed()
	w.must(t, "ec2", "DescribeSecurityGroups")
	select {
	case <-changed:
		t.Error("announced without a change")
	default:
	}
	id := w.must(t, "ec2", "CreateSecurityGroup", "GroupName", "varnish", "GroupDescription", "in front").text("groupId")
	<-changed
	changed = w.sim.Changed()
	w.must(t, "ec2", "AuthorizeSecurityGroupIngress", "GroupId", id, "IpPermissions.1.IpProtocol", "tcp", "IpPermissions.1.FromPort", "6081",
		"IpPermissions.1.ToPort", "6081", "IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8")
	<-changed
	for _, g := range w.sim.SecurityGroups() {
		if g.ID != id {
			continue
		}
		if len(g.Rules) != 2 || g.Rules[1].Egress || g.Rules[1].From != 6081 || g.Rules[1].CIDR != "10.0.0.0/8" || g.Name != "varnish" {
			t.Errorf("got %+v", g)
		}
		return
	}
	t.Error("the group is not there")
}

// TestAtTheSameTime lets many clients loose, for the race detector.
func TestAtTheSameTime(t *testing.T) {
	w := newWorld(t, nil)
	c := w.cluster(t, w.sim.AddImage(awssim.Image{}), 2)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for range 20 {
				c.desire(t, n%4)
				w.clock.move(time.Second)
				_ = c.states(t)
				_, _ = w.sim.SecurityGroups(), w.sim.Instances()
				_, _ = w.sim.Calls(), w.sim.Changed()
			}
		})
	}
	all.Wait()
	c.desire(t, 3)
	w.clock.move(10 * time.Minute)
	if got := c.states(t); got != "InService InService InService" {
		t.Errorf("got %s", got)
	}
}
