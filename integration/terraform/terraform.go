// Package terraform runs Terraform or OpenTofu: it finds the tool, initialises a checked-out root
// module, plans to a file, reads that plan, and applies that very file under a detached process of its
// own (package shim), so that an apply outlives the service and a restarted service adopts its result.
//
// Terraform sees an allow-list of variables and nothing else; whatever it prints is masked before it
// is kept. No timer ever kills it: the end of a context is one SIGINT. It must not decide what an
// outcome means for a run.
package terraform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Config is what New needs. Self, LockDir, Log and Clock must be set.
type Config struct {
	// Binary is the tool: a path, or a name that is looked up on PATH. Empty: terraform 1.5 or later,
	// else tofu.
	Binary string
	// User is who Terraform runs as, by name; empty: who the service runs as. Where the service may
	// not switch users, that is logged and Terraform runs as the service.
	User string
	// CLIConfig is the file for TF_CLI_CONFIG_FILE; empty: none.
	CLIConfig string
	// Environ is the service's own environment ("NAME=value"), of which Terraform sees PATH, locale,
	// proxies, certificates and the plugin cache. Empty: a usual PATH alone.
	Environ []string
	// GitEnv is what git needs to fetch private modules: see git.Git.Environ. Only Init passes it on (S10).
	GitEnv map[string]upgrade.Secret
	// Secrets are masked in whatever Terraform prints, besides the variables of the root.
	Secrets []upgrade.Secret
	// InitLock is a file that is locked during each init, for a plugin cache that several services
	// share; empty: only this service's own inits take turns.
	InitLock string
	// LockTimeout is how long Terraform waits for the lock of the state; default one minute.
	LockTimeout time.Duration
	// Self is this very binary, absolute: `Self apply-shim DIR` must call shim.Run.
	Self string
	// LockDir is the absolute folder of the locks of stacks, local to this host and shared by every
	// service on it.
	LockDir string

	Log   *slog.Logger
	Clock upgrade.Clock
}

// Terraform runs the tool. It is safe for use by several goroutines, for different roots.
type Terraform struct {
	cfg      Config
	binary   string
	base     map[string]string // the part of Environ that is passed on
	user     *account          // nil: no switching
	initTurn chan struct{}     // holds a value while an init runs

	memory memory // of what the binary said
}

// account is the user that Terraform runs as.
type account struct {
	name     string
	uid, gid uint32
	groups   []uint32
}

const howToGet = "install Terraform 1.5 or later (https://developer.hashicorp.com/terraform/install) or OpenTofu " +
	"(https://opentofu.org/docs/intro/install), or name the program in terraform.binary"

// New finds the tool and asks for its version. Error: CodeInvalid when there is none or it is too old,
// with a hint that says how to get one.
func New(cfg Config) (*Terraform, error) {
	for name, value := range map[string]string{"Self": cfg.Self, "LockDir": cfg.LockDir} {
		if !filepath.IsAbs(value) {
			return nil, fmt.Errorf("terraform: %s must be an absolute path, not %q", name, value)
		}
	}
	if cfg.Log == nil || cfg.Clock == nil {
		return nil, errors.New("terraform: Log and Clock must be set")
	}
	if cfg.LockTimeout <= 0 {
		cfg.LockTimeout = lockTimeout
	}
	t := &Terraform{cfg: cfg, base: baseEnviron(cfg.Environ), initTurn: make(chan struct{}, 1)}
	if err := t.find(); err != nil {
		return nil, err
	}
	if err := t.account(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.LockDir, 0o750); err != nil {
		return nil, fmt.Errorf("make the folder of stack locks: %w", err)
	}
	return t, nil
}

