package gates_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// places is what probers at several places see of a site and of controls.
type places struct {
	met  func(at time.Duration, of probe.Stream) probe.Sample // zero: a good answer
	gone map[probe.Vantage]error

	mu      sync.Mutex // guards streams
	streams []probe.Stream
	begun   time.Time // other places go on from here
}

// unheard is the class of probes of which nobody ever hears.
const unheard probe.Class = "unheard"

// placed is a prober at one of them.
type placed struct {
	*places
	place probe.Vantage
}

func (a placed) Climb(context.Context, probe.Path) ([]probe.Ladder, error) { panic("not climbed") }

func (a placed) Stream(ctx context.Context, of probe.Stream, each func(probe.Sample)) error {
	a.mu.Lock()
	a.streams = append(a.streams, of)
	a.mu.Unlock()
	of.Name += " from " + string(a.place)
	begun := time.Now()
	if a.place != probe.Here && !a.begun.IsZero() {
		begun = a.begun
	}
	<-ctx.Done()
	if err := a.gone[a.place]; err != nil {
		return err
	}
	shift := begun.Sub(noon())
	for due := time.Duration(0); due < time.Since(begun); due += of.Every {
		s := probe.Sample{OK: true, Class: probe.ClassOK, Status: 200}
		if met := a.met(due+shift, of); met.Class != "" {
			if s = met; s.Class == unheard {
				continue
			}
			s.OK = met.Class == probe.ClassLate || met.Class == probe.ClassOK
		}
		took := max(3*ms, s.End)
		s.Sched, s.Start, s.End, s.Address = due, due, due+took, netip.MustParseAddrPort("192.0.2.1:443")
		each(s)
		if s.TTL > 0 && due%time.Second == 0 {
			each(probe.Sample{Sched: due, Start: due, End: due + ms, OK: true, Class: probe.ClassOK, TTL: s.TTL})
		}
	}
	return nil
}

func (w *places) deps() gates.Deps {
	return gates.Deps{
		Clock: upgrade.SystemClock{}, Prober: placed{w, probe.Here},
		Vantage: func(name probe.Vantage) (gates.Prober, error) {
			if name == "nowhere" {
				return nil, &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "there is no vantage nowhere"}
			}
			return placed{w, name}, nil
		},
	}
}

// well are places without faults.
func well(time.Duration, probe.Stream) probe.Sample { return probe.Sample{} }

// breaks are places in which the streams whose name has one of the words are broken for a while.
func breaks(from, length time.Duration, class probe.Class, words ...string) func(time.Duration, probe.Stream) probe.Sample {
	return func(now time.Duration, of probe.Stream) probe.Sample {
		if now < from || now >= from+length || !slices.ContainsFunc(words, func(word string) bool { return strings.Contains(of.Name, word) }) {
			return probe.Sample{}
		}
		return probe.Sample{Class: class, Layer: probe.LayerTCP}
	}
}

// watchedFor has the gate watch them for a while.
func (w *places) watchedFor(t *testing.T, s gates.OutageSettings, long time.Duration) (result upgrade.Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		runner := gates.Runner{Clock: upgrade.SystemClock{}}
		watching := runner.Watch(t.Context(), []gates.Gate{bound(t, s, w.deps())}, gates.Input{Apply: 1, Befores: []upgrade.Result{memo(t)}})
		time.Sleep(long)
		result = watching.End(t.Context())[0]
	})
	if len([]rune(result.Brief)) > 80 {
		t.Errorf("the brief has more than 80 characters: %s", result.Brief)
	}
	return result
}

// full are settings with every stream and two places.
func full() gates.OutageSettings {
	return gates.OutageSettings{
		Path: probe.Path{URL: "https://site.test/", Bypass: probe.Bypass{Header: "X-Bypass", Value: "open-sesame"}},
		Past: gates.Page{Page: "/gate.txt"}, Deep: gates.Page{Page: "/my/?id=7"}, Vantages: []probe.Vantage{probe.Here, "in-vpc"},
		Controls: []gates.Control{{Name: "gateway", Path: probe.Path{URL: "tcp://10.20.0.1:53"}}},
	}
}
