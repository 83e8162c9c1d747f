package gates_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// scene is a site as it is seen from places.
type scene struct {
	settings gates.Settings
	probers  map[probe.Vantage]*fakeProber
	inside   []probe.Inside // one after another, the last one again and again
	no       error          // instead of inside
}

// Inspect answers as Varnish's tools would.
func (s *scene) Inspect(context.Context, probe.Node) (probe.Inside, error) {
	if s.no != nil {
		return probe.Inside{}, s.no
	}
	one := s.inside[0]
	if len(s.inside) > 1 {
		s.inside = s.inside[1:]
	}
	return one, nil
}

func (s *scene) ask(t *testing.T) (result upgrade.Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		clock := upgrade.SystemClock{}
		g := bound(t, s.settings, gates.Deps{
			Clock: clock, Prober: s.probers[probe.Here], Varnish: s,
			Vantage: func(v probe.Vantage) (gates.Prober, error) {
				if p, known := s.probers[v]; known {
					return p, nil
				}
				return nil, &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "there is no vantage " + string(v)}
			},
		})
		result = gates.Runner{Clock: clock}.Run(t.Context(), []gates.Gate{g}, gates.Input{}, nil)[0]
	})
	return result
}

func seeing(ladders ...probe.Ladder) *fakeProber {
	return &fakeProber{answers: [][]probe.Ladder{ladders}}
}

func from(vantages ...probe.Vantage) gates.VarnishSettings {
	return gates.VarnishSettings{Paths: []probe.Path{{URL: "http://site.test/"}}, Vantages: vantages}
}

func TestPlaces(t *testing.T) {
	inside := probe.Vantage("staging-a")
	gone := &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "agent staging-a is gone since 10:12"}
	tests := []struct {
		name      string
		here, in  *fakeProber
		want      upgrade.Outcome
		says, not string // in the message
		hint      string
	}{
		{"whole", seeing(ladder("")), seeing(ladder("")), upgrade.OutcomePassed, "from the backend, from here and staging-a", "", ""},
		{
			"outside_alone", seeing(ladder(probe.LayerTCP)), seeing(ladder("")), upgrade.OutcomeFailed,
			"TCP 80 does not answer (http://site.test/, from here)", "staging-a", "users are cut off while staging-a inside gets through: look at the edge's security group or network ACL, the load balancer, or DNS",
		},
		{
			"inside_alone", seeing(ladder("")), seeing(ladder(probe.LayerTCP)), upgrade.OutcomeFailed,
			"(http://site.test/, from staging-a)", "here", "users get through, but staging-a inside does not: look at the internal security group or route",
		},
		{
			"both", seeing(ladder(probe.LayerVarnish)), seeing(ladder(probe.LayerVarnish)), upgrade.OutcomeFailed,
			"(http://site.test/, from here and staging-a)", "", "it is broken from everywhere: look at Varnish and what is behind it",
		},
		{
			"both_behind", seeing(ladder(probe.LayerBackend)), seeing(ladder(probe.LayerBackend)), upgrade.OutcomeFailed,
			"from here and staging-a", "", "it is broken from everywhere, behind Varnish: look at the backends and the way from Varnish to them",
		},
		{"inside_gone", seeing(ladder("")), &fakeProber{err: gone}, upgrade.OutcomeUnknown, "http://site.test/ could not be probed from staging-a: agent staging-a is gone since 10:12", "", ""},
		{"inside_gone_and_broken", seeing(ladder(probe.LayerTCP)), &fakeProber{err: gone}, upgrade.OutcomeFailed, "besides, http://site.test/ could not be probed from staging-a: agent staging-a is gone since 10:12", "", ""},
		{"inside_unknown", seeing(ladder("")), nil, upgrade.OutcomeUnknown, "there is no vantage staging-a", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &scene{settings: from(probe.Here, inside), probers: map[probe.Vantage]*fakeProber{probe.Here: tt.here}}
			if tt.in != nil {
				s.probers[inside] = tt.in
			}
			got := s.ask(t)
			if got.Outcome != tt.want || !strings.Contains(got.Message, tt.says) || tt.not != "" && strings.Contains(got.Message, tt.not) {
				t.Errorf("got %s %q, want %s that says %q", got.Outcome, got.Message, tt.want, tt.says)
			}
			if !strings.Contains(got.Hint, tt.hint) || tt.hint == "" && tt.want == upgrade.OutcomeFailed && got.Hint != "" {
				t.Errorf("hint %q, want %q", got.Hint, tt.hint)
			}
			table := got.Evidence.Tables[0]
			if table.Columns[1] != "From" || len(table.Rows) != 2 || table.Rows[0][1] != "here" || table.Rows[1][1] != "staging-a" {
				t.Errorf("table %+v", table)
			}
		})
	}
}

