package gates_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// fakeProber answers with what it has left, the last one again and again.
type fakeProber struct {
	answers [][]probe.Ladder
	err     error
	asked   int
}

func (f *fakeProber) Climb(context.Context, probe.Path) ([]probe.Ladder, error) {
	f.asked++
	if f.err != nil {
		return nil, f.err
	}
	return f.answers[min(f.asked, len(f.answers))-1], nil
}

func (f *fakeProber) Stream(context.Context, probe.Stream, func(probe.Sample)) error {
	return errors.New("not this one")
}

func ladder(layer probe.Layer) probe.Ladder {
	l := probe.Ladder{URL: "http://site.test/", Address: netip.MustParseAddrPort("192.0.2.1:80")}
	broken := false
	for _, each := range []probe.Layer{probe.LayerDNS, probe.LayerTCP, probe.LayerTLS, probe.LayerVarnish, probe.LayerBackend} {
		rung := probe.Rung{Layer: each, State: probe.RungOK, Took: 3 * time.Millisecond, Detail: "ok"}
		switch {
		case broken:
			rung = probe.Rung{Layer: each, State: probe.RungNotReached}
		case each == layer:
			broken = true
			rung = probe.Rung{Layer: each, State: probe.RungBroken, Class: probe.ClassTCPTimeout, Detail: string(each) + " 80 does not answer"}
		}
		l.Rungs = append(l.Rungs, rung)
	}
	return l
}

func site(t *testing.T, prober *fakeProber) (result upgrade.Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		clock := upgrade.SystemClock{}
		g := bound(t, gates.VarnishSettings{Paths: []probe.Path{{URL: "http://site.test/"}}}, gates.Deps{Clock: clock, Prober: prober})
		result = gates.Runner{Clock: clock}.Run(t.Context(), []gates.Gate{g}, gates.Input{}, nil)[0]
	})
	return result
}

func TestVarnish(t *testing.T) {
	whole, broken := []probe.Ladder{ladder("")}, []probe.Ladder{ladder(probe.LayerTCP)}
	tests := []struct {
		name   string
		prober *fakeProber
		want   upgrade.Outcome
		says   string
		asked  int
	}{
		{"whole", &fakeProber{answers: [][]probe.Ladder{whole}}, upgrade.OutcomePassed, "through Varnish and from the backend", 1},
		{"broken_three_times", &fakeProber{answers: [][]probe.Ladder{broken}}, upgrade.OutcomeFailed, "TCP 80 does not answer", 3},
		{"a_blip", &fakeProber{answers: [][]probe.Ladder{broken, whole}}, upgrade.OutcomePassed, "", 2},
		{"one_address_of_two", &fakeProber{answers: [][]probe.Ladder{{ladder(""), ladder(probe.LayerVarnish)}}}, upgrade.OutcomeFailed, "Varnish 80", 3},
		{"could_not_look", &fakeProber{err: &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the address is refused by the guard"}}, upgrade.OutcomeUnknown, "refused by the guard", 1},
		{"nothing_returned", &fakeProber{answers: [][]probe.Ladder{{}}}, upgrade.OutcomeUnknown, "no answer within", -1},
		{"crashed_resolver", &fakeProber{err: errors.New("no sockets left")}, upgrade.OutcomeUnknown, "", -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := site(t, test.prober)
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %s %q, want %s that says %q", got.Outcome, got.Message, test.want, test.says)
			}
			if test.asked > 0 && test.prober.asked != test.asked {
				t.Errorf("asked %d times, want %d", test.prober.asked, test.asked)
			}
		})
	}
}

// TestLadderTable: the first broken rung alone is shown broken, all after it are not reached.
func TestLadderTable(t *testing.T) {
	got := site(t, &fakeProber{answers: [][]probe.Ladder{{ladder(probe.LayerTCP)}}})
	row := got.Evidence.Tables[0].Rows[0]
	if got := strings.Join(row, "|"); got != "http://site.test/|192.0.2.1:80|3.0 ms ok|✗ No answer|Not reached|Not reached|Not reached" {
		t.Errorf("row is %s", got)
	}
}
