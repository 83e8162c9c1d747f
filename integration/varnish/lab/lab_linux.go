package lab

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// Lab is a site behind Varnish in network namespaces of its own.
type Lab struct {
	// Backends are the web servers behind Varnish.
	Backends []*Backend
	// TLS reports whether the site answers https too: hitch is installed.
	TLS bool

	dir, suffix string
	secret      string
	ca, other   *authority // the lab's, and one that it does not trust
	keeper      *keeper
	names       *names
	varnish     *process
	hitch       *process
	netns       []string // made so far
	now         func() time.Time
}

// Available says why there can be no lab on this machine, nil if there can.
func Available() error {
	if os.Geteuid() != 0 {
		return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "network namespaces need root"}
	}
	for _, name := range []string{"ip", "nft", "varnishd", "gcc"} {
		if _, err := program(name); err != nil {
			return err
		}
	}
	return nil
}

// Start sets a lab up, which takes about half a second, and returns when the site answers. Close it. On
// an error nothing stays behind.
func Start(ctx context.Context, cfg Config) (*Lab, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	sweep()
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, errSlow)
	defer cancel()
	dir, err := os.MkdirTemp(cfg.Dir, "vl-")
	if err != nil {
		return nil, fmt.Errorf("make the lab's folder: %w", err)
	}
	l := &Lab{
		dir: dir, suffix: cmp.Or(cfg.Suffix, ownSuffix()), secret: rand.Text(),
		keeper: newKeeper(), now: cfg.Now,
	}
	if l.now == nil {
		l.now = time.Now //nolint:forbidigo // the documented default
	}
	if err := l.start(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) start(ctx context.Context) error {
	for _, step := range []func(context.Context) error{l.startNet, l.startBackends, l.startNames, l.startVarnish, l.startTLS, l.ready} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("set up the lab: %w", err)
		}
	}
	return nil
}

func (l *Lab) startBackends(context.Context) error {
	for i, place := range []Place{web1, web2} {
		b := newBackend(fmt.Sprintf("web%d", i+1), func() (net.Listener, error) {
			var ln net.Listener
			err := inNamespace(l.ns(place), func() (err error) {
				ln, err = net.Listen("tcp4", ":8080") //nolint:gosec,noctx // within a namespace of our own
				return err
			})
			return ln, err
		})
		if err := b.Start(); err != nil {
			return err
		}
		l.Backends = append(l.Backends, b)
	}
	return nil
}

func (l *Lab) startNames(context.Context) error {
	l.names = &names{addrs: []netip.Addr{VarnishAddr()}, listen: func() (net.PacketConn, error) {
		var conn net.PacketConn
		err := inNamespace(l.ns(dns), func() (err error) {
			conn, err = net.ListenPacket("udp4", dnsAddr().String()+":53") //nolint:noctx // returns at once
			return err
		})
		return conn, err
	}}
	return l.names.start()
}

func (l *Lab) startVarnish(context.Context) error {
	path, err := program("varnishd")
	if err != nil {
		return err
	}
	config := filepath.Join(l.dir, "site.vcl")
	behind := []netip.AddrPort{netip.AddrPortFrom(placeAddr(web1), 8080), netip.AddrPortFrom(placeAddr(web2), 8080)}
	if err := os.WriteFile(config, []byte(vcl(behind, l.secret)), 0o600); err != nil {
		return fmt.Errorf("write the configuration of Varnish: %w", err)
	}
	l.varnish = &process{
		keeper: l.keeper, namespace: l.ns(edge),
		argv: varnishd(path, l.workdir(), config, "http=:80", "proxy=:6086,PROXY"),
	}
	return l.varnish.start()
}

