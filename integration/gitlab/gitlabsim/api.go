package gitlabsim

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// reply is what an endpoint answers: a value for JSON, or no.
type reply func(c *call) (any, *refusal)

// maxRequest bounds the body of an API request.
const maxRequest = 16 << 20

// routes is everything that GitLab serves.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	s.userRoutes(mux)
	s.repositoryRoutes(mux)
	s.requestRoutes(mux)
	s.ciRoutes(mux)
	s.hookRoutes(mux)
	s.identityRoutes(mux)
	s.signInRoutes(mux)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusNotFound, map[string]any{"error": "404 Not Found"})
	})
	mux.HandleFunc("/{path...}", s.serveOther)
	return s.watched(mux)
}

// watched brackets each request for the clock, keeps a list of them, and lets faults strike.
func (s *Server) watched(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.clock.Begin()()
		seen := &recorder{ResponseWriter: w}
		if strings.HasPrefix(r.URL.Path, "/api/") {
			entry := s.note(r)
			defer func() { s.noted(entry, seen.status) }()
		}
		s.mu.Lock()
		latency := s.latency
		s.mu.Unlock()
		if latency > 0 && !pause(r.Context(), latency) {
			return
		}
		f, struck := s.fault(r)
		if struck && f.After {
			next.ServeHTTP(discard{http.Header{}}, r)
		}
		if struck {
			s.strike(seen, r, f)
			return
		}
		next.ServeHTTP(seen, r)
	})
}

// pause waits in real time and reports whether the client is still there.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// note begins an entry in the list of requests.
func (s *Server) note(r *http.Request) *Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := &Request{At: s.clock.Now(), Method: r.Method, Path: r.URL.EscapedPath()}
	if r.URL.RawQuery != "" {
		q := r.URL.Query()
		q.Del("private_token")
		entry.Path += "?" + q.Encode()
	}
	if u := s.users[s.tokens[tokenOf(r)]]; u != nil {
		entry.By = u.Username
	}
	if len(s.requests) >= 1000 {
		s.requests = slices.Delete(s.requests, 0, 1)
	}
	s.requests = append(s.requests, entry)
	return entry
}

func (s *Server) noted(entry *Request, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry.Status = status
}

type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers the status.
func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// discard is the answer that gets lost.
type discard struct{ header http.Header }

// Header returns headers that nobody will see.
func (d discard) Header() http.Header { return d.header }

// Write takes everything.
func (d discard) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader does nothing.
func (d discard) WriteHeader(int) {}

func tokenOf(r *http.Request) string {
	if t := r.Header.Get("PRIVATE-TOKEN"); t != "" {
		return t
	}
	if t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return t
	}
	return r.URL.Query().Get("private_token")
}

// handle registers an endpoint that runs with mu held.
func (s *Server) handle(mux *http.ServeMux, pattern string, do reply) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		c, refused := s.begin(w, r)
		if refused == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			c.finish(do)
			return
		}
		answer(w, refused.Status, message(refused.Message))
	})
}

// handleMoving registers an endpoint that moves refs of its project.
func (s *Server) handleMoving(mux *http.ServeMux, pattern string, do reply) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		c, refused := s.begin(w, r)
		if refused == nil {
			c.project.refs.Lock()
			defer c.project.refs.Unlock()
			s.mu.Lock()
			defer s.mu.Unlock()
			c.finish(do)
			return
		}
		answer(w, refused.Status, message(refused.Message))
	})
}
