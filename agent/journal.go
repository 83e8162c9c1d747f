package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/upgrade"
)

// A journal is one watch on the disk, so that an agent which is killed goes on with it: one file of records, of
// which the first says what was ordered, and the others, which are only ever appended, what was seen and how far
// it is. A record is its length (4 bytes, little endian), the CRC-32C of what follows the length and it (4 bytes),
// its kind (1 byte) and its payload. What a crash left of a record at the end does not match its checksum, and is
// cut off. The file is 0600: an order holds the secret of a bypass, as the folder holds the agent's key.
const (
	journalMark = "watch-"
	journalEnd  = ".journal"

	recordOrder   = 'o' // JSON of ordered
	recordMark    = 'm' // JSON of mark; the last counts
	recordSamples = 's' // how many there are (4 bytes, little endian), then wire.Pack of them

	recordHead = 9
	// mostRecord bounds a record: an order with its certificates, or one chunk of samples.
	mostRecord = wire.MaxAnswer
)

// ordered is the first record of a journal.
type ordered struct {
	Agent  upgrade.AgentName `json:"agent"`
	Origin string            `json:"origin"`
	Order  wire.Order        `json:"order"`
}

// mark is how far a watch is.
type mark struct {
	Epoch   string        `json:"epoch"`    // of the gate that asked for it last
	Began   time.Time     `json:"began"`    // by this machine's clock; zero: nothing was probed yet
	Boot    string        `json:"boot"`     // which start of the machine Up counts from; empty: not known
	Up      time.Duration `json:"up_ns"`    // when it began, since that start
	Begun   int64         `json:"begun_ns"` // as of work
	Ended   time.Time     `json:"ended"`    // zero: it goes on
	Failure *wire.Failure `json:"failure,omitempty"`
}

// journal writes one watch. It is not for several goroutines.
type journal struct {
	file  string
	out   *os.File // nil: not made yet
	saved int      // chunks of the buffer that are written, or being
	kept  int64    // samples that are written; the agent's mutex guards it
	last  []byte   // mark that was written last
	lost  bool     // it cannot be written, and is given up
}

func newJournal(dir, id string) *journal {
	sum := sha256.Sum256([]byte(id))
	return &journal{file: filepath.Join(dir, journalMark+hex.EncodeToString(sum[:16])+journalEnd)}
}

// begin makes the file with its first record, whole or not at all.
func (j *journal) begin(o ordered) error {
	payload, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("keep the watch: %w", err)
	}
	if err := writeWhole(j.file, record(recordOrder, payload)); err != nil {
		return err
	}
	return j.open()
}

func (j *journal) open() (err error) {
	if j.out, err = os.OpenFile(j.file, os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return fmt.Errorf("keep the watch: %w", err)
	}
	return nil
}

// add appends chunks, and the mark if it changed. A process that is killed loses nothing of it; a machine that
// loses its power may lose the end.
func (j *journal) add(chunks []chunk, m mark) error {
	var all []byte
	for _, c := range chunks {
		payload := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(c.packed)), uint32(c.n)) //nolint:gosec // at most wire.MaxSamples
		all = append(all, record(recordSamples, append(payload, c.packed...))...)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("keep the watch: %w", err)
	}
	if !bytes.Equal(text, j.last) {
		all = append(all, record(recordMark, text)...)
	}
	if len(all) == 0 {
		return nil
	}
	if _, err := j.out.Write(all); err != nil {
		return fmt.Errorf("keep the watch: %w", err)
	}
	j.last = text
	return nil
}

// remove forgets the watch.
func (j *journal) remove() error {
	err := j.close()
	if gone := os.Remove(j.file); gone != nil && !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

func (j *journal) close() error {
	if j.out == nil {
		return nil
	}
	err := j.out.Close()
	j.out = nil
	return err
}

func record(kind byte, payload []byte) []byte {
	out := make([]byte, recordHead, recordHead+len(payload))
	binary.LittleEndian.PutUint32(out, uint32(len(payload))) //nolint:gosec // at most mostRecord
	out[8] = kind
	out = append(out, payload...)
	binary.LittleEndian.PutUint32(out[4:], crc32.Checksum(out[8:], crc32.MakeTable(crc32.Castagnoli)))
	return out
}

// told is what a journal says.
type told struct {
	ordered
	mark   mark
	chunks []chunk
	good   int64 // bytes up to the end of the last whole record
}

// errBroken is why a journal is of no use.
var errBroken = errors.New("it does not say what was ordered, and when it began")

// readJournal reads a journal up to the first record that is not whole; a journal without its first is an error.
func readJournal(from io.Reader, most int) (told, error) {
	var t told
	table := crc32.MakeTable(crc32.Castagnoli)
	head := make([]byte, recordHead)
	for used := 0; ; {
		if _, err := io.ReadFull(from, head); err != nil {
			break
		}
		size := int(binary.LittleEndian.Uint32(head))
		if used += size; size > mostRecord || used > most+mostRecord {
			break
		}
		payload := make([]byte, size)
		if _, err := io.ReadFull(from, payload); err != nil {
			break
		}
		if crc32.Update(crc32.Checksum(head[8:], table), table, payload) != binary.LittleEndian.Uint32(head[4:]) || !t.take(head[8], payload) {
			break
		}
		t.good += int64(recordHead + size)
	}
	if t.Origin == "" || t.Order.ID == "" || t.Order.Stream == nil || len(t.chunks) > 0 && t.mark.Began.IsZero() {
		return t, errBroken
	}
	return t, nil
}

// take reads one record, and reports whether it is as it must be.
func (t *told) take(kind byte, payload []byte) bool {
	if (kind == recordOrder) != (t.good == 0) {
		return false
	}
	switch kind {
	case recordOrder:
		return wire.Strict(payload, &t.ordered) == nil
	case recordMark:
		return wire.Strict(payload, &t.mark) == nil
	case recordSamples:
		if len(payload) < 4 {
			return false
		}
		n := int64(binary.LittleEndian.Uint32(payload))
		if n < 1 || n > wire.MaxSamples {
			return false
		}
		first := int64(0)
		if last := len(t.chunks) - 1; last >= 0 {
			first = t.chunks[last].first + t.chunks[last].n
		}
		t.chunks = append(t.chunks, chunk{first, n, payload[4:]})
		return true
	}
	return false
}
