package lab

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Fault breaks something of a lab and returns how to repair it. On an error nothing is broken.
type Fault func(ctx context.Context, l *Lab) (undo func() error, err error)

// NameMissing takes the site's name out of DNS.
func NameMissing(_ context.Context, l *Lab) (func() error, error) { return l.answerNames(namesMissing) }

// NameServfail makes the DNS server fail.
func NameServfail(_ context.Context, l *Lab) (func() error, error) {
	return l.answerNames(namesServfail)
}

// NameSilent makes the DNS server keep silent, as when its port is dropped.
func NameSilent(_ context.Context, l *Lab) (func() error, error) { return l.answerNames(namesSilent) }

func (l *Lab) answerNames(mode nameMode) (func() error, error) {
	l.names.set(mode)
	return func() error { l.names.set(namesAnswer); return nil }, nil
}

// NameServerDown ends the DNS server.
func NameServerDown(_ context.Context, l *Lab) (func() error, error) {
	return l.names.start, l.names.stop()
}

// NameOfNobody adds an address to the name at which nothing is.
func NameOfNobody(_ context.Context, l *Lab) (func() error, error) {
	nobody := VarnishAddr().As4()
	nobody[3] = 77
	l.names.set(namesAnswer, VarnishAddr(), netip.AddrFrom4(nobody))
	return func() error { l.names.set(namesAnswer, VarnishAddr()); return nil }, nil
}

// change runs ip commands at a place and returns those that undo them.
func change(place Place, do, undo string) Fault {
	return func(ctx context.Context, l *Lab) (func() error, error) {
		if err := l.ip(ctx, place, do+"\n"); err != nil {
			return nil, err
		}
		return func() error { return l.ip(context.WithoutCancel(ctx), place, undo+"\n") }, nil
	}
}

// NoRoute takes the way out of users' hosts.
func NoRoute(ctx context.Context, l *Lab) (func() error, error) {
	return change(User, "route del default", "route add default via 10.77.1.1")(ctx, l)
}

// NoReturnRoute takes the way from Varnish's host back to users: their packets arrive, no answer leaves.
func NoReturnRoute(ctx context.Context, l *Lab) (func() error, error) {
	return change(edge, "route add unreachable 10.77.1.0/24", "route del unreachable 10.77.1.0/24")(ctx, l)
}

// routed gives what comes from users a route of its own kind to Varnish's host; the way from Varnish to its
// back ends, over the same router, stays.
func routed(kind string) Fault {
	const rule = "iif br-pub to 10.77.2.10/32 lookup 100"
	return change(router,
		"route add "+kind+" 10.77.2.10/32 table 100\nrule add "+rule,
		"rule del "+rule+"\nroute flush table 100")
}

// RouteUnreachable makes the router say that Varnish's host cannot be reached.
func RouteUnreachable(ctx context.Context, l *Lab) (func() error, error) {
	return routed("unreachable")(ctx, l)
}

// RouteProhibited makes the router say that Varnish's host may not be reached.
func RouteProhibited(ctx context.Context, l *Lab) (func() error, error) {
	return routed("prohibit")(ctx, l)
}

// RouteBlackhole makes the router swallow what goes to Varnish's host.
func RouteBlackhole(ctx context.Context, l *Lab) (func() error, error) {
	return routed("blackhole")(ctx, l)
}

// LargePacketsLost makes the router drop what is too large for its way to users, and the message that
// would say so.
func LargePacketsLost(ctx context.Context, l *Lab) (func() error, error) {
	undo, err := filter("input", "icmp type destination-unreachable drop")(ctx, l)
	if err != nil {
		return nil, err
	}
	unset, err := change(router, "link set br-pub mtu 1000", "link set br-pub mtu 1500")(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("%w (undo: %v)", err, undo()) //nolint:errorlint // the first one is the error
	}
	return func() error {
		if err := unset(); err != nil {
			return err
		}
		return undo()
	}, nil
}