// TestS5VantageGone: what a place that is gone would have seen is no pass, whatever the others see.
func TestS5VantageGone(t *testing.T) {
	s := &scene{settings: from("staging-a"), probers: map[probe.Vantage]*fakeProber{"staging-a": {err: &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "agent staging-a does not answer"}}}}
	if got := s.ask(t); got.Outcome != upgrade.OutcomeUnknown || !strings.Contains(got.Message, "agent staging-a does not answer") {
		t.Errorf("got %s %q", got.Outcome, got.Message)
	}
}

// with changes one rung of a ladder.
func with(l probe.Ladder, layer probe.Layer, change func(*probe.Rung)) probe.Ladder {
	l.Rungs = slices.Clone(l.Rungs)
	for i := range l.Rungs {
		if l.Rungs[i].Layer == layer {
			change(&l.Rungs[i])
		}
	}
	return l
}

// TestS5Void: a probe that says nothing about the site is no pass and no no.
func TestS5Void(t *testing.T) {
	skipped := func(r *probe.Rung) { r.State, r.Class, r.Detail = probe.RungNotAsked, "", "the cache answered" }
	void := with(ladder(probe.LayerBackend), probe.LayerBackend, func(r *probe.Rung) {
		r.Class, r.Detail = probe.ClassBypassNotHonoured, "the cache answered a request that was to go past it"
	})
	health := with(ladder(""), probe.LayerBackend, skipped)
	health.Warnings = []probe.Warning{{Layer: probe.LayerBackend, Class: probe.ClassHealthByVCL, Detail: "/health is answered by Varnish itself (VCL)"}}
	untried := ladder("")
	untried.Doors = []probe.Knock{{Address: netip.MustParseAddrPort("10.0.0.1:22"), State: probe.RungNotAsked, Class: probe.ClassGuarded, Detail: "10.0.0.1:22 is not public"}}
	tests := []struct {
		name    string
		paths   int
		answers []probe.Ladder // of each path
		want    upgrade.Outcome
		says    string
	}{
		{"bypass_not_honoured", 1, []probe.Ladder{void}, upgrade.OutcomeUnknown, "bypass not honoured"},
		{"cached", 1, []probe.Ladder{with(ladder(""), probe.LayerBackend, skipped)}, upgrade.OutcomeUnknown, "nobody asked the backend"},
		{"health_page_alone", 1, []probe.Ladder{health}, upgrade.OutcomeUnknown, "Varnish answered by itself"},
		{"health_page_beside_another", 2, []probe.Ladder{health, ladder("")}, upgrade.OutcomePassed, "all 2 paths"},
		{"door_not_tried", 1, []probe.Ladder{untried}, upgrade.OutcomeUnknown, "whether TCP 22 of 10.0.0.1 is closed could not be tried"},
		{"void_beside_broken", 2, []probe.Ladder{void, ladder(probe.LayerTCP)}, upgrade.OutcomeFailed, "TCP 80 does not answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			settings := gates.VarnishSettings{Tries: 1}
			prober := &fakeProber{}
			for i := range tt.paths {
				settings.Paths = append(settings.Paths, probe.Path{URL: "http://site.test/"})
				prober.answers = append(prober.answers, tt.answers[i:i+1])
			}
			got := (&scene{settings: settings, probers: map[probe.Vantage]*fakeProber{probe.Here: prober}}).ask(t)
			if got.Outcome != tt.want || !strings.Contains(got.Message, tt.says) {
				t.Errorf("got %s %q, want %s that says %q", got.Outcome, got.Message, tt.want, tt.says)
			}
			if strings.HasPrefix(tt.name, "health") && !slices.ContainsFunc(got.Warnings, func(w string) bool { return strings.Contains(w, "by Varnish itself (VCL)") }) {
				t.Errorf("warnings %v", got.Warnings)
			}
		})
	}
}

