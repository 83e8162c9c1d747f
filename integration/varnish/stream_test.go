package varnish

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// streamed probes path for a while, during which do breaks things, and returns all samples. It fails if
// any comes after the stream has returned, or two at once.
func streamed(t *testing.T, p *Prober, path probe.Path, every, long time.Duration, do func()) []probe.Sample {
	t.Helper()
	return streamedOf(t, p, probe.Stream{Path: path, Every: every}, long, do)
}

func streamedOf(t *testing.T, p *Prober, of probe.Stream, long time.Duration, do func()) []probe.Sample {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	var (
		samples []probe.Sample
		inside  atomic.Int32
		group   sync.WaitGroup
	)
	if do != nil {
		group.Go(do)
	}
	err := p.Stream(ctx, of, func(s probe.Sample) {
		if inside.Add(1) != 1 {
			t.Error("two samples at once")
		}
		if s.Class != probe.ClassStalled { // no probe
			samples = append(samples, s)
		}
		inside.Add(-1)
	})
	if err != nil {
		t.Fatal(err)
	}
	group.Wait()
	return samples
}

// tallied adds up the samples of one address.
func tallied(samples []probe.Sample, every, long time.Duration) probe.Watched {
	tally := probe.NewTally(every)
	for _, s := range samples {
		if s.Address.IsValid() {
			tally.Add(s)
		}
	}
	return tally.Watched(long)
}

// breakable is a site that can be told to hold its answers back.
type breakable struct {
	addr netip.AddrPort
	hold sync.RWMutex // held to write while answers are held back
	bad  atomic.Bool  // answers 503 meanwhile
}

func newBreakable(t *testing.T) *breakable {
	t.Helper()
	b := &breakable{}
	b.addr = serve(t, func(_ int, conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		if b.bad.Load() {
			_, _ = io.WriteString(conn, "HTTP/1.1 503 Backend fetch failed\r\nServer: Varnish\r\nVia: 1.1 varnish\r\nX-Varnish: 7\r\nAge: 0\r\nSet-Cookie: a=b\r\nContent-Length: 9\r\n\r\nError 503")
			return
		}
		b.hold.RLock()
		defer b.hold.RUnlock()
		_, _ = io.WriteString(conn, reply("200 OK", "X-Varnish: 5 3", "Via: 1.1 varnish", "Age: 7"))
	})
	return b
}

func (b *breakable) path() probe.Path {
	return probe.Path{
		URL: "http://site.test/", Resolve: map[string]string{"site.test": b.addr.String()}, ViaVarnish: true,
		Expect: probe.Expect{BodyContains: "site-marker"},
	}
}

// TestStreamSeesOutages: a stall without any error and a time of wrong answers are found at their length.
func TestStreamSeesOutages(t *testing.T) {
	if raced {
		t.Skip("it measures milliseconds, which the race detector makes too slow")
	}
	const every, long, down = 20 * time.Millisecond, 1500 * time.Millisecond, 400 * time.Millisecond
	tests := []struct {
		name  string
		down  func(b *breakable)
		up    func(b *breakable)
		class probe.Class
		layer probe.Layer
	}{
		{"stall", func(b *breakable) { b.hold.Lock() }, func(b *breakable) { b.hold.Unlock() }, probe.ClassLate, ""},
		{"wrong_answers", func(b *breakable) { b.bad.Store(true) }, func(b *breakable) { b.bad.Store(false) }, probe.ClassBackendFetch, probe.LayerBackend},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBreakable(t)
			var truth time.Duration
			samples := streamed(t, prober(t, b.addr), b.path(), every, long, func() {
				time.Sleep(500 * time.Millisecond)
				start := time.Now()
				test.down(b)
				time.Sleep(down)
				test.up(b)
				truth = time.Since(start)
			})
			w := tallied(samples, every, long)
			if len(samples) < int(long/every)-1 || len(w.Outages) != 1 {
				t.Fatalf("%d samples: %+v", len(samples), w)
			}
			o := w.Outages[0]
			const slack = 30 * time.Millisecond // two shared cores
			if o.Class != test.class || o.Layer != test.layer || o.Certain > truth+slack || o.Most < truth-slack || o.Open {
				t.Errorf("it lasted %s, found %+v", truth, o)
			}
			if test.class == probe.ClassBackendFetch && o.Quote != "HTTP/1.1 503 Backend fetch failed\nServer: Varnish\nVia: 1.1 varnish\nX-Varnish: 7\nAge: 0\nContent-Length: 9\n\nError 503" {
				t.Errorf("quote is %q", o.Quote)
			}
		})
	}
}

