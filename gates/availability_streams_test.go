package gates_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// TestAvailabilityStreams: what is asked for, from where, and that only what goes past the cache carries the
// secret.
func TestAvailabilityStreams(t *testing.T) {
	w := &places{met: well}
	if got := w.watchedFor(t, full(), 10*time.Second); got.Outcome != upgrade.OutcomePassed {
		t.Fatalf("got %s %q", got.Outcome, got.Message)
	}
	var told []string
	ids := map[string]bool{}
	for _, s := range w.streams {
		ids[s.ID] = true
		secret := ""
		if s.Path.Bypass.Used() {
			secret = " with the secret"
		}
		told = append(told, s.Path.URL+" every "+s.Every.String()+secret)
		if s.Past != strings.Contains("past the cache deep page", s.Name) || s.KeepAlive != (s.Name == "kept connection") || s.Limits.Connect >= time.Second || s.Limits.Connect == 0 {
			t.Errorf("got %+v", s)
		}
	}
	slices.Sort(told)
	want := []string{
		"https://site.test/ every 20ms", "https://site.test/ every 20ms", "https://site.test/ every 20ms", "https://site.test/ every 20ms",
		"https://site.test/gate.txt every 200ms with the secret", "https://site.test/gate.txt every 200ms with the secret",
		"https://site.test/my/?id=7 every 2s with the secret", "https://site.test/my/?id=7 every 2s with the secret",
		"tcp://10.20.0.1:53 every 100ms", "tcp://10.20.0.1:53 every 100ms",
	}
	if !slices.Equal(told, want) || len(ids) != len(want) || ids[""] {
		t.Errorf("got %q, IDs %v", told, ids)
	}
}

