package browser

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/internal/testkit/chrome"
	"github.com/upgradegate/upgradegate/internal/testkit/picture"
	"github.com/upgradegate/upgradegate/server"
	"github.com/upgradegate/upgradegate/upgrade"
)

// takePictures is set by `make pictures`.
var takePictures = flag.Bool("pictures", false, "take the pictures of all pages anew, into docs/pictures")

const (
	picturesDir = "../../docs/pictures"
	// maxPictures is how much all of them may weigh, in bytes.
	maxPictures = 4 << 20
	// highest is how much of a long page is kept, in pixels.
	highest = 2600
)

// pictured are the pages, by the name of their pictures.
func pictured() map[string]string {
	return map[string]string{
		"board": "/", "run-blocked": "/runs/481", "run-live": "/runs/483", "run-unlocked": "/runs/480", "plan": "/runs/481/plan", "log": "/runs/481/log/apply",
		"override": "/runs/481/override", "environments": "/environments", "history": "/history", "freezes": "/freezes", "audit": "/audit",
		"config": "/config", "deliveries": "/deliveries", "messages": "/messages", "access": "/access", "login": "/login",
		"replay": "/runs/481/replay?at=4", "stop": "/runs/483/stop", "invariant": "/environments/staging/grants", "vantages": "/vantages",
	}
}

// pictureLooks are how each page is pictured, by the end of the file's name.
func pictureLooks() map[string]look {
	return map[string]look{"1440": {1440, false}, "1440-dark": {1440, true}, "390": {390, false}}
}

