package awsprovider_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awsprovider"
	"github.com/upgradegate/upgradegate/upgrade"
)

func TestVersion(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "upgradegate")
	built := time.Unix(1_700_000_000, 0)
	version := func(content string, at time.Time) string {
		t.Helper()
		if err := os.WriteFile(binary, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(binary, at, at); err != nil {
			t.Fatal(err)
		}
		v, err := awsprovider.Version(binary)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	one := version("one", built)
	if !strings.HasPrefix(one, "1.1700000000.") {
		t.Errorf("version: got %s", one)
	}
	if two := version("two", built); one == two {
		t.Errorf("two builds have the version %s", one)
	}
	if again := version("one", built); one != again {
		t.Errorf("the same build has the versions %s and %s", one, again)
	}
	if _, err := awsprovider.Version(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a binary that is not there has a version")
	}
}

func TestInstall(t *testing.T) {
	dir := t.TempDir()
	binary, mirror := filepath.Join(dir, "upgradegate"), filepath.Join(dir, "mirror")
	write := func(content string) {
		t.Helper()
		// As an upgrade does it: another file at the same path.
		if err := os.WriteFile(binary+".new", []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(binary+".new", binary); err != nil {
			t.Fatal(err)
		}
	}
	installed := func(version string) string {
		return filepath.Join(mirror, "upgradegate.local/sim/aws", version, runtime.GOOS+"_"+runtime.GOARCH, "terraform-provider-aws_v"+version)
	}
	write("old")
	for range 2 { // the second time it is there already
		if err := awsprovider.Install(binary, mirror, "1.0.1"); err != nil {
			t.Fatal(err)
		}
	}
	write("new")
	if err := awsprovider.Install(binary, mirror, "1.0.2"); err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{"1.0.1": "old", "1.0.2": "new"} {
		if got, err := os.ReadFile(installed(version)); err != nil || string(got) != want {
			t.Errorf("version %s: got %q, %v, want %q", version, got, err, want)
		}
	}
	err := awsprovider.Install(binary, mirror, "1.0.1")
	if err == nil || upgrade.CodeOf(err) != upgrade.CodeConflict {
		t.Errorf("installing over another build: got %v, want a conflict", err)
	}
	if err := awsprovider.Install(filepath.Join(dir, "none"), mirror, "1.0.3"); err == nil {
		t.Error("a binary that is not there was installed")
	}
}

// Another file system cannot be linked to.
func TestInstallCopies(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "install") //nolint:usetesting // it must be on another file system than t.TempDir
	if err != nil {
		t.Skipf("no second file system: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	binary, mirror := filepath.Join(t.TempDir(), "upgradegate"), filepath.Join(dir, "mirror")
	if err := os.WriteFile(binary, []byte("content"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := awsprovider.Install(binary, mirror, "1.0.0"); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(mirror, "upgradegate.local/sim/aws/1.0.0", runtime.GOOS+"_"+runtime.GOARCH)
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Fatalf("folder: got %v, %v, want the provider alone", entries, err)
	}
	info, err := entries[0].Info()
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o755 {
		t.Errorf("mode: got %v, want one that can be run", info.Mode())
	}
}

func TestCLIConfig(t *testing.T) {
	got := awsprovider.CLIConfig(`/var/lib/a "b"`)
	if want := `path    = "/var/lib/a \"b\""`; !strings.Contains(got, want) || strings.Contains(got, "direct") {
		t.Errorf("got\n%s\nwant %s, and no direct block", got, want)
	}
}
