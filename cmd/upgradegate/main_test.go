package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/upgradegate/upgradegate/integration/aws/awsprovider"
)

// asProgram makes the test binary be the program itself: tests start it so, kill it and start it again.
const asProgram = "UPGRADEGATE_TEST_AS_PROGRAM"

// TestMain lets the test binary be what the product's own binary is to its children: the shim of an
// apply, the provider that Terraform starts, and the program.
func TestMain(m *testing.M) {
	shim := len(os.Args) == 3 && os.Args[1] == shimCommand
	if shim || awsprovider.Requested(os.Getenv) || os.Getenv(asProgram) != "" {
		os.Exit(run())
	}
	code := m.Run()
	if err := os.RemoveAll(built.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// built is the product as people get it, built when a test first asks for it.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// product returns the path of the program as people get it. It is what tests run that look at what a program
// does: it starts ten times as fast as the test binary does with the race detector, and Terraform starts a provider
// at each of its steps. A service of its own is the test binary, so that its races are seen.
func product() (string, error) {
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "ugp"); built.err != nil {
			return
		}
		if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", built.dir, ".").CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build the program: %w\n%s", err, out)
		}
	})
	return filepath.Join(built.dir, "upgradegate"), built.err
}
