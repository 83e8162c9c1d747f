package gitlabsim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// refusal is an answer of the API that says no. Message is text, a list or a map, as GitLab has it.
type refusal struct {
	Status  int
	Message any
}

// Error returns status and message; most messages begin with the status.
func (r *refusal) Error() string {
	status, text := strconv.Itoa(r.Status), fmt.Sprint(r.Message)
	if strings.HasPrefix(text, status) {
		return text
	}
	return status + " " + text
}

// act writes the log of what was done. mu is held.
func (s *Server) act(by *User, act, target, result, warning string) {
	a := Act{At: s.clock.Now(), Act: act, Target: target, Result: result, Warning: warning}
	if by != nil {
		a.By = by.Username
	}
	s.acts = append(s.acts, a)
}

// Acts returns everything that anybody did, in order.
func (s *Server) Acts() []Act {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.acts)
}

// Requests returns the API requests that came in, in order, at most the last thousand.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Request, 0, len(s.requests))
	for _, r := range s.requests {
		out = append(out, *r)
	}
	return out
}

// ForgetRequests empties the list of Requests.
func (s *Server) ForgetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}
