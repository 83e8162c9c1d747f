package browser

import (
	"fmt"
	"testing"

	"github.com/upgradegate/upgradegate/internal/testkit/chrome"
)

// firstScreen is how high the screen of a phone is, in CSS pixels.
const firstScreen = 844

// below are the states in which the button may stand below it, and why.
func below() map[string]string {
	return map[string]string{
		"overridden": "that it is no pass, who says so and against what stands first", "override_asked": "as overridden",
		"long": "names and sentences of any length are shown whole",
		"bare": "nothing is known, so there is no button",
	}
}

// TestPhoneFirstScreen: on a phone the verdict, its causes, the line about production and the button stand on the first
// screen, whatever became of the run (dashboard.md §15).
func TestPhoneFirstScreen(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := openTab(t, s)
	p.Show(chrome.Media{})
	p.Size(390)
	for i, name := range s.world.is.Fixtures {
		p.Open(fmt.Sprintf("/runs/%d", 600+i))
		bottom := eval[float64](p, `Math.max(0, ...[...document.querySelectorAll("#verdict .btn")].map(b => b.getBoundingClientRect().bottom))`)
		if _, may := below()[name]; !may && (bottom == 0 || bottom > firstScreen) {
			t.Errorf("%s: the button ends at %.0f px", name, bottom)
		}
	}
}
