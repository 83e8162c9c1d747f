package plan

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"unicode/utf8"
)

// walk goes over one JSON value in a single pass: it checks the grammar, as encoding/json would, and finds
// out whether the value is written as encoding/json would write it: no white space, keys in order and
// once each, strings escaped no more and no less. Terraform writes nearly all values so, and those need
// not be decoded and encoded again for the change digest, which is most of the work with a large plan.
type walk struct {
	b     []byte
	i     int
	plain bool // all that was walked over is as encoding/json would write it
}

// part is a member of an object.
type part struct {
	name  []byte // unquoted; decoded when it was not plain
	value []byte
	plain bool // of the value
}

// partsOf returns the members of a JSON object, which share its memory; ok is false when raw is no object, or
// no JSON. Into is reused.
func partsOf(raw []byte, into []part) (parts []part, ok bool) {
	parts, _, ok = nestedParts(raw, into, "", nil)
	return parts, ok
}

// nestedParts is partsOf that takes the object of the name nested to pieces too, in the same pass. Its parts
// are nil when there is none.
func nestedParts(raw []byte, into []part, nested string, inner []part) (parts, nestedParts []part, ok bool) {
	w := walk{b: raw}
	w.space()
	if !w.take('{') {
		return nil, nil, false
	}
	parts, ok = w.parts(into[:0], func(name []byte) bool {
		if nested == "" || string(name) != nested || w.i >= len(raw) || raw[w.i] != '{' {
			return w.value(1)
		}
		w.i++
		var ok bool
		nestedParts, ok = w.parts(inner[:0], func([]byte) bool { return w.value(2) })
		return ok
	})
	w.space()
	return parts, nestedParts, ok && w.i == len(raw)
}

// parts returns the members of an object whose bracket is taken. Value walks over one.
func (w *walk) parts(parts []part, value func(name []byte) bool) ([]part, bool) {
	ok := w.members(func(name []byte, namePlain bool) bool {
		if namePlain {
			name = name[1 : len(name)-1]
		} else {
			var text string
			if json.Unmarshal(name, &text) != nil {
				return false
			}
			name = []byte(text)
		}
		w.space()
		begin := w.i
		w.plain = true
		if !value(name) {
			return false
		}
		parts = append(parts, part{name: name, value: w.b[begin:w.i], plain: w.plain})
		return true
	})
	return parts, ok
}

// isPlain reports whether raw is one JSON value, written as encoding/json would write it.
func isPlain(raw []byte) bool {
	w := walk{b: raw, plain: true}
	return w.value(0) && w.plain && w.i == len(raw)
}

func (w *walk) space() {
	for w.i < len(w.b) {
		switch w.b[w.i] {
		case ' ', '\t', '\r', '\n':
			w.plain = false
			w.i++
		default:
			return
		}
	}
}

func (w *walk) take(c byte) bool {
	if w.i < len(w.b) && w.b[w.i] == c {
		w.i++
		return true
	}
	return false
}

// value walks over the value that begins here, inside of depth others.
func (w *walk) value(depth int) bool {
	if w.i >= len(w.b) || depth > maxDepth {
		return false
	}
	switch c := w.b[w.i]; {
	case c == '"':
		return w.text()
	case c == '{':
		w.i++
		return w.object(depth + 1)
	case c == '[':
		w.i++
		return w.list(depth + 1)
	case c == '-' || c >= '0' && c <= '9':
		return w.number()
	case c == 't':
		return w.word("true")
	case c == 'f':
		return w.word("false")
	case c == 'n':
		return w.word("null")
	}
	return false
}

func (w *walk) word(word string) bool {
	if len(w.b)-w.i < len(word) || string(w.b[w.i:w.i+len(word)]) != word {
		return false
	}
	w.i += len(word)
	return true
}

// object walks over the members of an object whose bracket is taken.
func (w *walk) object(depth int) bool {
	var last []byte
	return w.members(func(name []byte, namePlain bool) bool {
		// Without escapes, names are ordered as their bytes are.
		if last != nil && bytes.Compare(last, name[:len(name)-1]) >= 0 || !namePlain {
			w.plain = false
		}
		last = name[:len(name)-1]
		w.space()
		return w.value(depth)
	})
}

