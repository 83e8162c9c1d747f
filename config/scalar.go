package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// maxText bounds a text in bytes.
const maxText = 1024

// rule says what is wrong with a text and what to do about it; "" if nothing is.
type rule func(s string) (wrong, hint string)

// word is text of one line that obeys the rules.
func word[T ~string](rules ...rule) shape[T] {
	s := schema{Type: "string", MinLength: 1, MaxLength: maxText}
	return shape[T]{schema: s, read: func(r *reader, at string, n ast.Node, into *T) {
		value, ok := r.word(at, n)
		if !ok {
			return
		}
		for _, check := range rules {
			if wrong, hint := check(value); wrong != "" {
				r.problem(at, hint, "%s", wrong)
				return
			}
		}
		*into = T(value)
	}}
}

// pattern is text that matches an expression from its beginning to its end. The expression is one that
// Go and JavaScript read alike.
func pattern[T ~string](expr, wrong, hint string, rules ...rule) shape[T] {
	re := regexp.MustCompile(expr)
	first := func(s string) (string, string) {
		if !re.MatchString(s) {
			return quoted(s) + " " + wrong, hint
		}
		return "", ""
	}
	one := word[T](slices.Concat([]rule{first}, rules)...)
	one.schema.Pattern = expr
	return one
}

// word reads text of one line.
func (r *reader) word(at string, n ast.Node) (string, bool) {
	value, ok := text(n)
	switch {
	case n.Type() == ast.NullType:
		r.problem(at, "", "must not be empty")
		return "", false
	case !ok:
		hint := ""
		switch n.Type() { //nolint:exhaustive // the others cannot be quoted
		case ast.IntegerType, ast.FloatType, ast.BoolType, ast.InfinityType, ast.NanType:
			hint = "write it in quotes if it is meant as text"
		}
		r.problem(at, hint, "must be text, not %s", describe(n))
		return "", false
	case strings.TrimSpace(value) == "":
		r.problem(at, "", "must not be empty")
		return "", false
	case len(value) > maxText:
		r.problem(at, "", "is longer than %d bytes", maxText)
		return "", false
	case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }):
		r.problem(at, "", "must be one line")
		return "", false
	}
	return value, true
}

// choice is one of the words that are known. later are words that will be.
func choice[T ~string](noun string, known, later []T) shape[T] {
	words := make([]string, len(known))
	for i, one := range known {
		words[i] = string(one)
	}
	one := word[T](func(s string) (string, string) {
		switch {
		case slices.Contains(known, T(s)):
			return "", ""
		case slices.Contains(later, T(s)):
			return fmt.Sprintf("%s %s is not built yet", noun, s), "there is " + joined(words)
		}
		return fmt.Sprintf("unknown %s %s", noun, quoted(s)), oneOf(s, words)
	})
	one.schema = schema{Type: "string", Enum: words}
	return one
}

// number is a whole number within bounds.
func number[T ~int | ~int64](least, most int64) shape[T] {
	s := schema{Type: "integer", Minimum: &least, Maximum: &most}
	return shape[T]{schema: s, read: func(r *reader, at string, n ast.Node, into *T) {
		integer, ok := n.(*ast.IntegerNode)
		if !ok {
			hint := ""
			if digits, quoted := text(n); quoted && !strings.ContainsFunc(digits, func(c rune) bool { return c < '0' || c > '9' }) {
				hint = fmt.Sprintf("write a number from %d to %d, without quotes", least, most)
			}
			r.problem(at, hint, "must be a whole number, not %s", describe(n))
			return
		}
		value := int64(math.MaxInt64)
		switch given := integer.Value.(type) {
		case int64:
			value = given
		case uint64:
			if given <= math.MaxInt64 {
				value = int64(given)
			}
		}
		switch {
		case value < least:
			r.problem(at, "", "must be at least %d", least)
		case value > most:
			r.problem(at, "", "must be at most %d", most)
		default:
			*into = T(value)
		}
	}}
}

