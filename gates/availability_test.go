package gates_test

import (
	"context"
	"encoding/json"
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

const ms = time.Millisecond

// siteSettings probe one page every 50 ms, on connections of their own.
func siteSettings() gates.OutageSettings {
	return gates.OutageSettings{Path: probe.Path{URL: "https://site.test/"}, Every: 50 * ms, Connections: []gates.Connection{gates.ConnFresh}}
}

// fakeSite is probed at a fixed rate; what probes meet depends on when they start, since the stream began.
type fakeSite struct {
	addresses []string
	met       func(at time.Duration, address netip.AddrPort) probe.Sample // zero: a good answer
	err       error
	panics    bool
}

func (f *fakeSite) Climb(context.Context, probe.Path) ([]probe.Ladder, error) {
	return nil, errors.New("not this one")
}

// Stream hands out, when it ends, what a prober would have seen.
func (f *fakeSite) Stream(ctx context.Context, of probe.Stream, each func(probe.Sample)) error {
	if f.panics {
		panic("boom")
	}
	if f.err != nil {
		return f.err
	}
	begun := time.Now()
	<-ctx.Done()
	for at := time.Duration(0); at < time.Since(begun); at += of.Every {
		for _, address := range f.addresses {
			addr := netip.MustParseAddrPort(address)
			s := probe.Sample{OK: true, Class: probe.ClassOK, Status: 200}
			if met := f.met(at, addr); met.Class != "" {
				s = met
				s.OK = met.Class == probe.ClassLate
			}
			s.Sched, s.Start, s.End, s.Address = at, at, at+3*ms, addr
			each(s)
		}
	}
	return nil
}

// down is an outage of the class, or none where the class is empty.
func down(from, length time.Duration, class probe.Class) func(time.Duration, netip.AddrPort) probe.Sample {
	return func(at time.Duration, _ netip.AddrPort) probe.Sample {
		if at < from || at >= from+length {
			return probe.Sample{}
		}
		return probe.Sample{Class: class, Layer: probe.LayerTCP}
	}
}

func memo(t *testing.T) upgrade.Result {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"probes": 300, "p99_ns": 4_000_000, "addresses": []string{"192.0.2.1:443"}})
	if err != nil {
		t.Fatal(err)
	}
	return upgrade.Result{Gate: "g", Environment: "staging", Stage: upgrade.StageBefore, Memo: string(raw)}
}

// watched asks an availability gate to watch the site for a time.
func watched(t *testing.T, site *fakeSite, long time.Duration, befores ...upgrade.Result) (result upgrade.Result) {
	t.Helper()
	if site.addresses == nil {
		site.addresses = []string{"192.0.2.1:443"}
	}
	if site.met == nil {
		site.met = down(0, 0, "")
	}
	synctest.Test(t, func(t *testing.T) {
		runner := gates.Runner{Clock: upgrade.SystemClock{}}
		g := bound(t, siteSettings(), gates.Deps{Clock: upgrade.SystemClock{}, Prober: site})
		watching := runner.Watch(t.Context(), []gates.Gate{g}, gates.Input{Apply: 1, Befores: befores})
		time.Sleep(long)
		result = watching.End(t.Context())[0]
	})
	if len([]rune(result.Brief)) > 80 {
		t.Errorf("the brief has more than 80 characters: %s", result.Brief)
	}
	return result
}

