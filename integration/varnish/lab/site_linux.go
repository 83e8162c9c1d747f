package lab

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/integration/varnish/standin"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// OpenSite sets a site up and returns when it answers, within a second where nothing else is going on.
// Unless a kind is demanded it takes the best that works and says in Why what stood against a better one.
func OpenSite(ctx context.Context, cfg SiteConfig) (*Site, error) {
	var reasons []error
	for _, try := range []struct {
		kind Kind
		open func(context.Context, Config) (*Site, error)
	}{
		{KindNamespaces, openNamespaces},
		{KindForwarder, openForwarder},
		{KindStandIn, openStandIn},
	} {
		if cfg.Kind != "" && cfg.Kind != try.kind {
			continue
		}
		site, err := try.open(ctx, cfg.Config)
		if err == nil {
			site.Kind = try.kind
			if len(reasons) > 0 {
				site.Why = errors.Join(reasons...).Error()
			}
			return site, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		reasons = append(reasons, fmt.Errorf("%s: %w", try.kind, err))
	}
	if len(reasons) == 0 {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("no kind of site is called %q", cfg.Kind)}
	}
	return nil, errors.Join(reasons...)
}

func openNamespaces(ctx context.Context, cfg Config) (*Site, error) {
	l, err := Start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Site{
		URL: "http://" + Host + "/nocache", Resolve: map[string]string{Host: VarnishAddr().String()}, Port: 80,
		Dial: l.Dialer(User), Backends: l.Backends, Bypass: probe.Bypass{Header: BypassHeader, Value: l.secret},
		Allow:   []Allow{{Prefix: netip.PrefixFrom(VarnishAddr(), 32), Ports: []uint16{80, 443}}},
		dial:    func(from Place) dialer { return l.Dialer(from) },
		ingress: l.SetIngress, varnish: l.varnish, close: []func() error{l.Close},
	}, nil
}

// openForwarder runs varnishd on a socket in the file system, so that no port but the gatekeepers' leads
// to it.
func openForwarder(ctx context.Context, cfg Config) (*Site, error) {
	path, err := program("varnishd")
	if err != nil {
		return nil, err
	}
	if _, err := program("gcc"); err != nil {
		return nil, err
	}
	return openLoopback(ctx, cfg, func(s *Site, dir string, backends []netip.AddrPort) (service, error) {
		config := filepath.Join(dir, "site.vcl")
		if err := os.WriteFile(config, []byte(vcl(backends, s.Bypass.Value)), 0o600); err != nil {
			return nil, fmt.Errorf("write the configuration of Varnish: %w", err)
		}
		keeper := newKeeper()
		p := &process{keeper: keeper, argv: varnishd(path, filepath.Join(dir, "v"), config, "http="+socketIn(dir)+",HTTP,mode=600")}
		s.close = append(s.close, p.stop, func() error { keeper.close(); return nil })
		return p, nil
	})
}

func openStandIn(ctx context.Context, cfg Config) (*Site, error) {
	return openLoopback(ctx, cfg, func(s *Site, dir string, backends []netip.AddrPort) (service, error) {
		var addrs []string
		for _, addr := range backends {
			addrs = append(addrs, addr.String())
		}
		server := &standIn{socket: socketIn(dir), cfg: standin.Config{
			Backends: addrs, BypassHeader: BypassHeader, BypassValue: s.Bypass.Value, BypassCookie: BypassCookie,
			HealthPath: HealthPath, Now: cfg.Now,
		}}
		s.close = append(s.close, server.stop)
		return server, nil
	})
}

func socketIn(dir string) string { return filepath.Join(dir, "s") }

// openLoopback sets a site up on loopback: back ends, what make returns in front of them, and a
// gatekeeper for each place one can look from.
func openLoopback(ctx context.Context, cfg Config, front func(s *Site, dir string, backends []netip.AddrPort) (service, error)) (*Site, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, errSlow)
	defer cancel()
	parent := cfg.Dir
	if len(parent) > 70 {
		parent = "" // the name of a socket may have 107 bytes
	}
	dir, err := os.MkdirTemp(parent, "vl-")
	if err != nil {
		return nil, fmt.Errorf("make the site's folder: %w", err)
	}
	s := &Site{URL: "http://" + Host + "/nocache", Port: 80, Bypass: probe.Bypass{Header: BypassHeader, Value: rand.Text()}}
	if err := s.onLoopback(ctx, dir, front); err != nil {
		s.close = append(s.close, func() error { return os.RemoveAll(dir) })
		return nil, errors.Join(fmt.Errorf("set up the site: %w", err), s.Close())
	}
	s.close = append(s.close, func() error { return os.RemoveAll(dir) })
	return s, nil
}

