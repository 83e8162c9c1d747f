package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/internal/testkit/chrome"
)

// refused has somebody ask for something who may not, on the page itself: there is no form, or what they sent is
// answered with words and changes nothing.
func (th *theatre) refused(t *testing.T, who, page, want string) {
	t.Helper()
	p := th.tab(t, who)
	p.Open(page)
	if chrome.Eval[bool](p, `document.querySelector("#reason") !== null`) {
		fill(p, "body", "I would like to have it very much")
		p.Click("main button.risky")
		p.Until(`document.querySelector(".note.bad") !== null`)
	}
	said := chrome.Eval[string](p, `[...document.querySelectorAll("main .note.bad, main .note.idle")].map(e => e.textContent).join(" ")`)
	if !strings.Contains(said, want) {
		t.Errorf("%s is told %q at %s, want %q", who, said, page, want)
	}
}

// fill gives a reason, and ticks what has to be ticked.
func fill(p *chrome.Tab, within, reason string) {
	p.Helper()
	p.Run("empty the field", `document.querySelector("`+within+` #reason").value = ""`)
	p.Type(within+" #reason", reason)
	if chrome.Eval[bool](p, `document.querySelector("`+within+` input[name=box]") !== null`) {
		p.Click(within + " input[name=box]")
	}
}

// ask has somebody open a question from the page of the run, where it opens as a dialog, and say yes.
func ask(p *chrome.Tab, path, act, reason string) {
	p.Helper()
	p.Open(path)
	p.Click(`.next a[href="` + path + `/` + act + `"]`)
	p.Until(`document.querySelector("dialog[open] #reason") !== null`)
	fill(p, "dialog", reason)
	p.Click("dialog button.risky")
	p.Until(`location.search === "?done=` + act + `" && document.querySelector("main [role=status]") !== null`)
}

// agree has a person agree to a plan in the browser; whoever wrote it, or may only look, cannot.
func (th *theatre) agree(t *testing.T, path string) {
	t.Helper()
	th.refused(t, "priya", path+"/approve", "Priya wrote some of this change, so it takes somebody else's yes")
	th.refused(t, "vera", path+"/approve", "It needs the role release manager; yours is viewer")
	p := th.tab(t, "hugo")
	p.Open(path)
	p.Click(".next > .btn")
	p.Until(`document.querySelector("dialog[open] .seen") !== null`)
	if seen := chrome.Eval[string](p, `document.querySelector("dialog .seen").textContent`); !strings.Contains(seen, "aws_vpc_security_group_ingress_rule.lb") {
		t.Errorf("what is agreed to is %q, want the rule's name", seen)
	}
	p.Keys("\u001b")
	ask(p, path, "approve", "the rule of the old load balancer goes")
	p.Until(`!document.querySelector(".verdict .chip").textContent.includes("Needs a yes")`)
}

// override has two release managers open production over what a gate said. Whoever wrote it, asks twice, or may only
// look, cannot. It shows on the run, the board, in the history, the audit log, and in GitLab.
func (th *theatre) override(t *testing.T, path string) {
	t.Helper()
	const first, second = "the lesson begins in an hour, and nobody scales", "I looked at the group: it has what it needs today"
	hugo, rene, board := th.tab(t, "hugo"), th.tab(t, "rene"), th.tab(t, "hugo at the board")
	page := path + "/override"
	th.refused(t, "vera", page, "It needs the role release manager; yours is viewer")
	th.refused(t, "priya", page, "Priya wrote some of this change, so it takes somebody else's yes")
	ask(hugo, path, "override", first)
	hugo.Until(`document.querySelector(".verdict").textContent.includes("hugo asks to override this. A second release manager must agree by ")`)
	still := chrome.Eval[verdict](hugo, readVerdict)
	if still.Chip != "Blocked" {
		t.Errorf("with one person the run is %s", still.Chip)
	}
	th.refused(t, "hugo", page, "It takes a second release manager")
	th.refused(t, "priya", page, "Priya wrote some of this change, so it takes somebody else's yes")
	hugo.Open(path)
	if off := chrome.Eval[string](hugo, `document.querySelector(".next .off")?.textContent ?? ""`); !strings.Contains(off, "Agree to the override… (needs a second release manager)") {
		t.Errorf("hugo, who asked for it, is offered %q", off)
	}
	if again := read(hugo, path); again.Chip != "Blocked" || again.Headline != still.Headline {
		t.Errorf("with one person who asked twice it is %s: %s", again.Chip, again.Headline)
	}

	ask(rene, path, "override", second)
	const headline = "Unlocked by hugo and rene although 1 gate failed."
	rene.Until(`document.querySelector("h1").textContent === "` + headline + `"`)
	rene.Until(`document.querySelector(".reasons")?.textContent.includes("the override ends")`)
	over := chrome.Eval[verdict](rene, readVerdict)
	note := chrome.Eval[string](rene, `document.querySelector(".verdict .note.over").textContent`)
	for _, want := range []string{"hugo and rene", "The lesson begins in an hour", "Client.InvalidKMSKey.InvalidState"} {
		if !strings.Contains(note, want) {
			t.Errorf("the run says %q of its override, want %q", note, want)
		}
	}
	if over.Chip != "Overridden" {
		t.Errorf("it is %s for %v", over.Chip, over.Reasons)
	}
	sameOnBoard(board, path, over)
	th.says(t, "/history", `tr:has(a[href="`+path+`"])`, "Overridden")
	th.says(t, "/audit", "table", first, second, "Refused", "priya", "hugo", "rene")
	open := chrome.Eval[string](rene, `document.querySelector(".next > .btn").href`)
	rene.Run("open GitLab", fmt.Sprintf("location.assign(%q)", open))
	rene.Until(`document.body?.textContent.includes("upgrade-gate: success")`)
}

// says demands that a part of a page says all of it.
func (th *theatre) says(t *testing.T, page, part string, want ...string) {
	t.Helper()
	p := th.tab(t, "hugo")
	p.Open(page)
	text := chrome.Eval[string](p, fmt.Sprintf(`document.querySelector(%q)?.textContent ?? "nothing"`, part))
	for _, words := range want {
		if !strings.Contains(text, words) {
			t.Errorf("%s says %q, want %q", page, text, words)
		}
	}
}
