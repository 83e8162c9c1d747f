package lab

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// row is a line of the fault table: what is broken, how it is probed, and what a prober must say from where.
type row struct {
	name   string
	fault  Fault             // nil: nothing is broken, but it is looked at the wrong way
	scheme string            // empty: http
	page   string            // empty: /nocache
	at     string            // dial this address, with or without a port, instead of asking DNS
	edit   func(*probe.Path) // changes how it is probed; without it there is no bypass
	limits func(*probe.Limits)
	inTurn bool // users first, then the peer: not at once

	layer probe.Layer
	class probe.Class
	says  string      // part of the sentence
	or    probe.Class // as good: what is seen depends on how answers are cut into packets, and on what a reset overtakes
	warns probe.Class // a warning that must be there
	same  bool        // a prober beside Varnish must say the same
	peer  probe.Class // or this, from beside Varnish; empty: it must find nothing wrong
	peers probe.Layer // where it says so; empty: as layer
}

// past is a path with the lab's bypass, which expect takes away unless asked.
func past(secret string) func(*probe.Path) {
	return func(p *probe.Path) { p.Bypass = probe.Bypass{Header: BypassHeader, Value: secret} }
}

func withProxy(p *probe.Path) { p.Proxy = true }

func patient(l *probe.Limits) { l.Response = 5 * time.Second }

// aged breaks something and waits until a page that was in the cache may no longer be served as fresh.
func aged(f Fault) Fault {
	return func(ctx context.Context, l *Lab) (func() error, error) {
		undo, err := f(ctx, l)
		if err != nil {
			return nil, err
		}
		return undo, wait(ctx, 3200*time.Millisecond)
	}
}

// longer lets the edge wait for a connection for longer than ARP does.
func longer(l *probe.Limits) { l.Connect = 4 * time.Second }

func nameRows() []row {
	return []row{
		{name: "dns_missing", fault: NameMissing, layer: probe.LayerDNS, class: probe.ClassDNSMissing, same: true, says: Host + " has no address in DNS"},
		{
			name: "dns_wrong_address", fault: NameOfAnother, layer: probe.LayerDNS, class: probe.ClassDNSUnexpected, same: true,
			edit: func(p *probe.Path) { p.Addresses = []netip.Prefix{netip.PrefixFrom(VarnishAddr(), 32)} },
			says: "DNS gives 10.77.2.20 for " + Host + ", where only 10.77.2.10 is expected",
		},
		{name: "dns_wrong_address_not_expected", fault: NameOfAnother, layer: probe.LayerTCP, class: probe.ClassTCPRefused, same: true, says: "nothing listens there"},
		{name: "dns_servfail", fault: NameServfail, layer: probe.LayerDNS, class: probe.ClassDNSServfail, same: true, says: "the server refuses, or the zone is broken"},
		{name: "dns_silent", fault: NameSilent, layer: probe.LayerDNS, class: probe.ClassDNSTimeout, same: true, says: "does not answer for " + Host},
		{name: "dns_dropped", fault: NamesDropped, layer: probe.LayerDNS, class: probe.ClassDNSTimeout, same: true, says: "its port is dropped, or the server is gone"},
		{name: "dns_down", fault: NameServerDown, layer: probe.LayerDNS, class: probe.ClassDNSRefused, same: true, says: "the DNS server refuses the question"},
	}
}

