package server

import (
	"fmt"
	"io/fs"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// TestEveryProblemSaysWhatToDo walks all codes, and every operation with requests that it has to refuse.
func TestEveryProblemSaysWhatToDo(t *testing.T) {
	codes := []upgrade.Code{
		upgrade.CodeInvalid, upgrade.CodeUnauthorized, upgrade.CodeForbidden, upgrade.CodeNotFound, upgrade.CodeConflict, upgrade.CodeStale, upgrade.CodeBusy,
		upgrade.CodeLimited, upgrade.CodeUnavailable, upgrade.CodeInternal,
	}
	s := calledSite(t, func(c *Config) { c.Pace = Pace{PerSecond: 1e6, Burst: 1e6} })
	for _, code := range codes {
		s.world.askErr = &upgrade.Error{Code: code, Msg: "it is so"}
		if p := decode[problem](t, s.do("POST", "/api/v1/runs/481/stop", managerToken, `{"reason":"x"}`)); p.Hint == "" || p.Code != code || p.Type != "about:blank" || p.RequestID == "" {
			t.Errorf("%s: %+v", code, p)
		}
	}
	s.world.askErr = nil
	doc := readDocument(t)
	known := map[string]bool{}
	for _, c := range calls() {
		method, target := c.request(doc)
		if known[c.Op] {
			continue
		}
		known[c.Op] = true
		for what, try := range map[string]struct{ method, target, token, body string }{
			"no_token":    {method, target, "", c.Body},
			"no_query":    {method, target + map[bool]string{true: "&", false: "?"}[strings.Contains(target, "?")] + "nonsense=1", managerToken, c.Body},
			"no_json":     {method, target, managerToken, "{"},
			"long_body":   {method, target, managerToken, strings.Repeat(" ", maxForm+1)},
			"no_method":   {"PUT", target, managerToken, c.Body},
			"long_key":    {method, target, managerToken, c.Body},
			"nothing":     {method, regexp.MustCompile(`/(481|chat|s1|t1|network|a%2Fb|ecs-master|staging-a|grants%2Fproduction)`).ReplaceAllString(target, "/none"), managerToken, c.Body},
			"only_viewer": {method, target, viewerToken, c.Body},
		} {
			header := []string{}
			if what == "long_key" {
				header = []string{"Idempotency-Key", strings.Repeat("k", maxKey+1)}
			}
			w := s.do(try.method, try.target, try.token, try.body, header...)
			if w.Code < 400 {
				continue
			}
			if p := decode[problem](t, w); p.Hint == "" || p.Detail == "" || p.Status != w.Code || p.Title == "" || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s %s: %d %s", c.Op, what, w.Code, w.Body)
			}
		}
	}
}

// TestEveryListIsPaged follows each list with one item a page, while items are added at its front: each of those that
// were there at the beginning comes once.
func TestEveryListIsPaged(t *testing.T) {
	doc := readDocument(t)
	start := time.Now().Add(-time.Hour)
	me := upgrade.Identity{Subject: "token/Mira Holt", Name: "Mira Holt"}
	access := &fakeAccess{}
	for i := range 5 {
		at := start.Add(time.Duration(i/2) * time.Minute) // two of a time
		access.sessions = slices.Insert(access.sessions, i-i%2, upgrade.Session{Digest: fmt.Sprint(i), ID: fmt.Sprintf("S%d", 9-i), Who: me, BegunAt: at, SeenAt: time.Now(), EndsAt: time.Now().Add(time.Hour)})
		access.tokens = slices.Insert(access.tokens, i-i%2, upgrade.APIToken{Digest: fmt.Sprint(i), ID: fmt.Sprintf("T%d", 9-i), Name: "n", Owner: me, MadeAt: at, EndsAt: time.Now().Add(time.Hour)})
	}
	newest := func(a, b time.Time, x, y string) int {
		if c := b.Compare(a); c != 0 {
			return c
		}
		return strings.Compare(x, y)
	}
	order := func() {
		slices.SortFunc(access.sessions, func(a, b upgrade.Session) int { return newest(a.BegunAt, b.BegunAt, a.ID, b.ID) })
		slices.SortFunc(access.tokens, func(a, b upgrade.APIToken) int { return newest(a.MadeAt, b.MadeAt, a.ID, b.ID) })
	}
	order()
	audit := &fakeAudit{}
	for range 5 {
		if err := audit.Record(t.Context(), upgrade.AuditEntry{At: fakeNow(), Who: "Mira Holt"}); err != nil {
			t.Fatal(err)
		}
	}
	hooks := fullHooks()
	s := calledSite(t, func(c *Config) {
		c.Access, c.Audit, c.Hooks, c.Pace = access, audit, hooks, Pace{PerSecond: 1e6, Burst: 1e6}
	})
	added := 0
	add := func() { // at the front of each
		added++
		w := s.world
		w.mu.Lock()
		run := w.runs[0]
		run.ID = upgrade.RunID(1000 + added)
		w.runs = append(w.runs, run)
		w.deliveries = append(w.deliveries, upgrade.Delivery{Number: int64(100 + added), ID: upgrade.DeliveryID(fmt.Sprintf("new-%d", added))})
		w.mu.Unlock()
		now := time.Now().Add(time.Duration(added) * time.Millisecond)
		access.mu.Lock()
		access.sessions = append(access.sessions, upgrade.Session{ID: fmt.Sprintf("N%d", added), Who: me, BegunAt: now, SeenAt: now, EndsAt: now.Add(time.Hour)})
		access.tokens = append(access.tokens, upgrade.APIToken{ID: fmt.Sprintf("N%d", added), Owner: me, MadeAt: now, EndsAt: now.Add(time.Hour)})
		order()
		access.mu.Unlock()
		if err := audit.Record(t.Context(), upgrade.AuditEntry{At: fakeNow(), Who: "Mira Holt"}); err != nil {
			t.Error(err)
		}
	}
	paged := 0
	for path, methods := range doc.Paths {
		op := methods["get"]
		limited := slices.ContainsFunc(op.Parameters, func(p struct {
			Name string `json:"name"`
		},
		) bool {
			return p.Name == "limit"
		})
		if !limited {
			continue
		}
		paged++
		target := strings.NewReplacer("{id}", "481", "{name}", "chat").Replace(path)
		keyOf := func(item map[string]any) string {
			for _, name := range []string{"number", "seq", "id"} {
				if v, ok := item[name]; ok {
					return fmt.Sprint(v)
				}
			}
			return fmt.Sprint(item)
		}
		all := decode[page[map[string]any]](t, s.get(target+"?limit=200"))
		seen := map[string]int{}
		pages := 0
		for next := target + "?limit=1"; next != ""; pages++ {
			w := s.get(next)
			got := decode[page[map[string]any]](t, w)
			if w.Code != 200 || len(got.Items) > 1 || pages > 100 || (got.Next != "") != (w.Header().Get("Link") == "<"+got.Next+`>; rel="next"`) {
				t.Fatalf("%s: %d %s", next, w.Code, w.Body)
			}
			for _, item := range got.Items {
				seen[keyOf(item)]++
			}
			if pages < 4 {
				add()
			}
			next = got.Next
		}
		for _, item := range all.Items {
			if n := seen[keyOf(item)]; n != 1 {
				t.Errorf("%s: %s came %d times", path, keyOf(item), n)
			}
		}
		if len(all.Items) < 2 {
			t.Errorf("%s has %d items: too few to say anything", path, len(all.Items))
		}
		if w := s.get(target + "?limit=201"); w.Code != http.StatusBadRequest {
			t.Errorf("%s: more than the limit is answered %d", path, w.Code)
		}
	}
	if paged < 7 {
		t.Errorf("only %d lists are paged", paged)
	}
}