// TestStreamIsOpenLoop: a site that never answers is asked as often as any, and the stream ends within the
// limits of one probe.
func TestStreamIsOpenLoop(t *testing.T) {
	b := newBreakable(t)
	b.hold.Lock()
	defer b.hold.Unlock()
	p := New(Config{
		Limits: probe.Limits{Connect: 300 * time.Millisecond, Response: 400 * time.Millisecond},
		Guard:  Guard{Allow: allow(t, "127.0.0.1/32:"+portString(b.addr))},
	})
	begun := time.Now()
	samples := streamed(t, p, b.path(), 20*time.Millisecond, 600*time.Millisecond, nil)
	if took := time.Since(begun); took > 1500*time.Millisecond || len(samples) < 29 {
		t.Errorf("%d samples after %s", len(samples), took)
	}
	for _, s := range samples {
		if s.OK || s.Class != probe.ClassHTTPFirstByte && s.Class != probe.ClassUnsent || s.End-s.Start > 600*time.Millisecond {
			t.Errorf("got %+v", s)
		}
	}
}

// TestStreamSaturates: what cannot be sent is told, never left out, and is no failure of the site's.
func TestStreamSaturates(t *testing.T) {
	release := make(chan struct{})
	p := New(Config{
		Limits: probe.Limits{Connect: 10 * time.Millisecond, Response: 10 * time.Millisecond},
		Dial: func(context.Context, string, string) (net.Conn, error) { // deaf to its deadline
			<-release
			return nil, syscall.ECONNREFUSED
		},
		Guard: Guard{Allow: allow(t, "127.0.0.1/32:80")},
	})
	samples := streamed(t, p, probe.Path{URL: "http://127.0.0.1/"}, 10*time.Millisecond, 400*time.Millisecond, func() {
		time.Sleep(300 * time.Millisecond)
		close(release)
	})
	unsent := 0
	for _, s := range samples {
		if s.Class == probe.ClassUnsent && s.Blind() {
			unsent++
		}
	}
	if unsent < 10 || len(samples) < 39 {
		t.Errorf("%d of %d were not sent", unsent, len(samples))
	}
}

