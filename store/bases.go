package store

import (
	"context"
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
)

// writeBases sets the bases of stacks.
func (c *commit) writeBases() error {
	for _, b := range c.step.Bases {
		b.At = or(b.At, c.now)
		if err := setBase(c.ctx, c.tx, b); err != nil {
			return err
		}
	}
	return nil
}

func setBase(ctx context.Context, t tx, b upgrade.Base) error {
	assumed := 0
	if b.Assumed {
		assumed = 1
	}
	_, err := t.exec(ctx, `INSERT INTO bases (stack, tree, commit_name, assumed, since_seq, set_by, reason, at, rev)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1)
		ON CONFLICT (stack) DO UPDATE SET tree = excluded.tree, commit_name = excluded.commit_name,
			assumed = excluded.assumed, since_seq = excluded.since_seq, set_by = excluded.set_by, reason = excluded.reason,
			at = excluded.at, rev = bases.rev + 1`,
		string(b.Stack), string(b.Tree), string(b.Commit), assumed, b.Since, b.By, b.Reason, millis(b.At))
	if err != nil {
		return fmt.Errorf("set the base of %s: %w", b.Stack, err)
	}
	return nil
}

// SetBase sets the base of a stack by hand, if nobody set it since it was read with b.Rev; 0: it was
// not known. At must be set. Errors: CodeStale, CodeInvalid without a time.
func (s *Store) SetBase(ctx context.Context, b upgrade.Base) error {
	if b.At.IsZero() {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "a base needs the time at which it was set"}
	}
	err := s.update(ctx, fmt.Sprintf("set the base of %s", b.Stack), func(t tx) error {
		if err := unmoved(ctx, t, "base of "+string(b.Stack), b.Rev, `SELECT rev FROM bases WHERE stack = $1`, string(b.Stack)); err != nil {
			return err
		}
		return setBase(ctx, t, b)
	})
	if err == nil {
		s.changed.tick()
	}
	return err
}

// Base returns the base of a stack. ok is false when none is known.
func (s *Store) Base(ctx context.Context, stack upgrade.StackName) (base upgrade.Base, ok bool, err error) {
	var bases []upgrade.Base
	err = s.view(ctx, fmt.Sprintf("read the base of %s", stack), func(t tx) (err error) {
		bases, err = list(ctx, t, func(scan func(...any) error) (b upgrade.Base, err error) {
			var at int64
			err = scan(&b.Stack, &b.Tree, &b.Commit, &b.Assumed, &b.Since, &b.By, &b.Reason, &b.Rev, &at)
			b.At = timeOf(at)
			return b, err
		}, `SELECT stack, tree, commit_name, assumed, since_seq, set_by, reason, rev, at FROM bases WHERE stack = $1`, string(stack))
		return err
	})
	if err != nil || len(bases) == 0 {
		return upgrade.Base{}, false, err
	}
	return bases[0], true, nil
}
