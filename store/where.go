package store

import (
	"fmt"
	"strings"
)

// where gathers conditions. They are written with ? here and numbered as they come.
type where struct {
	conds []string
	args  []any
}

// add adds a condition if it applies.
func (w *where) add(applies bool, cond string, args ...any) {
	if !applies {
		return
	}
	for _, arg := range args {
		cond = strings.Replace(cond, "?", w.param(arg), 1)
	}
	w.conds = append(w.conds, cond)
}

// in adds a condition that the column is one of the values, if there are any.
func (w *where) in(column string, values ...any) {
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(values)), ", ")
	w.add(len(values) > 0, column+` IN (`+marks+`)`, values...)
}

// param adds a parameter and returns how a query names it.
func (w *where) param(arg any) string {
	w.args = append(w.args, arg)
	return fmt.Sprintf("$%d", len(w.args))
}

// String returns the clause, with a space before it; empty without conditions.
func (w *where) String() string {
	if len(w.conds) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conds, " AND ")
}

// texts makes parameters of names.
func texts[T ~string](names []T) []any {
	args := make([]any, len(names))
	for i, name := range names {
		args[i] = string(name)
	}
	return args
}

// limit returns how many rows a list may have: what was asked for within the bounds.
func limit(asked, usual, most int) int {
	if asked <= 0 {
		return usual
	}
	return min(asked, most)
}