func routeRows() []row {
	return []row{
		{name: "no_route", fault: NoRoute, layer: probe.LayerTCP, class: probe.ClassNetUnreachable, says: "this machine has no route to 10.77.2.10"},
		{name: "router_unreachable", fault: RouteUnreachable, layer: probe.LayerTCP, class: probe.ClassHostUnreachable, says: "10.77.2.10 cannot be reached"},
		{name: "router_prohibits", fault: RouteProhibited, layer: probe.LayerTCP, class: probe.ClassHostUnreachable, says: "a router or a firewall says so"},
		{name: "router_blackhole", fault: RouteBlackhole, layer: probe.LayerTCP, class: probe.ClassTCPTimeout, says: "TCP 80 does not answer within 0.8 s"},
		{name: "no_return_route", fault: NoReturnRoute, layer: probe.LayerTCP, class: probe.ClassTCPTimeout, says: "a security group, network ACL or route drops it"},
		{
			name: "wrong_next_hop", fault: WrongNextHop, layer: probe.LayerTCP, class: probe.ClassTCPTimeout, says: "or route drops it",
			peers: probe.LayerBackend, peer: probe.ClassHTTPFirstByte,
		},
		{name: "link_down", fault: LinkDown, layer: probe.LayerTCP, class: probe.ClassTCPTimeout, same: true, says: "or the host is gone"},
		{name: "no_host_there", at: "10.77.2.77", limits: longer, layer: probe.LayerTCP, class: probe.ClassHostUnreachable, same: true, says: "or the host is gone"},
		{name: "no_host_there_soon", at: "10.77.2.77", layer: probe.LayerTCP, class: probe.ClassTCPTimeout, same: true, says: "or the host is gone"},
		{name: "nothing_listens", at: "10.77.2.20", layer: probe.LayerTCP, class: probe.ClassTCPRefused, same: true, says: "TCP 80 is refused: nothing listens there, or a firewall rejects"},
		{name: "packets_lost", fault: PacketsLost, inTurn: true, warns: probe.ClassPacketLoss, says: "packets to 10.77.2.10:80 get lost: 1 packet had to be repeated"},
		{
			name: "large_packets_lost", fault: LargePacketsLost, layer: probe.LayerContent, class: probe.ClassHTTPBody, or: probe.ClassHTTPFirstByte,
			edit: func(p *probe.Path) { p.Large = probe.Large{Page: "/big", MinBytes: 200_000} },
			says: "/big: small answers come whole, but this one does not within 1.5 s: large packets get lost on the way (MTU)",
		},
		{name: "large_page", fault: LargePacketsLost, page: "/big", layer: probe.LayerBackend, class: probe.ClassHTTPBody, or: probe.ClassHTTPFirstByte, says: "(MTU)"},
	}
}

func filterRows() []row {
	return []row{
		{name: "drop", fault: Filtered("tcp dport 80 drop"), layer: probe.LayerTCP, class: probe.ClassTCPTimeout, same: true, says: "a security group"},
		{name: "users_dropped", fault: UsersDropped, layer: probe.LayerTCP, class: probe.ClassTCPTimeout, says: "a security group"},
		{name: "reset", fault: Filtered("tcp dport 80 reject with tcp reset"), layer: probe.LayerTCP, class: probe.ClassTCPRefused, same: true, says: "or a firewall rejects"},
		{name: "port_unreachable", fault: Filtered("tcp dport 80 reject"), layer: probe.LayerTCP, class: probe.ClassTCPRefused, same: true, says: "or a firewall rejects"},
		{name: "admin_prohibited", fault: Filtered("tcp dport 80 reject with icmpx type admin-prohibited"), layer: probe.LayerTCP, class: probe.ClassHostUnreachable, same: true, says: "a router or a firewall says so"},
		{name: "host_prohibited", fault: Filtered("tcp dport 80 reject with icmp type host-prohibited"), layer: probe.LayerTCP, class: probe.ClassHostUnreachable, same: true, says: "a router or a firewall says so"},
		{name: "net_unreachable", fault: Filtered("tcp dport 80 reject with icmp type net-unreachable"), layer: probe.LayerTCP, class: probe.ClassNetUnreachable, same: true, says: "the network of 10.77.2.10 cannot be reached"},
		{name: "not_allowed", at: "10.77.2.10:22", layer: probe.LayerTCP, class: probe.ClassGuarded, same: true, says: `add "10.77.2.10/32:22" to network.allow`},
	}
}

