package agent

import (
	"sort"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// keptQuotes is how many answers of one stream are quoted: they are all alike, and large.
const keptQuotes = 50

// buffer keeps the samples of one stream from its first to its last, packed. Its owner guards it.
type buffer struct {
	chunks []chunk
	open   []probe.Sample // not packed yet
	first  int64          // number of the first open one
	bytes  int
	quotes int
}

// chunk is samples that follow each other, packed.
type chunk struct {
	first, n int64
	packed   []byte
}

// add keeps a sample and reports whether it is time to pack.
func (b *buffer) add(s probe.Sample) (full bool) {
	if s.Quote != "" {
		if b.quotes++; b.quotes > keptQuotes {
			s.Quote = ""
		}
	}
	b.open = append(b.open, s)
	return len(b.open) >= wire.MaxSamples
}

// count returns how many samples there are.
func (b *buffer) count() int64 { return b.first + int64(len(b.open)) }

// pack makes a chunk of what is open.
func (b *buffer) pack() error {
	if len(b.open) == 0 {
		return nil
	}
	packed, err := wire.Pack(b.open)
	if err != nil {
		return err
	}
	b.chunks = append(b.chunks, chunk{b.first, int64(len(b.open)), packed})
	b.bytes += len(packed)
	b.first += int64(len(b.open))
	b.open = b.open[:0]
	return nil
}

// at returns the chunk that has the sample, if it is packed already.
func (b *buffer) at(n int64) (chunk, bool) {
	i := sort.Search(len(b.chunks), func(i int) bool { return b.chunks[i].first+b.chunks[i].n > n })
	if n < 0 || i == len(b.chunks) {
		return chunk{}, false
	}
	return b.chunks[i], true
}
