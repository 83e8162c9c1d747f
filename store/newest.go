package store

import (
	"context"

	"github.com/upgradegate/upgradegate/upgrade"
)

// stackNames steps from one stack to the next in the index, so that it costs as much as there are stacks.
const stackNames = `WITH RECURSIVE names (stack) AS (
	SELECT min(stack) FROM runs UNION ALL
	SELECT (SELECT min(r.stack) FROM runs r WHERE r.stack > names.stack) FROM names WHERE names.stack IS NOT NULL)`

// newestOfStacks returns the newest run of each stack in one of the phases, newest first: one look into an
// index for each stack and phase.
func newestOfStacks(ctx context.Context, t tx, phases []upgrade.Phase, most int) ([]upgrade.Run, error) {
	type last struct {
		stack upgrade.StackName
		id    int64
	}
	newest := map[upgrade.StackName]int64{}
	for _, phase := range phases {
		all, err := list(ctx, t, func(scan func(...any) error) (l last, err error) { return l, scan(&l.stack, &l.id) },
			stackNames+` SELECT stack, coalesce((SELECT max(r.id) FROM runs r WHERE r.stack = names.stack AND r.phase = $1), 0) FROM names WHERE stack IS NOT NULL`, string(phase))
		if err != nil {
			return nil, err
		}
		for _, l := range all {
			newest[l.stack] = max(newest[l.stack], l.id)
		}
	}
	ids := make([]int64, 0, len(newest))
	for _, id := range newest {
		if id != 0 {
			ids = append(ids, id)
		}
	}
	ids = newestFirst(ids)
	return runsOf(ctx, t, ids[:min(len(ids), most)])
}
