package varnish

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// staleWait is the pause between two looks at a page that seems too old: within it Varnish has fetched a
// page anew that it served from grace.
const staleWait = 600 * time.Millisecond

var (
	viaVarnish = regexp.MustCompile(`(?i)varnish`)
	maxAge     = regexp.MustCompile(`(?i)(?:^|[\s,])(s-maxage|max-age)\s*=\s*"?(\d{1,9})`)
)

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

// judge says what an answer means for the layers from Varnish up.
func (c *climber) judge(ctx context.Context, got *answer) error {
	tr := traceOf(got.header)
	c.ladder.Status = got.status
	if err := c.judgeVarnish(got, tr); err != nil {
		return err
	}
	if err := c.judgeBackend(ctx, got, tr); err != nil {
		return err
	}
	return c.judgeContent(got)
}

func (c *climber) judgeVarnish(got *answer, tr trace) error {
	server := got.header.Get("Server")
	fail := func(class probe.Class) error {
		broken := c.broke(probe.LayerVarnish, class)
		broken.took, broken.answer = got.took, got
		return broken
	}
	switch {
	case strings.HasPrefix(server, "awselb/") && got.status >= 500:
		return fail(probe.ClassLoadBalancer)
	case got.status == http.StatusBadRequest && !tr.varnish && server == "" && len(got.body) == 0:
		return fail(probe.ClassProxyMismatch)
	case tr.synth && !slices.Contains(c.t.status, got.status):
		broken := c.broke(probe.LayerVarnish, probe.ClassSynth)
		broken.detail = fmt.Sprintf("Varnish answers %d by itself: its configuration (VCL) refuses the request", got.status)
		broken.took, broken.answer = got.took, got
		return broken
	case tr.varnish:
		c.good(probe.LayerVarnish, got.firstByte, tr.String())
	case c.t.path.ViaVarnish:
		return fail(probe.ClassNotViaVarnish)
	default:
		c.skip(probe.LayerVarnish, "no sign of Varnish, and none is demanded")
	}
	return nil
}

// judgeBackend says whether what stands behind Varnish works, for which the answer from a cache is no
// proof.
func (c *climber) judgeBackend(ctx context.Context, got *answer, tr trace) error {
	if err := c.fetched(got, tr); err != nil {
		return err
	}
	if c.t.path.Bypass.Used() && tr.varnish {
		return c.pastCache(ctx, got)
	}
	switch {
	case tr.synth:
		c.skip(probe.LayerBackend, "Varnish answered by itself, which says nothing about the backend; probe a page of the site")
	case tr.hit():
		return c.fresh(ctx, tr, got)
	default:
		c.good(probe.LayerBackend, got.firstByte, "answered "+strconv.Itoa(got.status))
	}
	return nil
}

// fetched returns what is broken when Varnish could not fetch, or the backend answered that it is broken.
func (c *climber) fetched(got *answer, tr trace) error {
	class := probe.ClassBackendStatus
	switch {
	case slices.Contains(c.t.status, got.status):
		return nil
	case tr.guru || got.status >= 500 && strings.Contains(string(got.body), "Guru Meditation"):
		class = probe.ClassBackendFetch
	case got.status < 500:
		return nil // the backend answered; whether with the right thing is a matter of content
	}
	broken := c.broke(probe.LayerBackend, class)
	if class == probe.ClassBackendStatus {
		broken.detail = fmt.Sprintf("the backend answers %d: it runs, but the page fails", got.status)
	}
	broken.took, broken.answer = got.firstByte, got
	return broken
}

// pastCache proves the backend by a request that Varnish must not answer from its cache, and that the
// request was such a one.
func (c *climber) pastCache(ctx context.Context, cached *answer) error {
	got, err := c.look(ctx, true)
	if err != nil {
		return err
	}
	tr := traceOf(got.header)
	if err := c.fetched(got, tr); err != nil {
		return err
	}
	if !tr.varnish || tr.synth || tr.hit() || tr.age > 0 || tr.ids == 0 && tr.age < 0 {
		broken := c.broke(probe.LayerBackend, probe.ClassBypassNotHonoured)
		broken.took, broken.answer = got.firstByte, got
		return broken
	}
	c.good(probe.LayerBackend, got.firstByte, fmt.Sprintf("answered %d past the cache", got.status))
	if err := c.judgeContent(cached); err != nil {
		return err // what users see comes first
	}
	return c.judgeContent(got)
}

// fresh looks again at a page from the cache that is older than it may be. Varnish serves such a page from
// grace and fetches it anew behind that; if the next answer is no younger, the fetching fails.
func (c *climber) fresh(ctx context.Context, first trace, got *answer) error {
	limit := maxAgeOf(got.header)
	if limit < 0 || first.age <= limit {
		c.skip(probe.LayerBackend, "the cache answered; a bypass would prove the backend")
		return nil
	}
	timer := time.NewTimer(staleWait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	again, err := c.look(ctx, false)
	if err != nil {
		return err
	}
	second := traceOf(again.header)
	if second.age >= first.age {
		broken := c.broke(probe.LayerBackend, probe.ClassStale)
		broken.detail = fmt.Sprintf("the cache answers with a page that is %s old, where %s is the limit, and does not get a newer one: the backend fails",
			time.Duration(second.age)*time.Second, time.Duration(limit)*time.Second)
		broken.answer = again
		return broken
	}
	c.good(probe.LayerBackend, again.firstByte, "gave the cache a newer page")
	return nil
}

// maxAgeOf returns the seconds for which a shared cache may keep the answer, -1 if not said.
func maxAgeOf(h http.Header) int {
	limit := -1
	for _, m := range maxAge.FindAllStringSubmatch(strings.Join(h.Values("Cache-Control"), ","), -1) {
		seconds, err := strconv.Atoi(m[2])
		if err != nil {
			continue
		}
		if strings.EqualFold(m[1], "s-maxage") {
			return seconds
		}
		limit = seconds
	}
	return limit
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
	for _, name := range sortedKeys(c.t.headers) {
		if value := strings.Join(got.header.Values(name), ", "); !c.t.headers[name].MatchString(value) {
			return fail(probe.ClassWrongContent, "header %s is %q, expected to match %q", name, printable(value, 100), c.t.headers[name])
		}
	}
	c.good(probe.LayerContent, got.took, fmt.Sprintf("%d, %s", got.status, counted(len(got.body), "byte")))
	return nil
}
