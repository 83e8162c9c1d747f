package store

import (
	"errors"
	"strings"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// dialect is everything in which two databases differ. Queries are written once, with $1, $2 … for
// parameters and two tokens: {now} is the database's time in milliseconds since 1970, {skip} makes a
// claim pass over rows that another claim has locked.
type dialect struct {
	goose   goose.Dialect
	text    *strings.Replacer    // rewrites a query
	unique  func(err error) bool // a UNIQUE or PRIMARY KEY constraint refused the write
	passing func(err error) bool // the database could not work just now; the same may succeed later
}

// sql returns the query as the database reads it.
func (d dialect) sql(query string) string { return d.text.Replace(query) }

// sqliteDialect is SQLite through modernc.org/sqlite. No query has a dollar sign but before a number.
func sqliteDialect() dialect {
	return dialect{
		goose: goose.DialectSQLite3,
		text:  strings.NewReplacer("$", "?", "{now}", "CAST(unixepoch('subsec')*1000 AS INTEGER)", "{skip}", ""),
		unique: func(err error) bool {
			e, ok := errors.AsType[*sqlite.Error](err)
			return ok && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
		},
		passing: func(err error) bool {
			e, ok := errors.AsType[*sqlite.Error](err)
			if !ok {
				return false
			}
			switch e.Code() & 0xff { // the primary code; the rest of the bits say more of the same
			case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
				sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN:
				return true
			}
			return false
		},
	}
}