// pictureSite shows a world without what only tests want to see.
func pictureSite(t *testing.T) *site {
	t.Helper()
	w := readWorld(t)
	w.is.Runs = slices.DeleteFunc(w.is.Runs, func(r upgrade.Run) bool { return r.ID >= 600 })
	w.is.Results[481] = slices.DeleteFunc(w.is.Results[481], func(r upgrade.Result) bool { return r.Gate == "evil gate" })
	now := w.is.Now
	s := newSiteOf(t, w, func(c *server.Config) {
		c.Now, c.Agents, c.PublicURL = w.Now, someAgents{now: w.Now}, "http://gate.example.org" // not the port that it got
		c.Freezes = []server.Freeze{{
			Name: "Black Friday weekend", From: now.AddDate(0, 0, 3), To: now.AddDate(0, 0, 7), Reason: "most of the year's trade", By: "Mira Holt",
		}}
		c.Settings = func() server.Settings {
			return server.Settings{
				File: "/etc/upgradegate/upgradegate.yaml", LoadedAt: now.AddDate(0, 0, -1), Digest: strings.Repeat("5be1", 16),
				Values: []server.Setting{
					{Path: "server.listen", Value: "0.0.0.0:8080", Line: 3},
					{Path: "server.tokens[0].token", Value: "set, from the environment variable HUGO_TOKEN", Line: 6, Secret: true},
					{Path: "server.pace.burst", Value: "200"},
					{Path: "stacks[0].name", Value: "ecs-master", Line: 10},
					{Path: "stacks[0].staging.approval_deadline", Value: "4h"},
				},
			}
		}
	})
	for _, e := range []upgrade.AuditEntry{
		{Who: "by rule", Act: upgrade.ActByRule, On: "run 481", Run: 481, Stack: "ecs-master", Result: upgrade.AuditDone, Detail: "a push to staging started the run"},
		{Who: "Mira Holt", User: 17, Via: "session", From: "203.0.113.7", Act: upgrade.ActApprove, On: "run 481", Run: 481, Stack: "ecs-master", Why: "seen with Priya, both grants come back in aws-accounts", Result: upgrade.AuditAsked},
		{Who: "Priya Raman", Via: "session", From: "203.0.113.9", Act: upgrade.ActOverride, On: "run 481", Run: 481, Stack: "ecs-master", Why: "the site is down, and this brings it back", Result: upgrade.AuditRefused, Detail: "an author may not override their own change"},
	} {
		e.At = now
		if err := s.db.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestPictures takes the pictures of the documentation with -pictures, and says which changed. Without, it holds that
// there is one of each page and that they are small.
func TestPictures(t *testing.T) {
	if *takePictures {
		newPictures(t)
	}
	want, size := map[string]bool{}, int64(0)
	for page := range pictured() {
		for how := range pictureLooks() {
			want[page+"-"+how+".png"] = true
		}
	}
	files, err := os.ReadDir(picturesDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
		if !want[f.Name()] {
			t.Errorf("%s is a picture of no page: remove it", f.Name())
		}
		delete(want, f.Name())
	}
	for name := range want {
		t.Errorf("there is no %s: make pictures", name)
	}
	if size > maxPictures {
		t.Errorf("the pictures have %d bytes, allowed are %d", size, maxPictures)
	}
}

// newPictures takes them all. One that shows the same as the one before is left as it is.
func newPictures(t *testing.T) {
	t.Helper()
	s := pictureSite(t)
	p := openTab(t, s)
	if err := os.MkdirAll(picturesDir, 0o750); err != nil {
		t.Fatal(err)
	}
	diffs, err := os.MkdirTemp("", "upgradegate-pictures-") //nolint:usetesting // somebody is to look at them
	if err != nil {
		t.Fatal(err)
	}
	var look []string
	pages := pictured()
	for page, path := range sorted(pages) {
		for how, l := range sorted(pictureLooks()) {
			name := page + "-" + how + ".png"
			after := picture.Reduce(p.picture(path, l))
			share, differs, isNew := compareFile(t, filepath.Join(picturesDir, name), after)
			switch {
			case isNew:
				t.Logf("%-28s new", name)
			case share == 0:
				continue
			default:
				t.Logf("%-28s %.2f %% of its pixels differ", name, 100*share)
				writePicture(t, filepath.Join(diffs, name), differs)
				look = append(look, filepath.Join(diffs, name))
			}
			writePicture(t, filepath.Join(picturesDir, name), after)
		}
	}
	if len(look) == 0 {
		t.Log("no picture that was there before has changed")
		if err := os.Remove(diffs); err != nil {
			t.Error(err)
		}
		return
	}
	t.Logf("%d changed. What differs is red in these; look at each before you commit:\n%s", len(look), strings.Join(look, "\n"))
}

// sorted walks over a map in the order of its keys.
func sorted[V any](m map[string]V) func(yield func(string, V) bool) {
	return func(yield func(string, V) bool) {
		keys := make([]string, 0, len(m))
		for key := range m {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}

// picture returns what a page looks like once it is at rest.
func (p *tab) picture(path string, l look) image.Image {
	p.Helper()
	p.Show(chrome.Media{Dark: l.dark})
	p.Size(l.width)
	p.Open(path)
	const frames = `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`
	eval[bool](p, `document.fonts.ready.then(() => `+frames+`)`)
	p.Run("let go of the focus, which a field may have taken by now", `document.activeElement?.blur(); scrollTo(0, 0)`)
	eval[bool](p, frames)
	all, err := png.Decode(bytes.NewReader(p.Whole()))
	if err != nil {
		p.Fatalf("decode the picture of %s: %v", path, err)
	}
	bounds := all.Bounds()
	part, ok := all.(interface {
		SubImage(r image.Rectangle) image.Image
	})
	if !ok || bounds.Dy() <= highest {
		return all
	}
	bounds.Max.Y = bounds.Min.Y + highest
	return part.SubImage(bounds)
}

func compareFile(t *testing.T, path string, after image.Image) (share float64, differs image.Image, isNew bool) {
	t.Helper()
	file, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, true
	}
	if err != nil {
		t.Fatal(err)
	}
	before, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(fmt.Errorf("decode %s: %w", path, err))
	}
	share, differs = picture.Compare(before, after)
	return share, differs, false
}

func writePicture(t *testing.T, path string, p image.Image) {
	t.Helper()
	body, err := picture.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, body, 0o644); err != nil {
		t.Fatal(err)
	}
}