func TestAvailabilityOfStreams(t *testing.T) {
	refused, fetch := probe.ClassTCPRefused, probe.ClassBackendFetch
	gone := &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "agent in-vpc has not been heard since noon"}
	all := []string{"cached", "kept", "past", "deep"}
	tests := []struct {
		name   string
		places *places
		with   func(*gates.OutageSettings)
		want   upgrade.Outcome
		brief  string
		says   string
		warns  bool
	}{
		{name: "well", places: &places{met: well}, want: upgrade.OutcomePassed, says: "answered all along"},
		{
			name: "behind_the_cache", places: &places{met: breaks(5*time.Second, 5*time.Second, fetch, "past")}, want: upgrade.OutcomeFailed,
			brief: "the site past its cache was down for 5 s during the apply", says: "longest outage 5 s, limit 0.5 s; 2 outages, 5 s in total",
		},
		{
			name: "new_connections", places: &places{met: breaks(5*time.Second, time.Second, refused, "cached")}, want: upgrade.OutcomeFailed,
			brief: "the site was down for 1 s during the apply", says: "2 outages, 1 s in total",
		},
		{
			name: "kept_connections", places: &places{met: breaks(5*time.Second, time.Second, refused, "kept")}, want: upgrade.OutcomeFailed,
			brief: "the site on kept connections was down for 1 s during the apply",
		},
		{
			name: "deep_page", places: &places{met: breaks(4*time.Second, 12*time.Second, fetch, "deep")}, want: upgrade.OutcomeFailed,
			brief: "the deep page was down for 12 s during the apply, far beyond the limit",
		},
		{
			name: "one_place", places: &places{met: breaks(5*time.Second, time.Second, refused, "cached from in-vpc")}, want: upgrade.OutcomeFailed,
			brief: "the site seen from in-vpc was down for 1 s during the apply",
		},
		{ // each stream was out by itself, never two at a time: together they are too much, and counted once
			name: "added_up", want: upgrade.OutcomeFailed, brief: "the site was down for 2.4 s in all during the apply", says: "12 outages",
			places: &places{met: func(now time.Duration, of probe.Stream) probe.Sample {
				for i := range 6 {
					if s := breaks(time.Duration(2+3*i)*time.Second, 400*ms, refused, all[i%2])(now, of); s.Class != "" {
						return s
					}
				}
				return probe.Sample{}
			}},
		},
		{
			name: "at_once", want: upgrade.OutcomePassed, says: "4 outages, 0.44 s in total, limit 2 s",
			places: &places{met: breaks(5*time.Second, 440*ms, refused, "cached", "kept")},
		},
		{
			name: "own_network", places: &places{met: breaks(5*time.Second, 3*time.Second, refused, "from here")}, want: upgrade.OutcomeUnknown,
			says: "the network of here itself was out for 3",
		},
		{
			name: "own_network_forgiven", places: &places{met: breaks(5*time.Second, 400*ms, probe.ClassWrongContent, "from here")}, want: upgrade.OutcomePassed, warns: true,
			with: func(s *gates.OutageSettings) {
				s.Budget.Classes = map[probe.Class]time.Duration{probe.ClassWrongContent: 0}
				s.Budget.Failed, s.Past.Every = 0.0001, 100*ms // three in a row, which are no outage yet
			},
		},
		{
			name: "own_network_shortly", places: &places{met: breaks(5*time.Second, 400*ms, refused, "from here")}, want: upgrade.OutcomePassed,
			says: "answered all along", warns: true,
		},
		{ // the site stays away after the own network is back
			name: "own_network_and_site", want: upgrade.OutcomeFailed, brief: "the site seen from here was down for 4 s during the apply",
			places: &places{met: func(now time.Duration, of probe.Stream) probe.Sample {
				if s := breaks(5*time.Second, time.Second, refused, "control from here")(now, of); s.Class != "" {
					return s
				}
				return breaks(5*time.Second, 4*time.Second, refused, "cached from here", "kept from here")(now, of)
			}},
		},
		{name: "control_elsewhere", places: &places{met: breaks(5*time.Second, 3*time.Second, refused, "control from here", "cached from in-vpc")}, want: upgrade.OutcomeFailed, brief: "the site seen from in-vpc was down for 3 s during the apply"},
		{name: "gone", places: &places{met: well, gone: map[probe.Vantage]error{"in-vpc": gone}}, want: upgrade.OutcomeUnknown, says: "agent in-vpc has not been heard"},
		{
			name: "gone_and_down", places: &places{met: breaks(5*time.Second, time.Second, refused, "cached from here"), gone: map[probe.Vantage]error{"in-vpc": gone}}, want: upgrade.OutcomeFailed,
			brief: "the site seen from here was down for 1 s during the apply",
		},
		{name: "nowhere", places: &places{met: well}, with: func(s *gates.OutageSettings) { s.Vantages = []probe.Vantage{probe.Here, "nowhere"} }, want: upgrade.OutcomeUnknown, says: "there is no vantage nowhere"},
		{ // every second probe past the cache: one of two backends is dead, and no two fail in a row
			name: "every_second", want: upgrade.OutcomeFailed, brief: "the site failed now and then during the apply", says: "(50 %), limit 1 %",
			places: &places{met: func(now time.Duration, of probe.Stream) probe.Sample {
				if strings.Contains(of.Name, "past") && now/(200*ms)%2 == 1 {
					return probe.Sample{Class: fetch, Layer: probe.LayerBackend, Status: 503}
				}
				return probe.Sample{}
			}},
		},
		{
			name: "one_wrong_page", places: &places{met: breaks(5*time.Second, 10*ms, probe.ClassWrongContent, "cached from here")}, want: upgrade.OutcomeFailed,
			with: func(s *gates.OutageSettings) {
				s.Budget.Classes = map[probe.Class]time.Duration{probe.ClassWrongContent: 0}
			},
			brief: "the site answered wrongly during the apply", says: "another page answered: 1 probe met wrong_backend, and not one may",
		},
		{
			name: "class_within", places: &places{met: breaks(5*time.Second, 300*ms, probe.ClassTLSExpired, "cached")}, want: upgrade.OutcomeFailed,
			with: func(s *gates.OutageSettings) {
				s.Budget.Classes = map[probe.Class]time.Duration{probe.ClassTLSExpired: 100 * ms}
			},
			brief: "the site was down for 0.3 s during the apply", says: "the certificate was wrong for 0.3 s in all, limit 0.1 s for tls_expired",
		},
		{name: "perhaps", places: &places{met: breaks(5*time.Second, 500*ms, refused, "cached")}, want: upgrade.OutcomePassed, warns: true},
		{
			name: "perhaps_strict", places: &places{met: breaks(5*time.Second, 500*ms, refused, "cached")}, want: upgrade.OutcomeFailed,
			with: func(s *gates.OutageSettings) { s.Strict = true }, brief: "the site was perhaps down for longer than it may", says: "perhaps over the budget",
		},
		{name: "blind", places: &places{met: breaks(5*time.Second, time.Second, probe.ClassUnsent, "cached")}, want: upgrade.OutcomeUnknown, says: "could not look at the site for 1"},
		{
			name: "blind_is_a_no", places: &places{met: breaks(5*time.Second, time.Second, probe.ClassUnsent, "cached")}, want: upgrade.OutcomeFailed,
			with: func(s *gates.OutageSettings) { s.OnBlind = upgrade.OutcomeFailed }, brief: "nobody could see whether the site was up",
		},
		{name: "too_long_to_watch", places: &places{met: well}, with: func(s *gates.OutageSettings) { s.Longest = 20 * time.Second }, want: upgrade.OutcomeUnknown, says: "the apply went on for longer than the 20 s that are watched at most"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := full()
			if test.with != nil {
				test.with(&s)
			}
			got := test.places.watchedFor(t, s, 30*time.Second)
			if got.Outcome != test.want || got.Brief != test.brief || !strings.Contains(got.Message, test.says) || len(got.Warnings) > 0 != test.warns {
				t.Errorf("got %s %q %q %q, want %s %q that says %q", got.Outcome, got.Brief, got.Message, got.Warnings, test.want, test.brief, test.says)
			}
		})
	}
}

