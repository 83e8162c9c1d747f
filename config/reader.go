package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/upgradegate/upgradegate/upgrade"
)

// reader walks a file and collects what is wrong with it.
type reader struct {
	file     string
	src      Source
	places   map[string]place // where each path is written
	problems Problems
	secrets  []upgrade.Secret // that were resolved, each once
}

// place is a spot in the file; both count from 1.
type place struct{ line, column int }

func newReader(file string, src Source) *reader {
	return &reader{file: file, src: src, places: map[string]place{"": {1, 1}}}
}

// found keeps a problem.
func (r *reader) found(p Problem) {
	p.File = r.file
	r.problems = append(r.problems, p)
}

// problem reports a mistake at a path, or at what holds it if the path is not written in the file.
func (r *reader) problem(at, hint, format string, args ...any) {
	where := at
	for {
		if spot, written := r.places[where]; written {
			r.found(Problem{Line: spot.line, Column: spot.column, Path: at, Message: fmt.Sprintf(format, args...), Hint: hint})
			return
		}
		where = parent(where)
	}
}

// has reports whether the file holds something at the path.
func (r *reader) has(at string) bool {
	_, written := r.places[at]
	return written
}

// broken reports whether a problem was found at the path or below it.
func (r *reader) broken(at string) bool {
	for _, p := range r.problems {
		if rest, below := strings.CutPrefix(p.Path, at); below && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// mark notes where a path is written.
func (r *reader) mark(at string, tk *token.Token) {
	if tk != nil && tk.Position != nil {
		r.places[at] = place{tk.Position.Line, tk.Position.Column}
	}
}

// markValue notes where the value of a path is written: for one word or number at the word itself,
// for a list or keys at the key that they follow.
func (r *reader) markValue(at string, n ast.Node) {
	if scalar, ok := n.(ast.ScalarNode); ok && scalar.Type() != ast.NullType {
		r.mark(at, scalar.GetToken())
	}
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// under returns the path of a key below a path.
func under(at, key string) string {
	switch {
	case !plainKey.MatchString(key):
		return at + "[" + quoted(key) + "]"
	case at == "":
		return key
	}
	return at + "." + key
}

// nth returns the path of an item of a list, counting from 0.
func nth(at string, i int) string { return at + "[" + strconv.Itoa(i) + "]" }

// parent returns the path that holds a path; "" is its own.
func parent(at string) string {
	if strings.HasSuffix(at, `"]`) { // a key in quotes may hold dots and brackets
		if i := strings.LastIndex(at, `["`); i >= 0 {
			return at[:i]
		}
	}
	if i := strings.LastIndexAny(at, ".["); i >= 0 {
		return at[:i]
	}
	return ""
}

// entry is one key of a mapping with its value.
type entry struct {
	key   string
	token *token.Token
	value ast.Node
}

// entries returns the keys of a mapping in file order, each once, and reports those that come twice.
// Nothing at all counts as a mapping without keys.
func (r *reader) entries(at string, n ast.Node) (list []entry, ok bool) {
	if _, null := n.(*ast.NullNode); null || n == nil {
		return nil, true
	}
	mapping, ok := n.(ast.MapNode)
	if !ok {
		r.problem(at, "", "must be keys with values, not %s", describe(n))
		return nil, false
	}
	first := map[string]int{}
	for pairs := mapping.MapRange(); pairs.Next(); {
		tk := pairs.Key().GetToken()
		e := entry{key: tk.Value, token: tk, value: pairs.Value()}
		if line, twice := first[e.key]; twice {
			r.found(Problem{
				Line: tk.Position.Line, Column: tk.Position.Column, Path: under(at, e.key),
				Message: fmt.Sprintf("is already set on line %d", line), Hint: "keep one of the two",
			})
			continue
		}
		first[e.key] = tk.Position.Line
		list = append(list, e)
	}
	return list, true
}

// items returns the values of a list.
func (r *reader) items(at string, n ast.Node) (list []ast.Node, ok bool) {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		hint := ""
		if _, scalar := n.(ast.ScalarNode); scalar && n.Type() != ast.NullType {
			hint = "put it in brackets: [ … ]"
		}
		r.problem(at, hint, "must be a list, not %s", describe(n))
		return nil, false
	}
	for i, item := range sequence.Values {
		if mapping, ok := item.(*ast.MappingNode); ok && !mapping.IsFlowStyle && len(mapping.Values) > 0 {
			r.mark(nth(at, i), mapping.Values[0].Key.GetToken())
		} else {
			r.mark(nth(at, i), item.GetToken())
		}
	}
	return sequence.Values, true
}

// text returns the text of a node, if text is what it is.
func text(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

// describe says what a node is, never what it holds.
func describe(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode:
		return "a number"
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a fraction"
	case *ast.BoolNode:
		return "true or false"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	}
	return "something else"
}
