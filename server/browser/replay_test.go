package browser

import (
	"testing"

	"github.com/upgradegate/upgradegate/internal/testkit/chrome"
)

// TestReplay: a journal plays by itself, can be held and moved in, and is there without scripts.
func TestReplay(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := openTab(t, s)
	const number = `document.querySelector("#scene .next h2").textContent`

	p.Open("/runs/481/replay")
	p.Until(number + ` !== "Event 1 of 9" && document.querySelector("#play").textContent === "Pause"`)
	p.Run("take hold of the slider", `const s = document.querySelector("#slider"); s.focus(); s.value = s.max; s.dispatchEvent(new Event("input"))`)
	p.Until(number + ` === "Event 9 of 9" && document.querySelector("#play").textContent === "Play again"`)
	if at := eval[string](p, `document.querySelector(".journal [aria-current]").dataset.seq`); at != "9" {
		t.Errorf("event %s is marked in the journal", at)
	}
	if !eval[bool](p, `document.activeElement.id === "slider"`) {
		t.Error("the focus left the slider")
	}

	p.Show(chrome.Media{}) // with as little motion as can be
	p.Open("/runs/481/replay")
	p.Until(`document.querySelector("#play").textContent === "Play"`)
	s.refusing("/runs/481/replay/parts/scene")
	p.Click("#play")
	p.Until(`document.querySelector("#said").textContent === "The server did not answer. Try again." && document.querySelector("#play").textContent === "Play"`)
	s.refusing("")
	p.Click("#play")
	p.Until(number + ` === "Event 9 of 9"`)

	p.Scripts(false)
	p.Open("/runs/481/replay")
	p.Click(`a[rel="next"]`)
	p.Scripts(true)
	p.Until(number + ` === "Event 2 of 9"`)
}

// TestPaper: what is printed has its evidence open, and nothing to press.
func TestPaper(t *testing.T) {
	t.Parallel()
	p := openTab(t, newSite(t))
	p.Open("/runs/481")
	const shown = `(q => [...document.querySelectorAll(q)].filter(e => e.checkVisibility({contentVisibilityAuto: true})).length)`
	closed := eval[int](p, `document.querySelectorAll("main details:not([open])").length`)
	hidden := eval[int](p, shown+`("main details:not([open]) > .pad")`)
	p.Show(chrome.Media{Print: true})
	open := eval[int](p, `[...document.querySelectorAll("main details:not([open]) > .pad")].filter(e => e.getBoundingClientRect().height > 0).length`)
	pads := eval[int](p, `document.querySelectorAll("main details:not([open]) > .pad").length`)
	if closed == 0 || hidden != 0 || open != pads {
		t.Errorf("of %d closed gates %d are open on paper, %d on a screen", pads, open, hidden)
	}
	if n := eval[int](p, shown+`(".btn, button, .quietlinks a, .bar")`); n != 0 {
		t.Errorf("%d buttons are printed", n)
	}
	if n := eval[int](p, shown+`("h1, .do, .prod")`); n < 3 {
		t.Errorf("of headline, next step and production only %d are printed", n)
	}
}

// TestForcedColours: with the system's own few colours, the deciding step and what is pressed still have their edges.
func TestForcedColours(t *testing.T) {
	t.Parallel()
	p := openTab(t, newSite(t))
	p.Open("/runs/481")
	p.Show(chrome.Media{Forced: true})
	if !eval[bool](p, `matchMedia("(forced-colors: active)").matches`) {
		t.Skip("this browser does not pretend to have forced colours")
	}
	const edge = `((q, side) => getComputedStyle(document.querySelector(q))["border" + side + "Color"])`
	if now, other := eval[string](p, edge+`(".rail [aria-current]", "Bottom")`), eval[string](p, edge+`(".rail li:not([aria-current])", "Bottom")`); now == other {
		t.Errorf("the deciding step has the edge of the others: %s", now)
	}
	if width := eval[string](p, `getComputedStyle(document.querySelector(".btn.main")).borderTopWidth`); width != "3px" {
		t.Errorf("the one filled button has an edge of %s", width)
	}
	if n := eval[int](p, `[...document.querySelectorAll("main .i")].filter(e => e.checkVisibility()).length`); n < 10 {
		t.Errorf("%d icons are left", n)
	}
}