func (s *Site) onLoopback(ctx context.Context, dir string, front func(s *Site, dir string, backends []netip.AddrPort) (service, error)) error {
	gates := map[Place]*Gatekeeper{}
	for _, from := range []Place{User, Peer, LB} {
		g, err := NewGatekeeper(ctx, GatekeeperConfig{Network: "unix", To: socketIn(dir), Port: s.Port, From: placeAddr(from)})
		if err != nil {
			return err
		}
		gates[from] = g
		s.close = append(s.close, g.Close)
	}
	var backends []netip.AddrPort
	for _, name := range []string{"web1", "web2"} {
		addr, b, err := backendOnLoopback(name)
		if err != nil {
			return err
		}
		s.Backends = append(s.Backends, b)
		backends = append(backends, addr)
	}
	var err error
	if s.varnish, err = front(s, dir, backends); err != nil {
		return err
	}
	for _, b := range s.Backends {
		s.close = append(s.close, b.Stop)
	}
	door := gates[User].Addr()
	s.Resolve = map[string]string{Host: door.String()}
	s.Allow = []Allow{{Prefix: netip.PrefixFrom(door.Addr(), 32), Ports: []uint16{door.Port()}}}
	s.dial = func(from Place) dialer { return dialFrom(door, gates[from]) }
	s.Dial = s.dial(User)
	s.ingress = func(ctx context.Context, rules []Rule) error {
		for _, from := range []Place{User, Peer, LB} {
			if err := gates[from].SetIngress(ctx, rules); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.varnish.start(); err != nil {
		return err
	}
	return s.ready(ctx)
}

// backendOnLoopback starts a web server that keeps its port when it is stopped and started.
func backendOnLoopback(name string) (netip.AddrPort, *Backend, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		return netip.AddrPort{}, nil, fmt.Errorf("start back end %s: %w", name, err)
	}
	addr := ln.Addr().(*net.TCPAddr).AddrPort()
	b := newBackend(name, func() (net.Listener, error) {
		if first := ln; first != nil {
			ln = nil
			return first, nil
		}
		return net.Listen("tcp4", addr.String()) //nolint:noctx // returns at once
	})
	return addr, b, b.Start()
}

// dialFrom connects to the site's door by the way of one place.
func dialFrom(door netip.AddrPort, way *Gatekeeper) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == door.String() && way != nil {
			address = way.Addr().String()
		}
		return (&net.Dialer{KeepAlive: -1}).DialContext(ctx, network, address)
	}
}

// ready waits until the site answers users.
func (s *Site) ready(ctx context.Context) error {
	address := s.Resolve[Host]
	if _, err := netip.ParseAddrPort(address); err != nil {
		address = net.JoinHostPort(address, strconv.Itoa(int(s.Port)))
	}
	return untilGood(ctx, s.Dial, address, s.URL, "", func() error {
		if p, ok := s.varnish.(*process); ok {
			return p.ended()
		}
		return nil
	})
}

// standIn serves package standin's proxy on a socket in the file system.
type standIn struct {
	socket string
	cfg    standin.Config

	mu     sync.Mutex // guards the fields below
	proxy  *standin.Proxy
	server *http.Server
	served chan struct{}
}

func (s *standIn) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		return &upgrade.Error{Code: upgrade.CodeConflict, Msg: "the stand-in runs already"}
	}
	proxy, err := standin.New(s.cfg)
	if err != nil {
		return err
	}
	ln, err := net.Listen("unix", s.socket) //nolint:noctx // returns at once
	if err != nil {
		return fmt.Errorf("listen as stand-in: %w", err)
	}
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: cmp.Or(s.cfg.FirstByte, 5*time.Second)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(ln) // ends by stop only
	}()
	s.proxy, s.server, s.served = proxy, server, served
	return nil
}

func (s *standIn) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil
	}
	err := s.server.Close()
	<-s.served
	s.proxy.Close()
	s.server = nil
	return err
}
