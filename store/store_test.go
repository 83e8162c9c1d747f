package store_test

import (
	"path/filepath"
	"testing"

	"github.com/upgradegate/upgradegate/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) string {
		t.Helper()
		return "sqlite:" + filepath.Join(t.TempDir(), "gate.db")
	})
}
