package store

import (
	"crypto/sha256"
	"slices"
	"sync"

	"github.com/upgradegate/upgradegate/upgrade"
)

// What is remembered of evidence that was read: an hour's watch of a site is up to 2 MB, of which the text itself is
// read in a moment, while to decode it took most of the time of a run's page.
const (
	leastRemembered = 16 << 10 // bytes of a document; smaller ones are decoded as fast
	mostRemembered  = 16 << 20 // bytes of all documents together
)

// evidences remembers decoded evidence by the digest of its text, the last that were used. What it returns is shared:
// nobody may change elements of it, though anybody may append. The zero value is ready, and nil remembers nothing.
type evidences struct {
	mu   sync.Mutex // guards the fields below
	size int
	kept []remembered // the last used last
}

type remembered struct {
	digest   [sha256.Size]byte
	size     int
	evidence upgrade.Evidence
}

// decode reads evidence.
func (m *evidences) decode(text string, into *upgrade.Evidence) error {
	if m == nil || len(text) < leastRemembered {
		return decode(text, into)
	}
	digest := sha256.Sum256([]byte(text))
	if known, ok := m.recall(digest); ok {
		*into = known
		return nil
	}
	if err := decode(text, into); err != nil {
		return err
	}
	m.remember(remembered{digest, len(text), clipped(*into)})
	*into = clipped(*into)
	return nil
}

func (m *evidences) recall(digest [sha256.Size]byte) (upgrade.Evidence, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.kept, func(one remembered) bool { return one.digest == digest })
	if i < 0 {
		return upgrade.Evidence{}, false
	}
	one := m.kept[i]
	m.kept = append(slices.Delete(m.kept, i, i+1), one)
	return clipped(one.evidence), true
}

func (m *evidences) remember(one remembered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one.size > mostRemembered || slices.ContainsFunc(m.kept, func(other remembered) bool { return other.digest == one.digest }) {
		return
	}
	m.kept, m.size = append(m.kept, one), m.size+one.size
	for m.size > mostRemembered {
		m.size -= m.kept[0].size
		m.kept = slices.Delete(m.kept, 0, 1)
	}
}

// clipped returns evidence of which an append copies.
func clipped(e upgrade.Evidence) upgrade.Evidence {
	e.Facts, e.Tables, e.Quotes = slices.Clip(e.Facts), slices.Clip(e.Tables), slices.Clip(e.Quotes)
	e.Spans, e.Marks, e.Log = slices.Clip(e.Spans), slices.Clip(e.Marks), slices.Clip(e.Log)
	if e.Watch != nil {
		watch := *e.Watch
		e.Watch = &watch
	}
	return e
}
