package varnish

import (
	"net/netip"
	"sync"
	"time"
)

// idleHands is how many goroutines wait for a next probe.
const idleHands = 2

// job is a probe that is due.
type job struct {
	addr netip.AddrPort
	due  time.Duration
}

// hands do jobs, each at once in a goroutine of its own: in one that has done with another job, if there is any.
// A fresh one has its stack grown and copied four times over in a handshake.
type hands struct {
	do    func(job)
	group sync.WaitGroup

	mu   sync.Mutex // guards the fields below
	idle []chan job // of those that wait
	over bool
}

// give has a job done, and does not wait for it.
func (h *hands) give(j job) {
	h.mu.Lock()
	n := len(h.idle)
	if n == 0 {
		h.mu.Unlock()
		h.group.Go(func() { h.work(j) })
		return
	}
	hand := h.idle[n-1]
	h.idle = h.idle[:n-1]
	h.mu.Unlock()
	hand <- j
}

// work does a job and then those that are given meanwhile.
func (h *hands) work(j job) {
	next := make(chan job, 1)
	for ok := true; ok; j, ok = <-next {
		h.do(j)
		h.mu.Lock()
		enough := h.over || len(h.idle) >= idleHands
		if !enough {
			h.idle = append(h.idle, next)
		}
		h.mu.Unlock()
		if enough {
			return
		}
	}
}

// rest waits until all jobs are done; there are no more.
func (h *hands) rest() {
	h.mu.Lock()
	h.over = true
	for _, hand := range h.idle {
		close(hand)
	}
	h.idle = nil
	h.mu.Unlock()
	h.group.Wait()
}
