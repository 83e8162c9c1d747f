//nolint:thelper // its tables hold functions that are part of a test
package terraform_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/integration/terraform"
	"github.com/upgradegate/upgradegate/upgrade"
)

// native is a fake tool that is a program and no script: this test binary, see TestMain. What it says that
// it is stands in a file beside it.
func native(t *testing.T, dir, version string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "terraform")
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, code, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, path+".version", version)
	return path
}

// actNative does what a test needs of Terraform, writes down each of its commands, and returns the exit code.
func actNative() int {
	version, err := os.ReadFile(os.Args[0] + ".version")
	log, errLog := os.OpenFile(os.Args[0]+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil || errLog != nil {
		return 3
	}
	defer func() { _ = log.Close() }()
	_, _ = fmt.Fprintln(log, os.Args[1])
	said := fmt.Sprintf(`{"@message":"Terraform %[1]s","type":"version","terraform":%[1]q}`, version)
	switch os.Args[1] {
	case "version":
		if len(os.Args) > 2 {
			fmt.Printf("{\"terraform_version\":%q}\n", version)
			return 0
		}
		fmt.Printf("Terraform v%s\n", version)
	case "plan":
		for _, arg := range os.Args {
			if file, ok := strings.CutPrefix(arg, "-out="); ok {
				_ = os.WriteFile(file, version, 0o600)
			}
		}
		fmt.Println(said)
		return 2
	case "show":
		fmt.Println(`{"format_version":"1.2","resource_changes":[]}`)
	case "apply":
		fmt.Println(said)
		if made, err := os.ReadFile(os.Args[len(os.Args)-1]); err != nil || string(made) != string(version) {
			fmt.Println(`{"@message":"x","type":"diagnostic","diagnostic":{"severity":"error","summary":"Can't read specified plan file"}}`)
			return 1
		}
		fmt.Println(`{"@message":"Apply complete!","type":"change_summary","changes":{"operation":"apply"}}`)
	}
	return 0
}

func asked(t *testing.T, binary string) []string {
	t.Helper()
	raw, err := os.ReadFile(binary + ".log")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(raw))
}

// Each process of Terraform that a run starts costs it a part of a second: the version is asked for once.
func TestVersionIsAskedForOnce(t *testing.T) {
	binary := native(t, t.TempDir(), "1.5.7")
	s := newStack(t, binary, "")
	s.root.Env["TF_VAR_x"] = "y" // which needs more of the launcher
	s.init()
	planned := s.plan()
	if planned.Tool != "terraform 1.5.7" {
		t.Errorf("the plan was made by %q", planned.Tool)
	}
	if _, err := s.tf.Show(t.Context(), s.root, planned); err != nil {
		t.Fatal(err)
	}
	attempt := s.attempt(planned)
	if ended := s.apply(attempt, nil); !ended.OK {
		t.Errorf("got %+v", ended)
	}
	if diff := cmp.Diff(asked(t, binary), []string{"version", "init", "plan", "show", "apply"}); diff != "" {
		t.Errorf("its processes (-got +want):\n%s", diff)
	}
	var started terraform.Started
	if err := terraform.ReadJSON(attempt.Dir, terraform.FileStarted, &started); err != nil || started.Version != "1.5.7" {
		t.Errorf("got %+v, %v", started, err)
	}
	// A program that starts another version of the tool may do so from one command to the next.
	write(t, binary+".version", "1.11.4")
	if again := s.plan(); again.Tool != "terraform 1.11.4" {
		t.Errorf("the plan was made by %q", again.Tool)
	}
}

// The tool that applies is the one that planned (S2), however it came to be another.
func TestToolThatWasReplaced(t *testing.T) {
	const want = "the plan was made by terraform 1.5.7, and "
	for _, tt := range []struct {
		name    string
		replace func(t *testing.T, dir string)
		want    string
		asked   []string
	}{
		{"another_file", func(t *testing.T, dir string) { native(t, dir, "1.11.4") }, want + "1.11.4 is installed now", []string{"version"}},
		{"written_over", func(t *testing.T, dir string) {
			file, err := os.OpenFile(filepath.Join(dir, "terraform"), os.O_WRONLY|os.O_APPEND, 0)
			if err == nil {
				_, err = file.WriteString("\n")
				_ = file.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "terraform.version"), "1.11.4")
		}, want + "1.11.4 is installed now", []string{"version"}},
		{"script", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "terraform")); err != nil {
				t.Fatal(err)
			}
			script := "#!/bin/sh\necho script >> " + dir + "/terraform.log\necho '{\"terraform_version\":\"1.6.0\"}'\n"
			if err := os.WriteFile(filepath.Join(dir, "terraform"), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}, want + "1.6.0 is installed now", []string{"script"}},
		// The same file starts another version: Terraform itself refuses the plan.
		{"starts_another", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "terraform.version"), "1.11.4") }, want + "terraform 1.11.4 is installed now", []string{"apply"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			binary := native(t, dir, "1.5.7")
			s := newStack(t, binary, "")
			attempt := s.ready()
			before := len(asked(t, binary))
			tt.replace(t, dir)
			_, err := s.tf.Apply(t.Context(), s.root, attempt, nil)
			wantCode(t, err, upgrade.CodeConflict, tt.want)
			if diff := cmp.Diff(asked(t, binary)[before:], tt.asked); diff != "" {
				t.Errorf("its processes (-got +want):\n%s", diff)
			}
			// What is there now makes a plan of its own.
			if tt.name == "script" {
				return
			}
			planned := s.plan()
			if ended := s.apply(s.attempt(planned), nil); !ended.OK || planned.Tool != "terraform 1.11.4" {
				t.Errorf("got %+v from the plan of %s", ended, planned.Tool)
			}
		})
	}
}

func TestBinaryID(t *testing.T) {
	dir := t.TempDir()
	one := native(t, dir, "1")
	id := terraform.BinaryID(one)
	if id == "" || terraform.BinaryID(one) != id {
		t.Errorf("got %q, then %q", id, terraform.BinaryID(one))
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(one, link); err != nil {
		t.Fatal(err)
	}
	if got := terraform.BinaryID(link); got != id {
		t.Errorf("through a link it is %q, want %q", got, id)
	}
	info, err := os.Stat(one)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(one, info.ModTime(), info.ModTime()); err != nil { // as who hides a change
		t.Fatal(err)
	}
	if terraform.BinaryID(one) == id {
		t.Error("a file with other times has the same name")
	}
	for name, path := range map[string]string{
		"script": fake(t, dir+"/script", "Terraform v1.5.7", ""), "missing": dir + "/missing", "folder": dir, "short": one + ".version",
	} {
		if got := terraform.BinaryID(path); got != "" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
