package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/upgradegate/upgradegate/upgrade"
)

// stackNames steps from one stack to the next in the index, so that it costs as much as there are stacks.
const stackNames = `WITH RECURSIVE names (stack) AS (
	SELECT min(stack) FROM runs UNION ALL
	SELECT (SELECT min(r.stack) FROM runs r WHERE r.stack > names.stack) FROM names WHERE names.stack IS NOT NULL)`

// newestOfStacks returns the newest run of each stack in one of the phases, newest first: one look into an
// index for each stack and phase.
func newestOfStacks(ctx context.Context, t tx, phases []upgrade.Phase, most int) ([]upgrade.Run, error) {
	text, args := "SELECT max(0", make([]any, len(phases)) // 0: max of one value would be an aggregate
	for i, phase := range phases {
		text += fmt.Sprintf(", coalesce((SELECT max(r.id) FROM runs r WHERE r.stack = names.stack AND r.phase = $%d), 0)", i+1)
		args[i] = string(phase)
	}
	ids, err := list(ctx, t, func(scan func(...any) error) (id int64, err error) { return id, scan(&id) },
		stackNames+" "+text+") FROM names WHERE stack IS NOT NULL", args...)
	if err != nil {
		return nil, err
	}
	ids = slices.DeleteFunc(ids, func(id int64) bool { return id == 0 })
	ids = newestFirst(ids)
	return runsOf(ctx, t, ids[:min(len(ids), most)])
}
