package terraform

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// seal takes the digests of a fresh plan.
func seal(p *plan.Planned, root plan.Root) error {
	if err := os.Chmod(p.File, 0o600); err != nil {
		return fmt.Errorf("close the plan to others: %w", err)
	}
	var err error
	if p.FileDigest, err = FileDigest(p.File); err != nil {
		return fmt.Errorf("digest the plan: %w", err)
	}
	if p.LockDigest, err = LockDigest(root.Dir); err != nil {
		return err
	}
	return nil
}

// FileDigest returns the hexadecimal SHA-256 of a file.
func FileDigest(path string) (string, error) {
	file, err := os.Open(path) //nolint:gosec // a path of ours
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// LockDigest returns the digest of the provider lock file of a root module; "" when it has none.
func LockDigest(dir string) (string, error) {
	digest, err := FileDigest(filepath.Join(dir, lockFile))
	if err != nil && !os.IsNotExist(err) {
		return "", fmt.Errorf("digest %s: %w", lockFile, err)
	}
	return digest, nil
}

// SamePlan returns nil if the file is the plan with that digest, else CodeConflict (S2).
func SamePlan(file, digest string) error {
	got, err := FileDigest(file)
	switch {
	case os.IsNotExist(err):
		return &upgrade.Error{Code: upgrade.CodeConflict, Msg: "the plan file is gone", Hint: "plan again"}
	case err != nil:
		return fmt.Errorf("digest the plan: %w", err)
	case digest == "" || got != digest:
		return &upgrade.Error{Code: upgrade.CodeConflict, Msg: "the plan file is not the one that was judged", Hint: "plan again"}
	}
	return nil
}
