package terraform

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// launcher returns the program that terraform-exec and we start, and the environment for it: the tool
// itself, or a script that does what terraform-exec cannot or will not: it answers
// for the tool what version it is (not with an empty version), switches the user, and gives back their
// names to TF_VAR_ variables. No secret is in it.
func (w *workplace) launcher(binary, version string, env map[string]string) (string, map[string]string, error) {
	var script strings.Builder
	script.WriteString("#!/bin/sh\n")
	needed := w.account != nil
	if version != "" {
		answer, err := answerVersion(version)
		if err != nil {
			return "", nil, err
		}
		needed = true
		script.WriteString(answer)
	}
	out := map[string]string{}
	for name, value := range env {
		if rest, ok := strings.CutPrefix(name, varPrefix); ok {
			needed = true
			fmt.Fprintf(&script, "export %s%s=\"$%s%s\"\nunset %s%s\n", varPrefix, rest, renamed, rest, renamed, rest)
			name = renamed + rest
		}
		out[name] = value
	}
	if !needed {
		return binary, env, nil
	}
	script.WriteString("exec ")
	if w.account != nil {
		fmt.Fprintf(&script, "setpriv --reuid=%d --regid=%d --init-groups -- ", w.account.uid, w.account.gid)
	}
	fmt.Fprintf(&script, "%s \"$@\"\n", quoteShell(binary))
	path := w.launch
	if err := WriteScript(path, script.String()); err != nil {
		return "", nil, fmt.Errorf("write the launcher of Terraform: %w", err)
	}
	return path, out, nil
}

// LaunchScript returns a shell script that starts a binary, and answers for it what terraform-exec asks a
// binary first: its version.
func LaunchScript(binary, version string) (string, error) {
	answer, err := answerVersion(version)
	return "#!/bin/sh\n" + answer + "exec " + quoteShell(binary) + " \"$@\"\n", err
}

// answerVersion answers in a shell script what terraform-exec asks, as both tools do.
func answerVersion(version string) (string, error) {
	answer, err := json.Marshal(map[string]string{"terraform_version": version})
	if err != nil {
		return "", fmt.Errorf("write the answer of a tool: %w", err)
	}
	return fmt.Sprintf("if [ \"$*\" = 'version -json' ]; then printf '%%s\\n' %s; exit; fi\n", quoteShell(string(answer))), nil
}

func quoteShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// WriteScript writes an executable file. While it is open no other goroutine may start a process: that
// would inherit the descriptor for a moment, and running the script would fail with "text file busy".
func WriteScript(path, text string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, []byte(text), 0o755) //nolint:gosec // Terraform's user runs it; it holds no secret
}
