package browser

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/internal/testkit/chrome"
)

// axeSum is the SHA-256 of axe.min.js of the package axe-core 4.14.1 as npm has it.
const axeSum = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"

func readAxe(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/axe-4.14.1.min.js")
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != axeSum {
		t.Fatalf("axe has the checksum %x, want %s", sum, axeSum)
	}
	return string(text)
}

// violation is a broken rule and where.
type violation struct {
	Rule, Help string
	Where      []string
}

// axe runs the rules over the open page. All of them, or those that depend on colours and on width.
func (p *tab) axe(looks bool) []violation {
	p.Helper()
	options := `rules: {"target-size": {enabled: true}}`
	if looks {
		options = `runOnly: {type: "rule", values: ["color-contrast", "target-size", "link-in-text-block", "scrollable-region-focusable"]}`
	}
	return eval[[]violation](p, `axe.run(document, {resultTypes: ["violations"], preload: false, iframes: false, `+options+`})
		.then(r => r.violations.map(v => ({rule: v.id, help: v.help, where: v.nodes.map(n => n.target.join(" ") + "\n" + n.html.slice(0, 200) + "\n" + n.failureSummary)})))`)
}

func (v violation) String() string {
	return fmt.Sprintf("%s: %s, %d times\n%s", v.Rule, v.Help, len(v.Where), strings.Join(v.Where[:min(len(v.Where), 3)], "\n"))
}

// wide are the elements that stick out, and the page's own width.
const wide = `(() => {
	const page = document.scrollingElement, w = innerWidth;
	if (page.scrollWidth <= w) return [];
	return ["the page is " + page.scrollWidth + " px wide"].concat([...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > w + 0.5).slice(0, 5).map(e => e.outerHTML.slice(0, 160)));
})()`

// look is how a page is looked at.
type look struct {
	width int64
	dark  bool
}

// looks are all looks, and few those in which one page of a kind whose others had all of them is seen: the
// widest and the narrowest.
func looks() (all, few []look) {
	for _, width := range []int64{1440, 390, 320} {
		all = append(all, look{width, false}, look{width, true})
	}
	return all, []look{all[0], all[5]}
}

// see looks at a page. It is loaded once: that its layout follows the window is a part of what is tested.
func (p *tab) see(axe, path string, looks []look) {
	p.Helper()
	p.Show(chrome.Media{Dark: false})
	p.Size(1440)
	p.Open(path)
	if got := eval[int](p, `performance.getEntriesByType("navigation")[0].responseStatus`); got >= 500 {
		p.Errorf("%s answers %d", path, got)
	}
	p.Run("load axe", axe)
	p.Run("open all sections", `document.querySelectorAll("main details").forEach(d => d.open = true)`)
	for i, l := range looks {
		p.Size(l.width)
		p.Show(chrome.Media{Dark: l.dark})
		for _, v := range p.axe(i > 0) {
			p.Errorf("%s, %d px wide, dark %v:\n%s", path, l.width, l.dark, v)
		}
		if out := eval[[]string](p, wide); l.width < 1440 && len(out) > 0 {
			p.Errorf("%s, %d px wide, scrolls sideways: %s", path, l.width, strings.Join(out, "\n"))
		}
	}
}

// samples are addresses of routes that need more than the number of a run.
func samples() map[string]string {
	return map[string]string{
		"/environments/:env/:invariant": "", "/environments/:env/:invariant/:stack": "", // those that /environments links
		"/runs/:id/log/:stage": "/runs/481/log/apply", "/runs/:id/replay": "/runs/481/replay?at=4",
	}
}

// notPages are the routes of which a reader sees no page: why.
func notPages() map[string]string {
	return map[string]string{
		"/events": "a stream", "/static/:name": "a file", "/healthz": "a word", "/readyz": "a word", "/metrics": "numbers",
		"/login/:provider": "leads to the provider", "/login/:provider/callback": "leads back from it",
	}
}

var routeLine = regexp.MustCompile("(?m)^\\| `GET (/[^`]*)`")

// pages are the addresses of all pages: every route that the server has is one, or is known to be none.
func pages(t *testing.T) (paths []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/authorisation.md") // which a test keeps true, from the server's own list
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range routeLine.FindAllStringSubmatch(string(text), -1) {
		route := m[1]
		if _, none := notPages()[route]; none || strings.HasPrefix(route, "/api/") || strings.Contains(route, "/parts/") {
			continue
		}
		path, known := samples()[route]
		if !known {
			path = strings.Replace(route, ":id", "481", 1)
		}
		if strings.Contains(path, ":") {
			t.Errorf("nobody looks at %s: give it a sample, or say why it is no page", route)
		} else if path != "" {
			paths = append(paths, path)
		}
	}
	if len(paths) < 20 {
		t.Fatalf("only %d pages were found: %q", len(paths), paths)
	}
	return append(paths, "/no/such/page")
}

