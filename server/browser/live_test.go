package browser

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	// watchPage counts the parts that were put into the page, and how far things moved that nobody touched.
	watchPage = `
	window.swaps = 0; window.shift = 0; window.shifted = [];
	document.addEventListener("htmx:after:swap", () => { swaps++; window.swapped = performance.now(); });
	new PerformanceObserver(list => {
		for (const e of list.getEntries()) {
			shift += e.value;
			shifted.push(e.value.toFixed(4) + " " + e.sources.map(s => s.node?.outerHTML?.slice(0, 100) ?? "?").join(" | "));
		}
	}).observe({type: "layout-shift"});`

	// hurry makes the page's clock run ten times as fast.
	hurry = `
	(() => {
		const timeout = window.setTimeout, interval = window.setInterval;
		window.setTimeout = (f, ms, ...args) => timeout(f, ms / 10, ...args);
		window.setInterval = (f, ms, ...args) => interval(f, ms / 10, ...args);
	})();`
)

// step has one resource of run 483 applied, of many.
func (s *site) step(n int) {
	s.world.write(483, upgrade.Event{
		At: s.world.Now(), Kind: upgrade.EventPhase, Who: "by rule", Text: fmt.Sprintf("step %d", n),
		Data: map[string]string{"from": "applying", "to": "applying"},
	}, func(r *upgrade.Run) {
		r.Phase, r.Progress = upgrade.PhaseApplying, upgrade.Progress{Done: 100 + n, Total: 900}
	})
}

