package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	// maxKey is the longest Idempotency-Key, in characters.
	maxKey = 200
	// keysFor is how long a key is remembered.
	keysFor = 24 * time.Hour
)

var (
	errPanicked = errors.New("the handler panicked")
	// errKeyReused is what is wrong with a key that came with something else before: 422.
	errKeyReused = errors.New("the key was used for something else")
)

// posts remembers posts with an Idempotency-Key. It outlives the process.
type posts interface {
	// BeginPost notes that a post is being worked on, unless one with that key was since then.
	BeginPost(ctx context.Context, p upgrade.KeyedPost, since time.Time) (old upgrade.KeyedPost, begun bool, err error)
	EndPost(ctx context.Context, key string, code int, body []byte) error
	ForgetPost(ctx context.Context, key string) error
}

// memory answers posts that are sent again as they were answered before, so that they have no second effect.
type memory struct {
	posts posts
	now   func() time.Time

	mu      sync.Mutex        // guards running
	running map[string]inWork // keys of posts that this process works on now
}

// inWork counts the posts with one key that this process works on.
type inWork struct {
	now int
	all int // since there was none
}

// secretive is an answer that tells a secret. What is remembered of it has none.
type secretive interface{ withoutSecret() any }

// keyed is a post with its key.
type keyed struct {
	upgrade.KeyedPost

	replayed bool // KeyedPost was answered before
	memory   *memory
}

// keyOf returns what a post is remembered by: its key counts for one caller and one route. The same key with
// another address of that route, or with another body, is something else.
func keyOf(c *gin.Context, key string, body []byte) upgrade.KeyedPost {
	who := callerOf(c)
	caller := digestOf(who.identity.Subject + "\n" + who.token)
	imprint := sha256.Sum256([]byte(c.Request.URL.RequestURI() + "\n" + string(body)))
	return upgrade.KeyedPost{
		Key: digestOf(caller + "\n" + c.Request.Method + " " + c.FullPath() + "\n" + key), Caller: caller, Imprint: hex.EncodeToString(imprint[:]),
	}
}

// begin notes that a post is being worked on. It returns one that was answered before as replayed; any other has
// to be ended. Errors: errKeyReused; CodeConflict for one under way, and for one that was done and whose answer
// is lost; CodeLimited.
func (m *memory) begin(ctx context.Context, p upgrade.KeyedPost) (keyed, error) {
	k := keyed{KeyedPost: p, memory: m}
	k.BegunAt = m.now()
	m.enter(k.Key)
	old, begun, err := m.posts.BeginPost(withoutAct(ctx), k.KeyedPost, k.BegunAt.Add(-keysFor))
	if err == nil && !begun {
		err = k.resume(old, m.alone(k.Key)) // asked now: who came meanwhile may have begun it
	}
	if err != nil || k.replayed {
		m.leave(k.Key)
	}
	if err != nil {
		return k, fmt.Errorf("remember a post: %w", err)
	}
	return k, nil
}

// resume decides what becomes of a post of which one was there before.
func (k *keyed) resume(old upgrade.KeyedPost, alone bool) error {
	switch {
	case old.Imprint != k.Imprint:
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: "this Idempotency-Key was used for something else", Hint: "use a new key for each act: this one counts for what was sent with it first", Cause: errKeyReused,
		}
	case old.Done:
		k.KeyedPost, k.replayed = old, true
		return nil
	case !alone:
		return &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: "a post with this Idempotency-Key is still being worked on", Hint: "wait a moment and send it again with the same key", RetryAfter: time.Second,
		}
	case old.Acted:
		return &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: "what this post asks for was done, and the service ended before it could answer",
			Hint: "look at what it is about; do not send it again with another key",
		}
	}
	return nil // the service ended while it worked on it, and nothing was done: it is done now
}

func (m *memory) enter(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running == nil {
		m.running = map[string]inWork{}
	}
	w := m.running[key]
	m.running[key] = inWork{now: w.now + 1, all: w.all + 1}
}

// alone reports whether nobody else has worked on that key since the caller entered, nor did then.
func (m *memory) alone(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running[key].all == 1
}

func (m *memory) leave(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.running[key]
	if w.now--; w.now <= 0 {
		delete(m.running, key)
		return
	}
	m.running[key] = w
}

// end remembers an answer, or forgets the post if there was none: then the same may be tried again.
func (k *keyed) end(ctx context.Context, code int, answer any, err error) error {
	defer k.memory.leave(k.Key)
	ctx = context.WithoutCancel(withoutAct(ctx))
	if err != nil {
		return k.memory.posts.ForgetPost(ctx, k.Key)
	}
	if s, ok := answer.(secretive); ok {
		answer = s.withoutSecret()
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(answer); err != nil {
		return fmt.Errorf("encode an answer: %w", err)
	}
	return k.memory.posts.EndPost(ctx, k.Key, code, b.Bytes())
}

// once answers what act returns; a repeated post with the same Idempotency-Key gets the same answer, less the
// secrets in it, without act being called.
func (s *Server) once(c *gin.Context, body []byte, act func() (code int, body any, err error)) error {
	key := c.GetHeader("Idempotency-Key")
	if len(key) > maxKey {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the Idempotency-Key is longer than %d characters", maxKey), Hint: "use a random one, such as a UUID"}
	}
	if key == "" {
		code, answer, err := act()
		if err == nil {
			writeJSON(c, code, jsonType, answer)
		}
		return err
	}
	k, err := s.memory.begin(c.Request.Context(), keyOf(c, key, body))
	if err != nil {
		return err
	}
	if k.replayed {
		c.Header("Idempotent-Replayed", "true")
		writeTagged(c, k.Code, jsonType, k.Body)
		return nil
	}
	c.Request = c.Request.WithContext(upgrade.Posting(c.Request.Context(), k.Key))
	var code int
	var answer any
	err = errPanicked // until act has returned
	defer func() { s.endKeyed(c, k, code, answer, err) }()
	code, answer, err = act()
	if err == nil {
		writeJSON(c, code, jsonType, answer)
	}
	return err
}

// onceForm does what a form asks, once for each time that the form was shown.
func (s *Server) onceForm(c *gin.Context, act func() (answer any, err error)) (replayed bool, kept []byte, err error) {
	p := keyOf(c, "form/"+c.Request.URL.Path+"/"+c.PostForm("key"), nil)
	k, err := s.memory.begin(c.Request.Context(), p)
	if k.replayed {
		c.Header("Idempotent-Replayed", "true")
	}
	if err != nil || k.replayed {
		return k.replayed, k.Body, err
	}
	c.Request = c.Request.WithContext(upgrade.Posting(c.Request.Context(), k.Key))
	var answer any
	err = errPanicked
	defer func() { s.endKeyed(c, k, http.StatusSeeOther, answer, err) }()
	answer, err = act()
	return false, nil, err
}

func (s *Server) endKeyed(c *gin.Context, k keyed, code int, answer any, err error) {
	if e := k.end(c.Request.Context(), code, answer, err); e != nil {
		s.log.ErrorContext(c.Request.Context(), "the answer to a post with an Idempotency-Key is not remembered", "route", c.FullPath(), "request_id", requestID(c), "err", e)
	}
}