func terminatorRows() []row {
	return []row{
		{name: "varnish_down_behind_tls", fault: VarnishDown, scheme: "https", layer: probe.LayerVarnish, class: probe.ClassHTTPEOF, same: true, says: "TLS stands, but the connection closes without an answer: Varnish is down behind the terminator"},
		{name: "terminator_down", fault: TerminatorDown, scheme: "https", layer: probe.LayerTCP, class: probe.ClassTCPRefused, same: true, says: "TCP 443 is refused"},
		{name: "terminator_frozen", fault: TerminatorFrozen, scheme: "https", layer: probe.LayerTLS, class: probe.ClassTLSTimeout, same: true, says: "the terminator hangs"},
		{name: "certificate_expired", fault: CertExpired, scheme: "https", layer: probe.LayerTLS, class: probe.ClassTLSExpired, same: true, says: "the certificate is not valid at this time (valid from "},
		{name: "certificate_of_another", fault: CertWrongName, scheme: "https", layer: probe.LayerTLS, class: probe.ClassTLSWrongName, same: true, says: "the certificate is not for " + Host + " (it is for [other.lab])"},
		{name: "certificate_unknown", fault: CertUnknown, scheme: "https", layer: probe.LayerTLS, class: probe.ClassTLSUnknownCA, same: true, says: "an authority that is not trusted"},
		{name: "certificate_ends_soon", fault: CertEndsSoon, scheme: "https", warns: probe.ClassTLSExpires, says: "is good for 5 days more"},
		{
			name: "certificate_ends_too_soon", fault: CertEndsSoon, scheme: "https", layer: probe.LayerTLS, class: probe.ClassTLSExpires, same: true,
			edit: func(p *probe.Path) { p.Expect.MinDays = 21 }, says: "where 21 days is the least: renew it",
		},
		{name: "tls_to_plain_port", scheme: "https", at: "10.77.2.10:80", layer: probe.LayerTLS, class: probe.ClassTLSNotTLS, same: true, says: "TCP 80 answers plain HTTP where TLS was expected"},
		{name: "plain_to_tls_port", at: "10.77.2.10:443", layer: probe.LayerVarnish, class: probe.ClassHTTPReset, or: probe.ClassHTTPEOF, same: true, says: "instead of answered"},
		{name: "proxy_to_plain_port", fault: TerminatorToPlainPort, scheme: "https", layer: probe.LayerProxy, class: probe.ClassProxyMismatch, same: true, says: "sends the PROXY protocol to a port that does not expect it"},
		{name: "plain_to_proxy_port", fault: TerminatorWithoutProxy, scheme: "https", layer: probe.LayerVarnish, class: probe.ClassHTTPEOF, same: true, says: "or they disagree about the PROXY protocol"},
		{name: "proxy_port", at: "10.77.2.10:6086", layer: probe.LayerProxy, class: probe.ClassProxyPort, same: true, says: "this is a port for the PROXY protocol"},
		{name: "proxy_spoken", at: "10.77.2.10:6086", edit: withProxy},
		{name: "proxy_to_http", edit: withProxy, layer: probe.LayerProxy, class: probe.ClassProxyMismatch, same: true, says: "refused with a bare 400"},
		{name: "proxy_to_terminator", scheme: "https", edit: withProxy, layer: probe.LayerTLS, class: probe.ClassTLSReset, same: true, says: "the terminator does not expect the PROXY protocol"},
	}
}

