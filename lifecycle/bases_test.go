package lifecycle_test

import (
	"sync"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

// TestBaseSaidMeanwhile: while the service looks what production might have, a person says what it has. That
// stays, and is not written over by what was assumed.
func TestBaseSaidMeanwhile(t *testing.T) {
	h := newHouse(t)
	project := h.stacks[0].Project
	commit := h.gitlab.push(project, "main", "deployed")
	h.gitlab.push(project, "main", "newer")
	hugo := upgrade.Person{Name: "Hugo", Role: upgrade.RoleReleaseManager}
	h.gitlab.onDeployed = sync.OnceFunc(func() {
		if _, err := h.lifecycle.SetBase(h.ctx, h.stacks[0].Name, commit, hugo, "it was deployed last week"); err != nil {
			t.Errorf("set the base: %v", err)
		}
	})
	if err := h.lifecycle.Start(h.ctx); err != nil {
		t.Fatal(err)
	}
	h.rest()
	base, known, err := h.store.Base(h.ctx, h.stacks[0].Name)
	if err != nil || !known || base.Commit != commit || base.Assumed || base.By != "Hugo" {
		t.Errorf("the base is %+v, %v, %v, want what Hugo said", base, known, err)
	}
}
