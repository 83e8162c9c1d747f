package browser

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// patience bounds each wait for something that a page is to come to.
const patience = 30 * time.Second

// chrome is the browser of this package's tests: started by the first that needs it, ended by TestMain.
var chrome struct {
	sync.Mutex
	ctx    context.Context //nolint:containedctx // it is the browser
	cancel []context.CancelFunc
	dir    string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := closeChrome(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func closeChrome() error {
	chrome.Lock()
	defer chrome.Unlock()
	for _, cancel := range slices.Backward(chrome.cancel) {
		cancel() // waits for the browser to end
	}
	if chrome.dir == "" {
		return nil
	}
	return os.RemoveAll(chrome.dir)
}

// browser returns the running browser. Without one the test is skipped, or fails if UPGRADEGATE_TEST_NEED
// lists chromium.
func browser(t *testing.T) context.Context {
	t.Helper()
	chrome.Lock()
	defer chrome.Unlock()
	if chrome.ctx != nil {
		return chrome.ctx
	}
	program, err := exec.LookPath("chromium")
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("UPGRADEGATE_TEST_NEED"), ","), "chromium") {
			t.Fatal("UPGRADEGATE_TEST_NEED lists chromium but there is none on the PATH")
		}
		t.Skip("no chromium: apt-get install chromium")
	}
	if chrome.dir, err = os.MkdirTemp("", "upgradegate-browser-"); err != nil { //nolint:usetesting // it outlives the test
		t.Fatal(err)
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(program), chromedp.UserDataDir(filepath.Join(chrome.dir, "profile")), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Env("HOME="+chrome.dir, "XDG_CACHE_HOME="+chrome.dir, "XDG_CONFIG_HOME="+chrome.dir),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"), // it asks nobody but the test's server
		chromedp.WSURLReadTimeout(time.Minute),
	)
	// Not the test's context: the browser serves those after it too.
	host, cancelHost := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(host)
	chrome.cancel = append(chrome.cancel, cancelHost, cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	chrome.ctx = ctx //nolint:fatcontext // one for all tests
	return ctx
}

// tab is one page of a browser that nobody else's cookies are in.
type tab struct {
	*testing.T
	ctx  context.Context //nolint:containedctx // it is the tab
	site *site
}

// openTab opens a tab and signs in there. A test that fails leaves a picture of what it shows.
func openTab(t *testing.T, s *site) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser(t), chromedp.WithNewBrowserContext())
	p := &tab{T: t, ctx: ctx, site: s}
	if err := chromedp.Do(ctx); err != nil { // without a limit of time: it would be the tab's
		t.Fatalf("open a tab: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			p.picture("failed.png")
		}
		cancel()
	})
	p.size(1440)
	p.open("/login?token=" + managerToken)
	return p
}

// run runs an action within the limit.
func run[T any](p *tab, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, action)
}

func (p *tab) do(what string, action chromedp.Action[chromedp.Void]) {
	p.Helper()
	if _, err := run(p, action); err != nil {
		p.Fatalf("%s: %v", what, err)
	}
}

// open goes to a page of the site and waits until it has loaded.
func (p *tab) open(path string) {
	p.Helper()
	p.do("open "+path, chromedp.Navigate(p.site.url+path))
}

// size gives the tab a width in CSS pixels.
func (p *tab) size(width int64) {
	p.Helper()
	p.do("resize", chromedp.EmulateViewport(width, 900))
}

// dark turns dark colours on or off, as the system's setting does.
func (p *tab) dark(on bool) {
	p.Helper()
	value := "light"
	if on {
		value = "dark"
	}
	p.do("set the colours", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: value}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}})
		return err
	}))
}

// first has a script run in every page before its own.
func (p *tab) first(script string) {
	p.Helper()
	p.do("add a script", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	}))
}

// eval returns the value of an expression, which may be a promise.
func eval[T any](p *tab, expression string) T {
	p.Helper()
	value, err := run(p, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("evaluate %.200s: %v", expression, err)
	}
	return value
}

// until waits for an expression to become true. It asks from outside: the page's clock may run as a test wants,
// and a page that is left takes a question with it.
func (p *tab) until(expression string) {
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

// picture keeps what the tab shows.
func (p *tab) picture(name string) {
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

// loadScript runs a script whose value nobody wants.
func loadScript(text string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](text + "\n;undefined")
}
