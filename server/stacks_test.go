package server

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

func TestAPIStacks(t *testing.T) {
	w := fullWorld()
	w.bases = map[upgrade.StackName]upgrade.Base{"ecs-master": {Stack: "ecs-master", Commit: commitA, Tree: treeA, Assumed: true, Since: 3, At: at("08:00:00")}}
	w.applies[481] = []upgrade.Apply{
		{Run: 481, N: 1, Seq: 3, Stack: "ecs-master", Environment: "staging", Tree: treeA, State: upgrade.ApplyExited, OK: true},
		{Run: 481, N: 2, Seq: 7, Stack: "ecs-master", Environment: "staging", Tree: treeA, State: upgrade.ApplyLost, BegunAt: at("08:45:14")},
	}
	holder, first, second, going := awaiting(), awaiting(), awaiting(), awaiting()
	holder.ID, first.ID, second.ID, going.ID = 490, 491, 492, 489
	first.Phase, second.Phase, going.Phase = upgrade.PhaseQueued, upgrade.PhaseQueued, upgrade.PhaseUnlocked
	w.runs = append(w.runs, holder, first, second, going)
	s := newSite(t, w)
	all := decode[page[wireStack]](t, s.get("/api/v1/stacks")).Items
	if len(all) != 2 || all[0].Name != "ecs-master" || all[1].Name != "cms-web" || all[1].Base != nil {
		t.Fatalf("got %+v", all)
	}
	one := decode[wireStack](t, s.get("/api/v1/stacks/ecs-master"))
	switch {
	case one.Base == nil || !one.Base.Assumed || one.Base.Commit != commitA || one.Base.Since != 3:
		t.Errorf("base %+v", one.Base)
	case len(one.OpenChange) != 1 || one.OpenChange[0].Seq != 7 || one.OpenChange[0].OK:
		t.Errorf("open change %+v", one.OpenChange)
	case one.Holder == nil || one.Holder.Run != 490 || one.Holder.URL != "https://gate.example.org/runs/490":
		t.Errorf("holder %+v", one.Holder)
	case len(one.Queued) != 2 || one.Queued[0].Run != 491 || len(one.OnTheWay) != 1 || one.OnTheWay[0].Run != 489:
		t.Errorf("queued %+v, on the way %+v", one.Queued, one.OnTheWay)
	}
	if w := s.get("/api/v1/stacks/nothing"); w.Code != 404 || !strings.Contains(w.Body.String(), "there are ecs-master, cms-web") {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
}

func TestAPISetBase(t *testing.T) {
	s := newSite(t, fullWorld())
	good := `{"commit":"` + strings.ToUpper(string(commitA)) + `","reason":"deployed by hand"}`
	for _, tc := range []struct {
		name, target, token, body string
		code                      int
	}{
		{"short_commit", "/api/v1/stacks/cms-web/base", managerToken, `{"commit":"8f2c1ab","reason":"r"}`, 400},
		{"no_body", "/api/v1/stacks/cms-web/base", managerToken, "", 400},
		{"no_json", "/api/v1/stacks/cms-web/base", managerToken, "commit=x", 400},
		{"long_reason", "/api/v1/stacks/cms-web/base", managerToken, `{"reason":"` + strings.Repeat("x", maxReason+1) + `"}`, 400},
		{"no_such_stack", "/api/v1/stacks/nothing/base", managerToken, good, 404},
		{"viewer", "/api/v1/stacks/cms-web/base", viewerToken, good, 403},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if w := s.do("POST", tc.target, tc.token, tc.body); w.Code != tc.code || len(s.world.bases) != 0 {
				t.Errorf("answered %d %s", w.Code, w.Body)
			}
		})
	}
	got := decode[wireStack](t, s.do("POST", "/api/v1/stacks/cms-web/base", managerToken, good))
	if b := got.Base; b == nil || b.Commit != commitA || b.By != "Mira Holt" || b.Reason != "deployed by hand" {
		t.Errorf("got %+v", b)
	}
}

