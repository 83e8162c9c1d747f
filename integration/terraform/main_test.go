package terraform_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/upgradegate/upgradegate/integration/terraform/shim"
)

// TestMain lets the test binary be what the product's own binary is: the shim of an apply, and a
// service that is killed; and, under its name, Terraform.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "terraform" && len(os.Args) > 1 {
		os.Exit(actNative())
	}
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
