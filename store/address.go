package store

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// sqlitePath returns the file that a database address names, as an absolute path. The error of an
// address of another kind never quotes it: it may hold a password.
func sqlitePath(address string) (string, error) {
	const hint = "write sqlite:///var/lib/upgradegate/gate.db, or sqlite:gate.db for a file in the working folder"
	scheme, rest, found := strings.Cut(address, ":")
	switch {
	case !found || scheme == "":
		return "", &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the database address has no scheme", Hint: hint}
	case scheme == "postgres" || scheme == "postgresql":
		return "", &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: "PostgreSQL is not built yet",
			Hint: "use a file for now: sqlite:///var/lib/upgradegate/gate.db",
		}
	case scheme != "sqlite":
		return "", &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("no database of kind %q is known", scheme), Hint: hint}
	}
	file := rest
	if after, isURL := strings.CutPrefix(rest, "//"); isURL {
		if !strings.HasPrefix(after, "/") {
			return "", &upgrade.Error{
				Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the database address %q names a host", address),
				Hint: "three slashes begin an absolute path: sqlite:///var/lib/upgradegate/gate.db",
			}
		}
		file = after
	}
	switch {
	case file == "" || strings.HasSuffix(file, "/") || strings.HasPrefix(file, ":"):
		return "", &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the database address %q names no file", address), Hint: hint}
	case strings.ContainsAny(file, "?#\x00"):
		return "", &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the database address %q has more than a path", address),
			Hint: "give the path alone; the settings of the connection are the program's own",
		}
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return "", fmt.Errorf("resolve the database path %s: %w", file, err)
	}
	return abs, nil
}

// sqliteWriter returns the address of the connection that writes to last. Transactions take the write lock
// when they begin: one that starts by reading could not upgrade its lock later without failing.
func sqliteWriter(path string) string {
	return sqliteDSN(path, "_txlock=immediate", "synchronous(FULL)", "foreign_keys(1)")
}

// sqliteLeaser returns the address of the connection for leases, which does not wait for the disk.
func sqliteLeaser(path string) string {
	return sqliteDSN(path, "_txlock=immediate", "synchronous(NORMAL)", "foreign_keys(1)")
}

// sqliteReader returns the address of connections that cannot write.
func sqliteReader(path string) string { return sqliteDSN(path, "", "query_only(1)") }

func sqliteDSN(path, param string, pragmas ...string) string {
	params := []string{param, "_pragma=busy_timeout(10000)", "_pragma=journal_mode(WAL)"}
	for _, pragma := range pragmas {
		params = append(params, "_pragma="+pragma)
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + strings.Join(params, "&")
}
