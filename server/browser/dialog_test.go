package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// TestQuestionOpensAsDialog: a question is asked over the page, gives the focus back, and loses nothing of the
// page behind it; what was typed into it is what is sent.
func TestQuestionOpensAsDialog(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := openTab(t, s)
	p.open("/runs/481")
	p.until(`document.querySelector("#conn-text").textContent === "Live"`)
	p.do("ask", loadScript(`window.opener0 = document.querySelector('a[href$="/override"]'); opener0.focus(); opener0.click()`))
	p.until(`document.querySelector("dialog[open] #reason") !== null`)
	if got := eval[string](p, `location.pathname + " " + document.querySelector("dialog[open]").getAttribute("aria-labelledby") + " " + document.querySelector("#asked").textContent`); got != "/runs/481 asked Unlock production for ecs-master 5.2.0 all the same?" {
		t.Errorf("asked at %s", got)
	}
	p.do("type", chromedp.SendKeys(chromedp.CSS("dialog #reason"), "the site is down"))
	if got := eval[string](p, `new FormData(document.querySelector("dialog[open] form")).get("reason")`); got != "the site is down" {
		t.Errorf("the form holds %q", got)
	}
	p.do("press Escape", chromedp.KeyEvent("\u001b"))
	p.until(`document.querySelector("dialog[open]") === null`)
	if !eval[bool](p, `document.activeElement === opener0 && document.querySelector("#reason") === null`) {
		t.Error("the focus did not go back, or the question is still there")
	}
	p.do("ask again", loadScript(`opener0.click()`))
	p.until(`document.querySelector("dialog[open] a.btn") !== null`)
	p.do("keep it locked", loadScript(`document.querySelector("dialog[open] a.btn").click()`))
	p.until(`document.querySelector("dialog[open]") === null && location.pathname === "/runs/481"`)
}

// TestComfortKeys: they go where the list says, not while somebody types, and not when they are off.
func TestComfortKeys(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := openTab(t, s)
	p.open("/runs/481")
	p.do("ask for the list", chromedp.KeyEvent("?"))
	p.until(`document.querySelector("#keys").open`)
	p.do("close it", chromedp.KeyEvent("\u001b"))
	p.until(`!document.querySelector("#keys").open`)
	p.do("next gate", chromedp.KeyEvent("j"))
	p.until(`document.activeElement.matches(".gate > summary")`)
	before := eval[bool](p, `document.activeElement.parentElement.open`)
	p.do("open or close", chromedp.KeyEvent("o"))
	if eval[bool](p, `document.activeElement.parentElement.open`) == before {
		t.Error("o did nothing")
	}
	p.do("next step", chromedp.KeyEvent("."))
	p.until(`document.activeElement.matches(".next .btn")`)
	p.do("go", chromedp.KeyEvent("gh"))
	p.until(`location.pathname === "/history" && document.readyState === "complete"`)
	p.do("search", chromedp.KeyEvent("/"))
	p.until(`document.activeElement.id === "q"`)
	p.do("empty the field", loadScript(`document.querySelector("#q").value = ""`)) // this browser's driver types the key all the same
	p.do("type", chromedp.KeyEvent("gu?"))
	if got := eval[string](p, `location.pathname + " " + document.querySelector("#q").value`); got != "/history gu?" {
		t.Errorf("typed %s", got)
	}
	p.do("switch off", loadScript(`document.querySelector("#q").blur(); document.querySelector("#keys-on").click()`))
	p.do("go", chromedp.KeyEvent("gu?"))
	if !eval[bool](p, `location.pathname === "/history" && !document.querySelector("#keys").open`) {
		t.Error("keys that are off do something")
	}
}
