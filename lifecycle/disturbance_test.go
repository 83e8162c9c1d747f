package lifecycle_test

import (
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

// phaseScript brings the merge request !7 with content C into a phase, and lets it go on afterwards.
type phaseScript struct {
	phase   upgrade.Phase
	content string
	until   string
	goOn    string
	after   string // what became of it, when nothing leads to it any more
}

// everyPhase lists how each phase is reached. Before its apply a run to which nothing leads gives way;
// afterwards it is judged to the end, and does not open production.
func everyPhase() []phaseScript {
	return []phaseScript{
		{upgrade.PhaseQueued, "v1", "hold\npush staging v0\nwait 1m\nmr 7 C", "release", "superseded"},
		{upgrade.PhasePreparing, "v1", "hold init\nmr 7 C", "release init", "superseded"},
		{upgrade.PhasePlanning, "v1", "hold plan\nmr 7 C", "release plan", "superseded"},
		{upgrade.PhaseAwaitingApproval, "v1!", "mr 7 C", "", "superseded"},
		{upgrade.PhaseApplying, "v1", "hold\nmr 7 C", "release", "relocked"},
		{upgrade.PhaseSettling, "v1", "mr 7 C", "", "relocked"},
		{upgrade.PhaseChecking, "v1", "hold gate\nmr 7 C\nwait 5m", "release gate", "relocked"},
		{upgrade.PhaseUnlocked, "v1", "mr 7 C\nwait 6m", "", "relocked"},
		{upgrade.PhaseBlocked, "v1x", "mr 7 C\nwait 6m", "", "blocked"},
		{upgrade.PhaseRelocked, "v1", "mr 7 C\nwait 6m\nrelock C@edge", "", "relocked"},
		{upgrade.PhaseFailed, "v1^", "mr 7 C", "", "failed"},
		{upgrade.PhaseInterrupted, "v1", "hold\nmr 7 C\nlose\nrestart", "", "interrupted"},
		{upgrade.PhaseStopped, "v1!", "mr 7 C\nstop C@edge", "", "stopped"},
	}
}

// TestDisturbedInEachPhase takes away what led to a run, in each phase: production stays shut for it, its
// status is not a success, nobody is held up, and what came instead is tested.
func TestDisturbedInEachPhase(t *testing.T) {
	disturbances := map[string]struct{ act, then string }{
		"force_push":     {"mr 7 v2", "v2@edge unlocked|queued"},
		"closed":         {"close 7", ""},
		"target_changed": {"retarget 7", ""},
		"draft_push":     {"draft 7\nmr 7 v2", "v2@edge none"},
	}
	for i, p := range everyPhase() {
		for name, d := range disturbances {
			if !mine(i, 6) {
				continue
			}
			t.Run(string(p.phase)+"/"+name, func(t *testing.T) {
				t.Parallel()
				lines := []string{p.until, "C@edge " + string(p.phase), d.act, p.goOn, "wait 20m", "C@edge " + p.after, "shut C", d.then}
				if p.phase == upgrade.PhaseInterrupted { // it holds its slot until a person says what is true
					lines[5], lines[7] = "resolve C@edge", ""
				}
				play(t, "", 1, strings.ReplaceAll(strings.Join(lines, "\n"), "C", p.content), one())
			})
		}
	}
}

// TestRenamedInEachPhase: a project that is renamed goes on under its number.
func TestRenamedInEachPhase(t *testing.T) {
	for i, p := range everyPhase() {
		if !mine(i, 6) {
			continue
		}
		t.Run(string(p.phase), func(t *testing.T) {
			t.Parallel()
			script := p.until + "\nC@edge " + string(p.phase) + "\nrename platform/edge platform/new\nwait 1m\nrename platform/new platform/edge\n" +
				p.goOn + "\nwait 1m\nC@edge unlocked|queued|settling|checking|applying|awaiting_approval|blocked|relocked|failed|interrupted|stopped"
			play(t, "", 1, strings.ReplaceAll(script, "C", p.content), one())
		})
	}
}
