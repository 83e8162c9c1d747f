package terraform

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// maxTmp is how long TMPDIR may be: a provider's unix socket in it must fit into 108 bytes, and with 95
// the plugin handshake fails with "Unrecognized remote plugin message".
const maxTmp = 90

// planFile is the name of a plan in the data folder of its run.
const planFile = "plan.tfplan"

// workplace is the data folder of one run, made ready for one command.
type workplace struct {
	root      plan.Root
	home      string
	tmp       string
	tfData    string
	launch    string // script that starts Terraform: see launcher
	shortTmp  bool   // tmp is not in the data folder, which has too long a path
	account   *account
	masker    *Masker
	closeLogs []io.Closer
}

func (t *Terraform) workplace(root plan.Root) (*workplace, error) {
	for name, path := range map[string]string{"Dir": root.Dir, "Checkout": root.Checkout, "Data": root.Data} {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("terraform: %s of the root module must be an absolute path, not %q", name, path)
		}
	}
	w := &workplace{
		root: root, account: t.user,
		home: filepath.Join(root.Data, "home"), tfData: filepath.Join(root.Data, "terraform"), tmp: filepath.Join(root.Data, "tmp"),
		masker: t.masker(root), launch: filepath.Join(root.Data, "launch"),
	}
	if w.account != nil { // we run it as we are: where Terraform's user may write, it could be another script by then
		sum := sha256.Sum256([]byte(root.Data))
		w.launch = filepath.Join(t.cfg.LockDir, "launch-"+hex.EncodeToString(sum[:8]))
	}
	for _, dir := range []string{root.Data, w.home, w.tfData, w.tmp, filepath.Join(root.Data, "logs")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make Terraform's folder: %w", err)
		}
		if err := w.account.own(dir); err != nil {
			return nil, err
		}
	}
	tmp, short, err := ShortTmp(w.tmp)
	if err != nil {
		return nil, err
	}
	w.tmp, w.shortTmp = tmp, short
	return w, w.account.own(tmp)
}

// ShortTmp returns dir if its path is short enough for a provider's socket (90 characters), else a new
// folder with a shorter path, and reports whether it made one. The caller removes that.
func ShortTmp(dir string) (tmp string, made bool, err error) {
	if len(dir) <= maxTmp {
		return dir, false, nil
	}
	tmp, err = os.MkdirTemp("/tmp", "upgradegate-")
	if err != nil {
		return "", false, fmt.Errorf("make a folder for temporary files: %w", err)
	}
	return tmp, true, nil
}

// close removes what the command left in TMPDIR, such as the socket of a provider that was killed.
func (w *workplace) close() {
	for _, log := range w.closeLogs {
		_ = log.Close() // whatever could not be written is not worth failing the command for
	}
	if w.account != nil {
		_ = os.Remove(w.launch)
	}
	if w.shortTmp {
		_ = os.RemoveAll(w.tmp)
		return
	}
	entries, err := os.ReadDir(w.tmp)
	if err != nil {
		return
	}
	for _, entry := range entries {
		_ = os.RemoveAll(filepath.Join(w.tmp, entry.Name()))
	}
}

// masker knows the secrets of the configuration, of git, and the variables of the root.
func (t *Terraform) masker(root plan.Root) *Masker {
	secrets := append([]upgrade.Secret(nil), t.cfg.Secrets...)
	for name, value := range t.cfg.GitEnv {
		// Of git's many settings only these two are secret; the others are words that logs are full of.
		if _, credentials, ok := strings.Cut(value.Reveal(), "Authorization: Basic "); ok {
			secrets = append(secrets, upgrade.Secret(credentials))
		}
		if strings.HasPrefix(name, "TF_TOKEN_") {
			secrets = append(secrets, value)
		}
	}
	for _, name := range secretNames(root.Env) {
		secrets = append(secrets, root.Env[name])
	}
	return NewMasker(secrets...)
}

// secretNames returns the variables whose values are masked: all but those which say where something is
// and not how to get in. Hiding a region would hide half of every ARN.
func secretNames(env map[string]upgrade.Secret) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		switch name {
		case "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_CA_BUNDLE",
			"AWS_EC2_METADATA_DISABLED", "AWS_STS_REGIONAL_ENDPOINTS", "AWS_RETRY_MODE":
		default:
			if !strings.HasPrefix(name, "AWS_ENDPOINT_URL") {
				names = append(names, name)
			}
		}
	}
	return names
}

// log returns a masked writer to logs/NAME.log of the data folder and to also, which may be nil. It
// never fails: a reader that stops reading must not stop Terraform.
func (w *workplace) log(name string, also io.Writer) (io.Writer, error) {
	file, err := OpenLog(w.root.Data, filepath.Join("logs", name+".log"))
	if err != nil {
		return nil, err
	}
	if err := w.account.own(filepath.Join(w.root.Data, "logs", name+".log")); err != nil {
		_ = file.Close()
		return nil, err
	}
	to := []io.Writer{&Steady{W: file}}
	if also != nil {
		to = append(to, &Steady{W: also})
	}
	masked := w.masker.Writer(io.MultiWriter(to...))
	w.closeLogs = append(w.closeLogs, masked, file)
	return masked, nil
}

// OpenLog opens a log to be appended to, mode 0600, making it if need be. name is relative to dir, and
// a link that leads out of dir is not followed: Terraform's user may write there.
func OpenLog(dir, name string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder of logs: %w", err)
	}
	defer func() { _ = root.Close() }()
	file, err := root.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return file, nil
}

// Steady is a writer that never fails: what terraform-exec cannot write, it stops reading, and
// Terraform then hangs on a full pipe. After its first error it drops everything.
type Steady struct {
	W   io.Writer
	Err error // the first error
}

// Write writes to W until W fails once.
func (s *Steady) Write(p []byte) (int, error) {
	if s.Err == nil {
		_, s.Err = s.W.Write(p)
	}
	return len(p), nil
}

// ownCheckout gives the whole checkout to the user that Terraform runs as.
func (w *workplace) ownCheckout() error {
	if w.account == nil {
		return nil
	}
	err := filepath.WalkDir(w.root.Checkout, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return w.account.own(path)
	})
	if err != nil {
		return fmt.Errorf("hand the checkout over: %w", err)
	}
	return nil
}
