package server

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

func statesWorld() *world {
	w := fullWorld()
	w.readings = []upgrade.Reading{
		{State: "ecs-master/staging", Stack: "ecs-master", Env: "staging", Account: "111111111111", Region: "eu-west-2", ReadAt: at("08:00:00"), TriedAt: at("09:00:00"), Problem: "access denied; allow s3:GetObject", Lineage: "l", Serial: 7, Objects: 41},
		{State: "network"},
	}
	return w
}

func TestAPIStates(t *testing.T) {
	s := newSite(t, statesWorld())
	all := decode[page[wireState]](t, s.do("GET", "/api/v1/states", viewerToken, "")).Items
	if len(all) != 2 || all[0].Name != "ecs-master/staging" || all[0].Problem == "" || all[0].Objects != 41 || !all[0].ReadAt.Equal(at("08:00:00")) ||
		all[1] != (wireState{Name: "network"}) {
		t.Errorf("got %+v", all)
	}
}

func TestAPIRefreshState(t *testing.T) {
	w := statesWorld()
	s := newSite(t, w)
	const target = "/api/v1/states/ecs-master%2Fstaging/refresh"
	for name, test := range map[string]struct {
		target, token string
		code          int
	}{
		"viewer":   {target, viewerToken, http.StatusForbidden},
		"stranger": {target, "nobody", http.StatusUnauthorized},
		"unknown":  {"/api/v1/states/nothing/refresh", managerToken, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			if got := s.do("POST", test.target, test.token, ""); got.Code != test.code {
				t.Errorf("answered %d %s", got.Code, got.Body)
			}
		})
	}
	got := decode[wireState](t, s.do("POST", target, managerToken, ""))
	if got.Problem != "" || !got.ReadAt.Equal(fakeNow()) {
		t.Errorf("got %+v", got)
	}
}

// TestRefreshEndsWithTheService: who waits for a state to be read does not hold up its end.
func TestRefreshEndsWithTheService(t *testing.T) {
	w := statesWorld()
	w.pingWait = true
	s := newSite(t, w)
	ended := make(chan int, 1)
	go func() { ended <- s.do("POST", "/api/v1/states/network/refresh", managerToken, "").Code }()
	time.Sleep(10 * time.Millisecond)
	s.EndStreams()
	limit, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	select {
	case code := <-ended:
		if code < 400 {
			t.Errorf("answered %d", code)
		}
	case <-limit.Done():
		t.Error("it is still waited for")
	}
}
