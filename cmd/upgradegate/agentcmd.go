package main

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/agent"
	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/upgrade"
)

// agentToken names the variable that holds the token with which an agent enrols.
const agentToken = "UPGRADEGATE_AGENT_TOKEN" //nolint:gosec // a name, not the token

// agentFlags is what `upgradegate agent` is told.
type agentFlags struct {
	gate, data, state, tokenFile, allowFile, caFile string
	allow                                           []string
	maxRate                                         float64
	maxDuration                                     time.Duration
	verbose                                         bool
}

func agentCommand(s streams) *cobra.Command {
	var f agentFlags
	cmd := &cobra.Command{
		Use: "agent", Short: "Probe from this host for a gate elsewhere", Args: noArgs,
		Long: `Probe from this host for a gate elsewhere. The agent dials out to the gate and listens on no port. It
probes what the gate asks for, and only what --allow lists; it goes on probing while the gate is
restarted, and delivers what it saw when the gate is back. When the agent itself is restarted, or
killed, it goes on with what it was watching from what it keeps in --state: the time between is
blind, and counts as such. The state holds what the gate ordered, with the secret of a bypass, for
the agent's own user to read, and is removed an hour after a watch has ended.

The first start needs a token, made by ` + "`upgradegate vantage enrol NAME`" + `, in ` + agentToken + ` or in
the file --token-file. The agent makes a key then, keeps it in --data, and needs no token any more.`,
		Example: `  UPGRADEGATE_AGENT_TOKEN=uga_… upgradegate agent --gate https://gate.example.org --allow "10.20.0.0/16:80,443"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newAgent(f, s)
			if err != nil {
				return err
			}
			return a.Run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.gate, "gate", os.Getenv("UPGRADEGATE_URL"), "public_url of the gate (UPGRADEGATE_URL)")
	flags.StringVar(&f.data, "data", "/var/lib/upgradegate-agent", "folder for the agent's key")
	flags.StringVar(&f.state, "state", "", `folder in which watches outlive a restart of the agent, or "none" (default: watches in --data)`)
	flags.StringVar(&f.tokenFile, "token-file", "", "file with the token to enrol with; read once")
	flags.StringArrayVar(&f.allow, "allow", nil, `addresses and ports that may be probed, such as "10.20.0.0/16:80,443"; may be repeated`)
	flags.StringVar(&f.allowFile, "allow-file", "", "file with such entries, one a line")
	flags.Float64Var(&f.maxRate, "max-rate", agent.DefaultMaxRate, "probes a second, of all streams together, to each address")
	flags.DurationVar(&f.maxDuration, "max-duration", agent.DefaultMaxDuration, "longest watch")
	flags.StringVar(&f.caFile, "ca-file", "", "certificates (PEM) of the authority that signed the gate's; default: the system's")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log more")
	return cmd
}

func newAgent(f agentFlags, s streams) (*agent.Agent, error) {
	allow, err := f.allowed()
	if err != nil {
		return nil, usage(err)
	}
	if f.maxRate <= 0 || f.maxRate > 1000 {
		return nil, usage(fmt.Errorf("--max-rate must be above 0 and at most 1000, not %g", f.maxRate))
	}
	if f.maxDuration < time.Second || f.maxDuration > 24*time.Hour {
		return nil, usage(fmt.Errorf("--max-duration must be between 1s and 24h, not %s", f.maxDuration))
	}
	token, err := f.token()
	if err != nil {
		return nil, usage(err)
	}
	transport, err := f.transport()
	if err != nil {
		return nil, usage(err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	state := cmp.Or(f.state, filepath.Join(f.data, "watches"))
	if state == noState {
		state = ""
	}
	a, err := agent.New(agent.Config{
		State: state, Uptime: uptime,
		URL: f.gate, Data: f.data, Token: token, Version: versionText(), Host: host, HTTP: &http.Client{Transport: transport},
		Policy: agent.Policy{Allow: allow, MaxRate: f.maxRate, MaxDuration: f.maxDuration}, Log: logger(s, level), Now: time.Now,
	})
	if err != nil && upgrade.CodeOf(err) == upgrade.CodeInvalid {
		return nil, usage(err)
	}
	return a, err
}

// noState is the value of --state for which nothing is kept.
const noState = "none"

// uptime reads what Linux says of the time since it was started, which nobody sets and a restart of the agent does
// not change; elsewhere nothing.
func uptime() (boot string, up time.Duration) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", 0
	}
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return "", 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return "", 0
	}
	return strings.TrimSpace(string(id)), time.Duration(seconds * float64(time.Second))
}

// allowed reads the flags and the file of what may be probed.
func (f agentFlags) allowed() ([]varnish.Allow, error) {
	lines := f.allow
	if f.allowFile != "" {
		file, err := os.Open(f.allowFile)
		if err != nil {
			return nil, fmt.Errorf("read --allow-file: %w", err)
		}
		defer func() { _ = file.Close() }() // read only
		scan := bufio.NewScanner(file)
		for scan.Scan() {
			if line, _, _ := strings.Cut(scan.Text(), "#"); strings.TrimSpace(line) != "" {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		if err := scan.Err(); err != nil {
			return nil, fmt.Errorf("read --allow-file: %w", err)
		}
	}
	var allow []varnish.Allow
	for _, line := range lines {
		entry, err := varnish.ParseAllow(line)
		if err != nil {
			return nil, fmt.Errorf("--allow: %w", err)
		}
		allow = append(allow, entry)
	}
	return allow, nil
}

// token returns the token to enrol with, if there is one. A file that is not there is none: an agent that is
// enrolled needs it no more.
func (f agentFlags) token() (upgrade.Secret, error) {
	if f.tokenFile == "" {
		return upgrade.Secret(strings.TrimSpace(os.Getenv(agentToken))), nil
	}
	data, err := os.ReadFile(filepath.Clean(f.tokenFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read --token-file: %w", err)
	}
	return upgrade.Secret(strings.TrimSpace(string(data))), nil
}

// transport dials the gate, through the proxy of the environment if there is one. Probes never use it.
func (f agentFlags) transport() (*http.Transport, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 4, ForceAttemptHTTP2: true,
	}
	if f.caFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(f.caFile)
	if err != nil {
		return nil, fmt.Errorf("read --ca-file: %w", err)
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--ca-file %s holds no certificate in PEM form", f.caFile)
	}
	return t, nil
}
