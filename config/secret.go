package config

import (
	"errors"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/upgradegate/upgradegate/upgrade"
)

// maxSecret bounds a secret in bytes.
const maxSecret = 64 << 10

// reference is where a secret is.
type reference struct{ env, file string }

func referenceShape() shape[reference] {
	return object(
		optional("env", "Name of an environment variable of the service.", word[string](), func(s *reference) *string { return &s.env }),
		optional("file", "Path of a file, from the working folder if relative; a line break at its end does not count.", word[string](), func(s *reference) *string { return &s.file }),
	)
}

func secretSchema() schema {
	s := referenceShape().schema
	s.Type = "object"
	s.Description = "A secret by reference, never the secret itself."
	s.OneOf = []schema{{Required: []string{"env"}}, {Required: []string{"file"}}}
	return s
}

// line is a secret of one line without white space around it, as headers and forms carry it.
func line() shape[upgrade.Secret] {
	return shape[upgrade.Secret]{schema: schema{Ref: "#/$defs/secret"}, read: func(r *reader, at string, n ast.Node, into *upgrade.Secret) {
		var value upgrade.Secret
		readSecret(r, at, n, &value)
		raw := value.Reveal()
		switch {
		case raw == "":
			return
		case strings.ContainsFunc(raw, func(c rune) bool { return c < ' ' || c == 0x7f }):
			r.problem(at, "does its file hold more than the secret?", "the secret must be one line")
			return
		case strings.TrimSpace(raw) != raw:
			r.problem(at, "", "the secret begins or ends with white space")
			return
		}
		*into = value
	}}
}

// readSecret reads a secret by reference and resolves it.
func readSecret(r *reader, at string, n ast.Node, into *upgrade.Secret) {
	const hint = "write {env: NAME} or {file: PATH}"
	if _, keys := n.(ast.MapNode); !keys {
		if n.Type() == ast.NullType {
			r.problem(at, hint, "must be set")
		} else {
			// What is written here may be the secret: it is not repeated.
			r.problem(at, hint+", and replace the secret, which has been in a file", "a secret must not be written into this file")
		}
		return
	}
	var from reference
	before := len(r.problems)
	referenceShape().read(r, at, n, &from)
	switch {
	case len(r.problems) > before:
	case from.env != "" && from.file != "":
		r.problem(at, "keep one of the two", "has both env and file")
	case from.env != "":
		r.fromEnv(under(at, "env"), from.env, into)
	case from.file != "":
		r.fromFile(under(at, "file"), from.file, into)
	default:
		r.problem(at, hint, "must name where the secret is")
	}
}

// usualName is the form of an environment variable's name that a message may repeat. Anything else
// could be a secret that was put where its name belongs.
var usualName = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)

func (r *reader) fromEnv(at, name string, into *upgrade.Secret) {
	shown := "the variable named here"
	if usualName.MatchString(name) {
		shown = "the environment variable " + name
	}
	value, set := "", false
	if r.src.Getenv != nil {
		value, set = r.src.Getenv(name)
	}
	switch {
	case !set:
		r.problem(at, "set it for the service, for example in its EnvironmentFile", "%s is not set", shown)
	case value == "":
		r.problem(at, "", "%s is empty", shown)
	default:
		r.keep(at, value, into)
	}
}

func (r *reader) fromFile(at, path string, into *upgrade.Secret) {
	data, err := r.readFile(path)
	if err != nil {
		r.problem(at, "", "the file cannot be read: %s", reason(err))
		return
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if value == "" {
		r.problem(at, "", "the file is empty")
		return
	}
	r.keep(at, value, into)
}

func (r *reader) keep(at, value string, into *upgrade.Secret) {
	switch {
	case strings.TrimSpace(value) == "":
		r.problem(at, "", "the secret is nothing but white space")
	case len(value) > maxSecret:
		r.problem(at, "", "the secret is longer than 64 KiB")
	case strings.ContainsRune(value, 0):
		r.problem(at, "", "the secret holds a NUL byte")
	default:
		*into = upgrade.Secret(value)
		r.masked(value)
	}
}

// masked notes what is to be masked of a secret. Output is masked line by line, so a secret of several
// lines is as many secrets.
func (r *reader) masked(value string) {
	const few = 8
	parts := []string{value}
	if lines := strings.Split(value, "\n"); len(lines) > 1 {
		for _, one := range lines {
			if one = strings.TrimSpace(one); len(one) >= few {
				parts = append(parts, one)
			}
		}
	}
	for _, part := range parts {
		if !slices.Contains(r.secrets, upgrade.Secret(part)) {
			r.secrets = append(r.secrets, upgrade.Secret(part))
		}
	}
}

// readFile reads a file; relative paths are those of the working folder.
func (r *reader) readFile(path string) ([]byte, error) {
	if r.src.ReadFile == nil {
		return nil, fs.ErrNotExist
	}
	return r.src.ReadFile(filepath.Clean(path))
}

// reason returns why a file could not be read, without its path: where a path belongs, a secret may
// have been written.
func reason(err error) string {
	if broken, ok := errors.AsType[*fs.PathError](err); ok {
		return broken.Err.Error()
	}
	return err.Error()
}
