package browser

import (
	"testing"
)

// TestTabOrder: everything that can be pressed is reached with Tab alone, in reading order, and is seen when it is. The
// first Tab skips to the content, and what to do comes before the evidence.
func TestTabOrder(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := openTab(t, s)
	for _, path := range []string{"/", "/runs/481", "/runs/481/override"} {
		p.Open(path)
		want := eval[int](p, `(() => {
			window.stops = [...document.querySelectorAll("a[href],button,summary,input:not([type=hidden]),textarea,select,[tabindex='0']")].filter(e => e.checkVisibility({contentVisibilityAuto: true, visibilityProperty: true}) && !e.disabled);
			window.reached = []; window.unseen = [];
			document.addEventListener("focusin", e => {
				reached.push(e.target);
				const c = getComputedStyle(e.target);
				if (c.outlineStyle === "none" || parseFloat(c.outlineWidth) < 2) unseen.push(e.target.outerHTML.slice(0, 120));
			});
			return stops.length;
		})()`)
		for range want + 3 { // some browsers stop at what scrolls, too
			p.Keys("\t")
		}
		if first := eval[string](p, `reached[0]?.textContent ?? ""`); first != "Skip to content" {
			t.Errorf("%s: the first Tab goes to %q", path, first)
		}
		for _, wrong := range eval[[]string](p, `stops.filter(e => !reached.includes(e)).map(e => "never reached: " + e.outerHTML.slice(0, 120))
			.concat(stops.filter((e, i) => i > 0 && reached.indexOf(e) < reached.indexOf(stops[i - 1])).map(e => "out of order: " + e.outerHTML.slice(0, 120)))
			.concat(unseen.map(e => "the focus is not seen: " + e)).slice(0, 5)`) {
			t.Errorf("%s: %s", path, wrong)
		}
	}
	p.Open("/runs/481")
	if !eval[bool](p, `!!(document.querySelector(".next .btn").compareDocumentPosition(document.querySelector("#gates")) & Node.DOCUMENT_POSITION_FOLLOWING)`) {
		t.Error("the evidence comes before what to do")
	}
	p.Keys("\t\r\t")
	p.Until(`location.hash === "#main" && document.querySelector("main").contains(document.activeElement)`)
}
