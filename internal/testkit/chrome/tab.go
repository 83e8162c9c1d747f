package chrome

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// patience bounds each wait for something that a page is to come to.
const patience = 30 * time.Second

// Tab is one page of a browser, with cookies that no other tab has. What does not work ends the test.
type Tab struct {
	*testing.T
	URL string // of the site, without a slash at its end

	ctx context.Context //nolint:containedctx // it is the tab
}

// Open opens a tab, 1440 px wide. A test that fails leaves a picture of what it shows.
func (b *Browser) Open(t *testing.T, url string) *Tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.start(t), chromedp.WithNewBrowserContext())
	p := &Tab{T: t, URL: url, ctx: ctx}
	if err := chromedp.Do(ctx); err != nil { // without a limit of time: it would be the tab's
		t.Fatalf("open a tab: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			p.Picture("failed.png")
		}
		cancel()
	})
	p.Size(1440)
	return p
}

// In is the same tab within a subtest. One that fails leaves a picture too.
func (p *Tab) In(t *testing.T) *Tab {
	t.Helper()
	in := *p
	in.T = t
	t.Cleanup(func() {
		if t.Failed() {
			in.Picture("failed.png")
		}
	})
	return &in
}

// run runs an action within the limit.
func run[T any](p *Tab, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, action)
}

// Do does something; what says what, for who reads the failure.
func (p *Tab) Do(what string, action chromedp.Action[chromedp.Void]) {
	p.Helper()
	if _, err := run(p, action); err != nil {
		p.Fatalf("%s: %v", what, err)
	}
}

// Open goes to a page of the site and waits until it has loaded.
func (p *Tab) Open(path string) {
	p.Helper()
	p.Do("open "+path, chromedp.Navigate(p.URL+path))
}

// Size gives the tab a width in CSS pixels.
func (p *Tab) Size(width int64) {
	p.Helper()
	p.Do("resize", chromedp.EmulateViewport(width, 900))
}

// Media is what a page is shown on.
type Media struct {
	Dark   bool // dark colours, as the system's setting asks for them
	Forced bool // the system's own few colours
	Print  bool // paper
}

// Show has the page shown so, with as little motion as can be.
func (p *Tab) Show(m Media) {
	p.Helper()
	features := []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}, {Name: "prefers-color-scheme", Value: "light"}}
	if m.Dark {
		features[1].Value = "dark"
	}
	if m.Forced {
		features = append(features, &emulation.MediaFeature{Name: "forced-colors", Value: "active"})
	}
	media := ""
	if m.Print {
		media = "print"
	}
	call(p, "choose the media", emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: media, Features: features})
}

// Scripts turns the scripts of the pages that are opened from now on on or off.
func (p *Tab) Scripts(on bool) {
	p.Helper()
	call(p, "turn scripts on or off", emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
}

// First has a script run in every page before its own.
func (p *Tab) First(script string) {
	p.Helper()
	call(p, "add a script", page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
}

func call[P, R any](p *Tab, what string, command cdp.Command[P, R], params P) {
	p.Helper()
	p.Do(what, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	}))
}

// Run runs a script whose value nobody wants.
func (p *Tab) Run(what, script string) {
	p.Helper()
	p.Do(what, chromedp.Evaluate[chromedp.Void](script+"\n;undefined"))
}

// Keys presses keys, one after the other.
func (p *Tab) Keys(keys string) {
	p.Helper()
	p.Do("press "+strconv.Quote(keys), chromedp.KeyEvent(keys))
}

// Type types a text into the field that a selector finds.
func (p *Tab) Type(selector, text string) {
	p.Helper()
	p.Do("type into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// Click clicks on what a selector finds, in its middle, as a mouse does.
func (p *Tab) Click(selector string) {
	p.Helper()
	p.Do("click on "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// Move moves the pointer there, in CSS pixels of the window.
func (p *Tab) Move(x, y float64) {
	p.Helper()
	p.Do("move the pointer", chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x, y))
}

// Eval returns the value of an expression, which may be a promise.
func Eval[T any](p *Tab, expression string) T {
	p.Helper()
	value, err := run(p, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("evaluate %.200s: %v", expression, err)
	}
	return value
}

// Until waits for an expression to become true. It asks from outside: the page's clock may run as a test wants,
// and a page that is left takes a question with it.
func (p *Tab) Until(expression string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	for {
		is, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if is && err == nil {
			return
		}
		select {
		case <-ctx.Done():
			p.Fatalf("waited %v for %s: %v", patience, expression, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Picture keeps what the tab shows.
func (p *Tab) Picture(name string) {
	p.Helper()
	image, err := run(p, chromedp.CaptureScreenshot())
	if err != nil {
		p.Logf("no picture: %v", err)
		return
	}
	path := filepath.Join(p.ArtifactDir(), name)
	if err := os.WriteFile(path, image, 0o600); err != nil {
		p.Logf("no picture: %v", err)
		return
	}
	kept := "with -artifacts it is kept"
	if f := flag.Lookup("test.artifacts"); f != nil && f.Value.String() == "true" {
		kept = path
	}
	p.Logf("there is a picture of what the page showed: %s", kept)
}

// Whole returns what the tab shows as a PNG, with all that one would scroll to.
func (p *Tab) Whole() []byte {
	p.Helper()
	image, err := run(p, chromedp.FullScreenshot(100))
	if err != nil {
		p.Fatalf("take a picture: %v", err)
	}
	return image
}
