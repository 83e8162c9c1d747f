package client

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Recorded is a delivery of GitLab's as somebody recorded it.
type Recorded struct {
	Header http.Header
	Body   []byte
}

// ReadRecorded reads a recorded delivery: an object {"headers": {…}, "body": …} whose headers are texts or
// lists of texts and whose body is a JSON value or a text; what GET /api/v1/deliveries/{id} answers; or
// else the body alone, whose event must be given, such as "Push Hook". An event that is given is the one
// that counts. CodeInvalid for what is none of these.
func ReadRecorded(data []byte, event string) (Recorded, error) {
	var file struct {
		Headers map[string]json.RawMessage `json:"headers"`
		Body    json.RawMessage            `json:"body"`
		ID      string                     `json:"id"`
		Event   string                     `json:"event"`
		Fate    upgrade.Fate               `json:"fate"`
	}
	r := Recorded{Header: http.Header{}}
	switch err := json.Unmarshal(data, &file); {
	case err == nil && file.Headers != nil && file.Body != nil:
		for name, raw := range file.Headers {
			if err := r.addHeader(name, raw); err != nil {
				return Recorded{}, err
			}
		}
		r.Body = bodyOf(file.Body)
	case err == nil && file.Fate != "" && file.Event != "":
		if file.Body == nil {
			return Recorded{}, &upgrade.Error{
				Code: upgrade.CodeInvalid, Msg: "this delivery has no body any more", Hint: "play it again on the page of deliveries instead",
			}
		}
		r.Header.Set("X-Gitlab-Event", file.Event)
		r.Header.Set("Idempotency-Key", file.ID)
		r.Body = bodyOf(file.Body)
	default:
		r.Body = data
	}
	if event != "" {
		r.Header.Set("X-Gitlab-Event", event)
	}
	if r.Header.Get("X-Gitlab-Event") == "" {
		return Recorded{}, &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: "nothing says which event this is", Hint: `give it, such as --event "Push Hook"`,
		}
	}
	for name, values := range r.Header {
		for _, value := range values {
			if !sendable(name, value) {
				return Recorded{}, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("header %q cannot be sent", name)}
			}
		}
	}
	if !json.Valid(r.Body) {
		return Recorded{}, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the body is not JSON", Hint: "GitLab sends nothing else; was it recorded whole?"}
	}
	return r, nil
}

// bodyOf returns the text that a JSON string holds, else the JSON itself.
func bodyOf(raw json.RawMessage) []byte {
	var text string
	if err := json.Unmarshal(raw, &text); err == nil {
		return []byte(text)
	}
	return raw
}

// addHeader keeps a recorded header, unless it was about the connection of then.
func (r *Recorded) addHeader(name string, raw json.RawMessage) error {
	var one string
	var many []string
	switch {
	case json.Unmarshal(raw, &one) == nil:
		many = []string{one}
	case json.Unmarshal(raw, &many) != nil:
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("header %q is neither a text nor a list of texts", name)}
	}
	name = http.CanonicalHeaderKey(name)
	switch name {
	case "Host", "Content-Length", "Connection", "Transfer-Encoding", "Accept-Encoding", "Content-Encoding", "Keep-Alive", "Te", "Trailer", "Upgrade", "Expect":
		return nil
	}
	for _, value := range many {
		r.Header.Add(name, value)
	}
	return nil
}

// sendable reports whether HTTP can carry the header: RFC 9110 §5.
func sendable(name, value string) bool {
	const marks = "!#$%&'*+-.^_`|~"
	odd := func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune(marks, r)
	}
	control := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	return name != "" && !strings.ContainsFunc(name, odd) && !strings.ContainsFunc(value, control)
}

// id returns the id under which the service keeps the delivery: what its sender named it, else the hash
// of its body.
func (r Recorded) id() upgrade.DeliveryID {
	for _, name := range []string{"webhook-id", "Idempotency-Key"} {
		if id := r.Header.Get(name); id != "" {
			return upgrade.DeliveryID(id)
		}
	}
	sum := sha256.Sum256(r.Body)
	return upgrade.DeliveryID("sha256:" + hex.EncodeToString(sum[:]))
}

// Replay is a recorded delivery that is sent again.
type Replay struct {
	Recorded
	// Secret is the webhook's: a signing token (whsec_…) signs the delivery, any other goes along as the
	// secret token. Empty: as recorded.
	Secret upgrade.Secret
	SameID bool // it is sent under its own id; otherwise under a new one, so that it is looked at anew
}

