package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// probeFlags is what `upgradegate probe` is told.
type probeFlags struct {
	json, varnish, order   bool
	allow, resolve         []string
	status                 []int
	contains, caFile       string
	bypassHeader, bypassBy string
}

// bypassValue names the variable that holds the value of --bypass-header.
const bypassValue = "UPGRADEGATE_BYPASS" //nolint:gosec // a name, not the value

func probeCommand(s streams) *cobra.Command {
	var f probeFlags
	cmd := &cobra.Command{
		Use: "probe URL", Short: "Climb the layers to a page once, from here; exits 0 whole, 3 broken, 1 could not tell",
		Long: `Climb the layers to a page once, from this host: DNS, TCP, TLS, Varnish, backend, content, on each
address behind the name. The first broken layer is named, with what is wrong. Addresses that are not
public must be listed with --allow.`,
		Example: `  upgradegate probe https://www.example.org/
  upgradegate probe --varnish --allow 10.20.0.0/16:443 --contains loginform https://staging.example.org/login`,
		Args: func(cmd *cobra.Command, args []string) error {
			if f.order {
				return noArgs(cmd, args)
			}
			return exactly("URL")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runProbe(cmd, s, f, args) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.json, "json", false, "print the ladders as JSON")
	flags.BoolVar(&f.varnish, "varnish", false, "the answer must come through Varnish")
	flags.StringArrayVar(&f.allow, "allow", nil, `addresses and ports beyond public ones that may be probed, such as "10.20.0.0/16:443"; may be repeated`)
	flags.StringArrayVar(&f.resolve, "resolve", nil, "HOST=ADDRESS, instead of asking DNS; may be repeated")
	flags.IntSliceVar(&f.status, "status", []int{200}, "status of a good answer")
	flags.StringVar(&f.contains, "contains", "", "text that the page must hold")
	flags.StringVar(&f.caFile, "ca-file", "", "certificates (PEM) of the authority that signed the site's; default: the system's")
	flags.StringVar(&f.bypassHeader, "bypass-header", "", "header that lets Varnish ask the backend; its value is in "+bypassValue)
	flags.StringVar(&f.bypassBy, "bypass-query", "", "query parameter that gets a fresh value, so that Varnish asks the backend")
	flags.BoolVar(&f.order, "order", false, "read what to probe from standard input, as a gate sends it to a test instance")
	if err := flags.MarkHidden("order"); err != nil {
		panic(err) // it was added above
	}
	return cmd
}

func runProbe(cmd *cobra.Command, s streams, f probeFlags, args []string) error {
	path, guard, err := f.path(args)
	if err != nil {
		return usage(err)
	}
	if f.order {
		return probeOrder(cmd, s)
	}
	ladders, err := varnish.New(varnish.Config{Guard: guard}).Climb(cmd.Context(), path)
	if err != nil {
		if upgrade.CodeOf(err) == upgrade.CodeInvalid {
			return usage(err)
		}
		return err
	}
	if f.json {
		if err := json.NewEncoder(s.out).Encode(ladders); err != nil {
			return fmt.Errorf("print the ladders: %w", err)
		}
	} else if err := printLadders(s.out, ladders); err != nil {
		return err
	}
	return verdictOf(ladders)
}

// verdictOf is the exit code of ladders: an address that may not be dialled could not be told.
func verdictOf(ladders []probe.Ladder) error {
	var blind error
	for _, ladder := range ladders {
		rung, broken := ladder.Broken()
		switch {
		case broken && rung.Class == probe.ClassGuarded:
			blind = &upgrade.Error{Code: upgrade.CodeForbidden, Msg: rung.Detail, Hint: "list the address with --allow, if it is really the site's"}
		case broken:
			return &codeError{code: exitClosed, err: errors.New("the page cannot be reached as it should be")}
		}
	}
	return blind
}

func (f probeFlags) path(args []string) (probe.Path, varnish.Guard, error) {
	path := probe.Path{
		ViaVarnish: f.varnish, Plain: !f.varnish, CAFile: f.caFile, Expect: probe.Expect{Status: f.status, BodyContains: f.contains},
		Bypass: probe.Bypass{Header: f.bypassHeader, Query: f.bypassBy}, Resolve: map[string]string{},
	}
	if f.bypassHeader != "" {
		path.Bypass.Value = os.Getenv(bypassValue)
		if path.Bypass.Value == "" {
			return path, varnish.Guard{}, fmt.Errorf("--bypass-header needs its value in %s", bypassValue)
		}
	}
	if len(args) > 0 {
		path.URL = args[0]
	}
	var guard varnish.Guard
	for _, text := range f.allow {
		entry, err := varnish.ParseAllow(text)
		if err != nil {
			return path, guard, fmt.Errorf("--allow: %w", err)
		}
		guard.Allow = append(guard.Allow, entry)
	}
	for _, text := range f.resolve {
		host, addr, ok := strings.Cut(text, "=")
		if !ok {
			return path, guard, fmt.Errorf("--resolve %q is not HOST=ADDRESS", text)
		}
		path.Resolve[host] = addr
	}
	return path, guard, nil
}

func printLadders(w io.Writer, ladders []probe.Ladder) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, ladder := range ladders {
		at := "no address"
		if ladder.Address.IsValid() {
			at = ladder.Address.String()
		}
		_, _ = fmt.Fprintf(table, "%s at %s\n", ladder.URL, at) // errors come back from Flush
		for _, rung := range ladder.Rungs {
			took := ""
			if rung.State == probe.RungOK || rung.State == probe.RungBroken {
				took = fmt.Sprintf("%.1f ms", float64(rung.Took.Microseconds())/1000)
			}
			_, _ = fmt.Fprintf(table, "  %s\t%s\t%s\t%s\n", rung.Layer, strings.ReplaceAll(string(rung.State), "_", " "), took, rung.Detail)
		}
		for _, warning := range ladder.Warnings {
			_, _ = fmt.Fprintf(table, "  warning: %s\n", warning.Detail)
		}
	}
	return table.Flush()
}

