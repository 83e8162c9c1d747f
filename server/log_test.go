package server

import (
	"fmt"
	"strings"
	"testing"
)

// TestLogPage: a long log is paged from its end, each line is on one page, and no page is beyond the budget.
func TestLogPage(t *testing.T) {
	w := fullWorld()
	var long strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&long, "line %d of a log that says something on each of them\n", i+1)
	}
	w.logs["481/plan"] = long.String()
	s := newSite(t, w)
	seen, target := map[string]int{}, "/runs/481/log/plan"
	for range 10 {
		page := s.get(target)
		body := page.Body.String()
		if page.Code != 200 || len(body) > 60_000 {
			t.Fatalf("%s is answered %d with %d bytes", target, page.Code, len(body))
		}
		checkHTML(t, target, body)
		for _, part := range strings.Split(body, "<code>line ")[1:] {
			number, _, _ := strings.Cut(part, " ")
			seen[number]++
		}
		_, rest, more := strings.Cut(body, `<a class="btn" href="/runs/481/log/plan?to=`)
		if !more || !strings.Contains(body, "Lines before") {
			break
		}
		number, _, _ := strings.Cut(rest, `"`)
		target = "/runs/481/log/plan?to=" + number
	}
	if len(seen) != 1000 || seen["1"] != 1 && seen["1"] != 2 || seen["1000"] != 1 {
		t.Errorf("%d lines were seen, the first %d and the last %d times", len(seen), seen["1"], seen["1000"])
	}
	if page := s.get("/runs/481/log/plan?to=x"); page.Code != 400 {
		t.Errorf("answered %d", page.Code)
	}
}
