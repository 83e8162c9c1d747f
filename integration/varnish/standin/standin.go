// Package standin is a small caching proxy that behaves like Varnish on the wire: one or two numbers in
// X-Varnish, Via, Age, grace, pass, and the 503 page when a backend gives nothing. It stands in for
// varnishd on machines that have none, says so in Via and Server, and is for demonstrations and tests;
// it must never carry a real site. Where it is simpler than Varnish: no VCL, no Vary, no ranges, no
// conditional requests, objects are held whole.
package standin

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Via is the header by which an answer says that it came through the stand-in.
const Via = "1.1 varnish (Varnish/stand-in)"

// What varnishd 7.1 does unless told otherwise.
const (
	defaultTTL = 2 * time.Minute
	maxObject  = 8 << 20 // bytes of a body; longer ones are cut and fail as a whole
	maxObjects = 1024
)

// Config is what a [Proxy] needs.
type Config struct {
	Backends []string // addresses such as "127.0.0.1:8080", asked in turn
	// Dial connects to a backend. Nil: from this process.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// BypassHeader and BypassValue: a request with exactly this goes past the cache. Empty: none does.
	BypassHeader, BypassValue string
	BypassCookie              string           // name of a cookie that passes, such as "MoodleSession"; other cookies are taken off
	HealthPath                string           // answered by the proxy itself, as VCL's synth(200) does; empty: none
	Grace                     time.Duration    // for how long an old page is served while backends fail; 0: one hour
	FirstByte                 time.Duration    // how long a backend may think; 0: 3 s
	Now                       func() time.Time // nil: the time of the system
}

// Proxy is the stand-in, an [http.Handler]. Close it after its last request.
type Proxy struct {
	cfg    Config
	client *http.Transport
	next   atomic.Uint64 // number of the last transaction, as X-Varnish shows it
	turn   atomic.Uint64
	behind sync.WaitGroup // refreshing behind a page from grace

	mu      sync.Mutex // guards the fields below
	objects map[string]*object
}

// object is a stored answer.
type object struct {
	xid        uint64
	status     int
	header     http.Header
	body       []byte
	storedAt   time.Time
	ttl        time.Duration
	refreshing bool
}

// ServeHTTP answers as Varnish would.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	xid := p.next.Add(1)
	switch {
	case p.cfg.HealthPath != "" && r.URL.Path == p.cfg.HealthPath:
		p.synth(w, xid)
		return
	case p.passes(r):
		p.deliver(w, r, p.fetch(r.Context(), r), []uint64{xid}, 0)
		return
	}
	r.Header.Del("Cookie")
	key := r.Host + r.URL.RequestURI()
	now := p.cfg.Now()
	stored, refresh := p.find(key, now)
	if stored == nil {
		got := p.fetch(r.Context(), whole(r))
		p.keep(key, got)
		p.deliver(w, r, got, []uint64{xid}, 0)
		return
	}
	if refresh {
		request := whole(r.WithContext(context.WithoutCancel(r.Context())))
		p.behind.Go(func() { p.refresh(key, request) })
	}
	p.deliver(w, r, stored, []uint64{xid, stored.xid}, now.Sub(stored.storedAt))
}

// whole returns the request by which a page is fetched for the cache.
func whole(r *http.Request) *http.Request {
	out := r.Clone(r.Context())
	out.Method = http.MethodGet
	return out
}

// Close waits for pages that are being fetched anew, and drops connections to backends.
func (p *Proxy) Close() {
	p.behind.Wait()
	p.client.CloseIdleConnections()
}

// passes reports whether a request goes past the cache.
func (p *Proxy) passes(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header.Get("Authorization") != "" {
		return true
	}
	if p.cfg.BypassHeader != "" && r.Header.Get(p.cfg.BypassHeader) == p.cfg.BypassValue {
		return true
	}
	if p.cfg.BypassCookie == "" {
		return false
	}
	_, err := r.Cookie(p.cfg.BypassCookie)
	return err == nil
}

// find returns what is stored under key and may be served, and whether the caller is the one to fetch it
// anew.
func (p *Proxy) find(key string, now time.Time) (stored *object, refresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.objects[key]
	if o == nil {
		return nil, false
	}
	age := now.Sub(o.storedAt)
	switch {
	case age <= o.ttl:
		return o, false
	case age > o.ttl+p.cfg.Grace:
		delete(p.objects, key)
		return nil, false
	}
	refresh = !o.refreshing
	o.refreshing = true
	return o, refresh
}

func (p *Proxy) refresh(key string, r *http.Request) {
	got := p.fetch(r.Context(), r)
	if got.status != http.StatusServiceUnavailable || got.header.Get("Server") != "Varnish" {
		p.keep(key, got)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.objects[key]; o != nil {
		o.refreshing = false
	}
}

// keep stores an answer that may be stored.
func (p *Proxy) keep(key string, o *object) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.ttl <= 0 {
		delete(p.objects, key)
		return
	}
	if len(p.objects) >= maxObjects {
		clear(p.objects)
	}
	p.objects[key] = o
}

// fetch asks the next backend and returns its answer, or the page that Varnish shows when it gets none.
func (p *Proxy) fetch(ctx context.Context, r *http.Request) *object {
	xid := p.next.Add(1)
	o, err := p.ask(ctx, r)
	if err != nil {
		o = guru(xid)
	}
	o.xid, o.storedAt = xid, p.cfg.Now()
	return o
}

func (p *Proxy) ask(ctx context.Context, r *http.Request) (*object, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*p.cfg.FirstByte)
	defer cancel()
	out := r.Clone(ctx)
	out.URL.Scheme = "http"
	out.URL.Host = p.cfg.Backends[int((p.turn.Add(1)-1)%uint64(len(p.cfg.Backends)))] //nolint:gosec // less than the number of backends
	out.Header.Del("Connection")
	out.Header.Set("Via", Via)
	if host, _, ok := strings.Cut(r.RemoteAddr, ":"); ok {
		out.Header.Add("X-Forwarded-For", host)
	}
	resp, err := p.client.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read, or the answer is given up
	body, err := io.ReadAll(http.MaxBytesReader(nil, resp.Body, maxObject))
	if err != nil {
		return nil, err
	}
	header := resp.Header.Clone()
	for _, name := range []string{"Connection", "Keep-Alive", "Transfer-Encoding", "Trailer", "Age"} {
		header.Del(name)
	}
	return &object{status: resp.StatusCode, header: header, body: body, ttl: ttlOf(resp)}, nil
}

// deliver writes an answer with the headers of Varnish: two numbers in X-Varnish for a hit.
func (p *Proxy) deliver(w http.ResponseWriter, r *http.Request, o *object, xids []uint64, age time.Duration) {
	header := w.Header()
	maps.Copy(header, o.header)
	header["X-Varnish"] = []string{strings.Trim(fmt.Sprint(xids), "[]")}
	header["Age"] = []string{strconv.Itoa(int(age / time.Second))}
	header["Via"] = []string{Via}
	header["Content-Length"] = []string{strconv.Itoa(len(o.body))}
	w.WriteHeader(o.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(o.body) //nolint:gosec // handing a page on is what a cache is for; a client that went away hears nothing more
	}
}
