// Package filelock keeps two processes from working in one place. The kernel lets a lock go when its process ends,
// however that ends (flock(2)); the file itself stays.
package filelock

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Lock is held until it is released.
type Lock struct{ file *os.File }

// Take takes the lock of a file, which is made if need be, or says who has it. what is what the lock keeps, such as
// "the database /var/lib/gate.db". Error: CodeConflict while another process holds it.
func Take(path, what string) (*Lock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the path is the operator's own
	if err != nil {
		return nil, fmt.Errorf("open the lock of %s: %w", what, err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = &upgrade.Error{
			Code: upgrade.CodeConflict,
			Msg:  what + " is in use by another upgradegate" + holder(file),
			Hint: "stop that one first, or give this one a place of its own",
		}
	}
	if err == nil {
		err = sign(file)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return &Lock{file: file}, nil
}

// Release lets the lock go.
func (l *Lock) Release() error { return l.file.Close() }

// sign writes who holds the lock, for the message that the next one gets.
func sign(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// holder returns what the lock's holder wrote of itself, ready to be appended to a sentence.
func holder(file *os.File) string {
	text, err := io.ReadAll(io.NewSectionReader(file, 0, 32))
	pid, convErr := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || convErr != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}
