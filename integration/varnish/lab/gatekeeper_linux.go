package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// GatekeeperConfig is what a [Gatekeeper] needs.
type GatekeeperConfig struct {
	Network, To string     // where admitted connections go: "tcp" and an address, or "unix" and a path
	Port        uint16     // the port that rules are asked about, such as 80; the real one is the system's choice
	From        netip.Addr // the source that rules are asked about: on loopback everybody comes from loopback
}

// Gatekeeper is a TCP forwarder on loopback that does to new connections what rules say, so that clients
// see what they would see of a packet filter: a refused connection, or none at all. One gatekeeper is the
// way of one source. It admits until it is told rules.
type Gatekeeper struct {
	cfg     GatekeeperConfig
	addr    netip.AddrPort
	reserve io.Closer // holds the port while nothing listens

	change sync.Mutex // held while rules change

	mu       sync.Mutex // guards the fields below
	verb     Verb
	listener *net.TCPListener // nil while connections are refused
	fillers  []net.Conn       // that keep the queue of a listener full while connections are dropped
	conns    map[net.Conn]struct{}
	closed   bool

	accepting sync.WaitGroup // the loop that accepts
	flows     sync.WaitGroup // the connections that are forwarded
}

// NewGatekeeper listens on loopback. Close it.
func NewGatekeeper(ctx context.Context, cfg GatekeeperConfig) (*Gatekeeper, error) {
	addr, reserve, err := reservePort()
	if err != nil {
		return nil, fmt.Errorf("reserve a port on loopback: %w", err)
	}
	g := &Gatekeeper{cfg: cfg, addr: addr, reserve: reserve, conns: map[net.Conn]struct{}{}, verb: VerbRefuse}
	if err := g.become(ctx, VerbAdmit); err != nil {
		_ = g.Close() // the first error is the news
		return nil, err
	}
	return g, nil
}

// Addr returns where the gatekeeper listens.
func (g *Gatekeeper) Addr() netip.AddrPort { return g.addr }

// SetIngress makes the rules those that hold; when it returns, new connections see them. What no rule
// fits is dropped. Error: CodeInvalid for a rule that makes no sense.
func (g *Gatekeeper) SetIngress(ctx context.Context, rules []Rule) error {
	if err := check(rules); err != nil {
		return err
	}
	return g.become(ctx, decide(rules, g.cfg.From, g.cfg.Port))
}

