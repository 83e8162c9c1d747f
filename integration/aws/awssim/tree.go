package awssim

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// tree is a request of the query protocol: "Filter.1.Value.2=x" hangs x under Filter, 1, Value, 2. The
// word "member", which some services put before the numbers, is left out. It remembers what was read,
// so that what nobody looked at can be reported instead of being ignored in silence.
type tree struct {
	value string
	set   bool
	used  bool
	kids  map[string]*tree
}

// maxDepth and maxParams bound what a stranger can make us build.
const (
	maxDepth  = 16
	maxParams = 20_000
)

// parseTree arranges the parameters of a request. Error: MalformedQueryString.
func parseTree(values url.Values) (*tree, error) {
	root := &tree{}
	if len(values) > maxParams {
		return nil, refuse("MalformedQueryString", "too many parameters")
	}
	for name, all := range values {
		at := root
		parts := strings.Split(name, ".")
		if len(parts) > maxDepth {
			return nil, refuse("MalformedQueryString", "the parameter %.80q is nested too deeply", name)
		}
		for _, part := range parts {
			if part == "member" {
				continue
			}
			at = at.child(part)
		}
		at.value, at.set = all[0], true
	}
	return root, nil
}

func (t *tree) child(name string) *tree {
	if t.kids == nil {
		t.kids = map[string]*tree{}
	}
	if t.kids[name] == nil {
		t.kids[name] = &tree{}
	}
	return t.kids[name]
}

// at returns the part under name; an empty one if there is none.
func (t *tree) at(name string) *tree {
	if kid := t.kids[name]; kid != nil {
		kid.used = true
		return kid
	}
	return &tree{}
}

// has reports whether the request has anything under name.
func (t *tree) has(name string) bool { return t.kids[name] != nil }

// str returns the value under name, "" if there is none.
func (t *tree) str(name string) string { return t.at(name).value }

// or returns the value under name, or def if the request has none.
func (t *tree) or(name, def string) string {
	if v := t.str(name); v != "" {
		return v
	}
	return def
}

// is reports whether the value under name is true.
func (t *tree) is(name string) bool { return t.str(name) == "true" }

// num returns the number under name, or def if there is none. Error: the value is no number.
func (t *tree) num(name string, def int) (int, error) {
	v := t.str(name)
	if v == "" {
		return def, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, refuse("InvalidParameterValue", "Value (%.80s) for parameter %s is invalid. Must be an integer", v, name)
	}
	return n, nil
}

// items returns the numbered parts under name, in order.
func (t *tree) items(name string) []*tree {
	list := t.at(name)
	numbers := make([]int, 0, len(list.kids))
	for key := range list.kids {
		if n, err := strconv.Atoi(key); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	out := make([]*tree, 0, len(numbers))
	for _, n := range numbers {
		if kid := list.kids[strconv.Itoa(n)]; kid != nil {
			kid.used = true
			out = append(out, kid)
		}
	}
	return out
}

// strs returns the values of the numbered parts under name, in order.
func (t *tree) strs(name string) []string {
	var out []string
	for _, item := range t.items(name) {
		out = append(out, item.value)
	}
	return out
}

// pairs returns key and value of each numbered part under name, for tags.
func (t *tree) pairs(name string) map[string]string {
	out := map[string]string{}
	for _, item := range t.items(name) {
		out[item.str("Key")] = item.str("Value")
	}
	return out
}

// useAll marks everything below as read.
func (t *tree) useAll() *tree {
	t.used = true
	for _, kid := range t.kids {
		kid.useAll()
	}
	return t
}

// unread returns the names of the parameters that nobody looked at, sorted.
func (t *tree) unread() []string {
	var out []string
	var walk func(prefix string, at *tree)
	walk = func(prefix string, at *tree) {
		for name, kid := range at.kids {
			path := strings.TrimPrefix(prefix+"."+name, ".")
			if kid.set && !kid.used {
				out = append(out, path)
			}
			walk(path, kid)
		}
	}
	walk("", t)
	slices.Sort(out)
	return out
}

// names returns the names directly below t, sorted; numbers by size.
func (t *tree) names() []string {
	out := make([]string, 0, len(t.kids))
	for name := range t.kids {
		out = append(out, name)
	}
	slices.SortFunc(out, func(a, b string) int {
		x, errX := strconv.Atoi(a)
		y, errY := strconv.Atoi(b)
		if errX == nil && errY == nil {
			return cmp.Compare(x, y)
		}
		return cmp.Compare(a, b)
	})
	return out
}

// clone returns a copy that shares nothing with t.
func (t *tree) clone() *tree {
	out := &tree{value: t.value, set: t.set, used: t.used}
	for name, kid := range t.kids {
		*out.child(name) = *kid.clone()
	}
	return out
}

// listed reports whether the names below t are numbers, so that t is a list.
func (t *tree) listed() bool {
	for name := range t.kids {
		if _, err := strconv.Atoi(name); err == nil {
			return true
		}
	}
	return false
}
