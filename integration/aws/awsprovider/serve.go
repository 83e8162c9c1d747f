package awsprovider

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Address is what configurations name as source of the provider. It is fully qualified on purpose: the
// short form stands for another host with Terraform than with OpenTofu.
const Address = host + "/" + namespace + "/" + typeName

const (
	host      = "upgradegate.local"
	namespace = "sim"
	typeName  = "aws"
)

// ErrOrphaned is what Serve returns when the Terraform that started it died without saying goodbye.
var ErrOrphaned = errors.New("the terraform process that started the provider is gone")

// Requested reports whether the process was started by Terraform as a provider. environ returns the
// value of an environment variable, as os.Getenv does. The cookie is fixed by Terraform's plugin
// protocol; it tells a plugin from a program that was started by hand, it is no secret.
func Requested(environ func(string) string) bool {
	return environ("TF_PLUGIN_MAGIC_COOKIE") == "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
}

// Serve serves the provider, protocol 6, to the Terraform that started this process, and returns when
// Terraform is done with it. Standard output belongs to the handshake: nothing may have been written to
// it. A cancelled ctx does not end it: an interrupt reaches the whole process group, and Terraform still
// needs the provider to bring the calls in flight to an end.
//
// It returns ErrOrphaned when the parent process died. Without that a provider of a killed Terraform
// would finish its calls unseen, and keep what it inherited open, such as the lock of an apply.
func Serve(ctx context.Context) error {
	clock := upgrade.SystemClock{}
	served := make(chan error, 1)
	// Nobody waits for this one if the parent is gone: the process ends with Serve.
	go func() {
		served <- providerserver.Serve(ctx, func() provider.Provider {
			return newProvider(clock, os.Getenv) //nolint:forbidigo // the provider's configuration falls back to the environment, as everywhere with AWS
		}, providerserver.ServeOpts{Address: Address, ProtocolVersion: 6})
	}()
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	orphaned := make(chan struct{})
	go func() {
		defer close(orphaned)
		waitOrphaned(watching, clock, os.Getppid)
	}()
	select {
	case err := <-served:
		return err
	case <-orphaned:
		return ErrOrphaned
	}
}

// waitOrphaned returns when the process has another parent than at first, or ctx ends. It asks instead
// of setting PR_SET_PDEATHSIG, because that signal comes when the thread that forked ends, which in a Go
// program is not the end of the process.
func waitOrphaned(ctx context.Context, clock upgrade.Clock, parent func() int) {
	first := parent()
	for parent() == first {
		if err := clock.Sleep(ctx, 200*time.Millisecond); err != nil {
			return
		}
	}
}
