package plan

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/upgradegate/upgradegate/upgrade"
)

// maxDepth is how deep a plan's JSON may nest: the limit of encoding/json, held here as well for the
// parts that are passed over.
const maxDepth = 10_000

// stream walks over the JSON of a plan or a state without holding it: of a plan of hundreds of megabytes nearly everything is
// passed over, at ten times the speed of json.Decoder's tokens. What is kept is decoded, and so
// checked, by encoding/json; of what is passed over only brackets and strings are looked at.
type stream struct {
	what string // that is read, for messages: "plan" or "state"
	in   *bufio.Reader
	held []byte // the value that is being kept
	keep bool
	open []byte // brackets that are open in the value that is being passed over
}

func newStream(what string, r io.Reader) *stream {
	return &stream{what: what, in: bufio.NewReaderSize(r, 64<<10)}
}

// peek returns the next byte that is no white space, without taking it.
func (s *stream) peek() (byte, error) {
	for {
		b, err := s.in.ReadByte()
		if err != nil {
			return 0, s.broken(err)
		}
		switch b {
		case ' ', '\t', '\r', '\n':
		default:
			return b, s.in.UnreadByte()
		}
	}
}

// expect takes the next byte that is no white space, which must be want.
func (s *stream) expect(want byte) error {
	b, err := s.peek()
	if err != nil {
		return err
	}
	if b != want {
		return invalid("%q was expected in the %s, not %q", want, s.what, b)
	}
	_, err = s.in.Discard(1)
	return err
}

// end makes sure that nothing follows.
func (s *stream) end() error {
	for {
		b, err := s.in.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return s.broken(err)
		case b != ' ' && b != '\t' && b != '\r' && b != '\n':
			return invalid("something follows the %s", s.what)
		}
	}
}

// object calls each for every key of the object that comes next, with the value still to be taken; null
// is an empty object.
func (s *stream) object(each func(key string) error) error {
	return s.members('{', '}', func() error {
		var key string
		if b, err := s.peek(); err != nil {
			return err
		} else if b != '"' {
			return invalid("a key was expected in the %s, not %q", s.what, b)
		}
		if err := s.decode(&key); err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		return each(key)
	})
}

// list calls each for every element of the list that comes next, which each takes; null is an empty list.
func (s *stream) list(each func() error) error { return s.members('[', ']', each) }

func (s *stream) members(begin, end byte, each func() error) error {
	b, err := s.peek()
	if err != nil {
		return err
	}
	if b == 'n' {
		var null any
		if err := s.decode(&null); err != nil {
			return err
		}
		return nil
	}
	if err := s.expect(begin); err != nil {
		return err
	}
	if b, err = s.peek(); err != nil {
		return err
	} else if b == end {
		return s.expect(end)
	}
	for {
		if err := each(); err != nil {
			return err
		}
		if b, err = s.peek(); err != nil {
			return err
		} else if b == end {
			return s.expect(end)
		}
		if err := s.expect(','); err != nil {
			return err
		}
	}
}

// raw takes the next value, and returns it unchecked. It is good until the next one is taken.
func (s *stream) raw() ([]byte, error) {
	s.held, s.keep = s.held[:0], true
	err := s.skip()
	s.keep = false
	return s.held, err
}

// decode takes the next value.
func (s *stream) decode(to any) error {
	held, err := s.raw()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(held, to); err != nil {
		return s.broken(err)
	}
	return nil
}

// skip passes over the next value.
func (s *stream) skip() error {
	if _, err := s.peek(); err != nil {
		return err
	}
	s.open = s.open[:0]
	var v passing
	for {
		chunk, err := s.chunk()
		if err != nil {
			if v.scalar && len(s.open) == 0 && errors.Is(err, io.EOF) {
				return nil
			}
			return s.broken(err)
		}
		n, done, err := s.pass(chunk, &v)
		if err != nil {
			return err
		}
		if err := s.take(chunk[:n]); err != nil || done {
			return err
		}
	}
}

