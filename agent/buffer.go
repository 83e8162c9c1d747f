package agent

import (
	"sort"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// keptQuotes is how many answers of one stream are quoted: they are all alike, and large.
const keptQuotes = 50

// mostMerged bounds what is packed anew for one delivery, in bytes: well below wire.MaxBody in base64.
const mostMerged = 256 << 10

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

// from returns the chunk that has the sample as at does, and what follows it before the sample end as far as it fits
// into one delivery: what is packed twice a second would take very many calls to deliver an hour.
func (b *buffer) from(n, end int64) (chunk, bool) {
	first, ok := b.at(n)
	if !ok || first.first+first.n > end {
		return chunk{}, false
	}
	list, count, size := []chunk{first}, first.n, len(first.packed)
	for {
		next, ok := b.at(first.first + count)
		if !ok || next.first+next.n > end || count+next.n > wire.MaxSamples || size+len(next.packed) > mostMerged {
			break
		}
		list, count, size = append(list, next), count+next.n, size+len(next.packed)
	}
	if len(list) == 1 {
		return first, true
	}
	var all []probe.Sample
	for _, one := range list {
		samples, err := wire.Unpack(one.packed)
		if err != nil {
			return first, true
		}
		all = append(all, samples...)
	}
	packed, err := wire.Pack(all)
	if err != nil {
		return first, true
	}
	return chunk{first.first, count, packed}, true
}
