package browser

import (
	"fmt"
	"os"
	"testing"

	"github.com/upgradegate/upgradegate/internal/testkit/chrome"
)

// chromium is the browser of this package's tests.
var chromium chrome.Browser

func TestMain(m *testing.M) {
	code := m.Run()
	if err := chromium.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// tab is one page of the browser, on a site.
type tab struct {
	*chrome.Tab
	site *site
}

// openTab opens a tab and signs in there.
func openTab(t *testing.T, s *site) *tab {
	t.Helper()
	p := &tab{Tab: chromium.Open(t, s.url), site: s}
	p.Open("/login?token=" + managerToken)
	return p
}

// eval returns the value of an expression, which may be a promise.
func eval[T any](p *tab, expression string) T {
	p.Helper()
	return chrome.Eval[T](p.Tab, expression)
}