// flag is true or false.
func flag() shape[bool] {
	return shape[bool]{schema: schema{Type: "boolean"}, read: func(r *reader, at string, n ast.Node, into *bool) {
		node, ok := n.(*ast.BoolNode)
		if !ok {
			r.problem(at, "", "must be true or false, not %s", describe(n))
			return
		}
		*into = node.Value
	}}
}

const durationForm = `^(?:[0-9]+d)?(?:[0-9]+h)?(?:[0-9]+m)?(?:[0-9]+s)?(?:[0-9]+ms)?$`

var durationRegexp = regexp.MustCompile(durationForm)

func durationSchema() schema {
	return schema{
		Type: "string", Pattern: durationForm, MinLength: 2,
		Description: "A span of time: days, hours, minutes, seconds, milliseconds, such as 2d, 1h30m or 500ms.",
	}
}

// duration is a span of time within bounds.
func duration(least, most time.Duration) shape[time.Duration] {
	return shape[time.Duration]{schema: schema{Ref: "#/$defs/duration"}, read: func(r *reader, at string, n ast.Node, into *time.Duration) {
		const hint = "write a number and its unit, such as 30s, 5m, 24h or 2d"
		written, ok := text(n)
		if !ok {
			r.problem(at, hint, "must be a span of time, not %s", describe(n))
			return
		}
		value, ok := parseDuration(written)
		switch {
		case !ok:
			r.problem(at, hint, "%s is not a span of time", quoted(written))
		case value < least:
			r.problem(at, "", "must be at least %s", span(least))
		case value > most:
			r.problem(at, "", "must be at most %s", span(most))
		default:
			*into = value
		}
	}}
}

// parseDuration reads what durationForm describes.
func parseDuration(s string) (time.Duration, bool) {
	if s == "" || !durationRegexp.MatchString(s) {
		return 0, false
	}
	var total time.Duration
	if days, rest, found := strings.Cut(s, "d"); found {
		n, err := strconv.ParseInt(days, 10, 16) // 89 years
		if err != nil {
			return 0, false
		}
		total, s = time.Duration(n)*24*time.Hour, rest
	}
	if s == "" {
		return total, true
	}
	rest, err := time.ParseDuration(s)
	if err != nil || rest > math.MaxInt64-total {
		return 0, false
	}
	return total + rest, true
}

// span writes a span of time as the file does: without units of which there are none.
func span(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if n := d / unit.size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, unit.name)
			d %= unit.size
		}
	}
	return b.String()
}

// date is a day, read as its beginning in UTC.
func date() shape[time.Time] {
	s := schema{Type: "string", Format: "date"}
	return shape[time.Time]{schema: s, read: func(r *reader, at string, n ast.Node, into *time.Time) {
		const hint = "write year-month-day, such as 2026-12-01"
		written, ok := text(n)
		if !ok {
			r.problem(at, hint, "must be a date, not %s", describe(n))
			return
		}
		day, err := time.Parse(time.DateOnly, written)
		if err != nil {
			r.problem(at, hint, "%s is not a date", quoted(written))
			return
		}
		*into = day
	}}
}

// lasting is a key with a span of time that stands for def when it is left out.
func lasting[S any](key, about string, least, most, def time.Duration, in func(*S) *time.Duration) field[S] {
	f := defaulted(key, about, duration(least, most), def, in)
	f.schema.Default = span(def)
	return f
}

// oneOrMore is one value or a list of them.
func oneOrMore[T any](item shape[T]) shape[[]T] {
	many := list(item, 1)
	return shape[[]T]{
		schema: schema{AnyOf: []schema{item.schema, many.schema}},
		read: func(r *reader, at string, n ast.Node, into *[]T) {
			if _, ok := n.(*ast.SequenceNode); ok {
				many.read(r, at, n, into)
				return
			}
			*into = make([]T, 1)
			item.read(r, at, n, &(*into)[0])
		},
	}
}