// filter adds an nft rule on Varnish's host, in a table of its own before the others.
func filter(hook, rule string) Fault { return filterAt(edge, hook, rule) }

// filterAt adds an nft rule at a place, in a table of its own before the others.
func filterAt(place Place, hook, rule string) Fault {
	return func(ctx context.Context, l *Lab) (func() error, error) {
		text := fmt.Sprintf("table inet fault {\n chain broken {\n  type filter hook %s priority -10; policy accept;\n  %s\n }\n}\n", hook, rule)
		if err := l.nft(ctx, place, text); err != nil {
			return nil, err
		}
		return func() error { return l.nft(context.WithoutCancel(ctx), place, "delete table inet fault\n") }, nil
	}
}

// Filtered treats packets to Varnish's host in front of its rules, in nft's words, such as
// "tcp dport 80 reject with icmpx type admin-prohibited".
func Filtered(rule string) Fault { return filter("input", rule) }

// BackendsFiltered treats packets from Varnish to its back ends, in nft's words.
func BackendsFiltered(rule string) Fault { return filter("output", rule) }

// UsersDropped drops users' packets to the site, but nobody else's.
func UsersDropped(ctx context.Context, l *Lab) (func() error, error) {
	return filter("input", "ip saddr 10.77.1.0/24 tcp dport { 80, 443 } drop")(ctx, l)
}

// VarnishDown ends varnishd.
func VarnishDown(_ context.Context, l *Lab) (func() error, error) { return down(l.varnish) }

// VarnishFrozen stops varnishd without ending it: the kernel takes connections that nobody answers.
func VarnishFrozen(_ context.Context, l *Lab) (func() error, error) { return frozen(l.varnish) }

// TerminatorDown ends hitch.
func TerminatorDown(_ context.Context, l *Lab) (func() error, error) { return down(l.hitch) }

// TerminatorFrozen stops hitch without ending it.
func TerminatorFrozen(_ context.Context, l *Lab) (func() error, error) { return frozen(l.hitch) }

// down ends a program; undoing starts it again.
func down(p *process) (func() error, error) {
	if p == nil {
		return nil, errNotHere
	}
	return p.start, p.stop()
}

func frozen(p *process) (func() error, error) {
	if p == nil {
		return nil, errNotHere
	}
	return func() error { return p.signal(syscall.SIGCONT) }, p.signal(syscall.SIGSTOP)
}

var errNotHere = &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "this lab does not run that program"}

// CertExpired lets the site's certificate have ended yesterday.
func CertExpired(ctx context.Context, l *Lab) (func() error, error) {
	now := l.now()
	return l.certified(ctx, l.ca, Host, now.Add(-60*24*time.Hour), now.Add(-24*time.Hour))
}

// CertWrongName gives the site a certificate for another name.
func CertWrongName(ctx context.Context, l *Lab) (func() error, error) {
	return l.certified(ctx, l.ca, "other.lab", l.now().Add(-time.Hour), l.now().Add(24*time.Hour))
}

// CertUnknown gives the site a certificate by an authority that nobody trusts.
func CertUnknown(ctx context.Context, l *Lab) (func() error, error) {
	return l.certified(ctx, l.other, Host, l.now().Add(-time.Hour), l.now().Add(24*time.Hour))
}

// certified restarts hitch with another certificate.
func (l *Lab) certified(ctx context.Context, by *authority, host string, from, until time.Time) (func() error, error) {
	if l.hitch == nil {
		return nil, errNotHere
	}
	with := func(ctx context.Context, by *authority, host string, from, until time.Time) error {
		if err := by.issue(filepath.Join(l.dir, "site.pem"), host, from, until); err != nil {
			return err
		}
		return l.restartHitch(ctx)
	}
	undo := func() error {
		return with(context.WithoutCancel(ctx), l.ca, Host, l.now().Add(-time.Hour), l.now().Add(30*24*time.Hour))
	}
	return undo, with(ctx, by, host, from, until)
}

