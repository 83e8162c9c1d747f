package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// workdir returns what varnishd has as -n.
func (l *Lab) workdir() string { return filepath.Join(l.dir, "v") }

// Node returns how the tools of the lab's Varnish are reached from this machine.
func (l *Lab) Node() (probe.Node, error) {
	path, err := program("ip")
	if err != nil {
		return probe.Node{}, err
	}
	return probe.Node{Command: []string{path, "netns", "exec", l.ns(edge)}, Name: l.workdir()}, nil
}

// admin runs a command of varnishadm's on Varnish's host.
func (l *Lab) admin(ctx context.Context, args ...string) error {
	path, err := program("varnishadm")
	if err != nil {
		return err
	}
	return runIn(ctx, l.ns(edge), "", append([]string{path, "-n", l.workdir()}, args...)...)
}

// ForcedSick takes all back ends out by hand, as an operator does for maintenance.
func ForcedSick(ctx context.Context, l *Lab) (func() error, error) {
	return l.setHealth(ctx, "web*", "sick")
}

// OneForcedSick takes one of the two back ends out by hand.
func OneForcedSick(ctx context.Context, l *Lab) (func() error, error) {
	return l.setHealth(ctx, "web1", "sick")
}

func (l *Lab) setHealth(ctx context.Context, which, health string) (func() error, error) {
	if err := l.admin(ctx, "backend.set_health", which, health); err != nil {
		return nil, err
	}
	return func() error { return l.admin(context.WithoutCancel(ctx), "backend.set_health", which, "auto") }, nil
}

// WrongBackendPort lets Varnish use a configuration that asks for a port on which no web server listens.
func WrongBackendPort(ctx context.Context, l *Lab) (func() error, error) {
	wrong := filepath.Join(l.dir, "wrong.vcl")
	behind := []netip.AddrPort{netip.AddrPortFrom(placeAddr(web1), 8081), netip.AddrPortFrom(placeAddr(web2), 8081)}
	if err := os.WriteFile(wrong, []byte(vcl(behind, l.secret)), 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration of Varnish: %w", err)
	}
	if err := l.admin(ctx, "vcl.load", "wrong", wrong); err != nil {
		return nil, err
	}
	undo := func() error {
		ctx := context.WithoutCancel(ctx)
		return errors.Join(l.admin(ctx, "vcl.use", "boot"), l.discard(ctx, "wrong"))
	}
	if err := l.admin(ctx, "vcl.use", "wrong"); err != nil {
		return nil, errors.Join(err, undo())
	}
	return undo, nil
}

// discard removes a configuration, which requests may still use for a moment.
func (l *Lab) discard(ctx context.Context, name string) error {
	for range 50 {
		err := l.admin(ctx, "vcl.discard", name)
		if err == nil {
			return nil
		}
		if werr := wait(ctx, 20*time.Millisecond); werr != nil {
			return errors.Join(err, werr)
		}
	}
	return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "Varnish does not let go of " + name}
}

// BrokenVCL offers Varnish a configuration that does not compile. Varnish goes on with the one it has, so
// nothing is broken by it.
func BrokenVCL(ctx context.Context, l *Lab) (func() error, error) {
	file := filepath.Join(l.dir, "broken.vcl")
	if err := os.WriteFile(file, []byte("vcl 4.1; backend web1 { .host = }\n"), 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration of Varnish: %w", err)
	}
	if err := l.admin(ctx, "vcl.load", "broken", file); err == nil {
		return nil, &upgrade.Error{Code: upgrade.CodeInternal, Msg: "Varnish loads what cannot compile"}
	}
	return func() error { return nil }, nil
}

// OneBackendDown ends one of the two web servers.
func OneBackendDown(_ context.Context, l *Lab) (func() error, error) {
	return l.Backends[0].Start, l.Backends[0].Stop()
}

// CertEndsSoon gives the site a certificate that is good for five days more.
func CertEndsSoon(ctx context.Context, l *Lab) (func() error, error) {
	return l.certified(ctx, l.ca, Host, l.now().Add(-60*24*time.Hour), l.now().Add(5*24*time.Hour+time.Hour))
}
