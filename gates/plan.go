package gates

import (
	"slices"

	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// Judged returns the change with only the values that the plan gates look at: which thing it is done to,
// the arguments of grants, and key policies. So a plan of any size can be held, and the gates say the same
// of it: see [plan.SummarizeKeeping].
func Judged(change plan.Change) plan.Change {
	before, after, later := change.Before, change.After, change.AfterUnknown
	change.Before, change.After, change.AfterUnknown = nil, nil, nil
	var names []string
	switch {
	case change.Action == plan.Read || change.Action == plan.NoOp:
		return change
	case change.Type == "aws_kms_grant" && change.Action != plan.Update:
		names = []string{"grant_id", "id", "name", "key_id", "grantee_principal", "operations"}
	case hasKeyPolicy(change.Type) && change.Action != plan.Create:
		names = []string{"arn", "id", "key_id", "policy"}
	case destroys(&change) || change.Action == plan.Forget:
		change.Before = before
		change.Before = plan.Identity(change)
		return change
	default:
		return change
	}
	keep := func(name string) bool { return slices.Contains(names, name) }
	change.Before, change.After, change.AfterUnknown = plan.Only(before, keep), plan.Only(after, keep), plan.Only(later, keep)
	return change
}
