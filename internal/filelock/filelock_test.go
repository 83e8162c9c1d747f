package filelock_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/internal/filelock"
	"github.com/upgradegate/upgradegate/upgrade"
)

func TestTake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := filelock.Take(path, "the cellar")
	if err != nil {
		t.Fatal(err)
	}
	_, err = filelock.Take(path, "the cellar")
	want := fmt.Sprintf("the cellar is in use by another upgradegate (process %d)", os.Getpid())
	if upgrade.CodeOf(err) != upgrade.CodeConflict || !strings.Contains(err.Error(), want) || upgrade.HintOf(err) == "" {
		t.Errorf("the second one: %v", err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := filelock.Take(path, "the cellar")
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := filelock.Take(filepath.Join(path, "below"), "a file as a folder"); err == nil {
		t.Error("locked what cannot be")
	}
}
