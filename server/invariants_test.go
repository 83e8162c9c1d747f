package server

import (
	"net/http"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

func invariantWorld() *world {
	w := fullWorld()
	grants, drift := upgrade.StandingKey{Gate: "grants", Environment: "production"}, upgrade.StandingKey{Gate: "drift", Environment: "production", Stack: "ecs-master"}
	w.standings = []upgrade.Standing{
		{
			Key: grants, Rev: 2, Every: 5 * time.Minute, Since: at("08:50:00"), HeldAt: at("08:45:00"),
			Result: upgrade.Result{
				Kind: "kms-grants", Required: true, Outcome: upgrade.OutcomeFailed, Message: "the grant is gone", Hint: "give it back", StartedAt: at("08:55:00"), GoodFor: 10 * time.Minute,
				Memo: "an inventory", Evidence: upgrade.Evidence{Facts: []upgrade.Fact{{Name: "Group", Value: "web"}}},
			},
		},
		{Key: drift, Every: time.Hour, Result: upgrade.Result{Kind: "settled", GoodFor: 2 * time.Hour}},
	}
	w.stretches = []upgrade.Stretch{
		{Key: grants, Outcome: upgrade.OutcomePassed, Message: "held", Since: fakeNow().Add(-40 * 24 * time.Hour), Until: fakeNow().Add(-31 * 24 * time.Hour), Checks: 9},
		{Key: grants, Outcome: upgrade.OutcomeFailed, Message: "the grant is gone", Since: at("08:50:00"), Until: at("08:55:00"), Checks: 2},
	}
	return w
}

func TestAPIInvariants(t *testing.T) {
	s := newSite(t, invariantWorld())
	all := decode[page[wireInvariant]](t, s.do("GET", "/api/v1/invariants", viewerToken, "")).Items
	if len(all) != 2 || all[0].Name != "grants/production" || all[0].State != upgrade.InvariantBroken || all[0].Hint != "give it back" ||
		all[0].Every != 300 || all[0].Evidence != nil || all[0].Stretches != nil ||
		all[1].Name != "drift/production/ecs-master" || all[1].State != upgrade.InvariantNotVerified || all[1].Outcome != "" {
		t.Errorf("got %+v", all)
	}
	one := decode[wireInvariant](t, s.do("GET", "/api/v1/invariants/grants%2Fproduction", viewerToken, ""))
	if one.Evidence == nil || len(one.Evidence.Facts) != 1 || len(one.Stretches) != 1 || one.Stretches[0].Checks != 2 {
		t.Errorf("got %+v", one)
	}
}

func TestAPICheckInvariant(t *testing.T) {
	w := invariantWorld()
	s := newSite(t, w)
	for name, test := range map[string]struct {
		method, target, token string
		code                  int
	}{
		"unknown":        {"GET", "/api/v1/invariants/nothing", viewerToken, http.StatusNotFound},
		"viewer_checks":  {"POST", "/api/v1/invariants/grants%2Fproduction/check", viewerToken, http.StatusForbidden},
		"stranger":       {"POST", "/api/v1/invariants/grants%2Fproduction/check", "nobody", http.StatusUnauthorized},
		"unknown_checks": {"POST", "/api/v1/invariants/grants%2Fstaging/check", managerToken, http.StatusNotFound},
		"of_a_stack":     {"POST", "/api/v1/invariants/drift%2Fproduction%2Fecs-master/check", managerToken, http.StatusAccepted},
	} {
		t.Run(name, func(t *testing.T) {
			if got := s.do(test.method, test.target, test.token, ""); got.Code != test.code {
				t.Errorf("answered %d %s", got.Code, got.Body)
			}
		})
	}
	if len(w.checked) != 1 || w.checked[0].Stack != "ecs-master" {
		t.Errorf("checked %v", w.checked)
	}
}
