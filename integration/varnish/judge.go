package varnish

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

var viaVarnish = regexp.MustCompile(`(?i)varnish`)

// trace is what headers say about Varnish: varnish.md has the table of which answer carries what.
type trace struct {
	varnish bool // some header says that Varnish handed it over
	synth   bool // Varnish made it up without asking anybody
	guru    bool // Varnish asked the backend and got nothing
	ids     int  // numbers in X-Varnish: two for a hit; 0 if there is none
	age     int  // seconds; -1 if not said
	via     string
}

// traceOf reads headers. An answer that came through several Varnishes counts as a hit if any of them hit.
func traceOf(h http.Header) trace {
	t := trace{age: -1, via: printable(strings.Join(h.Values("Via"), ", "), 200)}
	for _, value := range h.Values("X-Varnish") {
		n := 0
		for word := range strings.FieldsSeq(strings.ReplaceAll(value, ",", " ")) {
			if _, err := strconv.ParseUint(word, 10, 64); err == nil {
				n++
			}
		}
		t.ids = max(t.ids, n)
	}
	if age, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil {
		t.age = int(age)
	}
	itself := strings.HasPrefix(h.Get("Server"), "Varnish")
	named := viaVarnish.MatchString(t.via)
	t.varnish = t.ids > 0 || named || itself
	t.synth = itself && !named
	t.guru = itself && named
	return t
}

// hit reports whether the answer came from the cache.
func (t trace) hit() bool { return t.ids > 1 || t.ids == 0 && t.age > 0 }

// String says it in a few words for people.
func (t trace) String() string {
	switch {
	case t.synth:
		return "answered by Varnish itself"
	case t.hit() && t.age >= 0:
		return fmt.Sprintf("hit, %s old", time.Duration(t.age)*time.Second)
	case t.hit():
		return "hit"
	case t.ids == 1:
		return "miss"
	}
	return "by " + t.via
}

// judge says what an answer means for the layers above the connection.
func (c *climber) judge(ctx context.Context, got *answer) error {
	tr := c.traceOf(got.header)
	c.ladder.Status = got.status
	if err := c.judgeVarnish(got, tr); err != nil {
		return err
	}
	if c.t.path.Plain {
		return c.judgeContent(got)
	}
	past, err := c.judgeBackend(ctx, got, tr)
	if err != nil {
		return err
	}
	if err := c.judgeContent(got); err != nil {
		return err // what users see comes first
	}
	if past != nil {
		if err := c.judgeContent(past); err != nil {
			return err
		}
	}
	return c.judgeCache(ctx, got, tr, past)
}

// traceOf reads headers as the path says they are to be read.
func (c *climber) traceOf(h http.Header) trace {
	t := traceOf(h)
	if name := c.t.path.VarnishHeader; name != "" && h.Get(name) != "" {
		t.varnish = true
		if t.synth && t.ids == 0 {
			t.synth = false // its own header names the Varnish; nothing says that it made the answer up
		}
	}
	return t
}

// judgeVarnish says whether it is Varnish that answered; on a plain path, whether an HTTP server did.
func (c *climber) judgeVarnish(got *answer, tr trace) error {
	server := got.header.Get("Server")
	fail := func(layer probe.Layer, class probe.Class) *brokenError {
		broken := c.broke(layer, class)
		broken.took, broken.answer = got.took, got
		return broken
	}
	switch {
	case strings.HasPrefix(server, "awselb/") && got.status >= 500:
		broken := fail(c.front(), probe.ClassLoadBalancer)
		broken.detail = fmt.Sprintf("the load balancer answers %d itself: it has no healthy target", got.status)
		return broken
	case c.refused(got):
		return c.mismatch(got)
	case c.t.path.Plain:
		c.good(probe.LayerHTTP, got.firstByte, strconv.Itoa(got.status))
	case tr.synth && !slices.Contains(c.t.status, got.status):
		broken := fail(probe.LayerVarnish, probe.ClassSynth)
		broken.detail = fmt.Sprintf("Varnish answers %d by itself: its configuration (VCL) refuses the request", got.status)
		return broken
	case tr.varnish:
		c.good(probe.LayerVarnish, got.firstByte, tr.String())
	case c.t.path.ViaVarnish:
		return fail(probe.LayerVarnish, probe.ClassNotViaVarnish)
	default:
		c.skip(probe.LayerVarnish, "no sign of Varnish, and none is demanded")
	}
	return nil
}

// refused reports whether an answer is the bare 400 with which Varnish refuses bytes that are no HTTP.
func (c *climber) refused(got *answer) bool {
	return got.status == http.StatusBadRequest && len(got.body) == 0 && got.header.Get("Server") == "" &&
		!c.traceOf(got.header).varnish && !slices.Contains(c.t.status, got.status)
}

// mismatch is what a bare 400 means.
func (c *climber) mismatch(got *answer) *brokenError {
	broken := c.broke(probe.LayerProxy, probe.ClassProxyMismatch)
	broken.took, broken.answer = got.took, got
	return broken
}

