package testkit

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Target returns the address of a real system, from UPGRADEGATE_TEST_<NAME>. Without one the test is
// skipped, unless UPGRADEGATE_TEST_NEED (a list with commas) has the name: then it fails.
func Target(t *testing.T, name string) string {
	t.Helper()
	key := "UPGRADEGATE_TEST_" + strings.ToUpper(name)
	if addr := os.Getenv(key); addr != "" {
		return addr
	}
	if slices.Contains(strings.Split(os.Getenv("UPGRADEGATE_TEST_NEED"), ","), name) {
		t.Fatalf("UPGRADEGATE_TEST_NEED lists %s but %s is empty", name, key)
	}
	t.Skipf("no %s: set %s", name, key)
	return ""
}
