package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// echo is a TCP server that sends lines back.
func echo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return ln.Addr().String()
}

// see connects and says what that looks like: "ok", "refused", "silent" or another error.
func see(t *testing.T, addr netip.AddrPort) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp4", addr.String())
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "silent"
	case err != nil:
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	return talk(conn, "hello")
}

func talk(conn net.Conn, word string) string {
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := fmt.Fprintln(conn, word); err != nil {
		return err.Error()
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || line != word+"\n" {
		return fmt.Sprintf("%q, %v", line, err)
	}
	return "ok"
}

func TestGatekeeper(t *testing.T) {
	users := netip.MustParseAddr("10.77.1.10")
	g, err := NewGatekeeper(t.Context(), GatekeeperConfig{Network: "tcp", To: echo(t), Port: 80, From: users})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	if got := see(t, g.Addr()); got != "ok" {
		t.Fatalf("at first: %s", got)
	}
	kept, err := net.Dial("tcp4", g.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	if got := talk(kept, "before"); got != "ok" {
		t.Fatalf("kept connection: %s", got)
	}
	net1, net2 := netip.MustParsePrefix("10.77.1.0/24"), netip.MustParsePrefix("10.77.2.0/24")
	steps := []struct {
		name  string
		rules []Rule
		want  string
	}{
		{"nothing", nil, "silent"},
		{"others", []Rule{Admit(net2, 80)}, "silent"},
		{"us", []Rule{Admit(net2, 80), Admit(net1, 80)}, "ok"},
		{"us_again", []Rule{Admit(net1, 0)}, "ok"},
		{"other_port", []Rule{Admit(net1, 443)}, "silent"},
		{"port_range", []Rule{{From: net1, Port: 1, PortEnd: 1024}}, "ok"},
		{"refused", []Rule{Refuse(Anywhere(), 0)}, "refused"},
		{"refused_to_dropped", []Rule{Drop(net1, 80), Admit(Anywhere(), 0)}, "silent"},
		{"dropped_to_refused", []Rule{Refuse(net1, 80)}, "refused"},
		{"refused_to_admitted", []Rule{Admit(Anywhere(), 80)}, "ok"},
	}
	for _, step := range steps {
		if err := g.SetIngress(t.Context(), step.rules); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		for range 2 {
			if got := see(t, g.Addr()); got != step.want {
				t.Errorf("%s: %s, want %s", step.name, got, step.want)
			}
		}
		if got := talk(kept, step.name); got != "ok" {
			t.Errorf("%s: kept connection: %s", step.name, got)
		}
	}
}

func TestGatekeeperCloses(t *testing.T) {
	for _, rules := range [][]Rule{nil, {Refuse(Anywhere(), 0)}, {Admit(Anywhere(), 0)}} {
		g, err := NewGatekeeper(t.Context(), GatekeeperConfig{Network: "tcp", To: echo(t), Port: 80, From: netip.MustParseAddr("10.77.1.10")})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp4", g.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if got := talk(conn, "x"); got != "ok" {
			t.Fatal(got)
		}
		if err := g.SetIngress(t.Context(), rules); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := g.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		}
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("forwarded connection after Close: %v", err)
		}
		if err := g.SetIngress(t.Context(), []Rule{Drop(Anywhere(), 0)}); upgrade.CodeOf(err) != upgrade.CodeConflict {
			t.Errorf("SetIngress after Close = %v", err)
		}
		_ = conn.Close()
	}
}

// A process behind that is gone looks like one: connected, then reset.
func TestGatekeeperNothingBehind(t *testing.T) {
	g, err := NewGatekeeper(t.Context(), GatekeeperConfig{Network: "unix", To: t.TempDir() + "/none", Port: 80})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	conn, err := net.Dial("tcp4", g.Addr().String())
	if err != nil {
		return // reset before the dialler was done
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read = %v, want a reset", err)
	}
}

func TestRuleCheck(t *testing.T) {
	tests := []struct {
		name string
		rule Rule
		ok   bool
	}{
		{"good", Admit(Anywhere(), 80), true},
		{"no_source", Rule{Port: 80}, false},
		{"backwards", Rule{From: Anywhere(), Port: 80, PortEnd: 79}, false},
		{"verb", Rule{From: Anywhere(), Verb: "perhaps"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := check([]Rule{tt.rule}); (err == nil) != tt.ok {
				t.Errorf("check = %v, want ok %v", err, tt.ok)
			}
		})
	}
}
