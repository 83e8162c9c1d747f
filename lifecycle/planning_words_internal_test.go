package lifecycle

import (
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

// The journal says what a plan does, and not what it does not.
func TestPlanDoes(t *testing.T) {
	for want, plan := range map[string]upgrade.PlanFacts{
		"The plan changes no resource.":                                        {},
		"The plan creates 1.":                                                  {Create: 1},
		"The plan creates 1 and destroys 2.":                                   {Create: 1, Destroy: 2},
		"The plan creates 1, updates 3, replaces 4, destroys 2 and forgets 5.": {Create: 1, Update: 3, Replace: 4, Destroy: 2, Forget: 5},
	} {
		if got := planDoes(plan); got != want {
			t.Errorf("%+v: %q, want %q", plan, got, want)
		}
	}
}
