package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Setting is one value of a file, as people are shown it: no secret, only where it comes from.
type Setting struct {
	Path   string // such as "stacks[0].staging.workspace"
	Value  string
	Line   int  // in the file, from 1; 0: it is not written, and the default is in force
	Secret bool // Value says where it comes from
}

// Explain lists the values of a file that Parse found to be right, in the order of the file, and behind those
// of each object the defaults that stand for what is left out. Of addresses it shows no more than cannot be a
// secret. Of a file that is not right it lists what it can.
func Explain(file string, data []byte) []Setting {
	e := &explainer{reader: newReader(file, Source{})}
	e.value("", e.parse(data), table().schema)
	return e.list
}

type explainer struct {
	*reader
	list []Setting
}

// value lists a value and what is below it.
func (e *explainer) value(at string, n ast.Node, s schema) {
	if len(s.AnyOf) > 0 {
		s = oneFor(n, s.AnyOf)
	}
	if len(s.OneOf) > 0 && s.Ref == "" {
		s = formFor(n, s.OneOf)
	}
	switch given := n.(type) {
	case nil, *ast.NullNode:
	case ast.MapNode:
		if s.Ref == "#/$defs/secret" || ofEnviron(at) {
			e.add(Setting{Path: at, Value: whence(given), Line: lineOf(n), Secret: true})
			return
		}
		e.object(at, given, s)
	case *ast.SequenceNode:
		e.items(at, given, s)
	default:
		if ofEnviron(at) { // such as an address that somebody put a password into
			e.add(Setting{Path: at, Value: "set, in this file", Line: lineOf(n), Secret: true})
			return
		}
		value := n.String()
		if tk := n.GetToken(); tk != nil {
			value = tk.Value
		}
		if plain, ok := text(n); ok {
			value = plain
		}
		e.add(Setting{Path: at, Value: shown(at, value), Line: lineOf(n)})
	}
}

func (e *explainer) add(one Setting) { e.list = append(e.list, one) }

// object lists the keys of a mapping, then what it leaves to its defaults.
func (e *explainer) object(at string, n ast.MapNode, s schema) {
	written := map[string]bool{}
	for pairs := n.MapRange(); pairs.Next(); {
		key := pairs.Key().GetToken().Value
		below := schema{}
		if other, ok := s.Additional.(schema); ok {
			below = other
		}
		if i := slices.IndexFunc(s.Properties, func(p property) bool { return p.key == key }); i >= 0 {
			below = s.Properties[i].schema
		}
		written[key] = true
		e.value(under(at, key), pairs.Value(), below)
	}
	e.defaults(at, s, written)
}

// defaults lists what stands for keys that are not written.
func (e *explainer) defaults(at string, s schema, written map[string]bool) {
	for _, p := range s.Properties {
		switch {
		case written[p.key]:
		case p.schema.Default != nil:
			e.add(Setting{Path: under(at, p.key), Value: strings.Join(strings.Fields(strings.Trim(fmt.Sprint(p.schema.Default), "[]")), ", ")})
		case len(p.schema.Properties) > 0 && len(p.schema.Required) == 0:
			e.defaults(under(at, p.key), p.schema, nil) // it may be left out as a whole, and is there all the same
		}
	}
}

// ofEnviron reports whether a path is a variable of somebody's environment, which may hold anything.
func ofEnviron(at string) bool {
	above := parent(at)
	return strings.HasSuffix(above, ".env")
}

// items lists the values of a list, on one line if they are words.
func (e *explainer) items(at string, n *ast.SequenceNode, s schema) {
	var words []string
	for i, item := range n.Values {
		if scalar, ok := item.(ast.ScalarNode); ok {
			word, isText := text(item)
			if !isText {
				word = scalar.GetToken().Value
			}
			words = append(words, shown(at, word))
			continue
		}
		below := schema{}
		if s.Items != nil {
			below = *s.Items
		}
		e.value(nth(at, i), item, below)
	}
	if len(words) > 0 || len(n.Values) == 0 {
		e.add(Setting{Path: at, Value: strings.Join(words, ", "), Line: lineOf(n)})
	}
}

// oneFor returns the schema that a value is of: a list has items.
func oneFor(n ast.Node, either []schema) schema {
	_, list := n.(*ast.SequenceNode)
	for _, s := range either {
		if (s.Items != nil) == list {
			return s
		}
	}
	return schema{}
}

// formFor returns the form that the tag of an object names, or the first without one.
func formFor(n ast.Node, forms []schema) schema {
	for _, form := range forms {
		for _, p := range form.Properties {
			if p.schema.Const != "" && tagOf(n, p.key) == p.schema.Const {
				return form
			}
		}
	}
	return schema{}
}

// whence says where a secret comes from.
func whence(n ast.MapNode) string {
	for pairs := n.MapRange(); pairs.Next(); {
		value, _ := text(pairs.Value())
		switch pairs.Key().GetToken().Value {
		case "env":
			if usualName.MatchString(value) {
				return "set, from the environment variable " + value
			}
			return "set, from an environment variable"
		case "file":
			return "set, from the file " + value
		}
	}
	return "not set"
}

// shown is a value without what could be a secret: that of an address may be in its path or behind it.
func shown(at, value string) string {
	if !strings.HasPrefix(value, "http://") && !strings.HasPrefix(value, "https://") {
		return value
	}
	u, err := url.Parse(value)
	if err != nil {
		return "an address"
	}
	plain := u.Scheme + "://" + u.Host
	switch {
	case strings.HasPrefix(at, "hooks[") && strings.Trim(u.Path, "/")+u.RawQuery != "":
		return plain + "/…"
	case u.RawQuery != "" || u.User != nil || u.Fragment != "":
		return plain + u.EscapedPath() + "?…"
	}
	return value
}

func lineOf(n ast.Node) int {
	if mapping, ok := n.(*ast.MappingNode); ok && len(mapping.Values) > 0 {
		n = mapping.Values[0].Key
	}
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		return tk.Position.Line
	}
	return 0
}
