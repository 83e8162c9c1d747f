package wire_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// fill sets every field to something, so that one which does not survive the way shows.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2030, 1, 2, 3, 4, *n%60, 0, time.UTC)))
		return
	case netip.AddrPort:
		v.Set(reflect.ValueOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(*n)}), 80)))
		return
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.AddrFrom4([4]byte{10, 0, 0, byte(*n)})))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(*n)}), 32)))
		return
	}
	switch v.Kind() { //nolint:exhaustive // the rest is refused
	case reflect.String:
		v.SetString(time.Duration(*n).String())
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Int16:
		v.SetInt(int64(*n))
	case reflect.Uint16, reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n % 200))
	case reflect.Float64:
		v.SetFloat(float64(*n))
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(t, field, n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(t, v.Index(0), n)
		fill(t, v.Index(1), n)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(t, key, n)
		fill(t, value, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	default:
		t.Fatalf("a %s does not go over the wire: the agent would probe something else than was asked", v.Kind())
	}
}

// TestRoundTrip: what is asked arrives as it was asked, and what was seen as it was seen, with every field.
func TestRoundTrip(t *testing.T) {
	n := 0
	for _, v := range []any{&wire.Orders{}, &wire.Poll{}, &wire.Delivery{}, &wire.Enrolment{}} {
		fill(t, reflect.ValueOf(v).Elem(), &n)
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got := reflect.New(reflect.TypeOf(v).Elem()).Interface()
		if err := wire.Strict(data, got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(v, got, cmpopts.EquateComparable(netip.AddrPort{}, netip.Addr{}, netip.Prefix{})); diff != "" {
			t.Errorf("%T (-sent +arrived):\n%s", v, diff)
		}
	}
	var s probe.Sample
	fill(t, reflect.ValueOf(&s).Elem(), &n)
	s.Class, s.Layer = probe.ClassOK, probe.LayerTCP
	s.Start, s.End = s.Sched+1, s.Sched+2
	packed, err := wire.Pack([]probe.Sample{s})
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.Unpack(packed)
	if diff := cmp.Diff([]probe.Sample{s}, got, cmpopts.EquateComparable(netip.AddrPort{})); err != nil || diff != "" {
		t.Errorf("a sample (-sent +arrived), %v:\n%s", err, diff)
	}
}

func TestStrict(t *testing.T) {
	err := wire.Strict([]byte(`{"orders":[{"id":"1","stream":{"Every":1,"Sideways":true}}]}`), &wire.Orders{})
	if upgrade.CodeOf(err) != upgrade.CodeInvalid || upgrade.HintOf(err) == "" {
		t.Errorf("an order with a field that is not known: %v", err)
	}
}

// TestUnpackBounds: a packet that unpacks to more than any agent sends is refused before it is held whole.
func TestUnpackBounds(t *testing.T) {
	many := make([]probe.Sample, wire.MaxSamples+1)
	for i := range many {
		many[i].OK, many[i].Class = true, probe.ClassOK
	}
	for name, samples := range map[string][]probe.Sample{
		"too_many":     many,
		"before_start": {{Sched: 2, Start: -1, OK: true, Class: probe.ClassOK}},
		"ends_early":   {{Start: 2, End: 1, OK: true, Class: probe.ClassOK}},
		"far_away":     {{Start: 1, End: 1000 * time.Hour, OK: true, Class: probe.ClassOK}},
		"both":         {{OK: true, Class: probe.ClassTCPRefused}},
		"markup":       {{Class: "<script>"}},
		"status":       {{Class: probe.ClassTCPRefused, Status: 12345}},
	} {
		packed, err := wire.Pack(samples)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wire.Unpack(packed); err == nil || upgrade.CodeOf(err) != upgrade.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	bomb, err := wire.Pack([]probe.Sample{{Class: probe.ClassTCPRefused, Quote: string(bytes.Repeat([]byte("a"), 8<<20))}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wire.Unpack(bomb); err == nil || upgrade.CodeOf(err) != upgrade.CodeInvalid {
		t.Errorf("a bomb of %d bytes: %v", len(bomb), err)
	}
}

func FuzzUnpack(f *testing.F) {
	packed, err := wire.Pack([]probe.Sample{{Sched: 1, Start: 2, End: 3, OK: true, Class: probe.ClassOK}, {Class: probe.ClassTCPRefused, Layer: probe.LayerTCP}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(_ *testing.T, data []byte) {
		samples, err := wire.Unpack(data)
		if err != nil {
			return
		}
		tally := probe.NewTally(20 * time.Millisecond)
		for _, s := range samples {
			tally.Add(s)
		}
		_ = tally.Watched(time.Minute) // whatever comes in, it can be judged
	})
}

func FuzzPoll(f *testing.F) {
	f.Add([]byte(`{"instance":"a","n":1,"about":{"Version":"1"},"works":[{"id":"x","state":"ended","ladders":[{"Rungs":[{"Detail":"d"}]}]}]}`))
	f.Add([]byte(`{"wait_ns":-1}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		var p wire.Poll
		if wire.Lenient(data, &p) == nil {
			_ = p.Check()
		}
	})
}

func FuzzOrders(f *testing.F) {
	f.Add([]byte(`{"epoch":"e","rev":1,"orders":[{"id":"1","climb":{"URL":"http://a/"},"next":0}]}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		var o wire.Orders
		_ = wire.Strict(data, &o)
	})
}

func FuzzSignature(f *testing.F) {
	f.Add("staging-a", "1893553445000", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "AAAA")
	f.Fuzz(func(t *testing.T, agent, at, nonce, sig string) {
		h := http.Header{}
		h.Set(wire.HeaderAgent, agent)
		h.Set(wire.HeaderTime, at)
		h.Set(wire.HeaderNonce, nonce)
		h.Set(wire.HeaderSignature, sig)
		s, err := wire.ReadSignature(h)
		if err != nil {
			return
		}
		again := http.Header{}
		s.Write(again)
		if _, err := wire.ReadSignature(again); err != nil {
			t.Errorf("written and read: %v", err)
		}
	})
}

// FuzzDelivery: no body of a delivery or an enrolment makes the gate fall over, and what it takes is in bounds.
func FuzzDelivery(f *testing.F) {
	f.Add([]byte(`{"stream":"s","origin":"o","begun_ns":1,"first":0,"packed":"H4sIAAAAAAAA"}`))
	f.Add([]byte(`{"token":"uga_x","key":"AAAA","version":"1","host":"h"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d wire.Delivery
		if wire.Lenient(data, &d) == nil {
			if samples, err := wire.Unpack(d.Packed); err == nil && len(samples) > wire.MaxSamples {
				t.Fatalf("%d samples", len(samples))
			}
		}
		var e wire.Enrolment
		_ = wire.Lenient(data, &e)
	})
}

// FuzzClip: what people are shown has nothing that moves a terminal's cursor, and an end.
func FuzzClip(f *testing.F) {
	f.Add("a\x1b[2Jb\r\n\tc\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := wire.Clip(s)
		if strings.ContainsAny(got, "\x00\x07\x08\x1b\r\u009b\u202e\u2066") || len(got) > 3*4<<10 {
			t.Fatalf("got %q", got)
		}
	})
}
