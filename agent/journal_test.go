package agent

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

const mib = 1 << 20

func anOrder(id string) ordered {
	return ordered{Agent: "a", Origin: "first", Order: wire.Order{ID: id, Stream: &probe.Stream{Name: "cached", Path: probe.Path{URL: "http://10.20.0.5/"}, Every: 20 * time.Millisecond}}}
}

// some returns one packed second of samples, n of them.
func some(tb testing.TB, first, n int64) chunk {
	tb.Helper()
	var list []probe.Sample
	for i := range n {
		at := time.Duration(first+i) * 20 * time.Millisecond
		list = append(list, probe.Sample{Sched: at, Start: at, End: at + time.Millisecond, Address: netip.MustParseAddrPort("10.20.0.5:80"), OK: true, Class: probe.ClassOK})
	}
	packed, err := wire.Pack(list)
	if err != nil {
		tb.Fatal(err)
	}
	return chunk{first, n, packed}
}

// written is the file of a journal with two chunks and the marks between.
func written(tb testing.TB, dir string) string {
	tb.Helper()
	o := anOrder("one")
	j := newJournal(dir, o.Order.ID)
	began := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, do := range []func() error{
		func() error { return j.begin(o) },
		func() error { return j.add([]chunk{some(tb, 0, 25)}, mark{Epoch: "e", Began: began}) },
		func() error {
			return j.add([]chunk{some(tb, 25, 30)}, mark{Epoch: "e", Began: began, Begun: 7, Boot: "b", Up: time.Hour})
		},
		j.close,
	} {
		if err := do(); err != nil {
			tb.Fatal(err)
		}
	}
	return j.file
}

// TestJournal: what was written is read; and wherever it breaks off, whatever byte of it is another, what is before
// that is read and nothing else.
func TestJournal(t *testing.T) {
	file := written(t, t.TempDir())
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("got %v (%v)", info.Mode(), err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := readJournal(bytes.NewReader(data), mib)
	if err != nil || whole.Agent != "a" || whole.Order.ID != "one" || len(whole.chunks) != 2 || whole.mark.Begun != 7 || whole.mark.Up != time.Hour || whole.good != int64(len(data)) {
		t.Fatalf("got %+v (%v)", whole, err)
	}
	if last := whole.chunks[1]; last.first != 25 || last.n != 30 {
		t.Errorf("the second chunk is %d and %d more", last.first, last.n)
	}
	for cut := range len(data) {
		got, err := readJournal(bytes.NewReader(data[:cut]), mib)
		if got.good > int64(cut) || err == nil && len(got.chunks) > 0 && got.mark.Began.IsZero() {
			t.Fatalf("cut off at %d: %+v", cut, got)
		}
		bad := bytes.Clone(data)
		bad[cut] ^= 0x10
		if got, _ := readJournal(bytes.NewReader(bad), mib); got.good > int64(cut) {
			t.Fatalf("byte %d is another: %d bytes are believed", cut, got.good)
		}
	}
}

// TestJournalBounds: a file that is larger than there is room for is read as far as there is.
func TestJournalBounds(t *testing.T) {
	data := record(recordOrder, []byte(`{"agent":"a","origin":"o","order":{"id":"x","stream":{},"next":0,"stop":false}}`))
	data = append(data, record(recordMark, []byte(`{"epoch":"","began":"2030-01-02T03:04:05Z","boot":"","up_ns":0,"begun_ns":0,"ended":"0001-01-01T00:00:00Z"}`))...)
	chunk := binary.LittleEndian.AppendUint32(nil, 1)
	for range 12 {
		data = append(data, record(recordSamples, append(chunk, make([]byte, mib)...))...)
	}
	got, err := readJournal(bytes.NewReader(data), 2*mib)
	if err != nil || len(got.chunks) > 6 || len(got.chunks) < 2 {
		t.Errorf("%d chunks are read (%v)", len(got.chunks), err)
	}
}

// FuzzJournal: no file makes the agent fall over, or believe what has no checksum.
func FuzzJournal(f *testing.F) {
	data, err := os.ReadFile(written(f, f.TempDir()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)-5])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readJournal(bytes.NewReader(data), mib)
		if got.good > int64(len(data)) {
			t.Fatalf("%d of %d bytes are believed", got.good, len(data))
		}
		if err != nil {
			return
		}
		var used int64
		for at := int64(0); at < got.good; {
			size := int64(binary.LittleEndian.Uint32(data[at:]))
			if crc32.Checksum(data[at+8:at+recordHead+size], crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(data[at+4:]) {
				t.Fatal("a record without its checksum is believed")
			}
			at += recordHead + size
			used = at
		}
		if used != got.good {
			t.Fatalf("%d bytes are believed, and records end at %d", got.good, used)
		}
		_, _ = lastOf(got.chunks, time.Millisecond)
	})
}

