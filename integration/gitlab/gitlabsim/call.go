package gitlabsim

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// call is one API request.
type call struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	ctx     context.Context //nolint:containedctx // of the request, which this is
	user    *User           // nil: nobody
	project *project        // nil where the address names none
	fields  map[string]string
	status  int // of the answer; default 200, 201 for POST
}

// begin finds out who asks, for what, and whether they may see it.
func (s *Server) begin(w http.ResponseWriter, r *http.Request) (*call, *refusal) {
	c := &call{s: s, w: w, r: r, ctx: r.Context(), fields: map[string]string{}}
	if err := c.read(); err != nil {
		return nil, &refusal{http.StatusBadRequest, "400 Bad request - " + err.Error()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	token := tokenOf(r)
	if token != "" {
		if c.user = s.users[s.tokens[token]]; c.user == nil {
			return nil, &refusal{http.StatusUnauthorized, "401 Unauthorized"}
		}
	}
	if refused := s.limit(w, c.user); refused != nil {
		return nil, refused
	}
	id := r.PathValue("id")
	if id == "" {
		if c.user == nil {
			return nil, &refusal{http.StatusUnauthorized, "401 Unauthorized"}
		}
		return c, nil
	}
	if n, err := strconv.ParseInt(id, 10, 64); err == nil {
		c.project = s.projectBy(n)
	} else {
		c.project = s.projectAt(id)
	}
	switch p := c.project; {
	case p != nil && p.Public && r.Method == http.MethodGet:
	case c.user == nil:
		return nil, &refusal{http.StatusUnauthorized, "401 Unauthorized"}
	case p == nil || !p.Public && p.members[c.user.ID] < Guest:
		return nil, &refusal{http.StatusNotFound, "404 Project Not Found"}
	}
	return c, nil
}

// read takes the fields of query and body, which may be a form or JSON.
func (c *call) read() error {
	raw, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxRequest))
	if err != nil {
		return err
	}
	take := func(v url.Values) {
		for k, vs := range v {
			c.fields[k] = vs[len(vs)-1]
		}
	}
	take(c.r.URL.Query())
	if len(raw) == 0 {
		return nil
	}
	if !strings.HasPrefix(c.r.Header.Get("Content-Type"), "application/json") {
		v, err := url.ParseQuery(string(raw))
		if err != nil {
			return err
		}
		take(v)
		return nil
	}
	var body map[string]any
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	if err := dec.Decode(&body); err != nil {
		return err
	}
	for k, v := range body {
		if v != nil {
			c.fields[k] = fmt.Sprint(v)
		}
	}
	return nil
}

// finish runs the endpoint and answers.
func (c *call) finish(do reply) {
	body, refused := do(c)
	if refused != nil {
		answer(c.w, refused.Status, message(refused.Message))
		return
	}
	status := c.status
	switch {
	case status != 0:
	case c.r.Method == http.MethodPost:
		status = http.StatusCreated
	default:
		status = http.StatusOK
	}
	answer(c.w, status, body)
}

func message(m any) map[string]any { return map[string]any{"message": m} }

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Cache-Control", "max-age=0, private, must-revalidate")
	w.Header().Set("X-Request-Id", random(8))
	if status == http.StatusNoContent {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}

func (c *call) str(name string) string { return c.fields[name] }

func (c *call) has(name string) bool {
	_, ok := c.fields[name]
	return ok
}

func (c *call) num(name string) int64 {
	n, _ := strconv.ParseInt(c.fields[name], 10, 64) // not a number counts as not given
	return n
}

func (c *call) flag(name string) bool { return c.fields[name] == "true" || c.fields[name] == "1" }

// path returns a part of the address; num its number, 0 if it is none.
func (c *call) path(name string) string { return c.r.PathValue(name) }

func (c *call) pathNum(name string) int64 {
	n, _ := strconv.ParseInt(c.r.PathValue(name), 10, 64) // 0 is nobody's id
	return n
}

// need refuses whoever has less than that role.
func (c *call) need(role Access) *refusal {
	if c.user == nil || c.project.members[c.user.ID] < role {
		return &refusal{http.StatusForbidden, "403 Forbidden"}
	}
	return nil
}

func notFound(what string) *refusal {
	if what != "" {
		what += " "
	}
	return &refusal{http.StatusNotFound, "404 " + what + "Not Found"}
}

// window counts a user's requests of one minute.
type window struct {
	minute int64
	count  int
}

// limit sends the RateLimit headers and refuses what is too much. mu is held.
func (s *Server) limit(w http.ResponseWriter, user *User) *refusal {
	var id int64
	if user != nil {
		id = user.ID
	}
	now := s.clock.Now()
	win := s.limits[id]
	if win == nil || win.minute != now.Unix()/60 {
		win = &window{minute: now.Unix() / 60}
		s.limits[id] = win
	}
	win.count++
	most := s.cfg.RateLimit
	if most == 0 {
		most = 2000
	}
	reset := time.Unix((win.minute+1)*60, 0)
	h := w.Header()
	h.Set("RateLimit-Limit", strconv.Itoa(most))
	h.Set("RateLimit-Name", "throttle_authenticated_api")
	h.Set("RateLimit-Observed", strconv.Itoa(win.count))
	h.Set("RateLimit-Remaining", strconv.Itoa(max(most-win.count, 0)))
	h.Set("RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10))
	if s.cfg.RateLimit > 0 && win.count > s.cfg.RateLimit {
		h.Set("Retry-After", strconv.Itoa(int(reset.Sub(now).Seconds())+1))
		h.Set("RateLimit-ResetTime", reset.UTC().Format(http.TimeFormat))
		return &refusal{http.StatusTooManyRequests, "Retry later"}
	}
	return nil
}

// page cuts a list and sends the paging headers.
func page[T any](c *call, all []T) []T {
	per := int(c.num("per_page"))
	if per < 1 {
		per = 20
	}
	per = min(per, 100)
	n := max(int(c.num("page")), 1)
	pages := max((len(all)+per-1)/per, 1)
	from := min((n-1)*per, len(all))
	h := c.w.Header()
	h.Set("X-Page", strconv.Itoa(n))
	h.Set("X-Per-Page", strconv.Itoa(per))
	h.Set("X-Total", strconv.Itoa(len(all)))
	h.Set("X-Total-Pages", strconv.Itoa(pages))
	h["X-Next-Page"], h["X-Prev-Page"] = []string{""}, []string{""}
	var links []string
	link := func(rel string, to int) {
		q := c.r.URL.Query()
		q.Set("page", strconv.Itoa(to))
		q.Set("per_page", strconv.Itoa(per))
		links = append(links, fmt.Sprintf("<%s%s?%s>; rel=%q", c.s.url, c.r.URL.EscapedPath(), q.Encode(), rel))
	}
	if n > 1 {
		h.Set("X-Prev-Page", strconv.Itoa(n-1))
		link("prev", n-1)
	}
	if n < pages {
		h.Set("X-Next-Page", strconv.Itoa(n+1))
		link("next", n+1)
	}
	link("first", 1)
	link("last", pages)
	h.Set("Link", strings.Join(links, ", "))
	return all[from:min(from+per, len(all))]
}

// commitOf returns the commit that a name in an address means: a full hash or a branch.
func (c *call) commitOf(name string) (upgrade.Commit, bool) {
	if head, ok := c.project.branches[name]; ok {
		return head, true
	}
	id, err := upgrade.ParseCommit(name)
	if err != nil {
		return "", false
	}
	if err := c.s.learn(c.ctx, c.project, id); err != nil {
		return "", false
	}
	_, ok := c.project.commits[id]
	return id, ok
}
