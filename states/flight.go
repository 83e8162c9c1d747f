package states

import (
	"context"
	"fmt"
	"io"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// flight is one reading for which several may wait. It ends early when nobody waits any more.
type flight struct {
	waiting int // guarded by the source's mutex
	cancel  context.CancelCauseFunc
	done    chan struct{}
	err     error // one of ours; to be read when done is closed
}

// join waits for the reading of a source that is going on, or begins one.
func (s *States) join(ctx context.Context, src *source) error {
	for {
		f := s.aboard(ctx, src)
		if f == nil {
			continue
		}
		select {
		case <-f.done:
			return f.err
		case <-ctx.Done():
		}
		src.mu.Lock()
		f.waiting--
		last := f.waiting == 0
		src.mu.Unlock()
		if last {
			f.cancel(context.Cause(ctx))
			<-f.done // Terraform has ended, and nothing is written any more
		}
		return fmt.Errorf("read state %s: %w", src.name, context.Cause(ctx))
	}
}

// aboard returns the flight that is on its way, or a new one; nil after the end of one that had been given
// up.
func (s *States) aboard(ctx context.Context, src *source) *flight {
	src.mu.Lock()
	f := src.flight
	if f != nil && f.waiting == 0 {
		src.mu.Unlock()
		<-f.done
		return nil
	}
	defer src.mu.Unlock()
	if f != nil {
		f.waiting++
		return f
	}
	f = &flight{waiting: 1, done: make(chan struct{})}
	flying, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	f.cancel, src.flight = cancel, f
	end := s.Clock.Begin()
	go func() {
		defer end()
		f.err = s.inTurn(flying, src, s.ready)
		cancel(nil)
		src.mu.Lock()
		src.flight = nil
		src.mu.Unlock()
		close(f.done)
	}()
	return f
}

// inTurn reads a source when it is its turn: one reading of a state at a time, and so many in all.
func (s *States) inTurn(ctx context.Context, src *source, where func(context.Context, *source) (plan.Root, error)) error {
	for _, turn := range []chan struct{}{src.turn, s.places} {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	limited, cancel := context.WithTimeoutCause(ctx, deadline, errSlow)
	defer cancel()
	at := s.Clock.Now()
	reading, owned, err := s.read(limited, src, where)
	if ctx.Err() != nil {
		return context.Cause(ctx) // nobody waits for it any more, which says nothing about the state
	}
	reading.TriedAt = at
	if err != nil {
		if limited.Err() != nil {
			err = context.Cause(limited)
		}
		reading.Problem = s.problem(err)
		s.Log.WarnContext(ctx, "a state could not be read", "state", string(src.name), "err", s.mask(err.Error()))
	} else {
		reading.ReadAt = at // what was written since is not in it
	}
	if err := s.Store.SaveReading(ctx, reading, owned); err != nil {
		return fmt.Errorf("keep what was read: %w", err)
	}
	return nil
}

// ReadIn reads a state in a root module that is initialised already: that of a run which has just applied.
// It waits for a reading that is going on, since that may have begun before the apply ended. A state that
// is not known is passed over.
func (s *States) ReadIn(ctx context.Context, name upgrade.StateName, root plan.Root) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	src := s.sources[name]
	if src == nil {
		return nil
	}
	return s.inTurn(ctx, src, func(context.Context, *source) (plan.Root, error) { return root, nil })
}

// read reads a source where it is told to.
func (s *States) read(ctx context.Context, src *source, where func(context.Context, *source) (plan.Root, error)) (upgrade.Reading, []upgrade.Owned, error) {
	reading := src.reading()
	root, err := where(ctx, src)
	if err != nil {
		return reading, nil, err
	}
	var owned []upgrade.Owned
	header, err := s.objects(ctx, root, func(o plan.Object) error {
		owned = append(owned, upgrade.Owned{State: src.name, Type: o.Type, Key: o.Key, Account: o.Account, Region: o.Region, Address: o.Address})
		return nil
	})
	if err != nil {
		s.spoil(src)
		return reading, nil, err
	}
	reading.Account, reading.Region = header.Account, header.Region
	reading.Lineage, reading.Serial, reading.Objects = header.Lineage, header.Serial, len(owned)
	return reading, owned, nil
}

// objects hands each thing in the state of a root module to each, as the state comes.
func (s *States) objects(ctx context.Context, root plan.Root, each func(plan.Object) error) (plan.StateHeader, error) {
	read, write := io.Pipe()
	var header plan.StateHeader
	var errRead error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		header, errRead = plan.Objects(read, each)
		_ = read.CloseWithError(errRead) // it never fails; whoever writes on is told why nobody reads
	}()
	errPull := s.Terraform.StatePull(ctx, root, write)
	_ = write.CloseWithError(errPull) // it never fails
	<-ended
	if errPull != nil {
		return plan.StateHeader{}, fmt.Errorf("read the state: %w", errPull)
	}
	return header, errRead
}

// problem says of an error what people may read.
func (s *States) problem(err error) string {
	text := upgrade.Public(err)
	if hint := upgrade.HintOf(err); hint != "" {
		text += "; " + hint
	}
	return s.mask(text)
}

func (s *States) mask(text string) string {
	if s.Mask == nil {
		return text
	}
	return s.Mask(text)
}