// TestSeveralAddresses: of a name with several addresses, the broken ones are named.
func TestSeveralAddresses(t *testing.T) {
	other := ladder(probe.LayerTCP)
	other.Address = netip.MustParseAddrPort("192.0.2.2:80")
	got := (&scene{settings: from(), probers: map[probe.Vantage]*fakeProber{probe.Here: seeing(ladder(""), other)}}).ask(t)
	if want := "TCP 80 does not answer (http://site.test/ at 192.0.2.2, 1 of 2 addresses behind the name)"; got.Message != want {
		t.Errorf("got %q, want %q", got.Message, want)
	}
}

// asking notes the paths that it is asked for.
type asking struct {
	*fakeProber
	mu    sync.Mutex
	paths []probe.Path
}

func (a *asking) Climb(ctx context.Context, path probe.Path) ([]probe.Ladder, error) {
	a.mu.Lock()
	a.paths = append(a.paths, path)
	a.mu.Unlock()
	return a.fakeProber.Climb(ctx, path)
}

// TestClosed: who is asked to try which doors, and an open one is a no that names it.
func TestClosed(t *testing.T) {
	open := ladder("")
	open.Doors = []probe.Knock{
		{Address: netip.MustParseAddrPort("192.0.2.1:6082"), State: probe.RungOK, Class: probe.ClassTCPRefused, Detail: "closed: refused"},
		{Address: netip.MustParseAddrPort("192.0.2.1:6086"), State: probe.RungBroken, Class: probe.ClassPortOpen, Detail: "TCP 6086 of 192.0.2.1 is open: a security group, network ACL or firewall lets it through"},
	}
	here, inside := &asking{fakeProber: seeing(open)}, &asking{fakeProber: seeing(ladder(""))}
	settings := gates.VarnishSettings{
		Paths:    []probe.Path{{URL: "http://site.test/"}, {URL: "http://site.test/login"}, {URL: "http://other.test/"}},
		Vantages: []probe.Vantage{probe.Here, "staging-a"}, Tries: 1,
		Closed: []gates.Closed{
			{Ports: []uint16{6082, 6086}},
			{Ports: []uint16{22}, At: []netip.Addr{netip.MustParseAddr("192.0.2.9")}, From: []probe.Vantage{"staging-a"}},
		},
	}
	var got upgrade.Result
	synctest.Test(t, func(t *testing.T) {
		clock := upgrade.SystemClock{}
		g := bound(t, settings, gates.Deps{Clock: clock, Prober: here, Vantage: func(probe.Vantage) (gates.Prober, error) { return inside, nil }})
		got = gates.Runner{Clock: clock}.Run(t.Context(), []gates.Gate{g}, gates.Input{}, nil)[0]
	})
	doors := func(a *asking) (list []int) {
		for _, path := range a.paths {
			list = append(list, len(path.Closed))
		}
		return list
	}
	if a, b := doors(here), doors(inside); !slices.Equal(a, []int{2, 0, 2}) || !slices.Equal(b, []int{1, 0, 0}) {
		t.Errorf("doors asked for: here %v, inside %v", a, b)
	}
	if want := "TCP 6086 of 192.0.2.1 is open from here and must be closed: a security group, network ACL or firewall lets it through"; got.Outcome != upgrade.OutcomeFailed || got.Message != want {
		t.Errorf("got %s %q, want %q", got.Outcome, got.Message, want)
	}
	if got.Brief != "a port is open that must be closed" {
		t.Errorf("brief %q", got.Brief)
	}
	table := got.Evidence.Tables[1]
	if table.Title != "Ports that must be closed" || strings.Join(table.Rows[1], "|") != "192.0.2.1|6086|here|✗ Open" || strings.Join(table.Rows[0], "|") != "192.0.2.1|6082|here|closed: refused" {
		t.Errorf("table %+v", table)
	}
}

