package server

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

// TestBrowserWorld keeps browser/testdata/world.json, the world in which the pages are looked at with a real
// browser: the world with invariants, and a run 600 and following for each fixture, in the order of their names.
func TestBrowserWorld(t *testing.T) {
	w := envWorld()
	w.results[481] = append(w.results[481], hostile())
	names := slices.Sorted(maps.Keys(fixtures()))
	for i, name := range names {
		run := fixtures()[name]
		run.ID = upgrade.RunID(600 + i)
		if name != "long" { // the stack tells which fixture a picture is of
			run.Stack = upgrade.StackName("fixture-" + name)
		}
		w.runs = append(w.runs, run)
	}
	text, err := json.Marshal(map[string]any{
		"now": fakeNow(), "runs": w.runs, "results": w.results, "applies": w.applies, "events": w.events, "deliveries": w.deliveries,
		"standings": w.standings, "stretches": w.stretches, "logs": w.logs, "fixtures": names,
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../browser/testdata/world.json", string(text)+"\n")
}