// TestPages looks at every page, in each theme and width, in the system's own colours, and on paper.
func TestPages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	axe, tabs := readAxe(t), make(chan *tab, 2)
	for range cap(tabs) {
		tabs <- openTab(t, s)
	}
	all, few := looks()
	see := func(name, path string, looks []look, media bool) {
		t.Run(strings.NewReplacer("/", "_", "?", "_").Replace(strings.Trim(name, "/")), func(t *testing.T) {
			t.Parallel()
			p := <-tabs
			defer func() { tabs <- p }()
			in := &tab{Tab: p.In(t), site: s}
			in.see(axe, path, looks)
			if media {
				in.forced(path)
				in.paper(path)
			}
		})
	}
	for _, path := range pages(t) {
		if strings.HasPrefix(path, "/runs/481/") && !slices.Contains([]string{"/runs/481/plan", "/runs/481/log/apply", "/runs/481/override", "/runs/481/replay?at=4"}, path) {
			see(path, path, few, false) // a question as the override is
			continue
		}
		see(path, path, all, true)
	}
	p := <-tabs
	p.Open("/environments")
	invariants := eval[[]string](p, `[...new Set([...document.querySelectorAll("main a[href^='/environments/']")].map(a => a.getAttribute("href")))]`)
	tabs <- p
	if len(invariants) < len(s.world.is.Standings) {
		t.Errorf("the environments link %d invariants, there are %d: %q", len(invariants), len(s.world.is.Standings), invariants)
	}
	for i, path := range invariants {
		see(path, path, few, i == 0)
	}
	for i, name := range s.world.is.Fixtures {
		see("fixture_"+name, fmt.Sprintf("/runs/%d", 600+i), few, false)
	}
}

// forced looks at the open page in the system's own few colours: what had a tint has an edge instead.
func (p *tab) forced(path string) {
	p.Helper()
	p.Size(1440)
	p.Show(chrome.Media{Forced: true})
	for _, e := range eval[[]string](p, `(() => {
		if (!matchMedia("(forced-colors: active)").matches) return ["the colours are not forced"];
		const edged = (e) => ["Top", "Right", "Bottom", "Left"].some(s => getComputedStyle(e)["border" + s + "Style"] !== "none" && parseFloat(getComputedStyle(e)["border" + s + "Width"]) > 0);
		const bare = [...document.querySelectorAll(".btn,.chip,.verdict,.gate,.card,.note,.banner,input:not([type=hidden],[type=checkbox],[type=range]),textarea,select")].filter(e => e.checkVisibility() && !edged(e));
		const lost = [...document.querySelectorAll("main svg.i")].filter(e => e.checkVisibility() && getComputedStyle(e).color === getComputedStyle(document.body).backgroundColor);
		return bare.map(e => "no edge: " + e.outerHTML.slice(0, 120)).concat(lost.map(e => "not to be seen: " + e.outerHTML)).slice(0, 5);
	})()`) {
		p.Errorf("%s in forced colours: %s", path, e)
	}
}

// paper looks at the open page as it is printed: what is closed is open, and there is nothing to press.
func (p *tab) paper(path string) {
	p.Helper()
	p.Run("close all sections", `document.querySelectorAll("main details").forEach(d => d.open = false)`)
	p.Show(chrome.Media{Print: true})
	for _, e := range eval[[]string](p, `(() => {
		if (!matchMedia("print").matches) return ["it is not printed"];
		const there = (e) => e.checkVisibility({contentVisibilityAuto: true, visibilityProperty: true}) && e.getClientRects().length > 0;
		const press = [...document.querySelectorAll("button,.btn,header nav a,input,select,textarea,dialog,.jump")].filter(there);
		const closed = [...document.querySelectorAll("main details.gate, main details.sub")].filter(d => ![...d.children].some(c => c.localName !== "summary" && there(c)));
		const out = press.map(e => "to press: " + e.outerHTML.slice(0, 120)).concat(closed.map(e => "closed: " + e.outerHTML.slice(0, 120)));
		if (!document.querySelector("h1") || !there(document.querySelector("h1"))) out.push("no headline");
		return out.slice(0, 5);
	})()`) {
		p.Errorf("%s on paper: %s", path, e)
	}
	p.Show(chrome.Media{})
}

// TestWithoutScript: without JavaScript every page has what it has with it, says that it is not live, and its forms
// are sent.
func TestWithoutScript(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p, without := openTab(t, s), openTab(t, s)
	without.Scripts(false)
	const text = `document.querySelector("main").innerText.replace(/\d+.(s|min) ago|just now|a moment/g, "then")`
	for _, path := range []string{"/", "/runs/481", "/runs/481/plan", "/environments", "/history", "/freezes", "/audit", "/config", "/runs/481/override"} {
		p.Open(path)
		without.Open(path)
		if with, got := eval[string](p, text), eval[string](without, text); got != with || got == "" {
			t.Errorf("%s reads\n%s\nwithout scripts, and with them\n%s", path, got, with)
		}
	}
	without.Open("/runs/481")
	if got := eval[string](without, `document.querySelector("noscript").innerText + getComputedStyle(document.querySelector("#conn")).visibility`); got != "Live updates are off. Reload to refresh.hidden" {
		t.Errorf("without scripts the page says %q of being live", got)
	}
	without.Click(`.next a[href="/runs/481/override"]`)
	without.Until(`location.pathname === "/runs/481/override" && document.querySelector("#reason") !== null`)
	without.Click(`header form[action="/theme"] button`)
	without.Until(`location.pathname === "/runs/481/override" && document.documentElement.dataset.theme === "light"`)
	without.Click(".menu summary")
	without.Click(`form[action="/logout"] button`)
	without.Until(`location.pathname === "/login"`)
	without.Open("/")
	without.Until(`location.pathname === "/login"`)
}
