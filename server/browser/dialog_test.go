package browser

import (
	"testing"
)

// TestQuestionOpensAsDialog: a question is asked over the page, gives the focus back, and loses nothing of the
// page behind it; what was typed into it is what is sent.
func TestQuestionOpensAsDialog(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := openTab(t, s)
	p.Open("/runs/481")
	p.Until(`document.querySelector("#conn-text").textContent === "Live"`)
	p.Run("ask", `window.opener0 = document.querySelector('a[href$="/override"]'); opener0.focus(); opener0.click()`)
	p.Until(`document.querySelector("dialog[open] #reason") !== null`)
	if got := eval[string](p, `location.pathname + " " + document.querySelector("dialog[open]").getAttribute("aria-labelledby") + " " + document.querySelector("#asked").textContent`); got != "/runs/481 asked Unlock production for ecs-master 5.2.0 all the same?" {
		t.Errorf("asked at %s", got)
	}
	p.Type("dialog #reason", "the site is down")
	if got := eval[string](p, `new FormData(document.querySelector("dialog[open] form")).get("reason")`); got != "the site is down" {
		t.Errorf("the form holds %q", got)
	}
	p.Keys("\u001b")
	p.Until(`document.querySelector("dialog[open]") === null`)
	if !eval[bool](p, `document.activeElement === opener0 && document.querySelector("#reason") === null`) {
		t.Error("the focus did not go back, or the question is still there")
	}
	p.Run("ask again", `opener0.click()`)
	p.Until(`document.querySelector("dialog[open] a.btn") !== null`)
	p.Run("keep it locked", `document.querySelector("dialog[open] a.btn").click()`)
	p.Until(`document.querySelector("dialog[open]") === null && location.pathname === "/runs/481"`)
}

// TestComfortKeys: they go where the list says, not while somebody types, and not when they are off.
func TestComfortKeys(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := openTab(t, s)
	p.Open("/runs/481")
	p.Keys("?")
	p.Until(`document.querySelector("#keys").open`)
	p.Keys("\u001b")
	p.Until(`!document.querySelector("#keys").open`)
	p.Keys("j")
	p.Until(`document.activeElement.matches(".gate > summary")`)
	before := eval[bool](p, `document.activeElement.parentElement.open`)
	p.Keys("o")
	if eval[bool](p, `document.activeElement.parentElement.open`) == before {
		t.Error("o did nothing")
	}
	p.Keys(".")
	p.Until(`document.activeElement.matches(".next .btn")`)
	p.Keys("gh")
	p.Until(`location.pathname === "/history" && document.readyState === "complete"`)
	p.Keys("/")
	p.Until(`document.activeElement.id === "q"`)
	p.Run("empty the field", `document.querySelector("#q").value = ""`) // this browser's driver types the key all the same
	p.Keys("gu?")
	if got := eval[string](p, `location.pathname + " " + document.querySelector("#q").value`); got != "/history gu?" {
		t.Errorf("typed %s", got)
	}
	p.Run("switch off", `document.querySelector("#q").blur(); document.querySelector("#keys-on").click()`)
	p.Keys("gu?")
	if !eval[bool](p, `location.pathname === "/history" && !document.querySelector("#keys").open`) {
		t.Error("keys that are off do something")
	}
}
