// Command upgradegate stands between staging and production: it runs the service, the demo, the
// simulators, and everything that the pages can do from a command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/upgradegate/upgradegate/integration/aws/awsprovider"
	"github.com/upgradegate/upgradegate/integration/terraform/shim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// Exit codes; a pipeline can tell "no" from "broken".
const (
	exitOK     = 0
	exitError  = 1
	exitUsage  = 2
	exitClosed = 3
)

// shimCommand is the hidden command under which an apply runs.
const shimCommand = "apply-shim"

func main() { os.Exit(run()) }

func run() int {
	// Terraform starts this binary as a plugin: nothing may be written before the handshake.
	if awsprovider.Requested(os.Getenv) {
		if err := awsprovider.Serve(context.Background()); err != nil {
			return exitError
		}
		return exitOK
	}
	if len(os.Args) == 3 && os.Args[1] == shimCommand {
		// The kernel kills Terraform when the thread that started it ends: keep this one.
		runtime.LockOSThread()
		return shim.Run(context.Background(), os.Args[2])
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	streams := streams{out: os.Stdout, err: os.Stderr}
	return report(streams.err, root(streams).ExecuteContext(ctx))
}

// streams is where results and everything else go.
type streams struct{ out, err io.Writer }

// codeError is an error that has an exit code of its own.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

// usage marks an error as wrong usage.
func usage(err error) error { return &codeError{code: exitUsage, err: err} }

// report prints err as one line, with at most one hint, and returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitError
	if coded, ok := errors.AsType[*codeError](err); ok {
		code = coded.code
	}
	if text := err.Error(); text != "" {
		_, _ = fmt.Fprintf(w, "upgradegate: %s\n", text)
	}
	if hint := upgrade.HintOf(err); hint != "" {
		_, _ = fmt.Fprintf(w, "upgradegate: hint: %s\n", hint)
	}
	return code
}
