package gates

import (
	"slices"

	"github.com/upgradegate/upgradegate/upgrade"
)

// What one watch keeps at most, over all its strips. At about 30 bytes each, as they are stored, an hour keeps
// well under 2 MB: varnish.md §6.4.
const (
	mostBuckets = 26_000
	mostSingles = 20_000
)

// fit makes a watch small enough to be kept: buckets become wider, those of the longest strips first, and good
// probes near outages are left out before failed ones.
func fit(w *upgrade.Watch) {
	for {
		sum, longest := 0, -1
		for i, strip := range w.Strips {
			n := strip.Buckets.Len()
			sum += n
			if longest < 0 || n > w.Strips[longest].Buckets.Len() {
				longest = i
			}
		}
		if sum <= mostBuckets {
			break
		}
		w.Coarse = true
		w.Strips[longest].Buckets = wider(w.Strips[longest].Buckets)
	}
	share := mostSingles / max(1, len(w.Strips))
	for i := range w.Strips {
		if s := &w.Strips[i].Samples; s.Len() > share && total(w) > mostSingles {
			w.Coarse = true
			*s = thinned(*s, share)
		}
	}
}

func total(w *upgrade.Watch) int {
	sum := 0
	for _, strip := range w.Strips {
		sum += strip.Samples.Len()
	}
	return sum
}

// wider joins buckets two by two. The middle of what both took is known only about: that of the one with more
// good probes is taken; the 99th of a hundred is that of the slower.
func wider(b upgrade.Buckets) upgrade.Buckets {
	out := upgrade.Buckets{Width: 2 * b.Width}
	for i := 0; i < b.Len(); i += 2 {
		j := min(i+1, b.Len()-1)
		more, n, good := i, b.N[i], b.Good[i]
		if j > i {
			n, good = n+b.N[j], good+b.Good[j]
			if b.Good[j] > b.Good[i] {
				more = j
			}
		}
		out.N, out.Good, out.P50 = append(out.N, n), append(out.Good, good), append(out.P50, b.P50[more])
		out.P99 = append(out.P99, max(b.P99[i], b.P99[j]))
		out.Max, out.Lag = append(out.Max, max(b.Max[i], b.Max[j])), append(out.Lag, max(b.Lag[i], b.Lag[j]))
	}
	return out
}

// thinned keeps so many probes: failed ones first, then the earliest.
func thinned(s upgrade.Samples, most int) upgrade.Samples {
	order := make([]int, s.Len())
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return boolToInt(s.Class[a] == 0) - boolToInt(s.Class[b] == 0) })
	order = order[:min(len(order), most)]
	slices.Sort(order)
	out := upgrade.Samples{Classes: s.Classes}
	for _, i := range order {
		out.At, out.Lag, out.Took = append(out.At, s.At[i]), append(out.Lag, s.Lag[i]), append(out.Took, s.Took[i])
		out.Class, out.Status = append(out.Class, s.Class[i]), append(out.Status, s.Status[i])
	}
	return out
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