// passing is how far one value was passed over.
type passing struct {
	scalar  bool // it is a number, true, false or null
	text    bool // inside of a string
	escaped bool // behind a backslash in it
}

// pass passes over what of the value is in the chunk: n bytes. It looks at brackets and strings alone.
func (s *stream) pass(chunk []byte, v *passing) (n int, done bool, err error) {
	for i := 0; i < len(chunk); {
		if v.text {
			if i = v.string(chunk, i); !v.text && len(s.open) == 0 {
				return i, true, nil
			}
			continue
		}
		switch b := chunk[i]; b {
		case '"':
			if v.scalar {
				return 0, false, invalid("a value of the %s is broken off by a string", s.what)
			}
			v.text = true
		case '{', '[':
			if v.scalar {
				return 0, false, invalid("a value of the %s is broken off by %q", s.what, b)
			}
			if s.open = append(s.open, b); len(s.open) > maxDepth {
				return 0, false, invalid("the %s nests deeper than %d levels", s.what, maxDepth)
			}
		case '}', ']':
			if len(s.open) == 0 {
				return s.scalarEnds(i, v, b)
			}
			if last := s.open[len(s.open)-1]; b != last+2 { // in ASCII a closing bracket is two after its opening one
				return 0, false, invalid("%q closes %q in the %s", b, last, s.what)
			}
			if s.open = s.open[:len(s.open)-1]; len(s.open) == 0 {
				return i + 1, true, nil
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if len(s.open) == 0 {
				return s.scalarEnds(i, v, b)
			}
		default:
			v.scalar = v.scalar || len(s.open) == 0
		}
		i++
	}
	return len(chunk), false, nil
}

// string passes over what of a string is in the chunk from i on, and returns where it ends.
func (v *passing) string(chunk []byte, i int) int {
	if v.escaped {
		v.escaped = false
		return i + 1
	}
	for i < len(chunk) {
		if len(chunk)-i >= 8 {
			marks := quotes(binary.LittleEndian.Uint64(chunk[i:]))
			if marks == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(marks) / 8
		}
		switch chunk[i] {
		case '"':
			v.text = false
			return i + 1
		case '\\':
			if i++; i == len(chunk) {
				v.escaped = true
			}
		}
		i++
	}
	return min(i, len(chunk))
}

// quotes marks the first of eight bytes that is a quote or a backslash, by its highest bit; 0: none is. Bytes
// behind it may be marked without being one.
func quotes(x uint64) uint64 {
	quote, slash := x^ones*'"', x^ones*'\\'
	return ((quote-ones)&^quote | (slash-ones)&^slash) & high
}

// scalarEnds is the end of a value that is no string, list or object, before the byte next.
func (s *stream) scalarEnds(i int, v *passing, next byte) (n int, done bool, err error) {
	if !v.scalar {
		return 0, false, invalid("a value was expected in the %s, not %q", s.what, next)
	}
	return i, true, nil
}

// chunk returns what is buffered, at least one byte, without taking it.
func (s *stream) chunk() ([]byte, error) {
	if _, err := s.in.Peek(1); err != nil {
		return nil, err
	}
	return s.in.Peek(s.in.Buffered())
}

// take takes what chunk showed, or the beginning of it.
func (s *stream) take(part []byte) error {
	if s.keep {
		s.held = append(s.held, part...)
	}
	_, err := s.in.Discard(len(part))
	return err
}

// broken tells JSON that is wrong from a reader that failed.
func (s *stream) broken(err error) error {
	var ours *upgrade.Error
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &ours):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return invalid("the %s's JSON ends early", s.what)
	case errors.As(err, &syntax), errors.As(err, &kind):
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "this is not the JSON of a " + s.what, Cause: err}
	}
	return fmt.Errorf("read %s: %w", s.what, err)
}

func invalid(format string, args ...any) error {
	return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Errorf(format, args...).Error()}
}