func TestPlayAgain(t *testing.T) {
	w := fullWorld()
	s := newSite(t, w)
	got := s.do("POST", "/api/v1/deliveries/a%2Fb/play", managerToken, "", "Idempotency-Key", "k")
	again := s.do("POST", "/api/v1/deliveries/a%2Fb/play", managerToken, "", "Idempotency-Key", "k")
	if got.Code != 202 || decode[played](t, got).Delivery != "again:1:a/b" || again.Body.String() != got.Body.String() || len(w.played) != 1 {
		t.Errorf("answered %d %s, played %v", got.Code, got.Body, w.played)
	}
	if got := s.do("POST", "/api/v1/deliveries/none/play", managerToken, ""); got.Code != 404 {
		t.Errorf("one that is not there is answered %d", got.Code)
	}
	if got := s.do("POST", "/api/v1/deliveries/a%2Fb/play", viewerToken, ""); got.Code != 403 {
		t.Errorf("a viewer is answered %d", got.Code)
	}
}

func TestPlayAgainOnThePage(t *testing.T) {
	w := fullWorld()
	s := newSite(t, w)
	page := s.get("/deliveries").Body.String()
	action := regexp.MustCompile(`action="(/deliveries/a%2Fb/play)"><input type="hidden" name="key" value="([^"]+)"`).FindStringSubmatch(page)
	if action == nil || strings.Count(page, ">Play again<") != 2 {
		t.Fatalf("the page has no such form:\n%s", page)
	}
	values := url.Values{"key": {action[2]}}
	for range 2 {
		if got := s.submit(action[1], managerToken, values); got.Code != http.StatusSeeOther || got.Header().Get("Location") != "/deliveries?played=again%3A1%3Aa%2Fb" {
			t.Fatalf("answered %d %v", got.Code, got.Header())
		}
	}
	if len(w.played) != 1 {
		t.Errorf("played %v", w.played)
	}
	after := s.get("/deliveries?played=again%3A1%3Aa%2Fb").Body.String()
	if !strings.Contains(after, "Played again, as No. 4.") {
		t.Error("the page does not say what happened")
	}
	checkHTML(t, "deliveries", after)
	if page := s.get("/deliveries?played=%3Cscript%3E").Body.String(); strings.Contains(page, "Played again, as") {
		t.Error("the page says something that did not happen")
	}
	if page := s.do("GET", "/deliveries", viewerToken, "").Body.String(); strings.Contains(page, "/play") || !strings.Contains(page, "needs the role developer") {
		t.Error("who may not is not told who may")
	}
}

// TestDeliveryBody: who may act sees what was sent, but not what may be secret in it.
func TestDeliveryBody(t *testing.T) {
	w := fullWorld()
	s := newSite(t, w)
	for _, tc := range []struct{ name, body, want string }{
		{"push", `{"object_kind":"push","ref":"refs/heads/<staging>"}`, `{"object_kind":"push","ref":"refs/heads/<staging>"}`},
		{"pipeline", `{"object_attributes":{"id":7,"variables":[{"key":"K","value":"hunter2"}]}}`, `{"object_attributes":{"id":7,"variables":[]}}`},
		{"no_body", "", ""},
		{"no_object", "null", ""},
		{"no_json", "hunter2", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.deliveries[0].Body = []byte(tc.body)
			id := url.PathEscape(string(w.deliveries[0].ID))
			if got := decode[wireDelivery](t, s.get("/api/v1/deliveries/"+id)); string(got.Body) != tc.want {
				t.Errorf("told %s, want %s", got.Body, tc.want)
			}
			if got := decode[wireDelivery](t, s.do("GET", "/api/v1/deliveries/"+id, viewerToken, "")); got.Body != nil {
				t.Errorf("a viewer is told %s", got.Body)
			}
			if got := s.get("/api/v1/deliveries").Body.String(); strings.Contains(got, "object_") {
				t.Errorf("the list has bodies: %s", got)
			}
		})
	}
}
