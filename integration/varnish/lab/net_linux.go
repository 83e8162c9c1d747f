package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/upgradegate/upgradegate/upgrade"
)

// ns returns the name of a place's namespace.
func (l *Lab) ns(p Place) string { return "vl-" + l.suffix + "-" + string(p) }

// host is a namespace with one interface on one of the router's bridges.
type host struct {
	place  Place
	bridge string
}

// hosts lists everything but the router.
func hosts() []host {
	return []host{
		{User, "br-pub"},
		{dns, "br-pub"},
		{LB, "br-edge"},
		{edge, "br-edge"},
		{Peer, "br-edge"},
		{web1, "br-app"},
		{web2, "br-app"},
	}
}

// router is the namespace that joins the bridges.
const router Place = "rtr"

// startNet makes the namespaces, joins them by a router with three bridges, and opens the way to Varnish.
// Everything is made inside the namespaces, so nothing of it shows on the machine itself.
func (l *Lab) startNet(ctx context.Context) error {
	// The first one alone: if it is there already, the lab of that name is somebody else's, and none of
	// its namespaces may be touched.
	if err := l.ip(ctx, "", "netns add "+l.ns(router)+"\n"); err != nil {
		return err
	}
	l.netns = append(l.netns, l.ns(router))
	var add strings.Builder
	for _, h := range hosts() {
		fmt.Fprintf(&add, "netns add %s\n", l.ns(h.place))
		l.netns = append(l.netns, l.ns(h.place))
	}
	if err := l.ip(ctx, "", add.String()); err != nil {
		return err
	}
	var bridges, plug strings.Builder
	for i, bridge := range []string{"br-pub", "br-edge", "br-app"} {
		fmt.Fprintf(&bridges, "link add %[1]s type bridge\naddr add 10.77.%[2]d.1/24 dev %[1]s\nlink set %[1]s up\n", bridge, i+1)
	}
	if err := l.ip(ctx, router, bridges.String()+"link set lo up\n"); err != nil {
		return err
	}
	for _, h := range hosts() {
		addr := placeAddr(h.place)
		gateway := addr.As4()
		gateway[3] = 1
		text := fmt.Sprintf("link add eth0 type veth peer name p-%s netns %s\naddr add %s/24 dev eth0\nlink set lo up\nlink set eth0 up\nroute add default via %s\n",
			h.place, l.ns(router), addr, netip.AddrFrom4(gateway))
		if err := l.ip(ctx, h.place, text); err != nil {
			return err
		}
		fmt.Fprintf(&plug, "link set p-%[1]s master %[2]s\nlink set p-%[1]s up\n", h.place, h.bridge)
	}
	if err := l.ip(ctx, router, plug.String()); err != nil {
		return err
	}
	err := inNamespace(l.ns(router), func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600) })
	if err != nil {
		return fmt.Errorf("let the router forward: %w", err)
	}
	return l.SetIngress(ctx, []Rule{Admit(Anywhere(), 0)})
}

// ip runs a batch of ip commands within a place, "" for the machine itself.
func (l *Lab) ip(ctx context.Context, in Place, batch string) error {
	path, err := program("ip")
	if err != nil {
		return err
	}
	namespace := ""
	if in != "" {
		namespace = l.ns(in)
	}
	if err := runIn(ctx, namespace, batch, path, "-batch", "-"); err != nil {
		return fmt.Errorf("set up the network of %s: %w", in, err)
	}
	return nil
}

// nft loads a rule set within a place, in one transaction.
func (l *Lab) nft(ctx context.Context, in Place, text string) error {
	path, err := program("nft")
	if err != nil {
		return err
	}
	if err := runIn(ctx, l.ns(in), text, path, "-f", "-"); err != nil {
		return fmt.Errorf("set the filter of %s: %w", in, err)
	}
	return nil
}

// SetIngress makes the rules those by which new TCP connections reach Varnish's host; when it returns
// they hold. What no rule fits is dropped; connections that stand live on. What stands before a lab has
// rules is open.
func (l *Lab) SetIngress(ctx context.Context, rules []Rule) error {
	if err := check(rules); err != nil {
		return err
	}
	var b strings.Builder
	// Made if it is not there, then emptied and filled: one transaction, so no packet sees half of it.
	b.WriteString("table inet sg {\n chain ingress {\n  type filter hook input priority 0; policy accept;\n }\n}\n")
	b.WriteString("flush chain inet sg ingress\n")
	const add = "add rule inet sg ingress "
	b.WriteString(add + "iif lo accept\n" + add + "ct state established,related accept\n" + add + "meta l4proto != tcp accept\n")
	for _, r := range rules {
		if !r.From.Addr().Is4() {
			continue // the lab has no IPv6, so such a rule is true of nobody
		}
		match := ""
		if r.From.Bits() > 0 {
			match = "ip saddr " + r.From.Masked().String() + " "
		}
		if last := max(r.Port, r.PortEnd); last > 0 {
			match += fmt.Sprintf("tcp dport %d-%d ", r.Port, last)
		} else {
			match += "meta l4proto tcp "
		}
		b.WriteString(add + match + map[Verb]string{VerbAdmit: "accept", VerbRefuse: "reject with tcp reset", VerbDrop: "drop"}[r.Verb] + "\n")
	}
	b.WriteString(add + "drop\n")
	return l.nft(ctx, edge, b.String())
}

// sweep removes the namespaces of labs whose program was killed before it could close them. Processes in
// them are gone by then: the kernel ends them with the program.
func sweep() {
	files, err := filepath.Glob("/run/netns/vl-" + ownerMark + "*")
	if err != nil {
		return
	}
	for _, file := range files {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(file), "vl-"+ownerMark), "x")
		pid, err := strconv.Atoi(owner)
		if err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue // not named by us, or its program lives
		}
		_ = removeNamespace(file) // somebody else may be sweeping too
	}
}

// ownerMark begins a suffix that names the process that made a lab.
const ownerMark = "p"

// ownSuffix returns a suffix by which [sweep] knows the owner, such as "p4711xk3f9".
func ownSuffix() string {
	return fmt.Sprintf("%s%dx%s", ownerMark, os.Getpid(), strings.ToLower(rand.Text()[:4]))
}

// removeNamespace does what "ip netns del" does, without a process.
func removeNamespace(file string) error {
	if err := unix.Unmount(file, unix.MNT_DETACH); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount %s: %w", file, err)
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", file, err)
	}
	return nil
}

// closeNet ends whoever is still in the namespaces, removes them, and looks whether they are gone.
func (l *Lab) closeNet() error {
	if len(l.netns) == 0 {
		return nil
	}
	var errs []error
	for _, name := range l.netns {
		pids, err := inside(name)
		errs = append(errs, err)
		for _, pid := range pids {
			errs = append(errs, &upgrade.Error{Code: upgrade.CodeInternal, Msg: fmt.Sprintf("process %d was left in %s", pid, name)})
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may end by itself meanwhile
		}
	}
	for _, name := range l.netns {
		errs = append(errs, removeNamespace("/run/netns/"+name))
	}
	return errors.Join(errs...)
}
