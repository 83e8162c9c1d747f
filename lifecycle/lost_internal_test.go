package lifecycle

import (
	"encoding/json"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// What is left of an apply that was cut off is planned anew only if it was judged.
func TestWithin(t *testing.T) {
	change := func(action plan.Action, after string) plan.Change {
		return plan.Change{Address: "aws_x.y", Action: action, After: json.RawMessage(after)}
	}
	for _, tt := range []struct {
		name         string
		left, judged plan.Change
		want         bool
	}{
		{"same", change(plan.Update, `{"a": 1}`), change(plan.Update, `{"a": 1}`), true},
		{"known_by_now", change(plan.Update, `{"a": 1, "b": 2}`), change(plan.Update, `{"a": 1}`), true},
		{"another_value", change(plan.Update, `{"a": 2}`), change(plan.Update, `{"a": 1}`), false},
		{"a_value_less", change(plan.Update, `{}`), change(plan.Update, `{"a": 1}`), false},
		{"destroyed_instead", change(plan.Delete, `null`), change(plan.Update, `{"a": 1}`), false},
		{"replaced_instead", change(plan.Replace, `{"a": 1}`), change(plan.Update, `{"a": 1}`), false},
		{"half_of_a_replacement", change(plan.Create, `{"a": 1}`), change(plan.Replace, `{"a": 1}`), true},
		{"other_half_of_a_replacement", change(plan.Delete, `null`), change(plan.Replace, `{"a": 1}`), true},
		{"half_of_another_replacement", change(plan.Create, `{"a": 2}`), change(plan.Replace, `{"a": 1}`), false},
		{"still_to_destroy", change(plan.Delete, `null`), change(plan.Delete, `null`), true},
		{"created_instead", change(plan.Create, `{"a": 1}`), change(plan.Delete, `null`), false},
		{"no_object", change(plan.Update, `"x"`), change(plan.Update, `{"a": 1}`), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := within(tt.left, tt.judged); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}