// TestHTTP: a plain path has its own columns and words, and no way past a cache.
func TestHTTP(t *testing.T) {
	plain := probe.Ladder{URL: "http://site.test/", Address: netip.MustParseAddrPort("192.0.2.1:80")}
	for _, layer := range []probe.Layer{probe.LayerDNS, probe.LayerTCP, probe.LayerTLS, probe.LayerProxy, probe.LayerHTTP, probe.LayerContent} {
		plain.Rungs = append(plain.Rungs, probe.Rung{Layer: layer, State: probe.RungOK, Took: 1, Detail: "ok"})
	}
	plain.Rungs[3].State = probe.RungNotAsked
	prober := &asking{fakeProber: seeing(plain)}
	var got upgrade.Result
	ask := func() {
		synctest.Test(t, func(t *testing.T) {
			clock := upgrade.SystemClock{}
			settings := gates.HTTPSettings{Paths: []probe.Path{{URL: "http://site.test/", ViaVarnish: true, Bypass: probe.Bypass{Query: "x"}}}, Tries: 1}
			g := bound(t, settings, gates.Deps{Clock: clock, Prober: prober})
			got = gates.Runner{Clock: clock}.Run(t.Context(), []gates.Gate{g}, gates.Input{}, nil)[0]
		})
	}
	ask()
	if got.Outcome != upgrade.OutcomePassed || got.Message != "http://site.test/ answers as expected" {
		t.Errorf("got %s %q", got.Outcome, got.Message)
	}
	if path := prober.paths[0]; !path.Plain || path.ViaVarnish || path.Bypass.Used() {
		t.Errorf("asked for %+v", path)
	}
	if columns := strings.Join(got.Evidence.Tables[0].Columns, "|"); columns != "Path|Address|DNS|TCP|TLS|HTTP|Content" {
		t.Errorf("columns %s", columns)
	}
	broken := with(plain, probe.LayerHTTP, func(r *probe.Rung) {
		r.State, r.Class, r.Detail = probe.RungBroken, probe.ClassHTTPEOF, "the connection closes without an answer"
	})
	broken = with(broken, probe.LayerContent, func(r *probe.Rung) { r.State = probe.RungNotReached })
	prober.answers = [][]probe.Ladder{{broken}}
	ask()
	if got.Outcome != upgrade.OutcomeFailed || got.Brief != "the site does not answer as expected (HTTP: closed)" {
		t.Errorf("got %s %q", got.Outcome, got.Brief)
	}
}

func insideOf(admin, health string, counters map[string]uint64) probe.Inside {
	web := func(name string) probe.Backend {
		return probe.Backend{Name: name, Type: "backend", Admin: admin, Health: health, Good: 0, Of: 4}
	}
	return probe.Inside{
		VCLs:     []probe.VCL{{Name: "boot", Status: "active"}, {Name: "old", Status: "available"}},
		Backends: []probe.Backend{{Name: "d", Type: "round-robin", Admin: "probe", Health: health, Of: 2}, web("web1"), web("web2")}, Counters: counters,
	}
}