// TestResumeOfBrokenState: what is of no use is removed, what is another agent's too, and the rest is gone on with.
func TestResumeOfBrokenState(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"watch-1.journal": "nonsense", "watch-2.journal": "", "watch-3.journal.123": "half"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other := newJournal(dir, "other")
	theirs := anOrder("other")
	theirs.Agent = "b"
	if err := other.begin(theirs); err != nil {
		t.Fatal(err)
	}
	a := &Agent{
		cfg: Config{State: dir, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now, MaxMemory: mib}, id: identity{Name: "a"},
		works: map[string]*work{}, ordered: make(chan struct{}, 1),
	}
	if err := a.resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 || len(a.works) != 0 {
		t.Errorf("%d files and %d works are left (%v)", len(left), len(a.works), err)
	}
}

// TestResumeClock: how long ago a watch began is known by the machine's own time where that is the same start of it,
// whatever its clock shows; a clock that went back so far that it cannot be known is no answer.
func TestResumeClock(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	a := &Agent{cfg: Config{Now: func() time.Time { return now }, Uptime: func() (string, time.Duration) { return "boot", time.Hour }, Log: slog.New(slog.DiscardHandler)}, id: identity{Name: "a"}}
	began := now.Add(10 * time.Minute) // the clock went back
	if got := a.age(mark{Began: began, Boot: "boot", Up: 50 * time.Minute}); got != 10*time.Minute {
		t.Errorf("the same start of the machine: %s", got)
	}
	if got := a.age(mark{Began: now.Add(-time.Minute), Boot: "another", Up: 50 * time.Minute}); got != time.Minute {
		t.Errorf("another start: %s", got)
	}
	w := &work{every: 20 * time.Millisecond, began: began, buf: buffer{chunks: []chunk{some(t, 0, 25)}}}
	if _, err := a.gap(t.Context(), w); upgrade.CodeOf(err) != upgrade.CodeUnavailable {
		t.Errorf("got %v", err)
	}
}

// TestS5NothingIsToldBeforeItIsKept: the gate never has samples that the next start of the agent would not know of, and
// takes nothing that comes after them for them.
func TestS5NothingIsToldBeforeItIsKept(t *testing.T) {
	stream := func(j *journal) *work {
		return &work{
			id: "o", stream: true, begun: 1, origin: "first", restored: nobody, journal: j,
			buf: buffer{chunks: []chunk{some(t, 0, 25), some(t, 25, 25), some(t, 50, 25)}, first: 75},
		}
	}
	for name, test := range map[string]struct {
		journal *journal
		next    int64
		told    int64 // up to
	}{
		"all_is_kept":      {&journal{saved: 3, kept: 75}, 0, 75},
		"being_written":    {&journal{saved: 3, kept: 50}, 0, 50},
		"told_what_was":    {&journal{saved: 3, kept: 50}, 50, 0},
		"nothing_was":      {&journal{saved: 1}, 0, 0},
		"cannot_be_kept":   {&journal{saved: 3, kept: 25, lost: true}, 25, 75},
		"no_state":         {nil, 25, 75},
		"in_mid_delivery":  {&journal{saved: 3, kept: 50}, 30, 50},
		"gate_has_it_all":  {&journal{saved: 3, kept: 75}, 75, 0},
		"nobody_wants_any": {&journal{saved: 3, kept: 75}, nobody, 0},
	} {
		w := stream(test.journal)
		w.next = test.next
		var told int64
		for _, d := range (&Agent{works: map[string]*work{w.id: w}}).due() {
			samples, err := wire.Unpack(d.Packed)
			if err != nil {
				t.Fatal(err)
			}
			told = d.First + int64(len(samples))
		}
		if told != test.told {
			t.Errorf("%s: told up to %d, want %d", name, told, test.told)
		}
	}
	for name, test := range map[string]struct {
		restored, next int64
		other          bool
	}{
		"gate_has_what_was_kept":   {75, 75, false},
		"gate_has_less":            {75, 20, false},
		"gate_is_new":              {75, 0, false},
		"gate_has_more":            {75, 76, true},
		"nothing_was_restored":     {nobody, 76, false},
		"nothing_kept_of_anything": {0, 1, true},
	} {
		w := stream(nil)
		w.restored = test.restored
		w.compareLocked(test.next)
		if other := w.origin != "first"; other != test.other {
			t.Errorf("%s: another beginning is %t, want %t", name, other, test.other)
		}
		w.compareLocked(1000) // it has new ones by now
		if other := w.origin != "first"; other != test.other {
			t.Errorf("%s: later, another beginning is %t", name, other)
		}
	}
}

// TestMergedDelivery: small chunks are delivered together, each sample once, and no more than one delivery may hold.
func TestMergedDelivery(t *testing.T) {
	var b buffer
	for i := range int64(60) {
		b.chunks = append(b.chunks, some(t, i*25, 25))
		b.first = (i + 1) * 25
	}
	next, calls := int64(30), 0 // in the middle of a chunk
	for {
		c, ok := b.from(next, 1475)
		if !ok {
			break
		}
		samples, err := wire.Unpack(c.packed)
		if err != nil || int64(len(samples)) != c.n || c.n > wire.MaxSamples || c.first > next || samples[0].Sched != time.Duration(c.first)*20*time.Millisecond {
			t.Fatalf("from %d: %d and %d more, %d samples (%v)", next, c.first, c.n, len(samples), err)
		}
		next = c.first + c.n
		calls++
	}
	if next != 1475 || calls > 4 {
		t.Errorf("%d calls up to %d", calls, next)
	}
}
