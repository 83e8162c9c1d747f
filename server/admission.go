package server

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	// lookAgain is how often it is looked at whether whoever has a stream open may still come in.
	lookAgain = 5 * time.Second
	// maxDoubts is how often in a row that may not be known before the stream ends all the same.
	maxDoubts = 3
)

// admissions are the answers that go on for as long as somebody reads them. Each ends soon after whoever reads
// it may not come in any more: at once when the session or token is revoked here, within lookAgain when it
// expires, is revoked elsewhere, or its owner has no role left.
type admissions struct {
	mu   sync.Mutex // guards the fields below
	open map[*admission]struct{}
}

// admission is one such answer.
type admission struct {
	request *http.Request
	who     caller
	end     context.CancelFunc

	mu     sync.Mutex // guards the fields below
	timer  *time.Timer
	doubts int
	over   bool
}

// whileAdmitted gives the request a context that ends when whoever asks may not come in any more. release must be
// called when it is answered.
func (s *Server) whileAdmitted(c *gin.Context) (release func()) {
	ctx, cancel := context.WithCancel(c.Request.Context())
	a := &admission{request: c.Request, who: callerOf(c), end: cancel}
	c.Request = c.Request.WithContext(ctx)
	s.admissions.mu.Lock()
	if s.admissions.open == nil {
		s.admissions.open = map[*admission]struct{}{}
	}
	s.admissions.open[a] = struct{}{}
	s.admissions.mu.Unlock()
	a.mu.Lock()
	a.timer = time.AfterFunc(lookAgain, func() { s.look(a) })
	a.mu.Unlock()
	return func() {
		a.finish()
		s.admissions.mu.Lock()
		delete(s.admissions.open, a)
		s.admissions.mu.Unlock()
	}
}

// look ends an answer to somebody who may not come in any more.
func (s *Server) look(a *admission) {
	_, err := s.keys.known(a.request)
	a.mu.Lock()
	switch {
	case err == nil:
		a.doubts = 0
	case upgrade.CodeOf(err) == upgrade.CodeUnauthorized:
		a.doubts = maxDoubts
	default:
		a.doubts++
	}
	over := a.over || a.doubts >= maxDoubts
	if !over {
		a.timer.Reset(lookAgain)
	}
	told := over && !a.over && a.request.Context().Err() == nil
	a.mu.Unlock()
	if told {
		s.log.InfoContext(a.request.Context(), "a stream was ended: its reader may not come in any more", "who", a.who.person.Name, "via", a.who.via, "err", err)
	}
	if over {
		a.finish()
	}
}

func (a *admission) finish() {
	a.mu.Lock()
	a.over = true
	a.timer.Stop()
	a.mu.Unlock()
	a.end()
}

// revoked ends what goes on under a session or token, by its id.
func (s *Server) revoked(id string) {
	s.admissions.mu.Lock()
	var over []*admission
	for a := range s.admissions.open {
		if id != "" && (a.who.session == id || a.who.token == id) {
			over = append(over, a)
		}
	}
	s.admissions.mu.Unlock()
	for _, a := range over {
		a.finish()
	}
}