// TestAvailabilityRests: what goes on after the apply is watched until it has ended, and is a no if it does not.
func TestAvailabilityRests(t *testing.T) {
	tests := []struct {
		name string
		met  func(time.Duration, probe.Stream) probe.Sample
		long time.Duration
		want upgrade.Outcome
		says string
	}{
		{"at_rest", breaks(5*time.Second, 300*ms, probe.ClassTCPRefused, "cached"), 30 * time.Second, upgrade.OutcomePassed, "longest outage 0.3 s"},
		{"comes_to_rest", breaks(25*time.Second, 300*ms, probe.ClassTCPRefused, "cached"), 40 * time.Second, upgrade.OutcomePassed, "longest outage 0.3 s"},
		{"down_at_the_end", breaks(29800*ms, 400*ms, probe.ClassTCPRefused, "cached"), 40 * time.Second, upgrade.OutcomePassed, "longest outage 0.4 s"},
		{"never", func(now time.Duration, _ probe.Stream) probe.Sample {
			if now > 20*time.Second && now%(9*time.Second) < 200*ms {
				return probe.Sample{Class: probe.ClassTCPRefused}
			}
			return probe.Sample{}
		}, 50 * time.Second, upgrade.OutcomeFailed, "outages went on after the apply, when the site was to be well for 10 s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &live{places: places{met: test.met}}
				g := gates.Gate{Name: "g", Kind: gates.KindOutage, Stage: upgrade.StageDuring, Environment: "staging", Settle: 10 * time.Second}
				s := siteSettings()
				if err := s.Bind(&g, gates.Deps{Clock: upgrade.SystemClock{}, Prober: w}); err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				watching := gates.Runner{Clock: upgrade.SystemClock{}}.Watch(t.Context(), []gates.Gate{g}, gates.Input{Apply: 1, Befores: []upgrade.Result{memo(t)}})
				time.Sleep(30 * time.Second)
				got := watching.End(t.Context())[0]
				if took := time.Since(begun).Round(time.Second); got.Outcome != test.want || !strings.Contains(got.Message, test.says) || took != test.long {
					t.Errorf("after %s: %s %q, want %s that says %q after %s", took, got.Outcome, got.Message, test.want, test.says, test.long)
				}
			})
		})
	}
}

// live hands samples out as they come.
type live struct{ places }

func (l *live) Climb(context.Context, probe.Path) ([]probe.Ladder, error) { panic("not climbed") }