func varnishRows(secret string) []row {
	bypass := past(secret)
	return []row{
		{name: "varnish_down", fault: VarnishDown, layer: probe.LayerTCP, class: probe.ClassTCPRefused, same: true, says: "nothing listens there"},
		{name: "varnish_frozen", fault: VarnishFrozen, layer: probe.LayerVarnish, class: probe.ClassHTTPFirstByte, same: true, says: "Varnish hangs"},
		{name: "backends_down", fault: BackendsDown, layer: probe.LayerBackend, class: probe.ClassBackendFetch, same: true, says: "gets nothing from the backend: Backend fetch failed"},
		{name: "backends_down_cached_page", fault: BackendsDown, page: "/", edit: bypass, layer: probe.LayerBackend, class: probe.ClassBackendFetch, same: true, says: "Backend fetch failed"},
		{name: "backends_down_stale_page", fault: aged(BackendsDown), page: "/", layer: probe.LayerCache, class: probe.ClassStale, same: true, says: "does not get a newer one: the backend fails behind it"},
		{name: "backends_down_health_page", fault: BackendsDown, page: HealthPath, edit: func(p *probe.Path) { p.Expect.BodyContains = "" }, warns: probe.ClassHealthByVCL, says: HealthPath + " is answered by Varnish itself (VCL)"},
		{name: "backends_hang", fault: BackendsHang, layer: probe.LayerBackend, class: probe.ClassHTTPFirstByte, same: true, says: "small answers come, but this page does not begin within 1.5 s: the backend hangs"},
		{name: "backends_hang_slow_503", fault: BackendsHang, limits: patient, layer: probe.LayerBackend, class: probe.ClassBackendSlow, same: true, says: "Varnish waits 3 s for the backend and then answers 503: the backend hangs"},
		{name: "backends_dropped", fault: BackendsFiltered("tcp dport 8080 drop"), layer: probe.LayerBackend, class: probe.ClassHTTPFirstByte, or: probe.ClassBackendSlow, same: true, says: "drop"},
		{name: "wrong_backend_port", fault: WrongBackendPort, layer: probe.LayerBackend, class: probe.ClassBackendFetch, same: true, says: "Backend fetch failed"},
		{name: "forced_sick", fault: ForcedSick, layer: probe.LayerBackend, class: probe.ClassBackendFetch, same: true, says: "Backend fetch failed"},
		{name: "one_forced_sick", fault: OneForcedSick},
		{name: "broken_vcl", fault: BrokenVCL},
		{name: "pages_fail", fault: PagesFail, layer: probe.LayerBackend, class: probe.ClassBackendStatus, same: true, says: "the backend answers 500"},
		{name: "other_site", fault: OtherSite, layer: probe.LayerContent, class: probe.ClassWrongContent, same: true, says: `does not contain "` + Marker + `"`},
		{name: "other_site_cached_page", fault: OtherSite, page: "/", edit: bypass, layer: probe.LayerContent, class: probe.ClassWrongContent, same: true, says: "the page does not contain"},
		{name: "origin", at: "10.77.3.11:8080", layer: probe.LayerVarnish, class: probe.ClassNotViaVarnish, same: true, says: "no X-Varnish, no Via"},
		{name: "wrong_secret", page: "/", edit: past("not-the-secret"), layer: probe.LayerBackend, class: probe.ClassBypassNotHonoured, same: true, says: "check the bypass of the path against the VCL"},
		{name: "bypass_by_cookie", page: "/", edit: func(p *probe.Path) { p.Bypass = probe.Bypass{Cookie: BypassCookie + "=x"} }},
		{name: "bypass_by_query", page: "/", edit: func(p *probe.Path) { p.Bypass = probe.Bypass{Query: "fresh"} }},
		{name: "whole", page: "/", edit: bypass},
		{name: "whole_tls", scheme: "https", page: "/", edit: bypass},
		{name: "large_object", edit: func(p *probe.Path) { p.Large = probe.Large{Page: "/big", MinBytes: 200_000} }},
		{name: "plain", edit: func(p *probe.Path) { p.Plain, p.ViaVarnish = true, false }},
		{name: "plain_backends_down", fault: BackendsDown, edit: func(p *probe.Path) { p.Plain, p.ViaVarnish = true, false }, layer: probe.LayerContent, class: probe.ClassBackendStatus, same: true, says: "the answer is 503, expected 200"},
	}
}

// TestFaults stages what varnish.md lists and compares what a prober says, from outside and from beside
// Varnish; then it repairs and waits for the site to be whole again.
func TestFaults(t *testing.T) {
	l := open(t)
	start := time.Now()
	all := slices.Concat(nameRows(), routeRows(), filterRows(), terminatorRows(), varnishRows(l.secret))
	for _, r := range all {
		t.Run(r.name, func(t *testing.T) { r.run(t, l) })
	}
	took := time.Since(start)
	t.Logf("%d rows in %s", len(all), took.Round(100*time.Millisecond))
	if took > 90*time.Second {
		t.Errorf("all rows take %s, where 90s is the limit", took)
	}
}

