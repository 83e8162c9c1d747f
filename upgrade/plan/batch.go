package plan

import (
	"crypto/sha256"
	"encoding/json"
	"runtime"
	"slices"
	"sync"
)

// batchSize is how many bytes of resource changes are read before they are handed over to be taken to
// pieces. A plan that has no more is read by one goroutine.
const batchSize = 256 << 10

// summarizer makes a summary of elements. Reading a large plan and taking its changes to pieces go on side
// by side; the order is kept.
type summarizer struct {
	s      Summary
	pieces [][]Change // of the summary's, put together at the end: a list that grows is copied again and again
	lines  [][sha256.Size]byte
	keep   func(Change) Change

	own     *parser
	now     *batch      // that is being filled
	waiting []*batch    // handed over, oldest first
	work    chan *batch // nil until there is more than one batch
	workers sync.WaitGroup
	failed  error // the first that is wrong with a resource change, in the order of the plan
}

// batch is a piece of a plan: resource changes, one behind the other, and what came of them.
type batch struct {
	raw     []byte
	ends    []int
	changes []Change
	moves   []Move
	lines   [][sha256.Size]byte
	err     error
	done    chan struct{}
}

func newSummarizer(keep func(Change) Change) *summarizer {
	return &summarizer{keep: keep, own: newParser(), now: &batch{}}
}

// resource takes the next resource change.
func (z *summarizer) resource(raw []byte) error {
	z.now.raw = append(z.now.raw, raw...)
	z.now.ends = append(z.now.ends, len(z.now.raw))
	if len(z.now.raw) < batchSize {
		return nil
	}
	most := runtime.GOMAXPROCS(0)
	if z.work == nil {
		z.start(most)
	}
	z.now.done = make(chan struct{})
	z.waiting = append(z.waiting, z.now)
	z.work <- z.now
	z.now = &batch{}
	if len(z.waiting) < 2*most {
		return nil
	}
	return z.collect()
}

// start lets n goroutines wait for batches, until end.
func (z *summarizer) start(n int) {
	z.work = make(chan *batch, 2*n)
	for range n {
		z.workers.Go(func() {
			p := newParser()
			for b := range z.work {
				b.read(p, z.keep)
				close(b.done)
			}
		})
	}
}

// collect takes over what came of the oldest batch.
func (z *summarizer) collect() error {
	b := z.waiting[0]
	z.waiting = z.waiting[1:]
	<-b.done
	z.add(b)
	return z.failed
}

// add takes over what came of a batch, and uses its memory again.
func (z *summarizer) add(b *batch) {
	z.pieces = append(z.pieces, b.changes)
	z.s.Moves = append(z.s.Moves, b.moves...)
	z.lines = append(z.lines, b.lines...)
	z.failed = b.err
	*b = batch{raw: b.raw[:0], ends: b.ends[:0], changes: make([]Change, 0, len(b.changes)+len(b.changes)/8), moves: b.moves[:0], lines: b.lines[:0]}
	if len(z.now.raw) == 0 {
		z.now = b
	}
}

// end takes over what is left. It returns the first error in the order of the plan: err is that of reading
// on, which was ahead of all others.
func (z *summarizer) end(err error) error {
	for len(z.waiting) > 0 && z.failed == nil {
		_ = z.collect() // it is in failed
	}
	if z.failed == nil {
		z.now.read(z.own, z.keep)
		z.add(z.now)
	}
	if z.work != nil {
		close(z.work)
		z.workers.Wait()
	}
	if z.failed != nil {
		return z.failed
	}
	z.s.Changes = slices.Concat(z.pieces...)
	return err
}

// other takes an element that is no resource change.
func (z *summarizer) other(e element) error {
	if e.kind == kindDrift {
		return z.drift(e.raw)
	}
	if !e.real() {
		return nil
	}
	line, err := e.line(nil)
	if err != nil {
		return err
	}
	z.lines = append(z.lines, sha256.Sum256(line))
	if e.kind == kindOutput {
		z.s.Outputs = append(z.s.Outputs, e.output.redacted(e.sensitive).owned())
	}
	return nil
}

// drift keeps the address of a resource that is not as the state had it.
func (z *summarizer) drift(raw []byte) error {
	var resource struct {
		Address string `json:"address"`
		Mode    string `json:"mode"`
	}
	if err := json.Unmarshal(raw, &resource); err != nil || resource.Address == "" {
		return invalid("a resource that drifted has no address")
	}
	if resource.Mode != "data" {
		z.s.Drifted = append(z.s.Drifted, resource.Address)
	}
	return nil
}

// read takes the batch's resource changes to pieces, up to the first that is wrong.
func (b *batch) read(p *parser, keep func(Change) Change) {
	begin := 0
	for _, end := range b.ends {
		if b.err = b.one(p, b.raw[begin:end:end], keep); b.err != nil {
			return
		}
		begin = end
	}
}

func (b *batch) one(p *parser, raw []byte, keep func(Change) Change) error {
	e, err := p.resource(raw)
	if err != nil || !e.real() {
		return err
	}
	if p.line, err = e.line(p.line[:0]); err != nil {
		return err
	}
	b.lines = append(b.lines, sha256.Sum256(p.line))
	switch c := e.change; {
	case c.Action != NoOp:
		b.changes = append(b.changes, p.owned(keep(c.redacted(e.sensitive))))
	case c.PreviousAddress != "":
		b.moves = append(b.moves, Move{From: c.PreviousAddress, To: c.Address})
	}
	return nil
}
