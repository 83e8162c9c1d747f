package intent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade"
)

func TestText(t *testing.T) {
	m, ok := mark("i-0a1b2c3d4e5f60718")
	if !ok || len(m) != markSize {
		t.Fatalf("got %q, %t", m, ok)
	}
	want := Intent{Run: "481", Expires: time.Date(2025, 6, 13, 16, 0, 0, 0, time.UTC), Desired: 2}
	for range 2 {
		want.Remember("i-0a1b2c3d4e5f60718")
	}
	text, err := want.Text()
	if err != nil || text != "481 2025-06-13T16:00:00Z 2 9gcY9gcY" {
		t.Fatalf("got %q, %v", text, err)
	}
	got, ok := Read(text)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Intent{})); !ok || diff != "" {
		t.Errorf("read back: %t, -want +got:\n%s", ok, diff)
	}
	for id, known := range map[string]bool{
		"i-0a1b2c3d4e5f60718": true, "i-0a1b2c3d4e5f60719": false, "i-0a1b2c3d4e5f00000": false, "": true, "i-0a1b2c3d4e5fXYZXYZ": true,
	} {
		if got.Knows(id) != known {
			t.Errorf("knows %q: %t", id, got.Knows(id))
		}
	}
	want.members = ""
	if text, err := want.Text(); err != nil || !strings.HasSuffix(text, " 2 -") {
		t.Errorf("without members: %q, %v", text, err)
	}
}

// TestIntentOfLargeGroup: what a tag cannot hold is refused before anything is changed.
func TestLargeGroup(t *testing.T) {
	i := Intent{Run: "481", Expires: time.Date(2025, 6, 13, 16, 0, 0, 0, time.UTC), Desired: 100}
	fits := 0
	for n := range 100 {
		i.Remember(fmt.Sprintf("i-0a1b2c3d4e5%06x", n))
		text, err := i.Text()
		if err == nil {
			fits = n + 1
			if len(text) > tagLimit {
				t.Fatalf("%d characters", len(text))
			}
			continue
		}
		if upgrade.CodeOf(err) != upgrade.CodeConflict || !strings.Contains(err.Error(), fmt.Sprintf("%d instances", n+1)) {
			t.Fatal(err)
		}
	}
	if fits < 50 {
		t.Errorf("%d members fit, want at least 50", fits)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("481 2025-06-13T16:00:00Z 2 9gcY9gcY")
	f.Add("481 2025-06-13T16:00:00+02:00 2 -")
	f.Add("481 2025-06-13T16:00:00Z 02 -")
	f.Fuzz(func(t *testing.T, value string) {
		i, ok := Read(value)
		if !ok {
			return
		}
		if text, err := i.Text(); err != nil || text != value {
			t.Errorf("%q was read as %+v and is written %q, %v", value, i, text, err)
		}
	})
}
