package varnish

import (
	"bufio"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

func TestQuote(t *testing.T) {
	path := probe.Path{
		Expect: probe.Expect{BodyContains: "never"},
		Bypass: probe.Bypass{Header: "X-Gate-Bypass", Value: "open sesame&more", Cookie: "MoodleSession=x; token=hush-hush", Query: "fresh"},
	}
	echo := "X-Gate-Bypass: open sesame&more\nCookie: MoodleSession=x; token=hush-hush\nAuthorization: Basic aHVzaA==\n" +
		"<a href=?q=open+sesame%26more>open sesame&amp;more</a> \x00\x1b[31m"
	l := climbOne(t, said(t, "HTTP/1.1 200 OK\r\nVia: varnish\r\nAge: 0\r\nX-Varnish: 1\r\nX-Gate-Bypass: open sesame&more\r\n"+
		"Location: /?hush-hush\r\nSet-Cookie: MoodleSession=verysecret\r\nX-Other: unasked\r\n\r\n"+echo+strings.Repeat("é", 4000)), path)
	all, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"sesame", "hush", "aHVzaA", "verysecret", "MoodleSession=x", "unasked", "\x1b", `\u0000`} {
		if strings.Contains(string(all), secret) {
			t.Errorf("%q is in %s", secret, l.Quote)
		}
	}
	for _, want := range []string{"HTTP/1.1 200 OK\n", "X-Varnish: 1\n", "Location: /?(redacted)\n", "Cookie: (redacted)"} {
		if !strings.Contains(l.Quote, want) {
			t.Errorf("quote lacks %q:\n%s", want, l.Quote)
		}
	}
	if len(l.Quote) > 3<<10 || !utf8.ValidString(l.Quote) {
		t.Errorf("quote has %d bytes, valid text: %v", len(l.Quote), utf8.ValidString(l.Quote))
	}
}

// Whatever comes back, the ladder is well formed and holds no secret.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		reply("200 OK", "X-Varnish: 5 3", "Age: 70", "Cache-Control: max-age=9"),
		"HTTP/1.1 503 Backend fetch failed\r\nServer: Varnish\r\nVia: 1.1 varnish\r\nX-Varnish: 7\r\n\r\nGuru Meditation swordfish",
		"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1 103 x\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "x",
		"HTTP/1.1 200 swordfish\r\nVia: varnish swordfish\r\nX-Varnish: 18446744073709551616, 4 4 4\r\nAge: -1\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	p := New(Config{})
	target, err := parse(probe.Path{
		URL: "http://site.test/", ViaVarnish: true,
		Expect: probe.Expect{BodyContains: "site-marker", Headers: map[string]string{"X-A": "."}},
		Bypass: probe.Bypass{Header: "X-Gate", Value: "swordfish"},
	})
	if err != nil {
		f.Fatal(err)
	}
	target.path.Bypass.Header = "" // one answer is all there is to judge
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := p.begin(target, netip.MustParseAddrPort("93.184.216.34:80"), p.now())
		c.settle(found{rung: probe.Rung{Layer: probe.LayerDNS, State: probe.RungNotAsked}})
		c.good(probe.LayerTCP, 0, "")
		c.skip(probe.LayerTLS, "")
		c.skip(probe.LayerProxy, "")
		got := &answer{}
		err := got.read(bufio.NewReader(strings.NewReader(string(raw))), 4096)
		if err != nil {
			c.stop(c.broke(probe.LayerVarnish, bodyClass(err)))
		} else {
			if tr := traceOf(got.header); tr.hit() && maxAgeOf(got.header) >= 0 {
				return // would be looked at again
			}
			if broken, ok := c.judge(t.Context(), got).(*brokenError); ok { //nolint:errorlint // never wrapped
				c.stop(broken)
			}
		}
		l := c.finish()
		wellFormed(t, l)
		all, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(all), "swordfish") {
			t.Errorf("the secret is in %s", all)
		}
	})
}
