package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// shape is what a value may look like: how editors are told, and how it is read. read reports every
// problem and leaves *into as it is where there is one.
type shape[T any] struct {
	schema schema
	read   func(r *reader, at string, n ast.Node, into *T)
}

// field is one key of the objects of which S is read.
type field[S any] struct {
	key    string
	about  string // one line for the manual, the schema, and who left the key out
	must   bool
	schema schema
	read   func(r *reader, at string, n ast.Node, into *S)
	absent func(into *S) // gives the default; nil: none
}

// optional is a key that may be left out.
func optional[S, T any](key, about string, is shape[T], in func(*S) *T) field[S] {
	return field[S]{
		key: key, about: about, schema: is.schema,
		read: func(r *reader, at string, n ast.Node, into *S) { is.read(r, at, n, in(into)) },
	}
}

// required is a key that must be there.
func required[S, T any](key, about string, is shape[T], in func(*S) *T) field[S] {
	f := optional(key, about, is, in)
	f.must = true
	return f
}

// defaulted is a key that stands for def when it is left out.
func defaulted[S, T any](key, about string, is shape[T], def T, in func(*S) *T) field[S] {
	f := optional(key, about, is, in)
	f.schema.Default = def
	f.absent = func(into *S) { *in(into) = def }
	return f
}

// given is a key whose presence matters: in points to nil when it is left out.
func given[S, T any](key, about string, is shape[T], in func(*S) **T) field[S] {
	return field[S]{
		key: key, about: about, schema: is.schema,
		read: func(r *reader, at string, n ast.Node, into *S) {
			value := new(T)
			is.read(r, at, n, value)
			*in(into) = value
		},
	}
}

// object is keys with values.
func object[S any](fields ...field[S]) shape[S] {
	s := schema{Type: "object", Additional: false}
	for _, f := range fields {
		told := f.schema
		told.Description = f.about
		s.Properties = append(s.Properties, property{f.key, told})
		if f.must {
			s.Required = append(s.Required, f.key)
		}
	}
	if len(s.Required) == 0 {
		s.Type = objectOrNull() // a key with nothing behind it
	}
	return shape[S]{schema: s, read: func(r *reader, at string, n ast.Node, into *S) {
		entries, ok := r.entries(at, n)
		if !ok {
			return
		}
		seen := map[string]bool{}
		for _, e := range entries {
			i := slices.IndexFunc(fields, func(f field[S]) bool { return f.key == e.key })
			below := under(at, e.key)
			r.mark(below, e.token)
			if i < 0 {
				r.problem(below, unknownKey(at, e.key, s), "unknown key")
				continue
			}
			seen[e.key] = true
			r.markValue(below, e.value)
			fields[i].read(r, below, e.value, into)
		}
		for _, f := range fields {
			switch {
			case seen[f.key]:
			case f.must:
				r.problem(under(at, f.key), asHint(f.about), "must be set")
			case f.absent != nil:
				f.absent(into)
			}
		}
	}}
}

// asHint returns a sentence of the manual as a hint: in lower case, without full stop.
func asHint(about string) string {
	if about == "" {
		return ""
	}
	return strings.ToLower(about[:1]) + strings.TrimSuffix(about[1:], ".")
}

func objectOrNull() []string { return []string{"object", "null"} }

// unknownKey returns what may have been meant by a key that an object does not have.
func unknownKey(at, key string, s schema) string {
	if slices.Contains(notBuilt(), under(at, key)) {
		return "not built yet"
	}
	for _, one := range s.Properties {
		if slices.Contains(one.schema.keys(), key) {
			return "it belongs under " + one.key
		}
	}
	return didYouMean(key, s.keys())
}

// notBuilt lists keys that are designed and will come.
func notBuilt() []string {
	return []string{"freezes", "retention.logs", "gitlab.webhook.status_check_secret"}
}

// variant is one of several forms of an object, chosen by the word at one of its keys.
type variant[S any] struct {
	word   string
	fields []field[S]
}

