package store

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// hour returns evidence as large as that of an hour's watch with many outages.
func hour(seed int) upgrade.Evidence {
	watch := &upgrade.Watch{Began: time.Unix(int64(seed), 0).UTC(), Long: time.Hour}
	for range 5 {
		strip := upgrade.Strip{Vantage: "here", Stream: "cached", Every: 20 * time.Millisecond}
		strip.Buckets.Width, strip.Samples.Classes = time.Second, []string{"ok", "tcp_refused"}
		for i := range 3600 {
			b := &strip.Buckets
			b.N, b.Good, b.P50 = append(b.N, 50), append(b.Good, 49), append(b.P50, int64(1200+i+seed))
			b.P99, b.Max, b.Lag = append(b.P99, int64(4000+i)), append(b.Max, int64(9000+i)), append(b.Lag, int64(i%700))
			s := &strip.Samples
			s.At, s.Lag, s.Took = append(s.At, int64(i)*1_000_000), append(s.Lag, int64(i%300)), append(s.Took, int64(2000+i))
			s.Class, s.Status = append(s.Class, i%2), append(s.Status, 200)
		}
		watch.Strips = append(watch.Strips, strip)
	}
	return upgrade.Evidence{Facts: []upgrade.Fact{{Name: "Probed", Value: strings.Repeat("x", seed)}}, Watch: watch}
}

// TestEvidences: the same text is decoded once, another one is not mistaken for it, appending harms nobody, and no
// more is kept than may be.
func TestEvidences(t *testing.T) {
	m := &evidences{}
	read := func(text string) upgrade.Evidence {
		t.Helper()
		var e upgrade.Evidence
		if err := m.decode(text, &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	one, err := encode(hour(1))
	if err != nil {
		t.Fatal(err)
	}
	first := read(one)
	first.Facts = append(first.Facts, upgrade.Fact{Name: "mine"})
	first.Watch.Strips = nil
	second := read(one)
	if !reflect.DeepEqual(second, hour(1)) || len(m.kept) != 1 {
		t.Errorf("%d facts, %d strips, %d kept", len(second.Facts), len(second.Watch.Strips), len(m.kept))
	}
	if &read(one).Watch.Strips[0] != &second.Watch.Strips[0] {
		t.Error("decoded again")
	}
	other, err := encode(hour(2))
	if err != nil {
		t.Fatal(err)
	}
	if got := read(other); !reflect.DeepEqual(got, hour(2)) {
		t.Error("mistaken for another")
	}
	for seed := range 30 {
		text, err := encode(hour(10 + seed))
		if err != nil {
			t.Fatal(err)
		}
		read(text)
	}
	if m.size > mostRemembered || m.size < mostRemembered/2 || m.kept[len(m.kept)-1].evidence.Watch.Began.Unix() != 39 {
		t.Errorf("%d bytes in %d documents are kept", m.size, len(m.kept))
	}
	if err := m.decode(fmt.Sprintf("{%q", strings.Repeat("x", leastRemembered)), &upgrade.Evidence{}); err == nil {
		t.Error("a broken text is read")
	}
	if small := read(`{"Facts":[{"Name":"a"}]}`); len(small.Facts) != 1 {
		t.Errorf("got %+v", small)
	}
}

// BenchmarkEvidence is what a page needs of an hour's watch, with and without what is remembered.
func BenchmarkEvidence(b *testing.B) {
	text, err := encode(hour(1))
	if err != nil {
		b.Fatal(err)
	}
	for name, m := range map[string]*evidences{"anew": nil, "remembered": {}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				var e upgrade.Evidence
				if err := m.decode(text, &e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
