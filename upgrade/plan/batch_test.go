package plan_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// many writes a plan with so many changes that it is not read in one piece; bad are indexes of changes with
// an action that is not known.
func many(n int, tail string, bad ...int) string {
	var b strings.Builder
	b.WriteString(`{"format_version":"1.2","planned_values":{},"resource_changes":[`)
	for i := range n {
		action := []string{"update", "delete", "no-op"}[i%3]
		for _, one := range bad {
			if i == one {
				action = "explode"
			}
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"address":"aws_x.r%05d","previous_address":"aws_x.old%d","mode":"managed","type":"aws_x","change":{"actions":[%q],"before":{"id":"%d","pad":"%0500d"},"after":null}}`, i, i, action, i, i)
	}
	return b.String() + tail
}

// TestManyChanges: what is read in pieces side by side is as in the file: order, values, digest, and which of
// several mistakes is told.
func TestManyChanges(t *testing.T) {
	const n = 9_000
	text := many(n, `],"output_changes":{}}`)
	s, err := plan.SummarizeKeeping(strings.NewReader(text), func(c plan.Change) plan.Change { c.After = nil; return c })
	if err != nil || len(s.Changes) != n/3*2 || len(s.Moves) != n/3 {
		t.Fatalf("got %d changes, %d moves, %v", len(s.Changes), len(s.Moves), err)
	}
	at := 0
	whole, _, err := plan.Stream(strings.NewReader(text), func(c plan.Change) error {
		if c.Action == plan.NoOp {
			return nil
		}
		if got := s.Changes[at]; got.Address != c.Address || !bytes.Equal(got.Before, c.Before) || got.Action != c.Action || got.After != nil {
			t.Fatalf("change %d is %s %s, want %s", at, got.Action, got.Address, c.Address)
		}
		at++
		return nil
	})
	if err != nil || whole != s.Header || at != len(s.Changes) {
		t.Errorf("got %+v after %d, %v", whole, at, err)
	}
	again, err := plan.Summarize(strings.NewReader(text))
	if err != nil || again.Digest != s.Digest {
		t.Errorf("got %s, want %s (%v)", again.Digest, s.Digest, err)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"one_wrong", many(n, `]}`, 8_999), "aws_x.r08999: the action"},
		{"two_wrong", many(n, `]}`, 5_000, 4_000), "aws_x.r04000: the action"},
		{"wrong_and_cut", many(n, `]`, 8_990), "aws_x.r08990: the action"},
		{"cut", many(n, `,{"address":`), "ends early"},
		{"wrong_behind", many(n, `],"output_changes":{"x":{}}}`), "a change has no actions"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := plan.Summarize(strings.NewReader(tt.text))
			if err == nil || upgrade.CodeOf(err) != upgrade.CodeInvalid || !strings.Contains(err.Error(), tt.want) || len(got.Changes) > 0 {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
