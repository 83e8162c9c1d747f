package testkit

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

// update is a flag of the tests' own command line: go test ./… -update.
var update = flag.Bool("update", false, "rewrite golden files with what was got") //nolint:gochecknoglobals // flags of `go test` are registered at package level

// Golden compares got with the file. With -update it writes the file instead.
func Golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("read golden: %v (rewrite it with -update)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (rewrite it with -update, then look at the change)\n--- got ---\n%s\n--- want ---\n%s", file, got, want)
	}
}