// maxOrder is the longest order that is read, in bytes.
const maxOrder = 1 << 20

// probeOrder carries out an order of a gate on the host on which the gate runs it, and prints what came of it.
// What may be reached is what the order names and, of what is not public, its own list.
func probeOrder(cmd *cobra.Command, s streams) error {
	data, err := io.ReadAll(io.LimitReader(os.Stdin, maxOrder))
	if err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	var order wire.OneShot
	if err := wire.Strict(data, &order); err != nil {
		return usage(err)
	}
	var guard varnish.Guard
	for _, text := range order.Allow {
		entry, err := varnish.ParseAllow(text)
		if err != nil {
			return usage(err)
		}
		guard.Allow = append(guard.Allow, entry)
	}
	if len(order.CA) > 0 {
		file, err := os.CreateTemp("", "upgradegate-ca-*.pem")
		if err != nil {
			return fmt.Errorf("keep the authority's certificates: %w", err)
		}
		defer func() { _ = os.Remove(file.Name()) }() // it holds nothing that is secret
		if _, err := file.Write(order.CA); err != nil {
			return fmt.Errorf("keep the authority's certificates: %w", err)
		}
		if err := file.Close(); err != nil {
			return fmt.Errorf("keep the authority's certificates: %w", err)
		}
		order.Path.CAFile = file.Name()
	}
	work := wire.Work{State: wire.StateEnded}
	ladders, err := varnish.New(varnish.Config{Guard: guard}).Climb(cmd.Context(), order.Path)
	if err != nil {
		work.State, work.Failure = wire.StateFailed, wire.FailureOf(err)
	}
	for i := range ladders {
		ladders[i].Quote = "" // Systems Manager cuts off what is long
	}
	work.Ladders = ladders
	if err := json.NewEncoder(s.out).Encode(work); err != nil {
		return fmt.Errorf("print what came of the order: %w", err)
	}
	return nil
}
