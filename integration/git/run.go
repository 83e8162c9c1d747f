package git

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// command is one run of git.
type command struct {
	dir     string   // GIT_DIR; empty: none
	cwd     string   // empty: the mirrors' folder
	address *url.URL // nil: no network
	env     []string
	stdin   []byte
	limit   time.Duration // 0: localLimit
	args    []string
}

// failed is how git ended; its text has no secret in it.
type failed struct {
	command string
	code    int
	stderr  string
}

// Error returns the last line that git printed.
func (f *failed) Error() string {
	lines := strings.Split(strings.TrimSpace(f.stderr), "\n")
	return fmt.Sprintf("git %s: exit code %d: %s", f.command, f.code, lines[len(lines)-1])
}

// run runs git and returns its stdout. A git that ends with another code than 0 is a *failed.
func (g *Git) run(ctx context.Context, c command) ([]byte, error) {
	limit := c.limit
	if limit == 0 {
		limit = localLimit
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, &upgrade.Error{
		Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("git %s took longer than %s", c.args[0], limit),
	})
	defer cancel()
	cmd := exec.CommandContext(ctx, g.binary, c.args...) //nolint:gosec // no shell; names are checked by the callers
	cmd.Dir = c.cwd
	if cmd.Dir == "" {
		cmd.Dir = g.cfg.Dir
	}
	protocols := "none"
	if c.address != nil {
		protocols = c.address.Scheme
	}
	cmd.Env = append(g.config(c.address),
		"PATH="+g.cfg.Path, "HOME="+g.cfg.Dir, "LC_ALL=C", "GIT_ALLOW_PROTOCOL="+protocols,
		"GIT_NO_REPLACE_OBJECTS=1", "GIT_OPTIONAL_LOCKS=0", "GIT_LITERAL_PATHSPECS=1",
	)
	if c.dir != "" {
		cmd.Env = append(cmd.Env, "GIT_DIR="+c.dir)
	}
	cmd.Env = append(cmd.Env, c.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if c.stdin != nil {
		cmd.Stdin = bytes.NewReader(c.stdin)
	}
	// A fetch has children; all of them go.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return stdout.Bytes(), nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("git %s: %w", c.args[0], context.Cause(ctx))
	case errors.As(err, &exit):
		return stdout.Bytes(), &failed{command: c.args[0], code: exit.ExitCode(), stderr: g.mask(stderr.String())}
	}
	return nil, fmt.Errorf("run git %s: %w", c.args[0], err)
}

// mask removes the token, should git ever print it.
func (g *Git) mask(text string) string {
	token := g.cfg.Token.Reveal()
	if token == "" {
		return text
	}
	encoded := base64.StdEncoding.EncodeToString([]byte("oauth2:" + token))
	return strings.NewReplacer(token, "(secret)", encoded, "(secret)").Replace(text)
}

// exitCode returns the code with which git ended; -1 if err is something else.
func exitCode(err error) int {
	if f, ok := errors.AsType[*failed](err); ok {
		return f.code
	}
	return -1
}

// signs are what git prints over the network, and what it means. There is no code to go by; the tests
// provoke the first of each.
func signs() []struct {
	code upgrade.Code
	msg  string
	hint string
	says []string
} {
	return []struct {
		code upgrade.Code
		msg  string
		hint string
		says []string
	}{
		{
			upgrade.CodeUnauthorized, "GitLab does not accept the token for git", "gitlab.token needs the scope read_repository and access to the project",
			[]string{
				"could not read Username", "Authentication failed", "Access denied", "returned error: 401", "returned error: 403",
				"could not read Password", "You are not allowed to download code",
			},
		},
		{
			upgrade.CodeNotFound, "the repository does not have this commit", "it may have been removed by a force-push",
			[]string{"not our ref", "couldn't find remote ref", "unadvertised object", "no such remote ref"},
		},
		{
			upgrade.CodeNotFound, "there is no such repository", "the project may have moved, or the token may not see it",
			[]string{"' not found", "returned error: 404", "could not be found", "does not appear to be a git repository", "returned error: 410"},
		},
		{
			upgrade.CodeInvalid, "the git address of the project leads elsewhere", "redirects are not followed: set gitlab.url to the address that GitLab itself uses",
			[]string{"returned error: 301", "returned error: 302", "returned error: 303", "returned error: 307", "returned error: 308", "redirect"},
		},
	}
}

// remote turns the end of a command that used the network into an error with a code.
func remote(err error) error {
	f, ok := errors.AsType[*failed](err)
	if !ok {
		return err
	}
	for _, sign := range signs() {
		for _, text := range sign.says {
			if strings.Contains(f.stderr, text) {
				return &upgrade.Error{Code: sign.code, Msg: sign.msg, Hint: sign.hint, Cause: err}
			}
		}
	}
	return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "the repository could not be read from GitLab", Cause: err}
}
