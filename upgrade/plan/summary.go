package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// Summarize reads a plan as Stream does and keeps what it would really change. The digest is taken over
// the real values, before sensitive ones are hidden.
//
// The change digest is a SHA-256 over one line per resource that is not a plain no-op or read, per
// changed output and per action invocation, sorted; a line is the SHA-256 of the canonical JSON of
// (kind, address, previous address, deposed key, actions, before, after, unknown after, replace paths,
// import). Times, versions, the rest of the state and the order of the file do not count: the same
// change planned twice has the same digest.
func Summarize(r io.Reader) (Summary, error) {
	return SummarizeKeeping(r, func(c Change) Change { return c })
}

// SummarizeKeeping is Summarize with what keep returns in the place of each change, so that of a large plan
// only the values are held that somebody will look at. The digest is that of the whole plan. Keep may be
// called by several goroutines at once, and what it gets is good until it returns.
func SummarizeKeeping(r io.Reader, keep func(Change) Change) (Summary, error) {
	z := newSummarizer(keep)
	header, err := scan(r, z.resource, z.other)
	if err = z.end(err); err != nil {
		return Summary{}, err
	}
	z.s.Header = header
	z.s.Digest = digest(z.lines)
	return z.s, nil
}

// Empty reports whether applying the plan would change nothing, not even the state: no resource, no
// output, no move, no import, no action.
func (s Summary) Empty() bool {
	return len(s.Changes) == 0 && len(s.Outputs) == 0 && (s.Digest == "" || s.Digest == digest(nil))
}

// real reports whether applying e changes anything, be it only the state: a move or an import.
func (e element) real() bool {
	switch e.kind {
	case kindResource:
		switch e.change.Action {
		case NoOp:
			return e.change.PreviousAddress != "" || string(e.importing.raw) != "null"
		case Read:
			return false
		case Create, Update, Delete, Replace, Forget:
			return true
		}
	case kindOutput:
		return !slices.Equal(e.output.Actions, []string{string(NoOp)})
	case kindDrift:
		return false
	case kindInvocation:
		return true
	}
	return true
}

// line writes the canonical JSON of one element, for its digest: a list, with a line break behind it.
func (e element) line(b []byte) ([]byte, error) {
	b = appendText(append(b, '['), string(e.kind))
	switch e.kind {
	case kindResource:
		c := e.change
		for _, text := range []string{c.Address, c.PreviousAddress, c.Deposed, string(c.Action)} {
			b = appendText(append(b, ','), text)
		}
		b = strconv.AppendBool(append(b, ','), c.CreateFirst)
		return appendValues(b, e.before, e.after, e.later, e.paths, e.importing)
	case kindOutput:
		b = appendText(append(b, ','), e.output.Name)
		b = append(b, ",["...)
		for i, action := range e.output.Actions {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendText(b, action)
		}
		return appendValues(append(b, ']'), e.before, e.after, e.unknown)
	case kindInvocation:
		return appendValues(b, value{raw: e.raw})
	case kindDrift:
	}
	return appendValues(b)
}

func appendValues(b []byte, values ...value) ([]byte, error) {
	for _, v := range values {
		b = append(b, ',')
		if v.plain {
			b = append(b, v.raw...)
			continue
		}
		decoded, err := generic(v.raw)
		if err != nil {
			return nil, invalid("a value of the plan is not JSON")
		}
		encoded, err := json.Marshal(decoded)
		if err != nil {
			return nil, fmt.Errorf("digest plan: %w", err)
		}
		b = append(b, encoded...)
	}
	return append(b, ']', '\n'), nil
}

func digest(lines [][sha256.Size]byte) string {
	slices.SortFunc(lines, func(a, b [sha256.Size]byte) int { return bytes.Compare(a[:], b[:]) })
	sum := sha256.New()
	for _, line := range lines {
		sum.Write(line[:])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// generic decodes a value so that encoding it again is canonical: keys sorted, no spaces, numbers as
// they were written.
func generic(raw json.RawMessage) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil, err
	}
	return value, nil
}
