package varnish

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// Pauses between looks at a page that seems too old: within the first Varnish has fetched a page anew that
// it served from grace, unless the backend is slow, for which there is the second.
const (
	staleWait = 600 * time.Millisecond
	slowWait  = 2 * time.Second
)

var maxAge = regexp.MustCompile(`(?i)(?:^|[\s,])(s-maxage|max-age)\s*=\s*"?(\d{1,9})`)

// judgeCache looks whether a page from the cache is older than it may be, and if so, looks again: with
// grace, Varnish serves such a page and fetches it anew behind that. If later answers are no younger, it
// does not. past is the answer that proved the backend, nil if nothing did.
func (c *climber) judgeCache(ctx context.Context, first *answer, tr trace, past *answer) error {
	limit, whose := c.ageLimit(first.header)
	switch {
	case tr.synth, !tr.varnish, !tr.hit():
		c.skip(probe.LayerCache, "not from the cache")
		return nil
	case tr.age < 0:
		c.skip(probe.LayerCache, "the answer does not say how old it is")
		return nil
	case limit < 0:
		c.skip(probe.LayerCache, "nothing says how old it may be")
		return nil
	case tr.age <= limit:
		c.good(probe.LayerCache, 0, fmt.Sprintf("%s of %s", seconds(tr.age), seconds(limit)))
		return nil
	}
	again, age := first, tr.age
	for _, pause := range []time.Duration{staleWait, slowWait} {
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		var err error
		if again, err = c.look(ctx, false); err != nil {
			return err
		}
		second := c.traceOf(again.header)
		if age = second.age; age < tr.age || !second.hit() {
			if past == nil {
				c.good(probe.LayerBackend, again.firstByte, "gave the cache a newer page")
			}
			c.good(probe.LayerCache, 0, fmt.Sprintf("renewed, was %s of %s", seconds(tr.age), seconds(limit)))
			return nil
		}
	}
	broken := &brokenError{layer: probe.LayerCache, class: probe.ClassStale, answer: again}
	broken.detail = fmt.Sprintf("the cache answers with a page that is %s old, where %s is the limit (%s), and does not get a newer one: ", seconds(age), seconds(limit), whose)
	if past == nil {
		broken.detail += "the backend fails behind it"
	} else {
		broken.detail += "the backend answers past it, so the VCL keeps it too long"
	}
	return broken
}

// ageLimit returns the seconds that a page from the cache may be old, -1 if nothing limits it, and who says so.
func (c *climber) ageLimit(h http.Header) (limit int, whose string) {
	limit, whose = maxAgeOf(h), "its max-age"
	if want := c.t.path.Expect.MaxAge; want > 0 && (limit < 0 || want < time.Duration(limit)*time.Second) {
		limit, whose = int(want/time.Second), "expected"
	}
	return limit, whose
}

func seconds(n int) string { return (time.Duration(n) * time.Second).String() }

// sleep pauses for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
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
