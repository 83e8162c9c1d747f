package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Break is a way in which a valve holds users up.
type Break string

// The ways.
const (
	BreakDrop   Break = "drop"   // packets for the site vanish
	BreakRefuse Break = "refuse" // connections to the site are reset
	BreakStall  Break = "stall"  // the process that answers is stopped: nothing is refused, nothing comes
)

// Breaks lists them.
func Breaks() []Break { return []Break{BreakDrop, BreakRefuse, BreakStall} }

// Valve breaks a lab for times that are known to a few milliseconds: one nft is kept at hand, because starting
// one takes longer than the shortest outages that are of interest. Not for several goroutines at once.
type Valve struct {
	lab *Lab
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	now func() time.Time
}

// Staged is an outage that was made: it began between From[0] and From[1] and ended between To[0] and To[1].
type Staged struct {
	Break    Break
	From, To [2]time.Time
}

// Least returns how long it certainly was.
func (s Staged) Least() time.Duration { return s.To[0].Sub(s.From[1]) }

// Most returns how long it was at most.
func (s Staged) Most() time.Duration { return s.To[1].Sub(s.From[0]) }

const valveChain = "inet valve broken"

// Valve returns a valve of the lab, which is open. Close it before the lab.
func (l *Lab) Valve(ctx context.Context) (*Valve, error) {
	path, err := program("nft")
	if err != nil {
		return nil, err
	}
	text := "table inet valve {\n chain broken {\n  type filter hook input priority -20; policy accept;\n }\n}\n"
	if err := l.nft(ctx, edge, text); err != nil {
		return nil, err
	}
	v := &Valve{lab: l, cmd: exec.Command(path, "-i"), now: time.Now} //nolint:forbidigo,noctx,gosec // what is staged is real; ended by Close; a program of this package's choice
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	v.cmd.WaitDelay = time.Second
	if v.in, err = v.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("make a valve: %w", err)
	}
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("make a valve: %w", err)
	}
	v.out = bufio.NewReader(out)
	if err := l.keeper.do(l.ns(edge), v.cmd.Start); err != nil {
		return nil, fmt.Errorf("make a valve: %w", err)
	}
	if err := v.say(""); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

// say has nft do something, and waits until it is done: until it has listed the chain after it.
func (v *Valve) say(command string) error {
	if _, err := io.WriteString(v.in, command+"list chain "+valveChain+"\n"); err != nil {
		return fmt.Errorf("turn a valve: %w", err)
	}
	for {
		line, err := v.out.ReadString('\n')
		if err != nil {
			return fmt.Errorf("turn a valve: %w", err)
		}
		if strings.HasPrefix(line, "Error") {
			return &upgrade.Error{Code: upgrade.CodeInternal, Msg: "nft: " + strings.TrimSpace(line)}
		}
		if line == "}\n" { // the end of the table
			return nil
		}
	}
}

// Stage breaks the site for so long, and returns how long it really was.
func (v *Valve) Stage(ctx context.Context, how Break, long time.Duration) (Staged, error) {
	shut, open := func() error { return v.lab.varnish.signal(syscall.SIGSTOP) }, func() error { return v.lab.varnish.signal(syscall.SIGCONT) }
	if how != BreakStall {
		rule := map[Break]string{BreakDrop: "drop", BreakRefuse: "reject with tcp reset"}[how]
		shut = func() error { return v.say("add rule " + valveChain + " tcp dport { 80, 443 } " + rule + "\n") }
		open = func() error { return v.say("flush chain " + valveChain + "\n") }
	}
	s := Staged{Break: how}
	s.From[0] = v.now()
	if err := shut(); err != nil {
		return s, errors.Join(err, open())
	}
	s.From[1] = v.now()
	waited := wait(ctx, long-s.From[1].Sub(s.From[0])/2)
	s.To[0] = v.now()
	err := open()
	s.To[1] = v.now()
	return s, errors.Join(waited, err)
}

// Close ends nft. What it broke last stays broken until the lab is closed.
func (v *Valve) Close() error {
	_ = v.in.Close() // which ends it
	if err := v.cmd.Wait(); err != nil {
		return fmt.Errorf("close a valve: %w", err)
	}
	return nil
}

// Namespace returns the name of the network namespace of a place, for programs that are to look from there.
func (l *Lab) Namespace(from Place) string { return l.ns(from) }
