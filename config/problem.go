package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Problem is one mistake in the file.
type Problem struct {
	File    string
	Line    int    // from 1; 0: the file as a whole, such as one that cannot be read
	Column  int    // from 1; 0 with Line
	Path    string // of the key, such as "stacks[1].staging.workspace"; empty: the top of the file
	Message string // what is wrong, lower case, without full stop
	Hint    string // what to do about it; may be empty
}

// String returns "file:line: path: message (hint)".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		b.WriteString(":" + strconv.Itoa(p.Line))
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Problems are all mistakes of a file, in the order of its lines. It is the error that Load and Parse
// return.
type Problems []Problem //nolint:errname // a list of problems is what it is

// Error returns one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns an error with CodeInvalid: the same file will be wrong again.
func (p Problems) Unwrap() error {
	noun := "mistakes"
	if len(p) == 1 {
		noun = "mistake"
	}
	return &upgrade.Error{
		Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the configuration has %d %s", len(p), noun),
		Hint: "upgradegate config check FILE lists them",
	}
}

// sorted brings problems into the order of the file.
func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return p
}