// become goes from what is done to connections now to verb. It always passes through plain listening.
func (g *Gatekeeper) become(ctx context.Context, verb Verb) error {
	g.change.Lock()
	defer g.change.Unlock()
	g.mu.Lock()
	was, closed := g.verb, g.closed
	g.mu.Unlock()
	if closed {
		return &upgrade.Error{Code: upgrade.CodeConflict, Msg: "the gatekeeper is closed"}
	}
	if was == verb {
		return nil
	}
	if was == VerbRefuse {
		if err := g.listen(ctx); err != nil {
			return err
		}
	}
	g.pause()
	switch verb {
	case VerbRefuse:
		g.unlisten()
	case VerbDrop:
		if err := g.clog(ctx); err != nil {
			return err
		}
	case VerbAdmit:
		if err := g.unclog(); err != nil {
			return err
		}
		g.resume()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.verb = verb
	return nil
}

// listen opens the listener. Plain TCP: a listener for multipath TCP has its queue elsewhere.
func (g *Gatekeeper) listen(ctx context.Context) error {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(ctx, "tcp4", g.addr.String())
	if err != nil {
		return fmt.Errorf("listen as gatekeeper: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listener = ln.(*net.TCPListener)
	return nil
}

func (g *Gatekeeper) unlisten() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listener != nil {
		_ = g.listener.Close() // what waits in its queue is reset, as wanted
		g.listener = nil
	}
	g.dropFillersLocked()
}

func (g *Gatekeeper) dropFillersLocked() {
	for _, conn := range g.fillers {
		_ = conn.Close() // never carried anything
	}
	g.fillers = nil
}

// pause ends the accepting of connections; the kernel still takes them until its queue is full.
func (g *Gatekeeper) pause() {
	g.mu.Lock()
	if g.listener != nil {
		_ = g.listener.SetDeadline(time.Unix(1, 0)) // long past; fails only on a closed listener
	}
	g.mu.Unlock()
	g.accepting.Wait()
}

func (g *Gatekeeper) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	ln := g.listener
	_ = ln.SetDeadline(time.Time{}) // fails only on a closed listener
	g.accepting.Go(func() { g.accept(ln) })
}

// clog fills the queue of the listener. Linux then drops every further SYN, which is what a packet filter
// that drops looks like from the other side.
func (g *Gatekeeper) clog(ctx context.Context) error {
	g.mu.Lock()
	ln := g.listener
	g.mu.Unlock()
	if err := setBacklog(ln, 1); err != nil {
		return fmt.Errorf("shorten the queue of connections: %w", err)
	}
	for range 16 { // two fill a queue of one; more only if some were slow to arrive
		full, err := queueFull(ln)
		if err != nil {
			return fmt.Errorf("look at the queue of connections: %w", err)
		}
		if full {
			return nil
		}
		limited, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		conn, err := (&net.Dialer{KeepAlive: -1}).DialContext(limited, "tcp4", g.addr.String())
		cancel()
		switch {
		case err == nil:
			g.mu.Lock()
			g.fillers = append(g.fillers, conn)
			g.mu.Unlock()
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded): // it is full, or this machine slow
			return fmt.Errorf("fill the queue of connections: %w", err)
		}
	}
	return &upgrade.Error{Code: upgrade.CodeInternal, Msg: "the queue of connections does not fill up"}
}

func (g *Gatekeeper) unclog() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dropFillersLocked()
	if err := setBacklog(g.listener, 4096); err != nil {
		return fmt.Errorf("lengthen the queue of connections: %w", err)
	}
	return nil
}

func (g *Gatekeeper) accept(ln *net.TCPListener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return // paused or closed
		}
		g.mu.Lock()
		if g.closed {
			g.mu.Unlock()
			_ = conn.Close() // nobody is served any more
			return
		}
		g.conns[conn] = struct{}{}
		g.flows.Go(func() { g.forward(conn) })
		g.mu.Unlock()
	}
}

// forward carries one connection. Where it goes being unreachable looks like a reset, which is what a
// process that died looks like.
func (g *Gatekeeper) forward(conn net.Conn) {
	defer g.forget(conn)
	up, err := (&net.Dialer{Timeout: time.Second}).Dial(g.cfg.Network, g.cfg.To)
	if err != nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // reset
		}
		return
	}
	if !g.keep(up) {
		return
	}
	defer g.forget(up)
	var both sync.WaitGroup
	both.Go(func() { pipe(up, conn) })
	both.Go(func() { pipe(conn, up) })
	both.Wait()
}

// pipe copies to its end and passes the end on.
func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from) // an error ends the flow as an end does
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the other side may be gone
	}
}

// keep remembers a connection so that Close ends it; false when Close was first.
func (g *Gatekeeper) keep(conn net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		_ = conn.Close() // nobody is served any more
		return false
	}
	g.conns[conn] = struct{}{}
	return true
}

func (g *Gatekeeper) forget(conn net.Conn) {
	_ = conn.Close() // both ends are done
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, conn)
}

// Close stops listening, cuts what is forwarded, and waits until nothing runs.
func (g *Gatekeeper) Close() error {
	g.change.Lock()
	defer g.change.Unlock()
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	for conn := range g.conns {
		_ = conn.Close() // cut on purpose
	}
	g.mu.Unlock()
	g.unlisten()
	g.accepting.Wait()
	g.flows.Wait()
	return g.reserve.Close()
}

// String says where it listens and what it does, for logs.
func (g *Gatekeeper) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	verb := string(g.verb)
	if g.verb == VerbAdmit {
		verb = "admit"
	}
	return g.addr.String() + " for port " + strconv.Itoa(int(g.cfg.Port)) + ": " + verb
}