// judgeBackend says whether what stands behind Varnish works, for which the answer from a cache is no
// proof. It returns the answer to a request past the cache, nil if none was made.
func (c *climber) judgeBackend(ctx context.Context, got *answer, tr trace) (past *answer, err error) {
	if err := c.fetched(got, tr); err != nil {
		return nil, err
	}
	switch {
	case tr.synth:
		c.skip(probe.LayerBackend, "Varnish answered by itself")
		c.warn(probe.LayerBackend, probe.ClassHealthByVCL,
			"%s is answered by Varnish itself (VCL), so it is well whatever becomes of the backend: probe a page of the site", c.t.url.Path)
	case c.t.path.Bypass.Used() && tr.varnish:
		return c.pastCache(ctx)
	case tr.hit():
		c.skip(probe.LayerBackend, "the cache answered; a bypass would prove the backend")
	default:
		c.good(probe.LayerBackend, got.firstByte, "answered "+strconv.Itoa(got.status))
	}
	return nil, nil
}

// slowFetch is the time after which a failed fetch is one that Varnish had waited for: its refusals come
// at once, its limits (connect_timeout, first_byte_timeout) are longer.
const slowFetch = 400 * time.Millisecond

// fetched returns what is broken when Varnish could not fetch, or the backend answered that it is broken.
func (c *climber) fetched(got *answer, tr trace) error {
	broken := &brokenError{layer: probe.LayerBackend, took: got.firstByte, answer: got}
	switch {
	case slices.Contains(c.t.status, got.status), c.t.path.Plain:
		return nil
	case tr.guru || got.status >= 500 && strings.Contains(string(got.body), "Guru Meditation"):
		broken.class = probe.ClassBackendFetch
		if got.firstByte >= slowFetch {
			broken.class = probe.ClassBackendSlow
		}
		broken.detail = sentence(broken.class, c.t, c.addr, c.p.limits)
		if broken.class == probe.ClassBackendSlow {
			broken.detail = fmt.Sprintf("Varnish waits %s for the backend and then answers %d: the backend hangs, or what goes to it is dropped on the way",
				probe.Length(got.firstByte.Round(100*time.Millisecond)), got.status)
		}
	case got.status < 500:
		return nil // the backend answered; whether with the right thing is a matter of content
	default:
		broken.class = probe.ClassBackendStatus
		broken.detail = fmt.Sprintf("the backend answers %d: it runs, but the page fails", got.status)
	}
	return broken
}

// pastCache proves the backend by a request that Varnish must not answer from its cache, and that the
// request was such a one.
func (c *climber) pastCache(ctx context.Context) (*answer, error) {
	got, err := c.look(ctx, true)
	if err != nil {
		return nil, err
	}
	tr := c.traceOf(got.header)
	if err := c.fetched(got, tr); err != nil {
		return nil, err
	}
	if !bypassed(tr) {
		broken := c.broke(probe.LayerBackend, probe.ClassBypassNotHonoured)
		broken.took, broken.answer = got.firstByte, got
		return nil, broken
	}
	c.good(probe.LayerBackend, got.firstByte, fmt.Sprintf("answered %d past the cache", got.status))
	return got, nil
}

// bypassed reports whether an answer proves that it did not come from the cache: one number in X-Varnish,
// and an Age of nothing. Where one of the two is taken out of answers the other one must say it.
func bypassed(tr trace) bool {
	return tr.varnish && !tr.synth && !tr.hit() && tr.age <= 0 && (tr.ids == 1 || tr.age == 0)
}

// judgeContent says whether the answer is the page that was expected.
func (c *climber) judgeContent(got *answer) error {
	from := ""
	if got.bypass {
		from = "past the cache, "
	}
	fail := func(class probe.Class, format string, args ...any) error {
		return &brokenError{layer: probe.LayerContent, class: class, detail: from + fmt.Sprintf(format, args...), took: got.took, answer: got}
	}
	if !slices.Contains(c.t.status, got.status) {
		return fail(probe.ClassBackendStatus, "the answer is %d, expected %s", got.status, statuses(c.t.status))
	}
	if want := c.t.path.Expect.BodyContains; !strings.Contains(string(got.body), want) {
		if got.cut {
			return fail(probe.ClassWrongContent, "the first %d bytes of the page do not contain %q", len(got.body), want)
		}
		return fail(probe.ClassWrongContent, "the page does not contain %q: another site or an error page answers", want)
	}
	if want := c.t.path.Expect.BodySHA256; want != "" {
		if sum := fmt.Sprintf("%x", sha256.Sum256(got.body)); got.cut || sum != want {
			if got.cut {
				sum = fmt.Sprintf("longer than %d bytes, which are read at most", len(got.body))
			}
			return fail(probe.ClassWrongContent, "the page is not the one that is expected: its SHA-256 is %s, not %s", head(sum, 60), head(want, 12)+"…")
		}
	}
	for _, name := range sortedKeys(c.t.headers) {
		if value := strings.Join(got.header.Values(name), ", "); !c.t.headers[name].MatchString(value) {
			return fail(probe.ClassWrongContent, "header %s is %q, expected to match %q", name, printable(value, 100), c.t.headers[name])
		}
	}
	c.good(probe.LayerContent, got.took, fmt.Sprintf("%d, %s", got.status, counted(len(got.body), "byte")))
	return nil
}
