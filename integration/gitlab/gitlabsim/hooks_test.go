package gitlabsim_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/internal/testkit"
	"github.com/upgradegate/upgradegate/upgrade"
)

const signingToken upgrade.Secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// TestSign is the vector that was computed from the Standard Webhooks rules by hand.
func TestSign(t *testing.T) {
	got, err := gitlabsim.Sign(signingToken, "f5e5f430-f57b-4e6e-9fac-d9128cd7232f", "1744578123", []byte(`{"object_kind":"push"}`))
	check(t, err)
	if want := "v1,Sp6eEtWPfePxY+jOOgrLYjgw2PxaWCPwmS7SqImwe6U="; got != want {
		t.Errorf("signature is %s, want %s", got, want)
	}
}

func TestHookHeaders(t *testing.T) {
	r := newRig(t, gitlabsim.Config{})
	to := newSink(t)
	_, err := r.AddHook(r.Seeded.Project.ID, gitlabsim.Hook{URL: to.URL, Token: "hush", SigningToken: signingToken, Events: []string{"push"}})
	check(t, err)
	r.change(t, "staging", "a.tf", "# a\n")
	r.clock.quiet()
	got := to.all()
	if len(got) != 1 {
		t.Fatalf("%d deliveries, want 1", len(got))
	}
	h := got[0].header
	for name, want := range map[string]string{
		"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": "hush", "X-Gitlab-Instance": r.url, "Content-Type": "application/json", "User-Agent": "GitLab/18.7.0",
		"Webhook-Id": h.Get("Idempotency-Key"), "Webhook-Timestamp": "1772788560",
	} {
		if h.Get(name) != want || want == "" {
			t.Errorf("%s is %q, want %q", name, h.Get(name), want)
		}
	}
	for _, name := range []string{"X-Gitlab-Webhook-UUID", "X-Gitlab-Event-UUID", "Idempotency-Key"} {
		if len(h.Get(name)) != 36 {
			t.Errorf("%s is %q", name, h.Get(name))
		}
	}
	want, err := gitlabsim.Sign(signingToken, h.Get("webhook-id"), h.Get("webhook-timestamp"), got[0].body)
	check(t, err)
	if h.Get("webhook-signature") != want {
		t.Errorf("signature is %q, want %q", h.Get("webhook-signature"), want)
	}
}

// TestHookBodies pins what each kind of event says, of a story from a commit to a deployment. Clock and
// address stand still, so commits have the same names each time.
func TestHookBodies(t *testing.T) {
	r := newRig(t, gitlabsim.Config{URL: "https://gitlab.example.org"})
	to := newSink(t)
	_, err := r.AddHook(r.Seeded.Project.ID, gitlabsim.Hook{URL: to.URL})
	check(t, err)
	id := r.Seeded.Project.ID
	r.change(t, "feature", "a.tf", "# a\n")
	mr := r.request(t, "feature")
	check(t, r.Approve(id, mr.IID, r.Reviewer.ID))
	_, err = r.AddNote(id, mr.IID, r.Bot.ID, "Passed.")
	check(t, err)
	_, err = r.Merge(t.Context(), id, mr.IID, r.Reviewer.ID, false)
	check(t, err)
	pl := r.Pipelines(id)[0]
	check(t, r.Play(jobs(r.Server, pl.ID)["upgrade-gate"].ID, r.Bot.ID))
	check(t, r.Play(jobs(r.Server, pl.ID)["deploy-production"].ID, r.Reviewer.ID))
	r.clock.quiet()
	last := map[string][]byte{} // the last of each kind
	order := &bytes.Buffer{}
	for _, d := range r.Deliveries() {
		var body map[string]any
		check(t, json.Unmarshal(d.Body, &body))
		last[d.Kind] = d.Body
		order.WriteString(line(d, body))
	}
	testkit.Golden(t, "testdata/order.txt", order.Bytes())
	for _, kind := range testkit.Sorted(last) {
		out := &bytes.Buffer{}
		check(t, json.Indent(out, last[kind], "", "  "))
		testkit.Golden(t, "testdata/"+kind+".json", append(out.Bytes(), '\n'))
	}
}

// line is a delivery in short.
func line(d gitlabsim.Delivery, body map[string]any) string {
	var out strings.Builder
	out.WriteString(d.Event)
	if attrs, ok := body["object_attributes"].(map[string]any); ok {
		for _, key := range []string{"action", "source", "status"} {
			if s, ok := attrs[key].(string); ok {
				out.WriteString(" " + s)
			}
		}
	}
	for _, key := range []string{"ref", "build_name", "build_status", "environment", "status"} {
		if s, ok := body[key].(string); ok {
			out.WriteString(" " + s)
		}
	}
	return out.String() + "\n"
}

func TestResend(t *testing.T) {
	r := newRig(t, gitlabsim.Config{})
	to := newSink(t)
	to.answer(http.StatusInternalServerError)
	_, err := r.AddHook(r.Seeded.Project.ID, gitlabsim.Hook{URL: to.URL, Events: []string{"push"}})
	check(t, err)
	r.change(t, "staging", "a.tf", "# a\n")
	r.clock.quiet()
	first := r.Deliveries()
	if len(first) != 1 || first[0].Status != 500 || len(to.all()) != 1 {
		t.Fatalf("after a failure: %d deliveries, status %d, %d arrived", len(first), first[0].Status, len(to.all()))
	}
	to.answer(http.StatusOK)
	check(t, r.Resend(first[0].ID))
	r.clock.quiet()
	got := to.all()
	if len(got) != 2 || !bytes.Equal(got[0].body, got[1].body) || got[0].header.Get("Idempotency-Key") != got[1].header.Get("Idempotency-Key") {
		t.Errorf("sent again it is another: %+v", got)
	}
}

