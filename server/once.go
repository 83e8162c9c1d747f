package server

import (
	"crypto/sha256"
	"errors"
	"slices"
	"sync"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

var errPanicked = errors.New("the handler panicked")

// maxKeys is how many answers are remembered; the oldest is forgotten first.
const maxKeys = 1000

// memory remembers the answers to posts that had an Idempotency-Key, so that one that is sent again
// has no second effect. It does not outlive the process: what a post asks for is recorded in the
// journal, and asking a run twice for the same thing is refused there.
type memory struct {
	mu    sync.Mutex // guards the fields below
	seen  map[memoryKey]*remembered
	order []memoryKey
}

type memoryKey struct{ who, key string }

type remembered struct {
	imprint [sha256.Size]byte // of method, path and body
	done    bool
	code    int
	body    any
}

// begin returns what was answered to the key before, or nil after noting that it is being worked on.
func (m *memory) begin(k memoryKey, imprint [sha256.Size]byte) (*remembered, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.seen[k]
	switch {
	case old == nil:
		if m.seen == nil {
			m.seen = map[memoryKey]*remembered{}
		}
		if len(m.order) >= maxKeys {
			delete(m.seen, m.order[0])
			m.order = m.order[1:]
		}
		m.seen[k], m.order = &remembered{imprint: imprint}, append(m.order, k)
		return nil, nil //nolint:nilnil // nothing was answered yet, and that is no error
	case old.imprint != imprint:
		return nil, &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: "this Idempotency-Key was used for something else",
			Hint: "use a new key for each act",
		}
	case !old.done:
		return nil, &upgrade.Error{Code: upgrade.CodeConflict, Msg: "a post with this Idempotency-Key is still being worked on"}
	}
	return old, nil
}

// end remembers an answer, or forgets the key if there was none: then the same may be tried again.
func (m *memory) end(k memoryKey, code int, body any, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.seen[k]
	switch {
	case r == nil: // forgotten meanwhile
	case err != nil:
		delete(m.seen, k)
		m.order = slices.DeleteFunc(m.order, func(o memoryKey) bool { return o == k })
	default:
		r.done, r.code, r.body = true, code, body
	}
}

// once answers what act returns; a repeated post with the same Idempotency-Key gets the same answer
// without act being called.
func (s *Server) once(c *gin.Context, body []byte, act func() (code int, body any, err error)) error {
	key := c.GetHeader("Idempotency-Key")
	if len(key) > 200 {
		return invalid("the Idempotency-Key is longer than 200 characters")
	}
	if key == "" {
		code, answer, err := act()
		if err == nil {
			writeJSON(c, code, jsonType, answer)
		}
		return err
	}
	k := memoryKey{person(c).Name, key}
	old, err := s.memory.begin(k, sha256.Sum256([]byte(c.Request.Method+" "+c.Request.URL.Path+"\n"+string(body))))
	if err != nil {
		return err
	}
	if old != nil {
		c.Header("Idempotent-Replayed", "true")
		writeJSON(c, old.code, jsonType, old.body)
		return nil
	}
	var code int
	var answer any
	err = errPanicked // until act has returned
	defer func() { s.memory.end(k, code, answer, err) }()
	code, answer, err = act()
	if err == nil {
		writeJSON(c, code, jsonType, answer)
	}
	return err
}