// members calls each for each name of an object whose bracket is taken, with the value to come. A name comes
// in its quotes; plain says that it has no escapes.
func (w *walk) members(each func(name []byte, plain bool) bool) bool {
	w.space()
	if w.take('}') {
		return true
	}
	for {
		begin, before := w.i, w.plain
		w.plain = true
		if w.i >= len(w.b) || w.b[w.i] != '"' || !w.text() {
			return false
		}
		name := w.b[begin:w.i]
		plain := w.plain && bytes.IndexByte(name, '\\') < 0
		w.plain = before && w.plain
		w.space()
		if !w.take(':') || !each(name, plain) {
			return false
		}
		w.space()
		switch {
		case w.take('}'):
			return true
		case !w.take(','):
			return false
		}
		w.space()
	}
}

// list walks over the elements of a list whose bracket is taken.
func (w *walk) list(depth int) bool {
	w.space()
	if w.take(']') {
		return true
	}
	for {
		if !w.value(depth) {
			return false
		}
		w.space()
		switch {
		case w.take(']'):
			return true
		case !w.take(','):
			return false
		}
		w.space()
	}
}

// number walks over a number, which the digest has as it is written.
func (w *walk) number() bool {
	w.take('-')
	if !w.take('0') && w.digits() == 0 {
		return false
	}
	if w.take('.') && w.digits() == 0 {
		return false
	}
	if w.take('e') || w.take('E') {
		if !w.take('+') {
			w.take('-')
		}
		return w.digits() > 0
	}
	return true
}

func (w *walk) digits() int {
	begin := w.i
	for w.i < len(w.b) && w.b[w.i] >= '0' && w.b[w.i] <= '9' {
		w.i++
	}
	return w.i - begin
}

// text walks over a string.
func (w *walk) text() bool {
	b := w.b
	for i := w.i + 1; i < len(b); {
		if len(b)-i >= 8 {
			marks := special(binary.LittleEndian.Uint64(b[i:]))
			if marks == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(marks) / 8
		}
		switch c := b[i]; {
		case c == '"':
			w.i = i + 1
			return true
		case c == '\\':
			n := w.escape(b[i+1:])
			if n == 0 {
				return false
			}
			i += 1 + n
		case c < ' ':
			return false
		case c == '<' || c == '>' || c == '&': // which encoding/json escapes
			w.plain = false
			i++
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 || r == '\u2028' || r == '\u2029' {
				w.plain = false
			}
			i += n
		}
	}
	return false
}

// The lowest and the highest bit of each of eight bytes.
const (
	ones = 0x0101010101010101
	high = 0x8080808080808080
)

// special marks the first of eight bytes of a string that does not stand for itself, whoever writes it, by
// its highest bit: whatever is not ASCII, control characters, and " \ & < >. 0: there is none. Bytes
// behind it may be marked without being one. It looks at all eight at once; how is explained in
// https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord.
func special(x uint64) uint64 {
	control := (x - ones*' ') &^ x
	quote := (x | ones*0x04) ^ ones*'&' // of " and &, which differ in that bit
	angle := (x | ones*0x02) ^ ones*'>' // of < and >
	slash := x ^ ones*'\\'
	return (x | control | (quote-ones)&^quote | (angle-ones)&^angle | (slash-ones)&^slash) & high
}

// escape looks at what follows a backslash and returns its length; 0 when that is no escape.
func (w *walk) escape(rest []byte) int {
	if len(rest) == 0 {
		return 0
	}
	switch rest[0] {
	case '"', '\\', 'n', 'r', 't', 'b', 'f':
		return 1
	case '/':
		w.plain = false
		return 1
	case 'u':
		if len(rest) < 5 {
			return 0
		}
		for _, c := range rest[1:5] {
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return 0
			}
		}
		switch string(rest[1:5]) {
		case "003c", "003e", "0026":
		default:
			w.plain = false
		}
		return 5
	}
	return 0
}