func (l *live) Stream(ctx context.Context, of probe.Stream, each func(probe.Sample)) error {
	ticker := time.NewTicker(of.Every)
	defer ticker.Stop()
	for due := time.Duration(0); ; due += of.Every {
		s := probe.Sample{OK: true, Class: probe.ClassOK}
		if met := l.met(due, of); met.Class != "" {
			s = met
		}
		s.Sched, s.Start, s.End, s.Address = due, due, due+3*ms, netip.MustParseAddrPort("192.0.2.1:443")
		each(s)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// TestS5Resumed: what an agent saw while the service was restarted counts; what this host missed nobody can
// tell (S5).
func TestS5Resumed(t *testing.T) {
	tests := []struct {
		name  string
		from  []probe.Vantage
		met   func(time.Duration, probe.Stream) probe.Sample
		after time.Duration // the beginning, the service was back
		want  upgrade.Outcome
		says  string
	}{
		{"agent", []probe.Vantage{"in-vpc"}, well, 20 * time.Second, upgrade.OutcomePassed, "answered all along"},
		{"agent_saw_it", []probe.Vantage{"in-vpc"}, breaks(10*time.Second, 3*time.Second, probe.ClassTCPRefused, "cached"), 20 * time.Second, upgrade.OutcomeFailed, "longest outage 3 s"},
		{"here", []probe.Vantage{probe.Here}, well, 20 * time.Second, upgrade.OutcomeUnknown, "the service was restarted during the apply, so this host did not look at the site for 20 s"},
		{"here_and_agent_saw_it", []probe.Vantage{probe.Here, "in-vpc"}, breaks(10*time.Second, 3*time.Second, probe.ClassTCPRefused, "cached"), 20 * time.Second, upgrade.OutcomeFailed, "longest outage 3 s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &places{met: test.met, begun: time.Now()}
				s := siteSettings()
				s.Vantages = test.from
				begun := time.Now()
				time.Sleep(test.after)
				runner := gates.Runner{Clock: upgrade.SystemClock{}}
				watching := runner.Resume(t.Context(), []gates.Gate{bound(t, s, w.deps())}, gates.Input{Apply: 1, Befores: []upgrade.Result{memo(t)}}, begun)
				time.Sleep(10 * time.Second)
				got := watching.End(t.Context())[0]
				if got.Outcome != test.want || !strings.Contains(got.Message, test.says) || !got.StartedAt.Equal(begun) {
					t.Errorf("got %s %q at %s, want %s that says %q", got.Outcome, got.Message, got.StartedAt, test.want, test.says)
				}
				if watch := got.Evidence.Watch; watch == nil || !watch.Began.Equal(begun) || watch.Long < 29*time.Second {
					t.Errorf("got %+v", watch)
				}
			})
		})
	}
	plain := gates.Gate{Name: "plain", Kind: gates.KindOutage, Stage: upgrade.StageDuring}
	got := gates.Runner{Clock: upgrade.SystemClock{}}.Resume(t.Context(), []gates.Gate{plain}, gates.Input{}, time.Now()).End(t.Context())[0]
	if got.Outcome != upgrade.OutcomeUnknown || !strings.Contains(got.Message, "nobody watched it to its end") {
		t.Errorf("got %s %q", got.Outcome, got.Message)
	}
}

// TestAvailabilityAlone: one watch per site at a time.
func TestAvailabilityAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &places{met: well}
		deps := w.deps()
		deps.Targets = &gates.Targets{}
		g := bound(t, siteSettings(), deps)
		runner := gates.Runner{Clock: upgrade.SystemClock{}}
		input := gates.Input{Apply: 1, Befores: []upgrade.Result{memo(t)}}
		for range 2 {
			first := runner.Watch(t.Context(), []gates.Gate{g}, input)
			second := runner.Watch(t.Context(), []gates.Gate{g}, input)
			time.Sleep(10 * time.Second)
			if got := second.End(t.Context())[0]; got.Outcome != upgrade.OutcomeUnknown || !strings.Contains(got.Message, "https://site.test/ is watched by gate g for run 0 already") {
				t.Errorf("got %s %q", got.Outcome, got.Message)
			}
			if got := first.End(t.Context())[0]; got.Outcome != upgrade.OutcomePassed {
				t.Errorf("got %s %q", got.Outcome, got.Message)
			}
		}
	})
}

