package gates

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// afar is a prober with a clock of its own.
type afar struct{ measured bool }

func (afar) Climb(context.Context, probe.Path) ([]probe.Ladder, error)      { return nil, nil }
func (afar) Stream(context.Context, probe.Stream, func(probe.Sample)) error { return nil }
func (a afar) Clock() (offset, within time.Duration, measured bool) {
	return -1234 * time.Microsecond, 450 * time.Microsecond, a.measured
}

// TestClocks: what is known of the clocks of other places is evidence.
func TestClocks(t *testing.T) {
	at := func(v probe.Vantage) (Prober, error) {
		if v == "gone" {
			return nil, &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "gone"}
		}
		return afar{measured: v == "a"}, nil
	}
	w := &outageWatch{availability: availability{OutageSettings: OutageSettings{Vantages: []probe.Vantage{probe.Here, "a", "b", "gone"}}, deps: Deps{Vantage: at}}}
	rec := NewRecorder(time.Now, nil)
	w.recordClocks(rec)
	evidence, _, _ := rec.close()
	if diff := cmp.Diff([]upgrade.Fact{{Name: "Clock of a", Value: "-1.2 ms ± 0.5 ms against this one"}}, evidence.Facts); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
