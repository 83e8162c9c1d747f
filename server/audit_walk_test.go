package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

// silent are the posts that leave no entry of their own, and why.
func silent() map[string]string {
	return map[string]string{
		"/theme":                "a choice of colours is nobody's business",
		"/login":                "a sign-in is its own entry, of whoever it lets in",
		"/api/v1/verify":        "a job of GitLab proves itself and is nobody; the run that it asks about tells of it",
		"/api/v1/agent/enrol":   "agents are no people: their enrolment is kept by the room of vantages",
		"/api/v1/agent/ping":    "as above",
		"/api/v1/agent/poll":    "as above",
		"/api/v1/agent/samples": "as above",
	}
}

// TestEveryPostIsAudited walks all posts of pages and API as a viewer, as a release manager and with what cannot be
// read: each leaves exactly one entry with who, how, from where, what, on what, and what came of it.
func TestEveryPostIsAudited(t *testing.T) {
	s := newSite(t, fullWorld())
	log := s.audit.(*fakeAudit)
	cfg, err := s.world.config(s.log).check()
	if err != nil {
		t.Fatal(err)
	}
	excused := silent()
	tried, done, refused := 0, 0, 0
	for _, r := range s.routes(cfg).Routes() {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			continue
		}
		if _, ok := excused[r.Path]; ok {
			delete(excused, r.Path)
			continue
		}
		target := strings.NewReplacer(":id", "481", ":name", "none", ":message", "1").Replace(r.Path)
		for _, as := range []struct{ who, token, body string }{
			{"viewer", viewerToken, `{}`}, {"manager", managerToken, `{}`}, {"manager with a reason", managerToken, `{"reason":"because of the test"}`}, {"manager, unreadable", managerToken, `{"reason":`},
		} {
			tried++
			before := len(log.entries())
			w := s.do(r.Method, target, as.token, as.body)
			all := log.entries()
			if len(all) != before+1 {
				t.Errorf("%s %s by %s: answered %d and kept %d times", r.Method, r.Path, as.who, w.Code, len(all)-before)
				continue
			}
			e := all[before]
			if e.Who == "" || e.Via != "token" || e.From != "192.0.2.1" || e.Act == "" || e.On == "" && strings.Contains(r.Path, ":") || e.At.IsZero() {
				t.Errorf("%s %s by %s: kept %+v", r.Method, r.Path, as.who, e)
			}
			want := upgrade.AuditDone
			switch {
			case w.Code >= 500:
				want = upgrade.AuditFailed
			case w.Code >= 400:
				want = upgrade.AuditRefused
			}
			if e.Result != want || (want == upgrade.AuditRefused) != (e.Detail != "") {
				t.Errorf("%s %s by %s: answered %d, kept as %s: %q", r.Method, r.Path, as.who, w.Code, e.Result, e.Detail)
			}
			if want == upgrade.AuditDone {
				done++
			} else {
				refused++
			}
		}
	}
	for path := range excused {
		t.Errorf("there is no %s to be excused", path)
	}
	if done < 10 || refused < 50 {
		t.Errorf("only %d were done and %d refused of %d", done, refused, tried)
	}
	t.Logf("%d posts: %d done, %d refused", tried, done, refused)
}
