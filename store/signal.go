package store

import "sync"

// Woken signals that a job became due in this process. It holds one signal: whoever receives it looks
// for all jobs that are due.
func (s *Store) Woken() <-chan struct{} { return s.woken }

func (s *Store) signal() {
	select {
	case s.woken <- struct{}{}:
	default: // one is waiting already, and whoever takes it will see this one's work too
	}
}

// Changed returns a channel that ticks after commits which changed a run or wrote to a journal. Ticks
// that come faster than they are received become one. Call cancel when done.
func (s *Store) Changed() (c <-chan struct{}, cancel func()) { return s.changed.add() }

// ticker tells any number of receivers that something happened.
type ticker struct {
	mu   sync.Mutex // guards the fields below
	subs map[chan struct{}]bool
}

func (t *ticker) add() (c <-chan struct{}, cancel func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sub := make(chan struct{}, 1)
	if t.subs == nil {
		t.subs = map[chan struct{}]bool{}
	}
	t.subs[sub] = true
	return sub, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.subs, sub)
	}
}

func (t *ticker) tick() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for sub := range t.subs {
		select {
		case sub <- struct{}{}:
		default:
		}
	}
}