func TestAvailability(t *testing.T) {
	timeout, refused := probe.ClassTCPTimeout, probe.ClassTCPRefused
	two := []string{"192.0.2.1:443", "192.0.2.2:443"}
	tests := []struct {
		name   string
		site   fakeSite
		want   upgrade.Outcome
		brief  string
		says   string
		warns  bool
		effect upgrade.Effect
	}{
		{name: "quiet", want: upgrade.OutcomePassed, says: "https://site.test/ answered all along: 600 probes, one every 50 ms"},
		{name: "within", site: fakeSite{met: down(5*time.Second, 300*ms, timeout)}, want: upgrade.OutcomePassed, says: "longest outage 0.3 s, limit 0.5 s; 1 outage, 0.3 s in total, limit 2 s; new connections were not answered"},
		{name: "between", site: fakeSite{met: down(5*time.Second, 500*ms, timeout)}, want: upgrade.OutcomePassed, says: "longest outage 0.5 s", warns: true},
		{
			name: "too_long", site: fakeSite{met: down(5*time.Second, 1240*ms, timeout)}, want: upgrade.OutcomeFailed, effect: upgrade.EffectShortOutage,
			brief: "the site was down for 1.3 s during the apply", says: "longest outage 1.25 s, limit 0.5 s; 1 outage, 1.25 s in total, limit 2 s; new connections were not answered",
		},
		{
			name: "far_too_long", site: fakeSite{met: down(5*time.Second, 12*time.Second, refused)}, want: upgrade.OutcomeFailed, effect: upgrade.EffectLongOutage,
			brief: "the site was down for 12 s during the apply, far beyond the limit", says: "connections were refused",
		},
		{
			name: "too_many", want: upgrade.OutcomeFailed, effect: upgrade.EffectShortOutage,
			site: fakeSite{met: func(at time.Duration, _ netip.AddrPort) probe.Sample {
				if at%(3*time.Second) < 400*ms && at > 0 {
					return probe.Sample{Class: probe.ClassBackendFetch, Layer: probe.LayerBackend, Status: 503, Quote: "HTTP/1.1 503 Backend fetch failed"}
				}
				return probe.Sample{}
			}},
			brief: "the site was down for 4 s in all during the apply", says: "Varnish got nothing from the backend",
		},
		{
			name: "one_of_two", want: upgrade.OutcomeFailed, effect: upgrade.EffectShortOutage,
			site: fakeSite{addresses: two, met: func(at time.Duration, addr netip.AddrPort) probe.Sample {
				if addr.Addr() == netip.MustParseAddr("192.0.2.2") {
					return down(5*time.Second, time.Second, refused)(at, addr)
				}
				return probe.Sample{}
			}},
			brief: "1 of 2 addresses of the site was down for 1 s during the apply", says: "1 outage, 1 s in total",
		},
		{
			name: "both_at_once", site: fakeSite{addresses: two, met: down(5*time.Second, time.Second, refused)}, want: upgrade.OutcomeFailed, effect: upgrade.EffectShortOutage,
			brief: "the site was down for 1 s during the apply", says: "2 outages, 1 s in total",
		},
		{
			name: "not_recovered", site: fakeSite{met: down(29700*ms, time.Hour, refused)}, want: upgrade.OutcomeFailed, effect: upgrade.EffectLongOutage,
			brief: "the site went down and did not recover, far beyond the limit", says: "the site was down when the watch ended",
		},
		{
			name: "never_up", site: fakeSite{met: down(0, time.Hour, refused)}, want: upgrade.OutcomeFailed, effect: upgrade.EffectLongOutage,
			brief: "the site went down and did not recover, far beyond the limit", says: "for 29.9 s by then",
		},
		{name: "blind", site: fakeSite{met: down(5*time.Second, time.Second, probe.ClassUnsent)}, want: upgrade.OutcomeUnknown, says: "could not look at the site for 1 s at a time"},
		{name: "blind_for_a_moment", site: fakeSite{met: down(5*time.Second, 300*ms, probe.ClassUnsent)}, want: upgrade.OutcomePassed},
		{
			name: "blind_in_an_outage", want: upgrade.OutcomeUnknown, says: "could not look",
			site: fakeSite{met: func(at time.Duration, addr netip.AddrPort) probe.Sample {
				if at < 5300*ms {
					return down(5*time.Second, 300*ms, refused)(at, addr)
				}
				return down(5300*ms, 600*ms, probe.ClassProber)(at, addr)
			}},
		},
		{name: "guarded", site: fakeSite{met: down(0, time.Hour, probe.ClassGuarded)}, want: upgrade.OutcomeUnknown, says: "192.0.2.1:443 is not among what probes may reach"},
		{name: "no_address", site: fakeSite{addresses: []string{}}, want: upgrade.OutcomeUnknown, says: "no probe could be sent"},
		{name: "cannot_be_probed", site: fakeSite{err: &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "no host"}}, want: upgrade.OutcomeUnknown, says: "no host"},
		{name: "crashes", site: fakeSite{panics: true}, want: upgrade.OutcomeUnknown, says: "crashed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := watched(t, &test.site, 30*time.Second, memo(t))
			if got.Outcome != test.want || got.Brief != test.brief || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %s %q %q, want %s %q that says %q", got.Outcome, got.Brief, got.Message, test.want, test.brief, test.says)
			}
			if len(got.Warnings) > 0 != test.warns {
				t.Errorf("got warnings %q", got.Warnings)
			}
			if test.effect != 0 && upgrade.EffectOf(got) != test.effect {
				t.Errorf("got effect %d, want %d", upgrade.EffectOf(got), test.effect)
			}
		})
	}
}

// TestS5NoBaseline: without a look before the apply, watching it is no ground for a pass (S5).
func TestS5NoBaseline(t *testing.T) {
	if got := watched(t, &fakeSite{}, 30*time.Second); got.Outcome != upgrade.OutcomeUnknown || !strings.Contains(got.Message, "nobody looked at the site before") {
		t.Errorf("got %s %q", got.Outcome, got.Message)
	}
	broken := upgrade.Result{Gate: "g", Environment: "staging", Stage: upgrade.StageBefore, Memo: "{"}
	if got := watched(t, &fakeSite{}, time.Second, broken); got.Outcome != upgrade.OutcomeUnknown {
		t.Errorf("a broken memo: got %s %q", got.Outcome, got.Message)
	}
}