func TestAvailabilityRefuses(t *testing.T) {
	for name, change := range map[string]func(*gates.OutageSettings){
		"connect": func(s *gates.OutageSettings) { s.Limits.Connect = time.Second },
		"rate":    func(s *gates.OutageSettings) { s.Every = 9 * ms },
	} {
		t.Run(name, func(t *testing.T) {
			s := full()
			change(&s)
			if err := s.Bind(&gates.Gate{}, gates.Deps{}); upgrade.CodeOf(err) != upgrade.CodeInvalid {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestAvailabilityKeeps: an hour's evidence of one site is bounded, whatever is seen, and has what pages draw.
func TestAvailabilityKeeps(t *testing.T) {
	tests := []struct {
		name string
		met  func(time.Duration, probe.Stream) probe.Sample
	}{
		{"well", well},
		{"down", breaks(time.Second, 2*time.Hour, probe.ClassTCPRefused, "cached", "kept", "past", "deep")},
		{"now_and_then", func(now time.Duration, of probe.Stream) probe.Sample {
			if now > time.Second && now%(10*time.Second) < 300*ms && of.Name != "control from here" {
				return probe.Sample{Class: probe.ClassBackendFetch, Layer: probe.LayerBackend, Status: 503, Quote: strings.Repeat("x", 2048)}
			}
			return probe.Sample{}
		}},
		{"every_third", func(now time.Duration, of probe.Stream) probe.Sample {
			if now/of.Every%3 == 0 {
				return probe.Sample{Class: probe.ClassTCPReset, Layer: probe.LayerTCP}
			}
			return probe.Sample{}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := &places{met: test.met}
			s := full()
			s.Vantages = nil
			got := w.watchedFor(t, s, time.Hour)
			raw, err := json.Marshal(got.Evidence)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s %q: %d bytes", got.Outcome, got.Message, len(raw))
			if len(raw) > 2_000_000 {
				t.Errorf("%d bytes are kept of an hour", len(raw))
			}
			if strings.Contains(string(raw), "open-sesame") {
				t.Error("the secret is kept")
			}
			watch := got.Evidence.Watch
			if len(watch.Strips) != 5 || watch.Long < 3599*time.Second || watch.Strips[4].Stream != "control" || !watch.Strips[4].Control || len(watch.Names) != 1 {
				t.Fatalf("%d strips of %s, %+v", len(watch.Strips), watch.Long, watch.Names)
			}
			for _, strip := range watch.Strips {
				n := 0
				for _, one := range strip.Buckets.N {
					n += one
				}
				if n != strip.Sent+strip.Unsent || strip.Buckets.Len() < 1700 || strip.Samples.Len() > 20_000 {
					t.Errorf("%s: %d of %d probes in %d buckets, %d single ones", strip.Stream, n, strip.Sent, strip.Buckets.Len(), strip.Samples.Len())
				}
			}
		})
	}
}

// TestAvailabilityPicture: around an outage every probe is kept, elsewhere none.
func TestAvailabilityPicture(t *testing.T) {
	w := &places{met: breaks(30*time.Second, 800*ms, probe.ClassTCPRefused, "cached")}
	s := siteSettings()
	got := w.watchedFor(t, s, time.Minute).Evidence.Watch
	strip := got.Strips[0]
	failed := 0
	for i := range strip.Samples.Len() {
		one := strip.Samples.Get(i)
		if one.At < 24900*ms || one.At > 35900*ms {
			t.Fatalf("a probe of %s is kept", one.At)
		}
		if one.Class == "tcp_refused" {
			failed++
		}
	}
	if failed != 16 || strip.Samples.Len() != 217 {
		t.Errorf("%d probes, %d of them failed", strip.Samples.Len(), failed)
	}
	if o := got.Outages[0]; len(got.Outages) != 1 || o.Strip != 0 || o.From != 29953*ms || o.To != 30803*ms || o.Best != 800*ms || o.Words != "connections were refused" || o.Own {
		t.Errorf("got %+v", got.Outages)
	}
	if b := strip.Buckets; b.Len() != 60 || b.N[30] != 20 || b.Good[30] != 4 || b.P50[3] != 3000 || b.Max[3] != 3000 {
		t.Errorf("got %d buckets, %d probes, %d good", b.Len(), b.N[30], b.Good[30])
	}
}
