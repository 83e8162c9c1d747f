package gitlabsim

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// answerKept is how much of an answer GitLab keeps.
const answerKept = 8 << 10

type hook struct {
	Hook
	project  *project
	queue    []*delivery
	busy     bool // somebody sends the queue
	failures int  // in a row
	offUntil time.Time
}

type delivery struct {
	Delivery
	hook *hook
	end  func() // says to the clock that the work is done
}

// eventNames are the values of X-Gitlab-Event.
func eventName(kind string) string {
	switch kind {
	case "push":
		return "Push Hook"
	case "tag_push":
		return "Tag Push Hook"
	case "merge_request":
		return "Merge Request Hook"
	case "pipeline":
		return "Pipeline Hook"
	case "job":
		return "Job Hook"
	case "deployment":
		return "Deployment Hook"
	case "note":
		return "Note Hook"
	}
	return "Unknown Hook"
}

// AddHook adds a webhook to a project and returns it with its id.
func (s *Server) AddHook(projectID int64, h Hook) (Hook, error) {
	err := s.change(projectID, func(p *project) {
		h.ID = next(&s.ids.hook)
		p.hooks = append(p.hooks, &hook{Hook: h, project: p})
	})
	return h, err
}

// RemoveHook removes a webhook; what is queued for it is not sent any more.
func (s *Server) RemoveHook(hookID int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.projects {
		p.hooks = slices.DeleteFunc(p.hooks, func(h *hook) bool { return h.ID == hookID })
	}
}

// fire queues an event for every webhook that wants it. mu is held.
func (s *Server) fire(p *project, kind string, body map[string]any) {
	var raw []byte
	for _, h := range p.hooks {
		if len(h.Events) > 0 && !slices.Contains(h.Events, kind) {
			continue
		}
		if raw == nil {
			var err error
			if raw, err = json.Marshal(body); err != nil {
				s.log.ErrorContext(s.life, "webhook body cannot be written", "kind", kind, "err", err)
				return
			}
		}
		s.queue(h, kind, raw, uuid(), false)
	}
}

// queue makes a delivery and lets it be sent, unless a mishap says otherwise. mu is held.
func (s *Server) queue(h *hook, kind string, body []byte, key string, again bool) {
	d := &delivery{hook: h, Delivery: Delivery{
		ID: next(&s.ids.delivery), HookID: h.ID, ProjectID: h.project.ID, Event: eventName(kind), Kind: kind, Key: key,
		At: s.clock.Now(), URL: h.URL, Body: body, State: DeliveryQueued, Resend: again,
	}}
	s.deliveries = append(s.deliveries, d)
	if !again && s.clock.Now().Before(h.offUntil) {
		d.State, d.Err = DeliveryDropped, "the webhook is switched off"
		return
	}
	if again {
		s.send(d)
		return
	}
	switch s.mishapFor(kind) {
	case MishapDrop:
		d.State, d.Err = DeliveryDropped, "lost"
	case MishapHold: // until ReleaseDeliveries
	case MishapDuplicate:
		s.send(d)
		s.queue(h, kind, body, key, true)
	default:
		s.send(d)
	}
}

// send hands a delivery to the one goroutine that sends for its webhook, in order. mu is held.
func (s *Server) send(d *delivery) {
	if s.closed {
		return
	}
	d.end = s.clock.Begin()
	h := d.hook
	h.queue = append(h.queue, d)
	if h.busy {
		return
	}
	h.busy = true
	s.work.Go(func() {
		for {
			s.mu.Lock()
			if len(h.queue) == 0 {
				h.busy = false
				s.mu.Unlock()
				return
			}
			d := h.queue[0]
			h.queue = h.queue[1:]
			gone := !slices.Contains(h.project.hooks, h)
			req := d.Delivery
			s.mu.Unlock()
			if gone {
				s.lose(d)
			} else {
				s.post(d, req, h)
			}
			d.end()
		}
	})
}

