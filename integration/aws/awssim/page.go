package awssim

import (
	"encoding/base64"
	"path"
	"slices"
	"strconv"
	"strings"
)

// cut returns the page of all that token and limit name, and the token of the next page, "" for none.
// Tokens are opaque to clients and carry a position; a limit of 0 is the whole.
func cut[T any](all []T, token string, limit int) (page []T, next string, ok bool) {
	from := 0
	if token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		digits, marked := strings.CutPrefix(string(raw), "page:")
		if from, err = atoi(digits, err); err != nil || !marked || from < 0 {
			return nil, "", false
		}
	}
	from = min(from, len(all))
	to := len(all)
	if limit > 0 {
		to = min(from+limit, len(all))
	}
	if to < len(all) {
		next = base64.RawURLEncoding.EncodeToString([]byte("page:" + strconv.Itoa(to)))
	}
	return all[from:to], next, true
}

func atoi(digits string, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(digits)
}

// smaller returns the limit of a page, given what was asked for and what the service allows; the
// simulator may be told to make its pages smaller than the real ones.
func (w *world) smaller(asked, most int) int {
	limit := most
	if asked > 0 && (limit == 0 || asked < limit) {
		limit = asked
	}
	if w.cfg.PageSize > 0 && (limit == 0 || w.cfg.PageSize < limit) {
		limit = w.cfg.PageSize
	}
	return limit
}

// filter is one of EC2's filters: the thing must have one of the values; * and ? stand for others.
type filter struct {
	name   string
	values []string
}

func (f filter) matches(have []string) bool {
	for _, want := range f.values {
		if slices.ContainsFunc(have, func(v string) bool { return wild(want, v) }) {
			return true
		}
	}
	return false
}

// wild reports whether v is what pattern says, where * stands for anything and ? for one character.
func wild(pattern, v string) bool {
	if !strings.ContainsAny(pattern, "*?") {
		return pattern == v
	}
	// path.Match does not let * cross a slash, and knows brackets.
	esc := strings.NewReplacer("/", "\x00", "[", `\[`, "]", `\]`)
	ok, err := path.Match(esc.Replace(pattern), strings.ReplaceAll(v, "/", "\x00"))
	return err == nil && ok
}

func filtersOf(t *tree, values string) []filter {
	out := []filter{}
	for _, name := range []string{"Filter", "Filters"} {
		for _, f := range t.items(name) {
			out = append(out, filter{name: f.str("Name"), values: f.strs(values)})
		}
	}
	return out
}

// keep returns those of all that pass every filter. known names the filters there are, besides those
// on tags; get returns the values that one of all has under such a name.
func keep[T any](all []T, filters []filter, known string, get func(T, string) []string) ([]T, error) {
	names := strings.Fields(known)
	for _, f := range filters {
		if !strings.HasPrefix(f.name, "tag") && !slices.Contains(names, f.name) {
			return nil, refuse("InvalidParameterValue", "The filter '%s' is invalid", f.name)
		}
	}
	out := []T{}
	for _, thing := range all {
		if !slices.ContainsFunc(filters, func(f filter) bool { return !f.matches(get(thing, f.name)) }) {
			out = append(out, thing)
		}
	}
	return out, nil
}

// tagValues answers the filters tag:KEY, tag-key and tag-value.
func tagValues(tags map[string]string, name string) []string {
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		if v, has := tags[key]; has {
			return []string{v}
		}
		return nil
	}
	var out []string
	for key, v := range tags {
		switch name {
		case "tag-key":
			out = append(out, key)
		case "tag-value":
			out = append(out, v)
		}
	}
	return out
}

// sortedKeys returns the keys of m, sorted, so that answers do not depend on chance.
func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for key := range m {
		out = append(out, key)
	}
	slices.Sort(out)
	return out
}
