package store

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

// fileLock is held on <database>.lock for as long as the store is open. Whoever holds it may take
// every lease in the file for one of a dead process. The kernel lets it go when the process ends,
// however it ends; the file itself stays.
type fileLock struct{ file *os.File }

// lockFile takes the lock or says who has it. Error: CodeConflict while another process holds it.
func lockFile(database string) (*fileLock, error) {
	path := database + ".lock"
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the path is the operator's own
	if err != nil {
		return nil, fmt.Errorf("open the lock of the database: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = &upgrade.Error{
			Code: upgrade.CodeConflict,
			Msg:  fmt.Sprintf("the database %s is in use by another upgradegate%s", database, holder(file)),
			Hint: "stop that one first, or give this one a database of its own",
		}
	}
	if err == nil {
		err = sign(file)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return &fileLock{file: file}, nil
}

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

// release lets the lock go.
func (l *fileLock) release() error { return l.file.Close() }
