package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
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
	var s Summary
	var lines [][]byte
	header, err := scan(r, func(e element) error {
		if !e.real() {
			return nil
		}
		line, err := e.line()
		if err != nil {
			return err
		}
		lines = append(lines, line)
		switch e.kind {
		case kindResource:
			if c := e.change; c.Action == NoOp && c.PreviousAddress != "" {
				s.Moves = append(s.Moves, Move{From: c.PreviousAddress, To: c.Address})
			} else if c.Action != NoOp {
				s.Changes = append(s.Changes, e.change.redacted(e.sensitive))
			}
		case kindOutput:
			s.Outputs = append(s.Outputs, e.output.redacted(e.sensitive))
		case kindInvocation:
		}
		return nil
	})
	if err != nil {
		return Summary{}, err
	}
	s.Header = header
	s.Digest = digest(lines)
	return s, nil
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
			return e.change.PreviousAddress != "" || string(e.importing) != "null"
		case Read:
			return false
		case Create, Update, Delete, Replace, Forget:
			return true
		}
	case kindOutput:
		return !slices.Equal(e.output.Actions, []string{string(NoOp)})
	case kindInvocation:
		return true
	}
	return true
}

// line returns the digest of one element.
func (e element) line() ([]byte, error) {
	var parts []any
	switch e.kind {
	case kindResource:
		c := e.change
		parts = []any{
			e.kind, c.Address, c.PreviousAddress, c.Deposed, c.Action, c.CreateFirst,
			c.Before, c.After, c.AfterUnknown, c.ReplacePaths, e.importing,
		}
	case kindOutput:
		o := e.output
		parts = []any{e.kind, o.Name, o.Actions, o.Before, o.After, e.afterUnknown}
	case kindInvocation:
		parts = []any{e.kind, e.raw}
	}
	for i, part := range parts {
		raw, ok := part.(json.RawMessage)
		if !ok {
			continue
		}
		value, err := generic(raw)
		if err != nil {
			return nil, invalid("a value of the plan is not JSON")
		}
		parts[i] = value
	}
	sum := sha256.New()
	if err := json.NewEncoder(sum).Encode(parts); err != nil {
		return nil, fmt.Errorf("digest plan: %w", err)
	}
	return sum.Sum(nil), nil
}

func digest(lines [][]byte) string {
	slices.SortFunc(lines, bytes.Compare)
	sum := sha256.New()
	for _, line := range lines {
		sum.Write(line)
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