func TestMishaps(t *testing.T) {
	keys := func(as []arrival) (out []string) {
		for _, a := range as {
			out = append(out, a.header.Get("Idempotency-Key"))
		}
		return out
	}
	for _, tc := range []struct {
		name string
		do   func(*rig)
		want func(sent []gitlabsim.Delivery, keys []string) bool
	}{
		{"drop", func(r *rig) { r.Mishap(gitlabsim.MishapDrop, "push", 1) }, func(sent []gitlabsim.Delivery, keys []string) bool {
			return len(keys) == 1 && keys[0] == sent[1].Key && sent[0].State == gitlabsim.DeliveryDropped
		}},
		{"duplicate", func(r *rig) { r.Mishap(gitlabsim.MishapDuplicate, "", 1) }, func(_ []gitlabsim.Delivery, keys []string) bool {
			return len(keys) == 3 && keys[0] == keys[1] && keys[1] != keys[2]
		}},
		{"hold", func(r *rig) { r.Mishap(gitlabsim.MishapHold, "push", 2) }, func(sent []gitlabsim.Delivery, keys []string) bool {
			return len(keys) == 2 && keys[0] == sent[1].Key && keys[1] == sent[0].Key
		}},
		{"other_event", func(r *rig) { r.Mishap(gitlabsim.MishapDrop, "note", 1) }, func(_ []gitlabsim.Delivery, keys []string) bool { return len(keys) == 2 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, gitlabsim.Config{})
			to := newSink(t)
			_, err := r.AddHook(r.Seeded.Project.ID, gitlabsim.Hook{URL: to.URL, Events: []string{"push"}})
			check(t, err)
			tc.do(r)
			r.change(t, "staging", "a.tf", "# a\n")
			r.change(t, "staging", "b.tf", "# b\n")
			r.ReleaseDeliveries()
			r.clock.quiet()
			if got := keys(to.all()); !tc.want(r.Deliveries(), got) {
				t.Errorf("arrived %v of %+v", got, r.Deliveries())
			}
		})
	}
}

func TestHookTimeout(t *testing.T) {
	r := newRig(t, gitlabsim.Config{HookTimeout: 50 * time.Millisecond})
	done := make(chan struct{})
	slow := newSink(t)
	slow.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done })
	defer close(done)
	_, err := r.AddHook(r.Seeded.Project.ID, gitlabsim.Hook{URL: slow.URL, Events: []string{"push"}})
	check(t, err)
	r.change(t, "staging", "a.tf", "# a\n")
	r.clock.quiet()
	if d := r.Deliveries()[0]; d.Status != 0 || d.Err == "" {
		t.Errorf("the delivery is %+v", d)
	}
}

func TestAutoDisable(t *testing.T) {
	r := newRig(t, gitlabsim.Config{AutoDisable: true})
	to := newSink(t)
	to.answer(http.StatusForbidden)
	_, err := r.AddHook(r.Seeded.Project.ID, gitlabsim.Hook{URL: to.URL, Events: []string{"push"}})
	check(t, err)
	push := func() gitlabsim.Delivery {
		r.change(t, "staging", "a.tf", r.clock.Now().String()+time.Now().String())
		r.clock.quiet()
		all := r.Deliveries()
		return all[len(all)-1]
	}
	for range 4 {
		push()
	}
	if d := push(); d.State != gitlabsim.DeliveryDropped {
		t.Errorf("after four failures a delivery is %+v", d)
	}
	to.answer(http.StatusOK)
	check(t, r.clock.Sleep(t.Context(), 61*time.Second))
	if d := push(); d.State != gitlabsim.DeliverySent || d.Status != 200 {
		t.Errorf("after a minute a delivery is %+v", d)
	}
}

func TestHookRoutes(t *testing.T) {
	r := newRig(t, gitlabsim.Config{})
	to := newSink(t)
	if status, _, _ := r.call(t, r.Developer, "POST", "/hooks", map[string]any{"url": to.URL}); status != 403 {
		t.Errorf("a developer adds a webhook: %d", status)
	}
	if status, body, _ := r.call(t, r.Reviewer, "POST", "/hooks", map[string]any{"url": to.URL, "push_events": false, "merge_requests_events": true}); status != 201 {
		t.Fatalf("%d %s", status, body)
	}
	r.change(t, "feature", "a.tf", "# a\n")
	r.request(t, "feature")
	r.clock.quiet()
	if got := to.all(); len(got) != 1 || got[0].header.Get("X-Gitlab-Event") != "Merge Request Hook" {
		t.Errorf("arrived %+v", got)
	}
	_, body, _ := r.call(t, r.Reviewer, "GET", "/hooks/1/events", nil)
	var events []struct {
		ID     int64 `json:"id"`
		Status int   `json:"response_status"`
	}
	check(t, json.Unmarshal([]byte(body), &events))
	if len(events) != 1 || events[0].Status != 200 {
		t.Fatalf("events are %s", body)
	}
	if status, body, _ := r.call(t, r.Reviewer, "POST", "/hooks/1/events/"+itoa(events[0].ID)+"/resend", nil); status != 201 {
		t.Errorf("%d %s", status, body)
	}
	r.clock.quiet()
	if len(to.all()) != 2 {
		t.Errorf("%d arrived, want 2", len(to.all()))
	}
	if status, _, _ := r.call(t, r.Reviewer, "DELETE", "/hooks/1", nil); status != 204 {
		t.Errorf("removing says %d", status)
	}
}
