package states_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

// planned makes a plan and returns of which content it is.
func (h *house) planned(name upgrade.StateName) string {
	h.Helper()
	summary, err := h.States.Plan(h.Context(), name)
	if err != nil {
		h.Fatal(err)
	}
	return summary.Digest
}

// TestPlanOfWhatIsThere: staging is planned with what was applied, production with what was deployed, and
// neither with what has been pushed since.
func TestPlanOfWhatIsThere(t *testing.T) {
	a := stack("a")
	a.Production.Site.VarFiles = []string{"production.tfvars"}
	h := newHouse(t, a)
	h.same("staging before the first apply", h.planned("a/staging"), "ts1")
	h.same("production before the first deployment", h.planned("a/production"), "tm1")
	if err := h.db.SetBase(t.Context(), upgrade.Base{Stack: "a", Tree: "tm0", Commit: "m0", At: h.clock.Now()}); err != nil {
		t.Fatal(err)
	}
	h.same("production with a known base", h.planned("a/production"), "tm0")
	h.same("the same again", h.planned("a/production"), "tm0")
	h.same("plans", h.plans, []string{
		"a/staging ts1 []", "a/production tm1 [production.tfvars]", "a/production tm0 [production.tfvars]", "a/production tm0 [production.tfvars]",
	})
	inits, _ := h.said()
	h.same("initialised once for each content", inits, []string{"a/staging ts1", "a/production tm1", "a/production tm0"})
	left, err := filepath.Glob(filepath.Join(h.dir, "states/stacks/*/*/*/plan.tfplan"))
	h.same("plan files are removed", len(left), 0)
	if err != nil {
		t.Error(err)
	}
}

func TestPlanThatCannotBeMade(t *testing.T) {
	for name, test := range map[string]struct {
		state upgrade.StateName
		set   func(h *house)
		want  upgrade.Code
	}{
		"unknown":     {"b/staging", func(*house) {}, upgrade.CodeNotFound},
		"foreign":     {"network", func(*house) {}, upgrade.CodeNotFound},
		"unprotected": {"a/production", func(h *house) { h.unprotected["main"], h.unprotected["staging"] = true, true }, upgrade.CodeForbidden},
		"deployed_without_the_stack": {"a/production", func(h *house) {
			h.without["tm0"] = true
			if err := h.db.SetBase(t.Context(), upgrade.Base{Stack: "a", Tree: "tm0", Commit: "m0", At: h.clock.Now()}); err != nil {
				t.Fatal(err)
			}
		}, upgrade.CodeConflict},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, stack("a"))
			test.set(h)
			if _, err := h.States.Plan(t.Context(), test.state); upgrade.CodeOf(err) != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	h := newHouse(t, stack("a"))
	h.planFails = errors.New("no provider")
	if _, err := h.States.Plan(t.Context(), "a/staging"); err == nil {
		t.Error("a plan that failed was made")
	}
	if _, err := os.Stat(filepath.Join(h.dir, "states/stacks/a/staging/drift")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("where a plan failed is kept: %v", err)
	}
}