// restartHitch starts hitch anew and waits until its worker shakes hands: its master takes connections before the
// worker does, and the port may refuse in between.
func (l *Lab) restartHitch(ctx context.Context) error {
	if err := l.hitch.stop(); err != nil {
		return err
	}
	if err := l.hitch.start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, stopWithin, errSlow)
	defer cancel()
	for {
		err := l.handshake(ctx)
		if err == nil {
			return nil
		}
		if err := l.hitch.ended(); err != nil {
			return err
		}
		if err := wait(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}

// handshake opens TLS to hitch once, whatever its certificate.
func (l *Lab) handshake(ctx context.Context) error {
	conn, err := l.Dialer(Peer)(ctx, "tcp", netip.AddrPortFrom(VarnishAddr(), 443).String())
	if err != nil {
		return err
	}
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // whether it speaks is the question, not who it is
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error is the news
		return fmt.Errorf("shake hands with hitch: %w", err)
	}
	return secure.Close()
}

// TerminatorToPlainPort lets hitch speak the PROXY protocol to Varnish's plain port.
func TerminatorToPlainPort(ctx context.Context, l *Lab) (func() error, error) {
	return l.terminating(ctx, "[127.0.0.1]:6086", "[127.0.0.1]:80")
}

// TerminatorWithoutProxy lets hitch speak plain HTTP to Varnish's port for the PROXY protocol.
func TerminatorWithoutProxy(ctx context.Context, l *Lab) (func() error, error) {
	return l.terminating(ctx, "write-proxy-v2 = on", "write-proxy-v2 = off")
}

// terminating restarts hitch with a changed configuration.
func (l *Lab) terminating(ctx context.Context, old, text string) (func() error, error) {
	if l.hitch == nil {
		return nil, errNotHere
	}
	file := filepath.Join(l.dir, "hitch.conf")
	config, err := os.ReadFile(file) //nolint:gosec // of the lab's own folder
	if err != nil {
		return nil, fmt.Errorf("read the configuration of hitch: %w", err)
	}
	with := func(ctx context.Context, config string) error {
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil { //nolint:gosec // in the lab's own folder
			return fmt.Errorf("write the configuration of hitch: %w", err)
		}
		return l.restartHitch(ctx)
	}
	return func() error { return with(context.WithoutCancel(ctx), string(config)) }, with(ctx, strings.Replace(string(config), old, text, 1))
}

// BackendsDown ends all web servers.
func BackendsDown(_ context.Context, l *Lab) (func() error, error) {
	return l.eachBackend((*Backend).Start, (*Backend).Stop)
}

// BackendsHang makes all web servers take requests and not answer.
func BackendsHang(_ context.Context, l *Lab) (func() error, error) {
	return l.eachBackend(
		func(b *Backend) error { b.Unhang(); return nil },
		func(b *Backend) error { b.Hang(); return nil },
	)
}

// OtherSite makes all web servers serve another site, whose health page answers like ours.
func OtherSite(_ context.Context, l *Lab) (func() error, error) {
	return l.eachBackend(
		func(b *Backend) error { b.Serve(200, Marker); return nil },
		func(b *Backend) error { b.Serve(200, "Welcome to another site"); return nil },
	)
}

// PagesFail makes all web servers answer 500.
func PagesFail(_ context.Context, l *Lab) (func() error, error) {
	return l.eachBackend(
		func(b *Backend) error { b.Serve(200, Marker); return nil },
		func(b *Backend) error { b.Serve(500, "exception"); return nil },
	)
}

func (l *Lab) eachBackend(undo, do func(*Backend) error) (func() error, error) {
	each := func(f func(*Backend) error) error {
		for _, b := range l.Backends {
			if err := f(b); err != nil {
				return err
			}
		}
		return nil
	}
	return func() error { return each(undo) }, each(do)
}