// lose gives a delivery up because its webhook was removed.
func (s *Server) lose(d *delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.State, d.Err = DeliveryDropped, "the webhook was removed"
}

// post sends one delivery over HTTP. A failure is not tried again: GitLab does not either.
func (s *Server) post(d *delivery, out Delivery, h *hook) {
	started := time.Now() //nolint:forbidigo // how long a real request took
	header := s.headers(out, h)
	status, answer, err := s.exchange(out, header)
	s.mu.Lock()
	defer s.mu.Unlock()
	d.State, d.Header, d.Status, d.Answer = DeliverySent, header, status, answer
	d.Took = time.Since(started) //nolint:forbidigo // as above
	if err != nil {
		d.Err = err.Error()
	}
	if err == nil && status >= 200 && status < 400 {
		h.failures, h.offUntil = 0, time.Time{}
		return
	}
	h.failures++
	if s.cfg.AutoDisable && h.failures >= 4 {
		h.offUntil = s.clock.Now().Add(min(time.Minute<<min(h.failures-4, 12), 24*time.Hour))
	}
}

func (s *Server) exchange(d Delivery, header http.Header) (status int, answer string, err error) {
	req, err := http.NewRequestWithContext(s.life, http.MethodPost, d.URL, bytes.NewReader(d.Body))
	if err != nil {
		return 0, "", err
	}
	req.Header = header.Clone()
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }() // it was read as far as it is wanted
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerKept))
	return resp.StatusCode, string(body), err
}

// headers are those that GitLab 19 sends.
func (s *Server) headers(d Delivery, h *hook) http.Header {
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("User-Agent", "GitLab/"+s.cfg.Version)
	header.Set("Idempotency-Key", d.Key)
	header.Set("X-Gitlab-Event", d.Event)
	header.Set("X-Gitlab-Webhook-UUID", uuid()) // one per request, whatever its documentation says
	header.Set("X-Gitlab-Instance", s.URL())
	header.Set("X-Gitlab-Event-UUID", uuid())
	stamp := strconv.FormatInt(s.clock.Now().Unix(), 10)
	header.Set("webhook-id", d.Key)
	header.Set("webhook-timestamp", stamp)
	if h.Token.Set() {
		header.Set("X-Gitlab-Token", h.Token.Reveal())
	}
	if h.SigningToken.Set() {
		signature, err := Sign(h.SigningToken, d.Key, stamp, d.Body)
		if err != nil {
			s.log.ErrorContext(s.life, "webhook cannot be signed", "err", err)
		} else {
			header.Set("webhook-signature", signature)
		}
	}
	return header
}

// Sign returns the webhook-signature header of a body, after the Standard Webhooks rules: "v1," and the
// base64 HMAC-SHA256 of id, timestamp (Unix seconds) and body, joined by dots.
func Sign(token upgrade.Secret, id, timestamp string, body []byte) (string, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(token.Reveal(), "whsec_"))
	if err != nil {
		return "", fmt.Errorf("decode the signing token: %w", err)
	}
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.", id, timestamp) // a hash never errs
	_, _ = mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

func uuid() string {
	raw := random(16)
	b, _ := hex.DecodeString(raw) // we wrote it
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	x := hex.EncodeToString(b)
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// Deliveries returns everything that was sent, or was to be sent, to webhooks, in order.
func (s *Server) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Delivery, 0, len(s.deliveries))
	for _, d := range s.deliveries {
		out = append(out, d.Delivery)
	}
	return out
}

// Resend sends a delivery again, with the same body and Idempotency-Key, as the button does.
func (s *Server) Resend(deliveryID int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.deliveries {
		if d.ID == deliveryID {
			s.queue(d.hook, d.Kind, d.Body, d.Key, true)
			return nil
		}
	}
	return fmt.Errorf("resend: no delivery %d", deliveryID)
}