// TestThePagesHaveNoPrivateDoor: whatever a form of a page does, an operation of the API does.
func TestThePagesHaveNoPrivateDoor(t *testing.T) {
	s := newSite(t, fullWorld())
	cfg := s.world.config(s.log)
	cfg, err := cfg.check()
	if err != nil {
		t.Fatal(err)
	}
	operations := map[string]bool{}
	for path, methods := range readDocument(t).Paths {
		for method := range methods {
			operations[strings.ToUpper(method)+" "+regexp.MustCompile(`\{\w+\}`).ReplaceAllString(strings.TrimPrefix(path, "/api/v1"), "*")] = true
		}
	}
	own := []string{"POST /login", "POST /logout", "POST /theme"} // of a browser: cookies
	same := map[string]string{
		"POST /environments/check":       "POST /invariants/*/check",
		"POST /access/sessions/*/revoke": "POST /sessions/*/revoke",
		"GET /":                          "GET /runs",
		"GET /access":                    "GET /sessions",
		"GET /history":                   "GET /runs",
		"GET /runs/*/log/*":              "GET /runs/*/log/*",
		"GET /environments/*/*":          "GET /invariants/*",
		"GET /environments/*/*/*":        "GET /invariants/*",
		"POST /messages/*/*/resend":      "POST /hooks/*/messages/*/resend",
		"GET /messages":                  "GET /hooks/*/messages",
		"POST /access/tokens/*/revoke":   "POST /tokens/*/revoke",
		"POST /access":                   "POST /tokens",
		"GET /runs/*/replay":             "GET /runs/*/events",
	}
	for _, a := range theActs() {
		same["POST /runs/*/"+a.page] = "POST /runs/*/" + a.name
		same["GET /runs/*/"+a.page] = "POST /runs/*/" + a.name
	}
	checked := 0
	for _, r := range s.routes(cfg).Routes() {
		door := r.Method + " " + regexp.MustCompile(`:\w+`).ReplaceAllString(r.Path, "*")
		other := regexp.MustCompile(`^/(api|static|healthz|readyz|metrics|login|events)|/parts/`).MatchString(r.Path)
		if other && r.Method == http.MethodGet || strings.HasPrefix(r.Path, "/api/") || slices.Contains(own, door) {
			continue
		}
		checked++
		if to, ok := same[door]; ok {
			door = to
		}
		if !operations[door] {
			t.Errorf("%s %s has no operation in the API", r.Method, r.Path)
		}
	}
	// Forms that are sent are among the routes.
	actions := 0
	err = fs.WalkDir(templateFiles, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(templateFiles, name)
		actions += strings.Count(strings.ToLower(string(text)), `method="post"`)
		return err
	})
	if err != nil || actions == 0 || checked < 25 {
		t.Errorf("%d forms and %d routes were looked at: %v", actions, checked, err)
	}
}
