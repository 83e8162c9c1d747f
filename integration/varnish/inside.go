package varnish

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// Bounds of one call of a tool of Varnish's.
const (
	toolTime = 15 * time.Second // ssh and cloud session managers are slow to begin
	toolText = 4 << 20          // varnishstat prints some 50 kB, and 10 kB for each back end
)

// nodeName is what a name of an instance may look like: it reaches a tool as an argument, over ssh even
// through a shell.
var nodeName = regexp.MustCompile(`^[A-Za-z0-9/._][A-Za-z0-9/._-]*$`)

// InspectorConfig is what an [Inspector] needs. The zero value sees no environment.
type InspectorConfig struct {
	Environ []string         // of the service; the commands see an allow-list of it
	Now     func() time.Time // dates what is read; nil: the time of the system
}

// Inspector asks Varnish's own tools, varnishadm and varnishstat, where there is access. It reads: none of
// its commands changes anything.
type Inspector struct {
	environ []string
	now     func() time.Time
}

// NewInspector returns an inspector.
func NewInspector(cfg InspectorConfig) *Inspector {
	i := &Inspector{now: cfg.Now}
	if i.now == nil {
		i.now = time.Now //nolint:forbidigo // the documented default
	}
	for _, pair := range cfg.Environ {
		name, _, _ := strings.Cut(pair, "=")
		if slices.Contains(seen(), name) {
			i.environ = append(i.environ, pair)
		}
	}
	return i
}

// seen lists the variables that a command sees: what programs need anywhere, and what ssh and the AWS
// command line find their credentials by.
func seen() []string {
	return []string{
		"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSH_AUTH_SOCK",
		"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
		"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	}
}

// Inspect reads vcl.list, backend.list and the counters of a node. Errors: CodeInvalid for a node that
// cannot be asked as written; CodeUnavailable when a tool could not be run, failed, or printed what is
// not understood, with its last words.
func (i *Inspector) Inspect(ctx context.Context, node probe.Node) (probe.Inside, error) {
	if node.Name != "" && !nodeName.MatchString(node.Name) {
		return probe.Inside{}, invalid(nil, "%q cannot be the name of a Varnish", node.Name)
	}
	inside := probe.Inside{At: i.now()}
	text, err := i.run(ctx, node, "varnishadm", "vcl.list", "-j")
	if err != nil {
		return probe.Inside{}, err
	}
	if inside.VCLs, err = parseVCLs(text); err != nil {
		return probe.Inside{}, notUnderstood("varnishadm vcl.list", err)
	}
	active := activeOf(inside.VCLs)
	if text, err = i.run(ctx, node, "varnishadm", "backend.list", "-j"); err != nil {
		return probe.Inside{}, err
	}
	if inside.Backends, err = parseBackends(text, active); err != nil {
		return probe.Inside{}, notUnderstood("varnishadm backend.list", err)
	}
	if text, err = i.run(ctx, node, "varnishstat", "-1", "-j"); err != nil {
		return probe.Inside{}, err
	}
	if inside.Counters, err = parseCounters(text, active); err != nil {
		return probe.Inside{}, notUnderstood("varnishstat", err)
	}
	return inside, nil
}

func notUnderstood(what string, err error) error {
	return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: what + " printed what is not understood", Hint: "is it Varnish 6.0 or later?", Cause: err}
}

// run runs a tool of Varnish's and returns what it prints. There is no shell on this side.
func (i *Inspector) run(ctx context.Context, node probe.Node, tool string, args ...string) ([]byte, error) {
	argv := append(slices.Clone(node.Command), tool)
	if node.Name != "" {
		argv = append(argv, "-n", node.Name)
	}
	argv = append(argv, args...)
	ctx, cancel := context.WithTimeoutCause(ctx, toolTime, errToolSlow)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the operator's command, and a tool that reads
	cmd.Env = i.environ
	if cmd.Env == nil {
		cmd.Env = []string{} // nil would be everything
	}
	cmd.WaitDelay = time.Second
	var out, errs capped
	out.most, errs.most = toolText, 2<<10
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	shown := strings.Join(argv, " ")
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("run %s: %w", shown, context.Cause(ctx))
	case errors.Is(err, exec.ErrNotFound):
		return nil, &upgrade.Error{
			Code: upgrade.CodeUnavailable, Msg: argv[0] + " is not installed where the gate runs", Cause: err,
			Hint: "set varnish.command to what reaches Varnish's host, such as [ssh, varnish-1]",
		}
	case err != nil:
		return nil, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("%s: %s", shown, lastWords(errs.text, out.text, err)), Cause: err}
	case out.over:
		return nil, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: shown + " prints more than 4 MiB"}
	}
	return out.text, nil
}

var errToolSlow = &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "no answer within 15s"}

// lastWords returns on one line what a command said when it failed.
func lastWords(stderr, stdout []byte, err error) string {
	for _, text := range [][]byte{stderr, stdout} {
		if words := strings.Join(strings.Fields(string(text)), " "); words != "" {
			return printable(words, 300)
		}
	}
	return err.Error()
}

// capped keeps the first bytes that are written and takes the rest without keeping it.
type capped struct {
	text []byte
	most int
	over bool
}

// Write keeps what fits.
func (c *capped) Write(b []byte) (int, error) {
	if room := c.most - len(c.text); room < len(b) {
		c.text, c.over = append(c.text, b[:max(0, room)]...), true
	} else {
		c.text = append(c.text, b...)
	}
	return len(b), nil
}