// find settles the binary.
func (t *Terraform) find() error {
	names := []string{"terraform", "tofu"}
	if t.cfg.Binary != "" {
		names = []string{t.cfg.Binary}
	}
	var tried []string
	for _, name := range names {
		path, err := lookPath(name, t.base["PATH"])
		if err != nil {
			tried = append(tried, fmt.Sprintf("%s: %v", name, err))
			continue
		}
		found, err := t.ask(context.Background(), path)
		if err == nil {
			err = recentEnough(found.name, found.version)
		}
		if err == nil {
			t.binary = path
			return nil
		}
		tried = append(tried, fmt.Sprintf("%s: %v", path, err))
	}
	return &upgrade.Error{
		Code: upgrade.CodeInvalid, Hint: howToGet,
		Msg: "no Terraform 1.5 or later and no OpenTofu can be used: " + strings.Join(tried, "; "),
	}
}

// lookPath finds an executable as a shell would, on the given PATH instead of the process's own.
func lookPath(name, path string) (string, error) {
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		candidates = nil
		for _, dir := range filepath.SplitList(path) {
			if filepath.IsAbs(dir) {
				candidates = append(candidates, filepath.Join(dir, name))
			}
		}
	}
	for _, file := range candidates {
		info, err := os.Stat(file)
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return filepath.Abs(file)
		}
	}
	return "", errors.New("no such program")
}

// versionLine matches the first line of `version`, such as "Terraform v1.5.7" or "OpenTofu v1.12.6-dev".
var versionLine = regexp.MustCompile(`(?m)^(Terraform|OpenTofu) v(\d+\.\d+\.\d+\S*)`)

// version asks a binary what it is. The plain form names the tool; `version -json` says
// "terraform_version" for both.
func (t *Terraform) version(ctx context.Context, binary string) (tool, version string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("it did not tell its version within 30s"))
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "version")
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	cmd.Env = []string{"PATH=" + t.base["PATH"], "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE=" + os.DevNull}
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return "", "", context.Cause(ctx)
	}
	if err != nil {
		return "", "", fmt.Errorf("ask for its version: %w", err)
	}
	found := versionLine.FindSubmatch(out)
	if found == nil {
		return "", "", errors.New("it is neither Terraform nor OpenTofu")
	}
	if string(found[1]) == "OpenTofu" {
		return "tofu", string(found[2]), nil
	}
	return "terraform", string(found[2]), nil
}

// recentEnough refuses Terraform before 1.5; every OpenTofu is younger.
func recentEnough(tool, version string) error {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, errMajor := strconv.Atoi(major)
	b, errMinor := strconv.Atoi(minor)
	if errMajor != nil || errMinor != nil {
		return fmt.Errorf("its version %q cannot be understood", version)
	}
	if tool == "terraform" && (a < 1 || a == 1 && b < 5) {
		return fmt.Errorf("its version is %s, and 1.5 is the oldest that can be used", version)
	}
	return nil
}

// account settles who Terraform runs as.
func (t *Terraform) account() error {
	self := uint32(os.Geteuid()) //nolint:gosec // a user id fits
	if t.cfg.User == "" {
		if self == 0 {
			t.cfg.Log.Warn("terraform runs as root; set terraform.user")
		}
		return nil
	}
	found, err := user.Lookup(t.cfg.User)
	if err != nil {
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("there is no user %q to run Terraform as", t.cfg.User),
			Hint: "create it (useradd --system), or correct terraform.user", Cause: err,
		}
	}
	a := &account{name: found.Username}
	groups, err := found.GroupIds()
	if err != nil {
		return fmt.Errorf("read groups of user %s: %w", found.Username, err)
	}
	a.uid, a.gid = number(found.Uid), number(found.Gid)
	for _, id := range groups {
		a.groups = append(a.groups, number(id))
	}
	switch {
	case a.uid == self:
	case self != 0:
		t.cfg.Log.Warn("terraform runs as the service: only root may switch users", "user", a.name)
	default:
		t.user = a
	}
	return nil
}

func number(id string) uint32 {
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return 65534 // nobody: on Linux ids are numbers, so this is never reached
	}
	return uint32(n)
}

// credential returns what a process started by us runs as; nil: as we do.
func (a *account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: a.uid, Gid: a.gid, Groups: a.groups}
}

// own gives path to the user that Terraform runs as.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	if err := os.Lchown(path, int(a.uid), int(a.gid)); err != nil {
		return fmt.Errorf("give %s to user %s: %w", path, a.name, err)
	}
	return nil
}