func TestAvailabilityEvidence(t *testing.T) {
	bad := probe.Sample{Class: probe.ClassBackendFetch, Layer: probe.LayerBackend, Status: 503, Quote: "HTTP/1.1 503 Backend fetch failed"}
	site := &fakeSite{met: func(at time.Duration, _ netip.AddrPort) probe.Sample {
		if at >= 2*time.Second && at < 3*time.Second || at >= 9500*ms {
			return bad
		}
		return probe.Sample{}
	}}
	got := watched(t, site, 10*time.Second, memo(t)).Evidence
	facts := map[string]string{}
	for _, fact := range got.Facts {
		facts[fact.Name] = fact.Value
	}
	for name, want := range map[string]string{
		"Rate": "every 50 ms, on 1 address", "Probes": "200 in 9.95 s, 30 failed", "Prober could not see": "never",
		"Longest outage": "1 s (from 0.95 s to 1.05 s), limit 0.5 s", "Outages in total": "1.45 s, limit 2 s",
		"Before the apply": "300 probes, 99 % of them within 4 ms, at 192.0.2.1:443",
	} {
		if facts[name] != want {
			t.Errorf("%s is %q, want %q", name, facts[name], want)
		}
	}
	if len(got.Spans) != 2 || !got.Spans[0].Failed || !got.Spans[0].From.Equal(noon().Add(1953*ms)) || got.Spans[0].To.Sub(got.Spans[0].From) != 1050*ms || !got.Spans[1].To.IsZero() {
		t.Errorf("got spans %+v", got.Spans)
	}
	if row := strings.Join(got.Tables[0].Rows[1], "|"); row != "00:00:09.453|not ended|0.45 s|Varnish got nothing from the backend|192.0.2.1:443|cached" {
		t.Errorf("got row %s", row)
	}
	if len(got.Quotes) != 1 || got.Quotes[0].Text != bad.Quote || got.Quotes[0].Source != "https://site.test/" {
		t.Errorf("got quotes %+v", got.Quotes)
	}
}

func TestBaseline(t *testing.T) {
	unknown := upgrade.OutcomeUnknown
	tests := []struct {
		name string
		site fakeSite
		want upgrade.Outcome
		says string
	}{
		{"well", fakeSite{}, upgrade.OutcomePassed, "https://site.test/ answered 300 probes within 15 s before the apply, 99 % of them within 3 ms"},
		{"three_lost", fakeSite{met: func(at time.Duration, _ netip.AddrPort) probe.Sample {
			if at%(5*time.Second) == 0 {
				return probe.Sample{Class: probe.ClassTCPTimeout}
			}
			return probe.Sample{}
		}}, upgrade.OutcomePassed, "answered 297 probes"},
		{"outage", fakeSite{met: down(5*time.Second, 200*ms, probe.ClassTCPRefused)}, unknown, "already broken before the apply: longest outage 0.2 s"},
		{"now_and_then", fakeSite{met: func(at time.Duration, _ netip.AddrPort) probe.Sample {
			if at%time.Second == 0 {
				return probe.Sample{Class: probe.ClassBackendStatus, Layer: probe.LayerBackend, Status: 500}
			}
			return probe.Sample{}
		}}, unknown, "already broken before the apply: 15 of 300 probes failed: the backend answered 500"},
		{"down", fakeSite{met: down(0, time.Hour, probe.ClassTCPRefused)}, unknown, "already broken before the apply"},
		{"guarded", fakeSite{met: down(0, time.Hour, probe.ClassGuarded)}, unknown, "is not among what probes may reach"},
		{"no_address", fakeSite{addresses: []string{}}, unknown, "no probe could be sent"},
		{"busy", fakeSite{met: down(0, 9*time.Second, probe.ClassUnsent)}, unknown, "too busy to look at the site for 8.95 s of 15 s"},
		{"broken", fakeSite{err: &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "no host"}}, unknown, "no host"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.site.addresses == nil {
				test.site.addresses = []string{"192.0.2.1:443"}
			}
			if test.site.met == nil {
				test.site.met = down(0, 0, "")
			}
			synctest.Test(t, func(t *testing.T) {
				g := bound(t, siteSettings(), gates.Deps{Clock: upgrade.SystemClock{}, Prober: &test.site})
				got := gates.Runner{Clock: upgrade.SystemClock{}}.Before(t.Context(), []gates.Gate{g}, gates.Input{Apply: 1})[0]
				if got.Outcome != test.want || !strings.Contains(got.Message, test.says) {
					t.Errorf("got %s %q, want %s that says %q", got.Outcome, got.Message, test.want, test.says)
				}
				if (got.Memo == "") == (test.want == upgrade.OutcomePassed) {
					t.Errorf("got memo %q", got.Memo)
				}
			})
		})
	}
}
