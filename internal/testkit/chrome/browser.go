// Package chrome has tests look at pages in a real browser: Debian's Chromium, without a window. Only tests import it.
package chrome

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Browser is one process of Chromium, which all tests of a package share. It is started by the first test that needs
// it; whoever made it closes it. The zero Browser is ready.
type Browser struct {
	mu     sync.Mutex
	ctx    context.Context //nolint:containedctx // it is the browser
	cancel []context.CancelFunc
	dir    string
}

// Have reports whether there is a Chromium on the PATH. Without one it fails the test if UPGRADEGATE_TEST_NEED lists
// chromium.
func Have(tb testing.TB) bool {
	tb.Helper()
	if _, err := exec.LookPath("chromium"); err == nil {
		return true
	}
	if slices.Contains(strings.Split(os.Getenv("UPGRADEGATE_TEST_NEED"), ","), "chromium") {
		tb.Fatal("UPGRADEGATE_TEST_NEED lists chromium but there is none on the PATH")
	}
	return false
}

// Close ends the browser, if it was started, and removes what it kept.
func (b *Browser) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, cancel := range slices.Backward(b.cancel) {
		cancel() // waits for the browser to end
	}
	b.ctx, b.cancel = nil, nil
	if b.dir == "" {
		return nil
	}
	if err := os.RemoveAll(b.dir); err != nil {
		return fmt.Errorf("remove the browser's profile: %w", err)
	}
	return nil
}

// start returns the running browser. Without a Chromium the test is skipped, or fails as [Have] has it.
func (b *Browser) start(tb testing.TB) context.Context {
	tb.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx != nil {
		return b.ctx
	}
	if !Have(tb) {
		tb.Skip("no chromium: apt-get install chromium")
	}
	var err error
	if b.dir, err = os.MkdirTemp("", "upgradegate-browser-"); err != nil { //nolint:usetesting // it outlives the test
		tb.Fatal(err)
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath("chromium"), chromedp.UserDataDir(filepath.Join(b.dir, "profile")), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Env("HOME="+b.dir, "XDG_CACHE_HOME="+b.dir, "XDG_CONFIG_HOME="+b.dir),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"), // it asks nobody but the test's servers
		chromedp.WSURLReadTimeout(time.Minute),
	)
	// Not the test's context: the browser serves those after it too.
	host, cancelHost := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(host)
	b.cancel = append(b.cancel, cancelHost, cancel)
	if err := chromedp.Do(ctx); err != nil {
		tb.Fatalf("start chromium: %v", err)
	}
	b.ctx = ctx
	return ctx
}
