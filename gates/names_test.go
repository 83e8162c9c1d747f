package gates_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// chain returns a terminator's certificate and that of its authority.
func chain(serial, sum string) []probe.Cert {
	until := noon().Add(40 * 24 * time.Hour)
	return []probe.Cert{
		{Subject: "site.test", Issuer: "R3", Serial: serial, SHA256: sum, Until: until, Names: []string{"site.test", "www.site.test", "a.test", "b.test", "c.test"}, More: 7},
		{Issuer: "Root X1", Serial: "02", SHA256: "feed", Until: until},
	}
}

// rowsOf returns a table as lines.
func rowsOf(t *testing.T, evidence upgrade.Evidence, title string) []string {
	t.Helper()
	i := slices.IndexFunc(evidence.Tables, func(table upgrade.Table) bool { return table.Title == title })
	if i < 0 {
		t.Fatalf("no table %s", title)
	}
	var lines []string
	for _, row := range evidence.Tables[i].Rows {
		lines = append(lines, strings.Join(row, "|"))
	}
	return lines
}

// TestAvailabilityNames: evidence says which certificates were met, once for each change, and for how long DNS's
// answers may be kept.
func TestAvailabilityNames(t *testing.T) {
	w := &places{met: func(at time.Duration, of probe.Stream) probe.Sample {
		s := probe.Sample{Class: probe.ClassOK, Status: 200, TTL: 60*time.Second - at.Truncate(time.Second)}
		if strings.HasPrefix(of.Name, "cached") {
			s.Chain = chain("04:A1", "abc")
			if at >= 5*time.Second {
				s.Chain = chain("04:A2", "def")
			}
		}
		return s
	}}
	settings := gates.OutageSettings{Path: probe.Path{URL: "https://site.test/"}}
	got := w.watchedFor(t, settings, 10*time.Second)
	if got.Outcome != upgrade.OutcomePassed {
		t.Fatalf("got %s %q", got.Outcome, got.Message)
	}
	want := []string{
		"00:00:00.000|here|192.0.2.1:443|site.test|site.test, www.site.test, a.test, b.test and 8 more|R3|04:A1|2000-02-10 00:00 UTC|abc",
		"00:00:00.000|here|192.0.2.1:443|signed by without a name||Root X1|02|2000-02-10 00:00 UTC|feed",
		"00:00:05.000|here|192.0.2.1:443|site.test|site.test, www.site.test, a.test, b.test and 8 more|R3|04:A2|2000-02-10 00:00 UTC|def",
		"00:00:05.000|here|192.0.2.1:443|signed by without a name||Root X1|02|2000-02-10 00:00 UTC|feed",
	}
	if rows := rowsOf(t, got.Evidence, "Certificates"); !slices.Equal(rows, want) {
		t.Errorf("certificates:\n%s\nwant\n%s", strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
	if rows := rowsOf(t, got.Evidence, "DNS"); !slices.Equal(rows, []string{"00:00:00.000|here|192.0.2.1:443|51 s to 1 min"}) {
		t.Errorf("DNS: %q", rows)
	}
}

// TestVarnishNames: the one-shot gate keeps the same.
func TestVarnishNames(t *testing.T) {
	one := ladder("")
	one.TTL, one.Chain = 5*time.Minute, chain("04:A1", "abc")
	got := site(t, &fakeProber{answers: [][]probe.Ladder{{one}}})
	if rows := rowsOf(t, got.Evidence, "DNS"); !slices.Equal(rows, []string{"http://site.test/|here|192.0.2.1|5 min"}) {
		t.Errorf("DNS: %q", rows)
	}
	if rows := rowsOf(t, got.Evidence, "Certificates"); len(rows) != 2 {
		t.Errorf("certificates: %q", rows)
	}
}
