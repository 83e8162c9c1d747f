package terraform_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/upgradegate/upgradegate/integration/terraform/shim"
)

// TestMain lets the test binary be what the product's own binary is: the shim of an apply, and a
// service that is killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "apply-shim" {
		os.Exit(shim.Run(context.Background(), os.Args[2]))
	}
	if len(os.Args) == 3 && os.Args[1] == "apply-and-wait" {
		if err := applyAndWait(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
