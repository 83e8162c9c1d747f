package plan

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strings"
	"testing"
)

// FuzzWalk holds the walk against encoding/json: it takes what that takes, and calls plain only what
// that would write in the same way.
func FuzzWalk(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"b":[true,false,null,-1.5e+3,"x\"y\n"],"c":{"d":{}}}`, `{"b":1,"a":2}`, `{"a":1,"a":2}`, ` {"a" : 1}`, `"é\u003c<"`, `"\u2028"`, `"\/"`,
		"\"\xff\"", `01`, `1.`, `-`, `"\u00e9"`, `[1,]`, `{"a":}`, `"\ud800"`, `{"a\"b":1}`, `nul`, `1e400`, `""`, `{"":0}`, "\"\u2028\"", `"` + "\x7f" + `"`, `{"a":1,"\u0062":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		w := walk{b: raw, plain: true}
		w.space()
		ok := w.value(0)
		if ok {
			w.space()
			ok = w.i == len(raw)
		}
		if ok != json.Valid(raw) {
			t.Fatalf("%q is JSON: %v, says the walk", raw, ok)
		}
		if !ok {
			return
		}
		decoded, err := generic(raw)
		if err != nil {
			t.Fatal(err)
		}
		written, err := json.Marshal(decoded)
		if err != nil {
			t.Fatal(err)
		}
		if isPlain(raw) && !bytes.Equal(raw, written) {
			t.Errorf("%q is plain, but would be written %q", raw, written)
		}
		if !isPlain(written) && !strings.Contains(string(written), `\`) {
			t.Errorf("%q is not plain, as it was written", written)
		}
		parts, ok := partsOf(raw, nil)
		object, is := decoded.(map[string]any)
		if ok != is {
			t.Fatalf("%q has parts: %v", raw, ok)
		}
		last := map[string][]byte{}
		for _, p := range parts {
			last[string(p.name)] = p.value
			if p.plain && !isPlain(p.value) {
				t.Errorf("%q of %q is called plain", p.value, raw)
			}
		}
		if len(last) != len(object) {
			t.Errorf("%q has %d parts, want %d", raw, len(last), len(object))
		}
		for name, value := range last {
			want, err := json.Marshal(object[name])
			if err != nil {
				t.Fatal(err)
			}
			part, err := generic(value)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := json.Marshal(part); err != nil || !bytes.Equal(got, want) {
				t.Errorf("part %q of %q is %s, want %s (%v)", name, raw, got, want, err)
			}
		}
		all := Only(raw, func(string) bool { return true })
		if is && !json.Valid(all) || !is && string(all) != "null" {
			t.Errorf("all of %q is %q", raw, all)
		}
	})
}

func TestOnly(t *testing.T) {
	got := Only([]byte(`{ "id": "a\"b", "pass\u0077ord" : {"x":[1, 2]}, "z":null}`), func(name string) bool { return name != "z" })
	if string(got) != `{"id":"a\"b","password":{"x":[1, 2]}}` {
		t.Errorf("got %s", got)
	}
}

// TestEightAtOnce: each byte, in each of eight places, beside such as nearly set off their neighbours.
func TestEightAtOnce(t *testing.T) {
	for c := range 256 {
		isSpecial := c < ' ' || c >= 0x80 || strings.ContainsRune("\"\\&<>", rune(c))
		isQuote := c == '"' || c == '\\'
		for _, beside := range []byte{'a', ' ', '#', '!', '?', '=', ']', '[', '%', 0x7f} {
			for at := range 8 {
				eight := bytes.Repeat([]byte{beside}, 8)
				eight[at] = byte(c)
				x := binary.LittleEndian.Uint64(eight)
				for _, one := range []struct {
					marks uint64
					want  bool
				}{{special(x), isSpecial}, {quotes(x), isQuote}} {
					if (one.marks != 0) != one.want || one.want && bits.TrailingZeros64(one.marks)/8 != at {
						t.Fatalf("of %q %016x is marked, want byte %d: %v", eight, one.marks, at, one.want)
					}
				}
			}
		}
	}
}
