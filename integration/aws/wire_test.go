package aws_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/integration/aws"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// answer is what a service sends to one question.
type answer struct {
	status int // 0: 200
	body   string
}

// documented returns a client of an AWS that sends the given answers, per operation in turn, and the last one
// for ever: for what AWS documents and the simulator does not do.
func documented(t *testing.T, answers map[string][]answer, log *slog.Logger) (c *aws.Client, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var bodies []string
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies = append(bodies, string(body))
		_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		rw.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if op == "" {
			form, _ := url.ParseQuery(string(body))
			op = form.Get("Action")
			rw.Header().Set("Content-Type", "text/xml")
		}
		list := answers[op]
		if len(list) == 0 {
			t.Errorf("nobody should ask %s", op)
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		if len(list) > 1 {
			answers[op] = list[1:]
		}
		if list[0].status != 0 {
			rw.WriteHeader(list[0].status)
		}
		_, _ = io.WriteString(rw, list[0].body)
	}))
	t.Cleanup(srv.Close)
	c, err := aws.New(aws.Config{
		Region: region, Endpoint: srv.URL, KeyID: awssim.DefaultKeyID, Key: awssim.DefaultSecret, Backoff: time.Millisecond, Log: log,
		Clock: &manual{now: time.Date(2025, 6, 13, 15, 0, 0, 0, time.UTC)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, func() []string { mu.Lock(); defer mu.Unlock(); return bodies }
}

// TestGrantsAsDocumented: service principals, constraints, pages.
func TestGrantsAsDocumented(t *testing.T) {
	c, asked := documented(t, map[string][]answer{"ListGrants": {
		{body: `{"Grants":[{"GrantId":"a","KeyId":"arn:k","GranteeServicePrincipal":"ec2.amazonaws.com","RetiringServicePrincipal":"x.amazonaws.com",
			"IssuingAccount":"arn:aws:iam::111111111111:root","Operations":["Decrypt"],"CreationDate":1749826800,
			"Constraints":{"EncryptionContextSubset":{"b":"2","a":"1"},"SourceArn":"arn:aws:ec2:eu-west-2:111111111111:volume/*"}}],
			"Truncated":true,"NextMarker":"two"}`},
		{body: `{"Grants":[],"Truncated":true,"NextMarker":"three"}`},
		{body: `{"Grants":[{"GrantId":"b","KeyId":"arn:k","GranteePrincipal":"AROAEXAMPLE","Operations":["Encrypt","SomethingNew"],"Constraints":{}}],"Truncated":false}`},
	}}, nil)
	got, err := c.Grants(t.Context(), "arn:k")
	if err != nil {
		t.Fatal(err)
	}
	want := []cloud.Grant{
		{
			ID: "a", KeyARN: "arn:k", Grantee: "ec2.amazonaws.com", Retirer: "x.amazonaws.com", Issuer: "arn:aws:iam::111111111111:root",
			Operations: []string{"Decrypt"}, CreatedAt: time.Date(2025, 6, 13, 15, 0, 0, 0, time.UTC),
			Constraints: `{"EncryptionContextSubset":{"a":"1","b":"2"},"SourceArn":"arn:aws:ec2:eu-west-2:111111111111:volume/*"}`,
		},
		{ID: "b", KeyARN: "arn:k", Grantee: "AROAEXAMPLE", Operations: []string{"Encrypt", "SomethingNew"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if bodies := asked(); len(bodies) != 3 || !strings.Contains(bodies[2], `"three"`) {
		t.Errorf("asked: %v", bodies)
	}
}

// TestConsoleOfOlderTypes: only Nitro instances have the latest output.
func TestConsoleOfOlderTypes(t *testing.T) {
	c, asked := documented(t, map[string][]answer{"GetConsoleOutput": {
		{http.StatusBadRequest, `<Response><Errors><Error><Code>UnsupportedOperation</Code><Message>The instance does not support it.</Message></Error></Errors></Response>`},
		{body: `<GetConsoleOutputResponse><instanceId>i-0123456789abcdef0</instanceId><output>cmVhZHkg/w0K</output></GetConsoleOutputResponse>`},
		{body: `<GetConsoleOutputResponse><instanceId>i-0123456789abcdef0</instanceId></GetConsoleOutputResponse>`},
		{body: `<GetConsoleOutputResponse><output>###</output></GetConsoleOutputResponse>`},
	}}, nil)
	ctx := t.Context()
	if text, err := c.Console(ctx, "i-0123456789abcdef0"); err != nil || text != "ready \uFFFD\r\n" {
		t.Errorf("got %q, %v", text, err)
	}
	if bodies := asked(); len(bodies) != 2 || !strings.Contains(bodies[0], "Latest=true") || strings.Contains(bodies[1], "Latest") {
		t.Errorf("asked: %v", bodies)
	}
	if text, err := c.Console(ctx, "i-0123456789abcdef0"); err != nil || text != "" {
		t.Errorf("nothing written: %q, %v", text, err)
	}
	if _, err := c.Console(ctx, "i-0123456789abcdef0"); code(err) != upgrade.CodeUnavailable {
		t.Errorf("no base64: %v, want code %s", err, upgrade.CodeUnavailable)
	}
}

// TestPingInPages: Systems Manager may send an empty page and go on.
func TestPingInPages(t *testing.T) {
	c, _ := documented(t, map[string][]answer{"DescribeInstanceInformation": {
		{body: `{"InstanceInformationList":[],"NextToken":"two"}`},
		{body: `{"InstanceInformationList":[{"InstanceId":"i-0123456789abcdef0","PingStatus":"Online"}],"NextToken":""}`},
		{body: `{"InstanceInformationList":[{"InstanceId":"i-0123456789abcdef0","PingStatus":"ConnectionLost"}]}`},
	}}, nil)
	for _, want := range []bool{true, false} {
		if got, err := c.Ping(t.Context(), "i-0123456789abcdef0"); err != nil || got != want {
			t.Errorf("got %t, %v, want %t", got, err, want)
		}
	}
}

// TestDrainGone: ECS answers a container instance that has gone meanwhile with success, and says so inside.
func TestDrainGone(t *testing.T) {
	const arn = "arn:aws:ecs:eu-west-2:111111111111:container-instance/moodle/0a"
	c, _ := documented(t, map[string][]answer{
		"DescribeContainerInstances": {{body: `{"containerInstances":[{"containerInstanceArn":"` + arn + `","ec2InstanceId":"i-0123456789abcdef0","status":"ACTIVE","agentConnected":true}],"failures":[]}`}},
		"DescribeInstances":          {{body: `<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>i-0123456789abcdef0</instanceId></item></instancesSet></item></reservationSet></DescribeInstancesResponse>`}},
		"UpdateContainerInstancesState": {
			{body: `{"containerInstances":[],"failures":[{"arn":"` + arn + `","reason":"MISSING"}]}`},
			{body: `{"containerInstances":[],"failures":[{"arn":"` + arn + `","reason":"SOMETHING"}]}`},
		},
	}, nil)
	if err := c.Drain(t.Context(), "moodle", arn); code(err) != upgrade.CodeNotFound {
		t.Errorf("got %v, want code %s", err, upgrade.CodeNotFound)
	}
	if err := c.Drain(t.Context(), "moodle", arn); code(err) != upgrade.CodeUnavailable || !strings.Contains(upgrade.Public(err), "SOMETHING") {
		t.Errorf("got %v, want code %s", err, upgrade.CodeUnavailable)
	}
}

// TestKeyEventsNotUnderstood: one record that cannot be read does not hide the others, and pages that do not
// end are not read for ever.
func TestKeyEventsNotUnderstood(t *testing.T) {
	var log bytes.Buffer
	c, asked := documented(t, map[string][]answer{"LookupEvents": {{body: `{"Events":[
		{"EventId":"bad","EventName":"RevokeGrant","CloudTrailEvent":"{"},
		{"EventId":"none","EventName":"RevokeGrant"},
		{"EventId":"old","EventName":"RevokeGrant","CloudTrailEvent":"{\"eventSource\":\"kms.amazonaws.com\",\"eventName\":\"RevokeGrant\",\"eventTime\":\"2025-06-13T14:59:59Z\"}"},
		{"EventId":"same-second","EventName":"RevokeGrant","CloudTrailEvent":"{\"eventSource\":\"kms.amazonaws.com\",\"eventName\":\"RevokeGrant\",\"eventTime\":\"2025-06-13T15:00:00Z\"}"},
		{"EventId":"other","EventName":"RevokeGrant","CloudTrailEvent":"{\"eventSource\":\"license-manager.amazonaws.com\",\"eventName\":\"RevokeGrant\",\"eventTime\":\"2025-06-13T15:00:01Z\"}"}
		],"NextToken":"more"}`}}}, slog.New(slog.NewTextHandler(&log, nil)))
	since := time.Date(2025, 6, 13, 15, 0, 0, 900_000_000, time.UTC)
	got, err := c.KeyEvents(t.Context(), since)
	if err != nil || len(got) != 1 || got[0].ID != "same-second" {
		t.Errorf("got %+v, %v", got, err)
	}
	if n := len(asked()); n != 6*5 {
		t.Errorf("asked %d times", n)
	}
	for _, words := range []string{"cloudtrail event not understood", "older cloudtrail events were not read"} {
		if !strings.Contains(log.String(), words) {
			t.Errorf("the log lacks %q", words)
		}
	}
}
