package awsprovider

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Version returns the version under which the build in the file binary is installed, such as
// "1.1700000000.305419896": the time of the build in seconds, then four bytes of the SHA-256 of its
// content. So each build has a version of its own, the latest build is the newest version, and no
// pre-release part keeps Terraform from choosing it. A lock file and a saved plan stand for one build,
// because their checksum covers the file's content.
func Version(binaryPath string) (string, error) {
	info, err := os.Stat(binaryPath)
	if err != nil {
		return "", fmt.Errorf("version provider: %w", err)
	}
	sum, err := digest(binaryPath)
	if err != nil {
		return "", fmt.Errorf("version provider: %w", err)
	}
	built := strconv.FormatInt(max(info.ModTime().Unix(), 0), 10)
	return "1." + built + "." + strconv.FormatUint(uint64(binary.BigEndian.Uint32(sum)), 10), nil
}

// Install puts the file binary into the unpacked filesystem mirror mirrorDir as the given version of the
// provider, for the system that it runs on, and does nothing if it is there already. It uses a hard
// link, or a copy where none can be made. It never uses a symbolic link: the next upgrade of the product
// would change the file behind it, and lock files and saved plans of the old version would be refused.
// For the same reason it never replaces a version: another content under a version that is already
// installed is an error with upgrade.CodeConflict.
func Install(binaryPath, mirrorDir, version string) error {
	folder := filepath.Join(mirrorDir, host, namespace, typeName, version, runtime.GOOS+"_"+runtime.GOARCH)
	name := filepath.Join(folder, "terraform-provider-"+typeName+"_v"+version)
	switch same, err := sameContent(binaryPath, name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("install provider: %w", err)
	case !same:
		return &upgrade.Error{
			Code: upgrade.CodeConflict,
			Msg:  "provider version " + version + " is installed already with other content",
			Hint: "install the build under a version of its own; plans and lock files of the old one still need it",
		}
	default:
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // a mirror may be read by all
		return fmt.Errorf("install provider: %w", err)
	}
	if err := place(binaryPath, name); err != nil {
		return fmt.Errorf("install provider: %w", err)
	}
	return nil
}

// place makes name a hard link to, or else a copy of, the file binary; whole or not at all.
func place(binaryPath, name string) error {
	source, err := filepath.EvalSymlinks(binaryPath)
	if err != nil {
		return err
	}
	err = os.Link(source, name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil // if it exists, another process has just installed the same
	}
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	// Terraform takes the checksum of all files of the version's folder, so the unfinished copy waits one above.
	out, err := os.CreateTemp(filepath.Dir(filepath.Dir(name)), ".installing-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(out.Name()) }() // already renamed when all went well
	_, err = io.Copy(out, in)
	err = errors.Join(err, out.Chmod(0o755), out.Close())
	if err != nil {
		return fmt.Errorf("copy %s: %w", source, err)
	}
	return os.Rename(out.Name(), name)
}

// sameContent reports whether both files hold the same bytes.
func sameContent(a, b string) (bool, error) {
	infoA, err := os.Stat(a)
	if err != nil {
		return false, fmt.Errorf("read binary: %s", err) //nolint:errorlint // a missing binary is not a missing installation
	}
	infoB, err := os.Stat(b)
	if err != nil {
		return false, err
	}
	if os.SameFile(infoA, infoB) {
		return true, nil
	}
	sumA, err := digest(a)
	if err != nil {
		return false, err
	}
	sumB, err := digest(b)
	return bytes.Equal(sumA, sumB), err
}

func digest(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the path is the product's own binary
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return nil, err
	}
	return hash.Sum(nil), nil
}

// CLIConfig returns the text of the file to be named by TF_CLI_CONFIG_FILE: providers come from the
// mirror at mirrorDir (an absolute path) or not at all. There is no direct block, so that a provider from
// anywhere else fails at once instead of asking a registry; and no plugin cache, because an unpacked
// mirror is linked to anyway.
func CLIConfig(mirrorDir string) string {
	return `disable_checkpoint = true
provider_installation {
  filesystem_mirror {
    path    = ` + strconv.Quote(mirrorDir) + `
    include = ["` + host + `/*/*"]
  }
}
`
}
