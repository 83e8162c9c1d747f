package browser

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
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

func TestPages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := openTab(t, s)
	axe := readAxe(t)
	p.Open("/runs/481")
	paths := eval[[]string](p, `[...document.querySelectorAll("header nav a")].map(a => a.getAttribute("href"))`)
	if len(paths) < 3 {
		t.Fatalf("the navigation has %q", paths)
	}
	paths = append(paths, "/runs/481", "/access", "/config", "/deliveries", "/messages", "/vantages", "/login", "/no/such/page", "/runs/481/log/apply", "/runs/481/override", "/runs/481/rerun", "/runs/481/replay?at=4")
	all, few := looks()
	for _, path := range paths {
		p.named(t, path, func(p *tab) { p.see(axe, path, all) })
	}
	for _, act := range []string{"stop", "lock", "retry", "rehearse", "approve", "refuse", "resolve"} {
		path := "/runs/481/" + act
		p.named(t, path, func(p *tab) { p.see(axe, path, few) })
	}
	p.Open("/environments")
	invariants := eval[[]string](p, `[...new Set([...document.querySelectorAll("main a[href^='/environments/']")].map(a => a.getAttribute("href")))]`)
	if len(invariants) < len(s.world.is.Standings) {
		t.Errorf("the environments link %d invariants, there are %d: %q", len(invariants), len(s.world.is.Standings), invariants)
	}
	for _, path := range invariants {
		p.named(t, path, func(p *tab) { p.see(axe, path, few) })
	}
	for i, name := range s.world.is.Fixtures {
		p.named(t, "fixture_"+name, func(p *tab) { p.see(axe, fmt.Sprintf("/runs/%d", 600+i), few) })
	}
}

// named runs a subtest in the same tab.
func (p *tab) named(t *testing.T, name string, test func(*tab)) {
	t.Helper()
	t.Run(strings.NewReplacer("/", "_", "?", "_").Replace(strings.Trim(name, "/")), func(t *testing.T) {
		in := &tab{Tab: p.In(t), site: p.site}
		test(in)
	})
}