// TestVarnishItself: what Varnish says of itself is evidence, sharpens a no, and never makes or unmakes one.
func TestVarnishItself(t *testing.T) {
	failed := with(ladder(probe.LayerBackend), probe.LayerBackend, func(r *probe.Rung) {
		r.Class, r.Detail = probe.ClassBackendFetch, "Varnish runs but gets nothing from the backend: Backend fetch failed"
	})
	zero := map[string]uint64{"MAIN.uptime": 5, "MAIN.fetch_failed": 1, "web1.fail_econnrefused": 2}
	tests := []struct {
		name    string
		ladder  probe.Ladder
		inside  []probe.Inside
		no      error
		want    upgrade.Outcome
		says    string // in the message or a warning
		cause   bool
		warning string
	}{
		{
			"forced", failed,
			[]probe.Inside{insideOf("sick", "sick", zero)},
			nil, upgrade.OutcomeFailed,
			"Varnish runs but asks no backend: web1 and web2 are set sick by hand (varnishadm backend.set_health) (http://site.test/)", true, "web1 and web2 are set sick by hand",
		},
		{
			"refused", failed,
			[]probe.Inside{insideOf("probe", "healthy", zero), insideOf("probe", "healthy", map[string]uint64{"MAIN.uptime": 6, "web1.fail_econnrefused": 5})},
			nil, upgrade.OutcomeFailed,
			"Varnish counts: web1: nothing listens on its port, or a firewall rejects (fail_econnrefused)", true, "",
		},
		{
			"held_down", failed,
			[]probe.Inside{insideOf("probe", "healthy", zero), insideOf("probe", "healthy", map[string]uint64{"MAIN.uptime": 6, "web1.fail_econnrefused": 2, "web1.helddown": 4})},
			nil, upgrade.OutcomeFailed,
			"web1: nothing listens on its port, or a firewall rejects (fail_econnrefused), not tried again so soon (helddown)", true, "",
		},
		{
			"none_healthy", failed,
			[]probe.Inside{insideOf("probe", "sick", zero)},
			nil, upgrade.OutcomeFailed,
			"no back end is healthy, says Varnish, so it asks none: web1 and web2 are sick", true, "0 of 2 back ends get requests",
		},
		{"began_anew", failed, []probe.Inside{insideOf("probe", "healthy", zero), insideOf("probe", "healthy", map[string]uint64{"MAIN.uptime": 1, "web1.fail_econnrefused": 9})}, nil, upgrade.OutcomeFailed, "Backend fetch failed", false, ""},
		{"whole", ladder(""), []probe.Inside{insideOf("healthy", "healthy", zero)}, nil, upgrade.OutcomePassed, "", false, ""},
		{"whole_but_sick", ladder(""), []probe.Inside{insideOf("probe", "sick", zero)}, nil, upgrade.OutcomePassed, "", false, "web1 and web2 are sick, says Varnish's own probe"},
		{"no_access", ladder(""), nil, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "ssh varnish-1: no route"}, upgrade.OutcomePassed, "", false, "Varnish itself could not be asked for evidence: ssh varnish-1: no route"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			settings := from()
			settings.Node, settings.Tries = probe.Node{Name: "v"}, 1
			s := &scene{settings: settings, probers: map[probe.Vantage]*fakeProber{probe.Here: seeing(tt.ladder)}, inside: tt.inside, no: tt.no}
			got := s.ask(t)
			if got.Outcome != tt.want || !strings.Contains(got.Message, tt.says) {
				t.Errorf("got %s %q, want %s that says %q", got.Outcome, got.Message, tt.want, tt.says)
			}
			if hasCause := slices.ContainsFunc(got.Evidence.Facts, func(f upgrade.Fact) bool { return f.Name == "Cause" }); hasCause != tt.cause {
				t.Errorf("facts %+v", got.Evidence.Facts)
			}
			if tt.warning == "" && len(got.Warnings) > 0 || !strings.Contains(strings.Join(got.Warnings, "\n"), tt.warning) {
				t.Errorf("warnings %q, want %q", got.Warnings, tt.warning)
			}
			if tt.no == nil && got.Evidence.Tables[1].Title != "Back ends, says Varnish" {
				t.Errorf("tables %+v", got.Evidence.Tables)
			}
		})
	}
}