func (l *Lab) startTLS(context.Context) error {
	path, err := program("hitch")
	if err != nil {
		return nil //nolint:nilerr // a lab without TLS is a lab
	}
	if l.ca, err = newAuthority("lab", l.now()); err != nil {
		return err
	}
	if l.other, err = newAuthority("somebody else", l.now()); err != nil {
		return err
	}
	if err := os.WriteFile(l.caFile(), l.ca.pem, 0o600); err != nil {
		return fmt.Errorf("write the lab's authority: %w", err)
	}
	cert, config := filepath.Join(l.dir, "site.pem"), filepath.Join(l.dir, "hitch.conf")
	if err := l.ca.issue(cert, Host, l.now().Add(-time.Hour), l.now().Add(30*24*time.Hour)); err != nil {
		return err
	}
	text := fmt.Sprintf("frontend = \"[*]:443\"\nbackend = \"[127.0.0.1]:6086\"\npem-file = %q\nwrite-proxy-v2 = on\nuser = \"root\"\nworkers = 1\ndaemon = off\nquiet = on\n", cert)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the configuration of hitch: %w", err)
	}
	l.hitch = &process{keeper: l.keeper, namespace: l.ns(edge), argv: []string{path, "--config=" + config}}
	l.TLS = true
	return l.hitch.start()
}

func (l *Lab) caFile() string { return filepath.Join(l.dir, "ca.pem") }

// ready waits until the site answers users, over every way it has.
func (l *Lab) ready(ctx context.Context) error {
	schemes := []string{"http"}
	if l.TLS {
		schemes = append(schemes, "https")
	}
	for _, scheme := range schemes {
		if err := l.answers(ctx, scheme, "/nocache"); err != nil {
			return err
		}
	}
	return nil
}

// answers waits until a page is good for users.
func (l *Lab) answers(ctx context.Context, scheme, page string) error {
	port, caFile := "80", ""
	if scheme == "https" {
		port, caFile = "443", l.caFile()
	}
	return untilGood(ctx, l.Dialer(User), net.JoinHostPort(VarnishAddr().String(), port), scheme+"://"+Host+page, caFile, func() error {
		for _, p := range []*process{l.varnish, l.hitch} {
			if p == nil {
				continue
			}
			if err := p.ended(); err != nil {
				return err
			}
		}
		return nil
	})
}

// Path returns how to probe a page of the site: scheme is "http" or "https". It asks the lab's DNS; see
// [Lab.Resolver].
func (l *Lab) Path(scheme, page string) probe.Path {
	path := probe.Path{
		URL: scheme + "://" + Host + page, ViaVarnish: true,
		Expect: probe.Expect{BodyContains: Marker},
		Bypass: probe.Bypass{Header: BypassHeader, Value: l.secret},
	}
	if scheme == "https" {
		path.CAFile = l.caFile()
	}
	return path
}

// Dialer connects from a place to literal addresses.
func (l *Lab) Dialer(from Place) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if _, err := netip.ParseAddrPort(address); err != nil {
			return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: address + " is a name: the lab dials literal addresses only", Cause: err}
		}
		var conn net.Conn
		err := inNamespace(l.ns(from), func() (err error) {
			conn, err = (&net.Dialer{KeepAlive: -1}).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
}

// Within runs do on a thread at a place, for [varnish.Config]: sockets that are made in it live there.
func (l *Lab) Within(from Place) func(do func() error) error {
	return func(do func() error) error { return inNamespace(l.ns(from), do) }
}

// Resolver asks the lab's DNS from a place, for [Host].
func (l *Lab) Resolver(from Place) *net.Resolver {
	dial := l.Dialer(from)
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, network, netip.AddrPortFrom(dnsAddr(), 53).String())
	}}
}

// Close ends everything and checks that it is gone: no process, no namespace, no file.
func (l *Lab) Close() error {
	var errs []error
	for _, p := range []*process{l.hitch, l.varnish} {
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	for _, b := range l.Backends {
		errs = append(errs, b.Stop())
	}
	if l.names != nil {
		errs = append(errs, l.names.stop())
	}
	errs = append(errs, l.closeNet())
	l.keeper.close()
	return errors.Join(append(errs, os.RemoveAll(l.dir))...)
}