func TestStreamClasses(t *testing.T) {
	closed := serve(t, func(_ int, conn net.Conn) { _ = conn.Close() })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := ln.Addr().(*net.TCPAddr).AddrPort()
	_ = ln.Close()
	good, plain := newBreakable(t), said(t, reply("200 OK"))
	none := func(context.Context, string, string) (net.Conn, error) { return nil, syscall.EMFILE }
	guard := Guard{Allow: allow(t, "127.0.0.1/32:"+portString(closed), "127.0.0.1/32:"+portString(gone), "127.0.0.1/32:"+portString(good.addr), "127.0.0.1/32:"+portString(plain))}
	at := func(addr netip.AddrPort) probe.Path { return probe.Path{URL: "http://" + addr.String() + "/"} }
	tests := []struct {
		name  string
		cfg   Config
		path  probe.Path
		class probe.Class
		layer probe.Layer
	}{
		{"good", Config{Guard: guard}, good.path(), probe.ClassOK, ""},
		{"other_content", Config{Guard: guard}, probe.Path{URL: at(good.addr).URL, Expect: probe.Expect{BodyContains: "another"}}, probe.ClassWrongContent, probe.LayerContent},
		{"not_varnish", Config{Guard: guard}, probe.Path{URL: at(plain).URL, ViaVarnish: true}, probe.ClassNotViaVarnish, probe.LayerVarnish},
		{"refused", Config{Guard: guard}, at(gone), probe.ClassTCPRefused, probe.LayerTCP},
		{"closed", Config{Guard: guard}, at(closed), probe.ClassHTTPEOF, probe.LayerVarnish},
		{"not_tls", Config{Guard: guard}, probe.Path{URL: "https://" + closed.String() + "/"}, probe.ClassTLSReset, probe.LayerTLS},
		{"guarded", Config{}, at(good.addr), probe.ClassGuarded, probe.LayerTCP},
		{"out_of_files", Config{Guard: guard, Dial: none}, at(good.addr), probe.ClassProber, ""},
		{"no_such_name", Config{Resolver: answering{err: &net.DNSError{IsNotFound: true}}}, probe.Path{URL: "http://site.test/"}, probe.ClassDNSMissing, probe.LayerDNS},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.cfg.Limits = quick()
			samples := streamed(t, New(test.cfg), test.path, 50*time.Millisecond, 75*time.Millisecond, nil)
			if len(samples) == 0 {
				t.Fatal("no samples")
			}
			for _, s := range samples {
				if s.Class == probe.ClassUnsent {
					continue
				}
				if test.class == probe.ClassHTTPEOF && s.Class == probe.ClassHTTPReset {
					s.Class = test.class // closed before or after it was asked
				}
				if s.Class != test.class || s.Layer != test.layer || s.OK != (test.class == probe.ClassOK) || s.End < s.Start {
					t.Errorf("got %+v", s)
				}
			}
		})
	}
}

// TestStreamAddresses: every address is probed at the full rate, those that DNS finds later too.
func TestStreamAddresses(t *testing.T) {
	if raced {
		t.Skip("it measures milliseconds, which the race detector makes too slow")
	}
	b := newBreakable(t)
	two := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), b.addr.Port())
	resolver := &turning{answers: [][]netip.Addr{{b.addr.Addr()}, {two.Addr(), b.addr.Addr()}}}
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, b.addr.String())
	}
	p := New(Config{Limits: quick(), Resolver: resolver, Dial: dial, Guard: Guard{Allow: allow(t, "127.0.0.0/30:"+portString(b.addr))}})
	path := probe.Path{URL: "http://site.test:" + portString(b.addr) + "/"}
	count := map[netip.AddrPort]int{}
	for _, s := range streamed(t, p, path, 50*time.Millisecond, 1600*time.Millisecond, nil) {
		if !s.OK && s.Class != probe.ClassUnsent {
			t.Errorf("got %+v", s)
		}
		count[s.Address]++
	}
	if count[b.addr] < 30 || count[two] < 9 || count[two] > 14 || count[netip.AddrPort{}] != 2 {
		t.Errorf("got %v", count)
	}
}

// turning answers with one list after the other, the last again and again.
type turning struct {
	answers [][]netip.Addr
	asked   atomic.Int32
}

func (r *turning) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return r.answers[min(int(r.asked.Add(1)), len(r.answers))-1], nil
}

func TestStreamRefuses(t *testing.T) {
	for _, path := range []probe.Path{{URL: "ftp://site.test/"}, {URL: "http://"}} {
		err := New(Config{}).Stream(t.Context(), probe.Stream{Path: path, Every: time.Second}, nil)
		if err == nil || upgrade.CodeOf(err) != upgrade.CodeInvalid {
			t.Errorf("%s: %v", path.URL, err)
		}
	}
	if err := New(Config{}).Stream(t.Context(), probe.Stream{Path: probe.Path{URL: "http://site.test/"}}, nil); err == nil {
		t.Error("an endless burst was begun")
	}
}