func (r row) run(t *testing.T, l *Lab) {
	t.Helper()
	scheme, page := "http", "/nocache"
	if r.scheme != "" {
		scheme = r.scheme
	}
	if r.page != "" {
		page = r.page
	}
	if scheme == "https" && !l.TLS {
		t.Skip("hitch is not installed")
	}
	whole := page
	if page == HealthPath {
		whole = "/nocache"
	}
	if err := l.answers(t.Context(), scheme, whole); err != nil {
		t.Fatalf("before: %v", err)
	}
	path := l.Path(scheme, page)
	path.Bypass = probe.Bypass{}
	if r.at != "" {
		path.Resolve = map[string]string{Host: r.at}
	}
	if r.edit != nil {
		r.edit(&path)
	}
	if r.fault != nil {
		undo, err := r.fault(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := undo(); err != nil {
				t.Fatal(err)
			}
			if err := l.answers(t.Context(), scheme, whole); err != nil {
				t.Fatalf("after: %v", err)
			}
		}()
	}
	seen := make(chan string, 2)
	look := func(from Place) { seen <- r.look(t, l, from, path) }
	if r.inTurn {
		look(User)
		look(Peer)
	} else {
		go look(User)
		go look(Peer)
	}
	for range 2 {
		t.Log(<-seen)
	}
}

// look probes from a place and compares. It returns what was seen.
func (r row) look(t *testing.T, l *Lab, from Place, path probe.Path) string {
	t.Helper()
	lim := limits()
	if r.limits != nil {
		r.limits(&lim)
	}
	start := time.Now()
	ladders, err := varnish.New(prober(l, from, lim)).Climb(t.Context(), path)
	took := time.Since(start).Round(time.Millisecond)
	if err != nil || len(ladders) != 1 {
		t.Errorf("%s: %d ladders, %v", from, len(ladders), err)
		return ""
	}
	layer, class, says := r.layer, r.class, r.says
	if from == Peer && !r.same && r.warns == "" {
		layer, class, says = "", "", ""
		if r.peer != "" {
			layer, class = r.layer, r.peer
		}
		if r.peers != "" {
			layer = r.peers
		}
	}
	rung, _ := ladders[0].Broken()
	if rung.Layer != layer || rung.Class != class && (r.or == "" || rung.Class != r.or) {
		t.Errorf("%s: broken at %q with %q, want %q with %q: %s", from, rung.Layer, rung.Class, layer, class, rung.Detail)
	}
	var told strings.Builder
	told.WriteString(rung.Detail)
	for _, w := range ladders[0].Warnings {
		if told.WriteString("warns: " + w.Detail); w.Class != r.warns {
			t.Errorf("%s warns of %s: %s", from, w.Class, w.Detail)
		}
	}
	if r.warns != "" && len(ladders[0].Warnings) != 1 && from == User {
		t.Errorf("%s: %d warnings, want one of %s", from, len(ladders[0].Warnings), r.warns)
	}
	if (rung.Class != r.or || r.or == "") && from == User && !strings.Contains(told.String(), says) {
		t.Errorf("%s says %q, want %q", from, told.String(), says)
	}
	return string(from) + " " + took.String() + " " + string(rung.Layer) + " " + string(rung.Class) + ": " + told.String()
}

// TestOneDeadAddress: of two addresses behind the name one is nobody's.
func TestOneDeadAddress(t *testing.T) {
	l := open(t)
	undo, err := NameOfNobody(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	lim := limits()
	longer(&lim) // ARP gives up after three seconds
	ladders, err := varnish.New(prober(l, User, lim)).Climb(t.Context(), l.Path("http", "/"))
	if err != nil || len(ladders) != 2 {
		t.Fatalf("%d ladders, %v", len(ladders), err)
	}
	for _, ladder := range ladders {
		rung, broken := ladder.Broken()
		if alive := ladder.Address.Addr() == VarnishAddr(); alive {
			if broken || len(ladder.Warnings) > 0 {
				t.Errorf("%s: %+v", ladder.Address, ladder)
			}
			continue
		}
		if rung.Class != probe.ClassHostUnreachable {
			t.Errorf("%s: %s, want %s", ladder.Address, rung.Class, probe.ClassHostUnreachable)
		}
		const want = "1 of 2 addresses behind " + Host + " do not work, among them 10.77.2.77: some users get through and some do not"
		if len(ladder.Warnings) != 1 || ladder.Warnings[0].Class != probe.ClassPerIP || ladder.Warnings[0].Detail != want {
			t.Errorf("warnings %+v", ladder.Warnings)
		}
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
}