// variants is an object whose further keys depend on the word at the key tag, which must be among the
// common ones.
func variants[S any](tag string, common []field[S], forms ...variant[S]) shape[S] {
	var s schema
	byWord := map[string]shape[S]{}
	either := slices.Clone(common) // for an object that does not say which: the keys of all, none missed
	for _, form := range forms {
		one := object(slices.Concat(common, form.fields)...)
		byWord[form.word] = one
		told := one.schema
		told.Properties = slices.Clone(told.Properties)
		for i, p := range told.Properties {
			if p.key == tag {
				told.Properties[i].schema = schema{Const: form.word, Description: p.schema.Description}
			}
		}
		s.OneOf = append(s.OneOf, told)
		for _, f := range form.fields {
			f.must, f.absent = false, nil
			either = append(either, f)
		}
	}
	return shape[S]{schema: s, read: func(r *reader, at string, n ast.Node, into *S) {
		word := tagOf(n, tag)
		one, known := byWord[word]
		if !known {
			object(either...).read(r, at, n, into)
			return
		}
		before := len(r.problems)
		one.read(r, at, n, into)
		for i := before; i < len(r.problems); i++ {
			p := &r.problems[i]
			if p.Message == "unknown key" && parent(p.Path) == at {
				p.Message = fmt.Sprintf("unknown key of %s %s", tag, word)
				p.Hint = otherForm(p.Path[len(at)+1:], tag, p.Hint, forms)
			}
		}
	}}
}

// otherForm returns which form has the key, else the hint as it was.
func otherForm[S any](key, tag, hint string, forms []variant[S]) string {
	for _, form := range forms {
		if slices.ContainsFunc(form.fields, func(f field[S]) bool { return f.key == key }) {
			return fmt.Sprintf("it belongs to %s %s", tag, form.word)
		}
	}
	return hint
}

// tagOf returns the word at a key of a mapping, or "".
func tagOf(n ast.Node, tag string) string {
	mapping, ok := n.(ast.MapNode)
	if !ok {
		return ""
	}
	for pairs := mapping.MapRange(); pairs.Next(); {
		if pairs.Key().GetToken().Value == tag {
			word, _ := text(pairs.Value())
			return word
		}
	}
	return ""
}

// list is a list of at least so many.
func list[T any](item shape[T], least int) shape[[]T] {
	s := schema{Type: "array", Items: &item.schema, MinItems: least}
	return shape[[]T]{schema: s, read: func(r *reader, at string, n ast.Node, into *[]T) {
		nodes, ok := r.items(at, n)
		if !ok {
			return
		}
		if len(nodes) < least {
			r.problem(at, "", "must not be empty")
		}
		*into = make([]T, len(nodes))
		for i, node := range nodes {
			item.read(r, nth(at, i), node, &(*into)[i])
		}
	}}
}

// set is a list of words, none of them twice.
func set[T ~string](item shape[T], least int) shape[[]T] {
	plain := list(item, least)
	plain.schema.Unique = true
	return shape[[]T]{schema: plain.schema, read: func(r *reader, at string, n ast.Node, into *[]T) {
		plain.read(r, at, n, into)
		for i, one := range *into {
			if first := slices.Index(*into, one); first < i && one != "" {
				r.problem(nth(at, i), "", "%s is listed twice", quoted(string(one)))
			}
		}
	}}
}

// pair is one entry of a dictionary.
type pair[T any] struct {
	key   string
	value T
}

// dictionary is keys of the operator's choosing, which must look like names do.
func dictionary[T any](names shape[string], value shape[T], least int) shape[[]pair[T]] {
	s := schema{Type: "object", Names: &names.schema, Additional: value.schema}
	if least == 0 {
		s.Type = objectOrNull()
	}
	return shape[[]pair[T]]{schema: s, read: func(r *reader, at string, n ast.Node, into *[]pair[T]) {
		entries, ok := r.entries(at, n)
		if !ok {
			return
		}
		if len(entries) < least {
			r.problem(at, "", "must not be empty")
		}
		*into = make([]pair[T], len(entries))
		for i, e := range entries {
			below := under(at, e.key)
			r.mark(below, e.token)
			names.read(r, below, ast.String(e.token), &(*into)[i].key)
			r.markValue(below, e.value)
			value.read(r, below, e.value, &(*into)[i].value)
		}
	}}
}

// joined lists words for a message.
func joined[T ~string](words []T) string {
	plain := make([]string, len(words))
	for i, word := range words {
		plain[i] = string(word)
	}
	return strings.Join(plain, ", ")
}
