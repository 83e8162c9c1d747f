package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/cmd/upgradegate/service"
	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/upgrade"
)

func serveCommand(s streams) *cobra.Command {
	var file string
	var verbose bool
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the service", Args: noArgs,
		Long: "Run the service until SIGINT or SIGTERM. An apply that is going on then goes on, and the next start adopts it.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			return serve(cmd, file, logger(s, level))
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "upgradegate.yaml", "the operator's file")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log every request")
	return cmd
}

// rarely is how much the heap may grow before its garbage is collected, in percent, unless GOGC says something else:
// the service keeps little, and collecting it at the usual 100 took a fifth of its time when pages are asked for.
const rarely = 300

func serve(cmd *cobra.Command, file string, log *slog.Logger) (err error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(rarely)
	}
	ctx := cmd.Context()
	c, err := config.Load(file, source())
	if err != nil {
		return usage(err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	svc, err := service.New(ctx, service.Options{
		Config: c, File: file, Source: source(), Log: log, Clock: upgrade.SystemClock{}, Self: self, Environ: os.Environ(), Version: versionText(),
	})
	if err != nil {
		return err
	}
	defer closing(&err, svc.Close)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Server.Listen)
	if err != nil {
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("listen on %s: %v", c.Server.Listen, err),
			Hint: "another program may use the port: change server.listen", Cause: nil,
		}
	}
	log.Info("serving", "address", listener.Addr().String(), "public_url", c.Server.PublicURL, "version", versionText())
	return svc.Run(ctx, listener)
}

// closing closes at the end of a function and keeps the error.
func closing(err *error, closeIt func() error) {
	if e := closeIt(); e != nil && *err == nil {
		*err = e
	}
}

// source is where a configuration's references lead.
func source() config.Source {
	return config.Source{Getenv: os.LookupEnv, ReadFile: os.ReadFile}
}
