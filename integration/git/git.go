// Package git keeps a full bare mirror of each project and answers from it: trees, merges, touched
// paths, authors, and checkouts that are proven against the tree's hash. It runs the git program; the
// token goes to it by environment alone, never into an address, a file or a command line. It must not
// decide what a tree means for a run.
package git

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// Config is what New needs. Dir and Log must be set.
type Config struct {
	Dir   string         // absolute folder of the mirrors; made if missing, 0700
	URL   string         // of the GitLab instance: the token is sent to no other host. Empty: to the project's own
	Token upgrade.Secret // that may read repositories; empty: none is sent

	Binary string        // path of git; empty: git on Path
	Path   string        // PATH for git and its helpers; empty: the usual one
	Limit  time.Duration // of one fetch; default 10 minutes
	Log    *slog.Logger
}

// Git answers from the mirrors. It is safe for use by several goroutines; other processes may use the
// same folder.
type Git struct {
	cfg    Config
	host   *url.URL // of Config.URL; nil: not given
	binary string
	trees  treeCache

	mu    sync.Mutex // guards the field below
	turns map[string]chan struct{}
}

const usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// localLimit is how long a command that needs no network may take.
const localLimit = 2 * time.Minute

// New finds git, 2.38 or later, and makes the folder of the mirrors. Error: CodeInvalid, with a hint,
// when there is no such git.
func New(cfg Config) (*Git, error) {
	if cfg.Log == nil || !filepath.IsAbs(cfg.Dir) {
		return nil, errors.New("git: Log must be set and Dir be an absolute path")
	}
	if cfg.Path == "" {
		cfg.Path = usualPath
	}
	if cfg.Limit <= 0 {
		cfg.Limit = 10 * time.Minute
	}
	g := &Git{cfg: cfg, turns: map[string]chan struct{}{}}
	if cfg.URL != "" {
		host, err := url.Parse(cfg.URL)
		if err != nil || host.Host == "" || host.Scheme != "https" && host.Scheme != "http" {
			return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%q is not the address of a GitLab", cfg.URL), Hint: "correct gitlab.url"}
		}
		g.host = host
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of mirrors: %w", err)
	}
	if err := g.find(); err != nil {
		return nil, err
	}
	return g, nil
}

var versionText = regexp.MustCompile(`^git version (\d+)\.(\d+)`)

// find settles the binary. `merge-tree --write-tree` came with 2.38.
func (g *Git) find() error {
	g.binary = g.cfg.Binary
	for _, dir := range filepath.SplitList(g.cfg.Path) {
		file := filepath.Join(dir, "git")
		if info, err := os.Stat(file); g.binary == "" && filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			g.binary = file
		}
	}
	const hint = "install git 2.38 or later, such as Debian's package git"
	if g.binary == "" {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "there is no git", Hint: hint}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, g.binary, "version").Output() //nolint:gosec // the operator names the program
	if err != nil {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: g.binary + " cannot be run", Hint: hint, Cause: err}
	}
	found := versionText.FindSubmatch(out)
	if found == nil {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: g.binary + " is not git", Hint: hint}
	}
	major, errMajor := strconv.Atoi(string(found[1]))
	minor, errMinor := strconv.Atoi(string(found[2]))
	if errMajor != nil || errMinor != nil || major < 2 || major == 2 && minor < 38 {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%s is %s", g.binary, strings.TrimSpace(string(out))), Hint: hint}
	}
	return nil
}

// Environ returns the variables with which another program's git (Terraform's, when it fetches modules)
// reads private repositories of the GitLab instance, over https even where a source names ssh, and with
// which Terraform reads its module registry. Without Config.URL or a token there are none.
func (g *Git) Environ() map[string]upgrade.Secret {
	if g.host == nil || !g.cfg.Token.Set() {
		return nil
	}
	origin := g.host.Scheme + "://" + g.host.Host + "/"
	env := map[string]upgrade.Secret{}
	for _, pair := range g.config(g.host) {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = upgrade.Secret(value)
	}
	n, err := strconv.Atoi(env["GIT_CONFIG_COUNT"].Reveal())
	if err != nil {
		return nil // config counts them itself
	}
	for _, other := range []string{"ssh://git@" + g.host.Hostname() + "/", "git@" + g.host.Hostname() + ":"} {
		env["GIT_CONFIG_KEY_"+strconv.Itoa(n)] = upgrade.Secret("url." + origin + ".insteadOf")
		env["GIT_CONFIG_VALUE_"+strconv.Itoa(n)] = upgrade.Secret(other)
		n++
	}
	env["GIT_CONFIG_COUNT"] = upgrade.Secret(strconv.Itoa(n))
	if g.host.Port() == "" { // https://developer.hashicorp.com/terraform/cli/config/config-file#environment-variable-credentials
		name := strings.NewReplacer(".", "_", "-", "__").Replace(g.host.Hostname())
		env["TF_TOKEN_"+name] = g.cfg.Token
	}
	return env
}

// config returns the environment that makes git ask nobody, read no user's configuration, and send the
// token to the origin of address alone; nil: to nobody.
func (g *Git) config(address *url.URL) []string {
	settings := [][2]string{
		// On a redirect git would send some headers on, whatever they are scoped to.
		{"http.followRedirects", "false"},
		{"gc.auto", "0"},
		{"maintenance.auto", "false"},
		{"http.lowSpeedLimit", "100"},
		{"http.lowSpeedTime", "60"},
	}
	if address != nil && g.cfg.Token.Set() && (g.host == nil || sameOrigin(address, g.host)) {
		credentials := base64.StdEncoding.EncodeToString([]byte("oauth2:" + g.cfg.Token.Reveal()))
		settings = append(settings, [2]string{
			"http." + address.Scheme + "://" + address.Host + "/.extraHeader", "Authorization: Basic " + credentials,
		})
	}
	env := []string{
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_TERMINAL_PROMPT=0", "GIT_ATTR_NOSYSTEM=1",
		"GIT_CONFIG_COUNT=" + strconv.Itoa(len(settings)),
	}
	for i, setting := range settings {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, setting[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, setting[1]))
	}
	return env
}

func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && a.Host == b.Host }

// address checks the address of a repository.
func (g *Git) address(project forge.Project) (*url.URL, error) {
	u, err := url.Parse(project.GitURL)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "file":
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the git address of %s is not http(s)", project.Path)}
	case u.User != nil:
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the git address of %s has credentials in it", project.Path)}
	}
	return u, nil
}

// mirror returns the path of the project's mirror.
func (g *Git) mirror(project forge.Project) string {
	return filepath.Join(g.cfg.Dir, strconv.FormatInt(project.ID, 10)+".git")
}
