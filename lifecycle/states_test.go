package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// fakeStates notes what it is asked to read.
type fakeStates struct {
	mu    sync.Mutex // guards the fields below
	read  []upgrade.StateName
	in    []string // data folders of the roots in which a run's own state was read
	older []time.Time
	plans map[upgrade.StateName]plan.Summary
	err   error
}

func (s *fakeStates) Plan(_ context.Context, name upgrade.StateName) (plan.Summary, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plans[name], s.err
}

func (s *fakeStates) Readings(context.Context) ([]upgrade.Reading, error) {
	return []upgrade.Reading{{State: "edge/staging", Problem: "no access"}}, nil
}

func (s *fakeStates) Refresh(_ context.Context, names []upgrade.StateName) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(names, []upgrade.StateName{"edge/staging"}) {
		return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "no such state"}
	}
	s.read = append(s.read, names...)
	return s.err
}

func (s *fakeStates) RefreshOlder(_ context.Context, than time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.older = append(s.older, than)
	return s.err
}

func (s *fakeStates) ReadIn(_ context.Context, name upgrade.StateName, root plan.Root) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read, s.in = append(s.read, name), append(s.in, root.Dir)
	return s.err
}

// TestStateIsReadAfterEachApply: and the run goes on, whatever comes of that.
func TestStateIsReadAfterEachApply(t *testing.T) {
	states := &fakeStates{err: errors.New("no access")}
	h := newHouse(t)
	h.with(states)
	h.push("staging", "v1")
	run := h.want(h.run().ID, upgrade.PhaseSettling)
	states.mu.Lock()
	if !slices.Equal(states.read, []upgrade.StateName{"edge/staging"}) || states.in[0] == "" {
		t.Errorf("read %v in %v", states.read, states.in)
	}
	states.mu.Unlock()
	h.pass(10 * time.Minute)
	h.want(run.ID, upgrade.PhaseUnlocked)
	if len(states.read) != 1 {
		t.Errorf("read %v", states.read)
	}
}

// TestStatesAreReadByTheHour: a while after the first start, and then on.
func TestStatesAreReadByTheHour(t *testing.T) {
	states := &fakeStates{err: errors.New("no access")}
	h := newHouse(t)
	h.with(states)
	h.pass(4 * time.Minute)
	if len(states.older) != 0 {
		t.Errorf("read at once: %v", states.older)
	}
	h.pass(3 * time.Hour)
	var minutes []int
	for _, than := range states.older {
		minutes = append(minutes, int(than.Add(15*time.Minute).Sub(friday()).Minutes()))
	}
	if !slices.Equal(minutes, []int{5, 65, 125}) {
		t.Errorf("read after %v minutes", minutes)
	}
}

func TestRefreshState(t *testing.T) {
	states := &fakeStates{}
	h := newHouse(t)
	h.with(states)
	ask := func(name upgrade.StateName, role upgrade.Role) (upgrade.Reading, upgrade.Code) {
		got, err := h.lifecycle.RefreshState(t.Context(), name, upgrade.Person{Name: "eve", Role: role})
		if err != nil {
			return got, upgrade.CodeOf(err)
		}
		return got, ""
	}
	if _, code := ask("edge/staging", upgrade.RoleViewer); code != upgrade.CodeForbidden || len(states.read) > 0 {
		t.Errorf("a viewer is answered %q", code)
	}
	if got, code := ask("edge/staging", upgrade.RoleDeveloper); code != "" || got.Problem != "no access" || len(states.read) != 1 {
		t.Errorf("got %+v, %q", got, code)
	}
	if _, code := ask("nothing", upgrade.RoleDeveloper); code != upgrade.CodeNotFound {
		t.Errorf("an unknown one is answered %q", code)
	}
	h.lifecycle.States = nil
	if _, code := ask("edge/staging", upgrade.RoleDeveloper); code != upgrade.CodeNotFound {
		t.Errorf("without states it is answered %q", code)
	}
}

// with gives the service states, before anything has happened.
func (h *house) with(states *fakeStates) {
	h.t.Helper()
	h.rest()
	h.lifecycle.States = states
	if err := h.lifecycle.Start(h.ctx); err != nil {
		h.t.Fatal(err)
	}
	h.rest()
}