// Replay sends a recorded delivery to the service's own door, as GitLab would. It returns the delivery's
// id and what was answered, such as "200 OK". CodeUnauthorized if the secret is missing or wrong,
// CodeInvalid if the service cannot read it, CodeUnavailable.
func (c *Client) Replay(ctx context.Context, r Replay) (id upgrade.DeliveryID, answer string, err error) {
	header := r.Header.Clone()
	id = r.id()
	if !r.SameID {
		id = upgrade.DeliveryID("replay-" + rand.Text())
		header.Del("webhook-signature") // was made for the other id
	}
	header.Set("webhook-id", string(id))
	header.Set("Idempotency-Key", string(id))
	header.Set("Content-Type", "application/json")
	if r.Secret.Set() {
		if err := authorise(header, r.Secret, id, r.Body, c.clock.Now()); err != nil {
			return "", "", err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.String()+"/webhooks/gitlab", bytes.NewReader(r.Body))
	if err != nil {
		return "", "", fmt.Errorf("send to %s: %w", c.base.Host, err)
	}
	req.Header = header
	resp, err := c.http.Do(req)
	if err != nil {
		return "", "", &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: c.base.Host + " does not answer", Hint: "is the service running, and is the address right?", Cause: err}
	}
	defer func() { _ = resp.Body.Close() }() // it is empty
	return id, resp.Status, refused(resp)
}

// refused is what an answer to a delivery means; nil: it was kept.
func refused(resp *http.Response) error {
	said := fmt.Sprintf("%s answered %s", resp.Request.URL.Host, resp.Status)
	switch {
	case resp.StatusCode < http.StatusMultipleChoices:
		return nil
	case resp.StatusCode == http.StatusUnauthorized:
		return &upgrade.Error{Code: upgrade.CodeUnauthorized, Msg: said, Hint: "the webhook's secret is missing or wrong"}
	case resp.StatusCode < http.StatusInternalServerError:
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: said, Hint: "is that the address of upgradegate, and is this a delivery of GitLab's?"}
	}
	return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: said, RetryAfter: retryAfter(resp)}
}

// authorise makes the delivery prove itself: Standard Webhooks for a signing token, else GitLab's header.
func authorise(h http.Header, secret upgrade.Secret, id upgrade.DeliveryID, body []byte, now time.Time) error {
	encoded, signing := strings.CutPrefix(secret.Reveal(), "whsec_")
	if !signing {
		h.Set("X-Gitlab-Token", secret.Reveal())
		return nil
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil { // it quotes the secret
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the signing token is not whsec_ and a key in base64", Hint: "copy it from GitLab as it is"}
	}
	stamp := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(string(id) + "." + stamp + "."))
	mac.Write(body)
	h.Set("webhook-timestamp", stamp)
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	h.Del("X-Gitlab-Token") // as recorded, it is likely "[REDACTED]"
	return nil
}

// Delivery is what came of a delivery; Raw is the whole answer.
type Delivery struct {
	Number int64              `json:"number"`
	ID     upgrade.DeliveryID `json:"id"`
	About  string             `json:"about"`
	Fate   upgrade.Fate       `json:"fate"`
	Reason string             `json:"reason"`
	Runs   []upgrade.RunID    `json:"runs"`
	Raw    json.RawMessage    `json:"-"`
}

// Delivery returns one delivery. CodeNotFound if none of that id is kept.
func (c *Client) Delivery(ctx context.Context, id upgrade.DeliveryID) (Delivery, error) {
	var raw json.RawMessage
	if err := c.call(ctx, http.MethodGet, "/api/v1/deliveries/"+url.PathEscape(string(id)), nil, &raw); err != nil {
		return Delivery{}, err
	}
	d := Delivery{Raw: raw}
	if err := json.Unmarshal(raw, &d); err != nil {
		return Delivery{}, fmt.Errorf("decode a delivery: %w", err)
	}
	return d, nil
}

// pollDelivery is how long it takes between two looks at a delivery.
const pollDelivery = 300 * time.Millisecond

// AwaitDelivery returns a delivery once it was looked at, or as it is when ctx ends, with the cause of that.
func (c *Client) AwaitDelivery(ctx context.Context, id upgrade.DeliveryID) (Delivery, error) {
	for {
		d, err := c.Delivery(ctx, id)
		if err != nil || d.Fate != upgrade.FatePending {
			return d, err
		}
		if err := c.clock.Sleep(ctx, pollDelivery); err != nil {
			return d, fmt.Errorf("wait for what comes of it: %w", context.Cause(ctx))
		}
	}
}
