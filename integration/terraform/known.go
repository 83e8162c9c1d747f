package terraform

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/upgradegate/upgradegate/upgrade"
)

// said is what a binary said about itself when it was asked.
type said struct {
	id      string // of the binary then; "": it must be asked each time
	name    string // terraform or tofu
	version string
}

// String returns name and version as plan.Planned.Tool has them; "" when nothing is known.
func (s said) String() string {
	if s.name == "" {
		return ""
	}
	return s.name + " " + s.version
}

// memory keeps what the binary said last. Asking costs a process of Terraform each time, a part of a
// second, and a run would ask before every command: terraform-exec wants to know.
type memory struct {
	mu   sync.Mutex // guards last
	last said
}

func (m *memory) keep(s said) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = s
}

func (m *memory) recall() said {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// BinaryID names the very file that a program is now: another one, or other content, has another name.
// It is empty for what can be another tool each time although it stays the same file, which is every
// script, such as those of version managers, and for what cannot be read.
func BinaryID(path string) string {
	file, err := os.Open(path) //nolint:gosec // the operator names the program
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	var magic [4]byte
	if n, err := file.Read(magic[:]); err != nil || n != len(magic) || string(magic[:]) != "\x7fELF" {
		return ""
	}
	info, err := file.Stat()
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	// The time of change cannot be set by whoever writes a file, unlike that of modification.
	return fmt.Sprintf("%d:%d:%d:%d.%09d:%d.%09d", stat.Dev, stat.Ino, stat.Size,
		stat.Mtim.Sec, stat.Mtim.Nsec, stat.Ctim.Sec, stat.Ctim.Nsec)
}

// ask asks the binary what it is, and remembers it.
func (t *Terraform) ask(ctx context.Context, binary string) (said, error) {
	id := BinaryID(binary) // before it is asked: if it is replaced meanwhile, it is asked again
	name, version, err := t.version(ctx, binary)
	if err != nil {
		return said{}, err
	}
	now := said{id: id, name: name, version: version}
	t.memory.keep(now)
	return now, nil
}

// known returns the version of the binary if that need not be asked for: it is the very file that told
// it. Else "".
func (t *Terraform) known() string {
	last := t.memory.recall()
	if last.id == "" || BinaryID(t.binary) != last.id {
		return ""
	}
	return last.version
}

// Tool returns the tool's name, "terraform" or "tofu", and its version. It asks each time: the binary
// may have been replaced since.
func (t *Terraform) Tool(ctx context.Context) (name, version string, err error) {
	now, err := t.ask(ctx, t.binary)
	if err != nil {
		return "", "", &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: t.binary + " cannot be used", Hint: howToGet, Cause: err}
	}
	return now.name, now.version, nil
}
