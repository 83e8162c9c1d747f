package main

import (
	"os"
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
	os.Exit(m.Run())
}
