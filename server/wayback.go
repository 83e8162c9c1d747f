package server

import "github.com/upgradegate/upgradegate/upgrade"

// wayBack tells the results of a rehearsal's way back to the base from those that count: both halves ask
// the same gates of the same run (product.md §3, S12).
type wayBack struct {
	run  upgrade.Run
	back map[int]bool // by the number of the apply
}

func wayBackOf(run upgrade.Run, applies []upgrade.Apply) wayBack {
	w := wayBack{run: run, back: map[int]bool{}}
	for _, a := range applies {
		w.back[a.N] = a.Back
	}
	return w
}

// has reports whether the result is about the way back. A result is about the apply that it comes before,
// which may not be begun yet.
func (w wayBack) has(r upgrade.Result) bool {
	if r.Apply == 0 {
		return false
	}
	back, begun := w.back[r.Apply]
	return back || !begun && w.run.Half == upgrade.HalfBack
}

// newest returns the last result of each gate, environment and stage, in order of first arrival; those of
// a way back stand beside those that count. An early pass gives way to nothing: it counts for nothing, but
// it is what is known so far.
func (w wayBack) newest(all []upgrade.Result) []upgrade.Result {
	type key struct {
		gate  upgrade.GateName
		env   upgrade.EnvName
		stage upgrade.Stage
		back  bool
	}
	at, out := map[key]int{}, []upgrade.Result{}
	for _, r := range all {
		k := key{r.Gate, r.Environment, r.Stage, w.has(r)}
		if i, seen := at[k]; seen {
			out[i] = r
			continue
		}
		at[k] = len(out)
		out = append(out, r)
	}
	return out
}

// counted returns the results that are not about the way back.
func (w wayBack) counted(results []upgrade.Result) []upgrade.Result {
	out := make([]upgrade.Result, 0, len(results))
	for _, r := range results {
		if !w.has(r) {
			out = append(out, r)
		}
	}
	return out
}