// TestLiveUpdates: what somebody opened, is reading or was about to press is the same after a hundred updates,
// and nothing jumped.
func TestLiveUpdates(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.world.is.Results[483] = s.world.is.Results[481]
	s.step(0)
	p := openTab(t, s)
	p.First(watchPage)
	p.Open("/runs/483")
	p.Until(`document.querySelector("#conn-text").textContent === "Live" && !document.querySelector("#conn").hidden`)
	p.Run("open a gate that is closed and the log in one", `
		window.opened = document.querySelector("#gates details.gate:not([open])"); opened.open = true;
		window.sub = document.querySelector("#gates details.sub"); sub.closest("details.gate").open = true; sub.open = true;
		window.focused = document.querySelector("#verdict a"); focused.focus();
		performance.now()`)
	p.Until(`document.activeElement === focused`)
	eval[bool](p, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => { shift = 0; shifted = []; done(true); })))`)
	n := 0
	for eval[int](p, `swaps`) < 100 {
		n++
		s.step(n)
		p.Until(fmt.Sprintf(`document.querySelector("#verdict").innerText.includes("%d of 900")`, 100+n))
	}
	t.Logf("%d updates in %d steps", eval[int](p, `swaps`), n)
	for _, want := range []string{
		`opened.isConnected && opened.open`, `sub.isConnected && sub.open`, `focused.isConnected && document.activeElement === focused`,
	} {
		if !eval[bool](p, want) {
			t.Errorf("no longer true: %s", want)
		}
	}
	if moved := eval[float64](p, `shift`); moved != 0 {
		t.Errorf("things moved by %.4f: %s", moved, eval[[]string](p, `shifted.slice(0, 5)`))
	}
}

// TestHalfTypedReason: what somebody types is not lost while the run goes on behind it.
func TestHalfTypedReason(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.step(0)
	p := openTab(t, s)
	p.Open("/runs/483/stop")
	p.Type("#reason", "the wrong ver")
	for n := range 100 {
		s.step(n)
	}
	p.Keys("sion")
	if got := eval[string](p, `document.activeElement.id + ": " + document.activeElement.value`); got != "reason: the wrong version" {
		t.Errorf("the focus and its text are %q", got)
	}
}

// TestServerComesBack: the page says that it lost the server, stops offering actions, and shows what happened
// meanwhile when the server is back.
func TestServerComesBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.step(0)
	p := openTab(t, s)
	p.First(hurry)
	p.Open("/runs/483")
	p.Until(`document.querySelector("#conn-text").textContent === "Live"`)
	s.end()
	p.Until(`document.querySelector("#conn-text").textContent.startsWith("Reconnecting, shown ")`)
	p.Until(`!document.querySelector("#lost").hidden && document.querySelector("#lost").innerText.includes("Actions are off")`)
	if got := eval[string](p, `getComputedStyle(document.querySelector("[data-act]")).pointerEvents`); got != "none" {
		t.Errorf("an action can be pressed without a connection: pointer-events is %s", got)
	}
	s.step(7)
	s.start()
	p.Until(`document.querySelector("#conn-text").textContent === "Live" && document.querySelector("#lost").hidden`)
	p.Until(`document.querySelector("#verdict").innerText.includes("107 of 900")`)
	s.step(8)
	p.Until(`document.querySelector("#verdict").innerText.includes("108 of 900")`)
	if eval[bool](p, `document.documentElement.classList.contains("stale")`) {
		t.Error("actions are still off")
	}
}

// TestFirstConnectionRefused: a page whose stream never came up says so, and tries until it does.
func TestFirstConnectionRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.step(0)
	p := openTab(t, s)
	p.First(hurry)
	s.refusing("/events")
	p.Open("/runs/483")
	p.Until(`document.querySelector("#conn-text").textContent.startsWith("Reconnecting, shown ")`)
	p.Until(`!document.querySelector("#lost").hidden`)
	s.step(3)
	s.refusing("")
	p.Until(`document.querySelector("#conn-text").textContent === "Live" && document.querySelector("#lost").hidden`)
	p.Until(`document.querySelector("#verdict").innerText.includes("103 of 900")`)
}

// TestSignedOut: the session ends under an open page; it says so, once, and asks no more.
func TestSignedOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := openTab(t, s)
	p.First(hurry)
	p.Open("/runs/483")
	p.Until(`document.querySelector("#conn-text").textContent === "Live"`)
	sessions, err := s.db.Sessions(t.Context(), "")
	if err != nil || len(sessions) != 1 {
		t.Fatalf("%d sessions: %v", len(sessions), err)
	}
	if err := s.db.EndSession(t.Context(), sessions[0].ID); err != nil {
		t.Fatal(err)
	}
	s.step(1)
	p.Until(`!document.querySelector("#out").hidden && document.querySelector("#out a").getAttribute("href").startsWith("/login?next=")`)
	p.Until(`document.querySelector("#lost").hidden`)
}

// live waits until the page says that it is.
const live = `document.querySelector("#conn-text").textContent === "Live" && !document.querySelector("#conn").hidden`

// TestLiveBoard: no row moves under a pointer or a focus. The headline goes on at once, a line counts what waits, and
// leaving the list shows it.
func TestLiveBoard(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.step(0)
	p := openTab(t, s)
	p.First(watchPage)
	p.Open("/")
	p.Until(live)
	point := func(selector string) {
		t.Helper()
		at := eval[[]float64](p, `(() => { const r = document.querySelector("`+selector+`").getBoundingClientRect(); return [r.left + 20, r.top + 10]; })()`)
		p.Move(at[0], at[1])
	}
	row := func(run int) string {
		return fmt.Sprintf(`document.querySelector('.row:has(a[href="/runs/%d"])').innerText`, run)
	}
	point("#board .row")
	p.Until(`document.querySelector("#board").matches(":hover")`)
	eval[bool](p, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => { shift = 0; shifted = []; window.before = document.querySelector("#board").innerText; window.headline = document.querySelector("h1").innerText; done(true); })))`)
	s.step(1)
	p.Until(`!document.querySelector("#held").hidden && document.querySelector("#held").innerText.startsWith("1 row has changed.")`)
	s.end483()
	s.world.write(482, upgrade.Event{At: s.world.Now(), Kind: upgrade.EventResource}, func(*upgrade.Run) {})
	p.Until(`document.querySelector("#held").innerText.startsWith("2 rows have changed.")`)
	p.Until(`document.querySelector("h1").innerText !== headline`)
	if !eval[bool](p, `document.querySelector("#board").innerText === before`) {
		t.Errorf("a row changed under the pointer:\n%s", eval[string](p, `document.querySelector("#board").innerText`))
	}
	if moved := eval[float64](p, `shift`); moved != 0 {
		t.Errorf("things moved by %.4f: %s", moved, eval[[]string](p, `shifted.slice(0, 5)`))
	}
	point("header")
	p.Until(`document.querySelector("#held").hidden`)
	p.Until(row(483) + `.includes("Terraform stopped")`)

	s.step(0)
	p.Until(row(483) + `.includes("100 of 900")`)
	p.Until(`performance.now() - swapped > 600`) // the other parts, which move the row to another list, have come as well
	p.Run("begin to count", `swaps = 0; shift = 0; shifted = []`)
	n := 0
	for eval[int](p, `swaps`) < 100 {
		n++
		s.step(n)
		p.Until(fmt.Sprintf(row(483)+`.includes("%d of 900")`, 100+n))
	}
	if moved := eval[float64](p, `shift`); moved != 0 {
		t.Errorf("things moved by %.4f in %d steps: %s", moved, n, eval[[]string](p, `shifted.slice(0, 5)`))
	}

	p.Run("go to a row", `window.link = document.querySelector("#board .row a"); link.focus(); window.before = document.querySelector("#board").innerText`)
	s.step(900)
	p.Until(`document.querySelector("#held").innerText.startsWith("1 row has changed.")`)
	if !eval[bool](p, `link.isConnected && document.activeElement === link && document.querySelector("#board").innerText === before`) {
		t.Error("a row changed under the focus, or lost it")
	}
	p.Run("leave it", `link.blur()`)
	p.Until(row(483) + `.includes("1000 of 900")`)
}

// end483 has the apply of run 483 fail.
func (s *site) end483() {
	s.world.write(483, upgrade.Event{At: s.world.Now(), Kind: upgrade.EventPhase, Who: "by rule", Data: map[string]string{"from": "applying", "to": "failed"}}, func(r *upgrade.Run) {
		r.From, r.Phase = r.Phase, upgrade.PhaseFailed
		r.Causes = []upgrade.Cause{{Kind: upgrade.CauseApply, Message: "the provider says no"}}
	})
}

// TestRunningTime: how long a run goes on is told each second, and the words are the server's own.
func TestRunningTime(t *testing.T) {
	t.Parallel()
	p := openTab(t, newSite(t))
	p.Open("/runs/483")
	const said = `document.querySelector("#facts time[data-run]").textContent`
	first := eval[string](p, said)
	p.Until(said + ` !== ` + strconv.Quote(first))
	if now := eval[string](p, said); !regexp.MustCompile(`^\d+\x{a0}min \d+\x{a0}s$`).MatchString(now) || !regexp.MustCompile(`^\d+\x{a0}min( \d+\x{a0}s)?$`).MatchString(first) {
		t.Errorf("the page says %q, and then %q", first, now)
	}
}
