package webhooks

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/upgradegate/upgradegate/upgrade"
)

// MaxBody is the largest body that is read, in bytes. GitLab itself sends no larger one.
const MaxBody = 25_000_000

// inboxPatience bounds how long a sender waits for the inbox. GitLab gives up after 10 s and counts
// that as a failure of ours; a fast 503 is the better news.
const inboxPatience = 2 * time.Second

// bodyPatience bounds how long a body may take to arrive.
const bodyPatience = 30 * time.Second

// errInboxSlow is the cause of a context that ended because the inbox took too long.
var errInboxSlow = errors.New("the inbox took longer than 2s")

// inbox is where deliveries are kept.
type inbox interface {
	// Deliver keeps d, durably when it returns nil; fresh is false if one of the same ID is kept already.
	Deliver(ctx context.Context, d upgrade.Delivery) (fresh bool, err error)
}

// Config is what a Receiver needs. Every field but Registerer is required.
type Config struct {
	Inbox   inbox
	Secrets Secrets
	// Now is world time: it is stamped on deliveries and compared with webhook-timestamp.
	Now func() time.Time
	Log *slog.Logger
	// Registerer takes upgradegate_webhook_deliveries_total; nil counts for nobody.
	Registerer prometheus.Registerer
}

// Receiver answers GitLab's deliveries.
type Receiver struct {
	inbox  inbox
	verify verifier
	now    func() time.Time
	log    *slog.Logger
	counts *prometheus.CounterVec
}

// New returns a receiver. Error: CodeInvalid if something required is missing, if neither secret is
// set, or if one cannot be used.
func New(cfg Config) (*Receiver, error) {
	if cfg.Inbox == nil || cfg.Now == nil || cfg.Log == nil {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "webhooks: Inbox, Now and Log must be set"}
	}
	verify, err := newVerifier(cfg.Secrets)
	if err != nil {
		return nil, err
	}
	counts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "upgradegate_webhook_deliveries_total",
		Help: "Deliveries that came in, by kind of event and what was answered.",
	}, []string{"event", "outcome"})
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(counts); err != nil {
			return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "webhooks: register the counter", Cause: err}
		}
	}
	return &Receiver{inbox: cfg.Inbox, verify: verify, now: cfg.Now, log: cfg.Log, counts: counts}, nil
}

// Routes mounts POST /webhooks/gitlab. It needs no session: deliveries prove themselves.
func (r *Receiver) Routes(router gin.IRouter) {
	router.POST("/webhooks/gitlab", r.receive)
}

// outcome is what was answered; a label of the counter, so the list is closed.
type outcome string

const (
	outcomeAccepted     outcome = "accepted"
	outcomeDuplicate    outcome = "duplicate"
	outcomeUnauthorized outcome = "unauthorized"
	outcomeTooLarge     outcome = "too_large"
	outcomeMalformed    outcome = "malformed"
	outcomeUnavailable  outcome = "unavailable"
)

func (o outcome) status() int {
	switch o {
	case outcomeAccepted, outcomeDuplicate:
		return http.StatusOK
	case outcomeUnauthorized:
		return http.StatusUnauthorized
	case outcomeTooLarge:
		return http.StatusRequestEntityTooLarge
	case outcomeMalformed:
		return http.StatusBadRequest
	case outcomeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// receive answers one delivery, always with an empty body: GitLab shows answers to everybody who may
// see the hook.
func (r *Receiver) receive(c *gin.Context) {
	kind, came := r.handle(c)
	r.counts.WithLabelValues(string(kind), string(came)).Inc()
	c.Status(came.status())
	c.Writer.WriteHeaderNow()
}

func (r *Receiver) handle(c *gin.Context) (upgrade.HintKind, outcome) {
	ctx, header := c.Request.Context(), c.Request.Header
	if err := r.verify.early(header); err != nil {
		r.refuse(c, outcomeUnauthorized, err)
		return upgrade.HintOther, outcomeUnauthorized
	}
	body, err := readBody(c.Writer, c.Request)
	if err != nil {
		came := outcomeMalformed
		if errors.Is(err, errTooLarge) {
			came = outcomeTooLarge
		}
		r.refuse(c, came, err)
		return upgrade.HintOther, came
	}
	now := r.now()
	if err := r.verify.full(header, body, now); err != nil {
		r.refuse(c, outcomeUnauthorized, err)
		return upgrade.HintOther, outcomeUnauthorized
	}
	d, err := read(header, body, now)
	if err != nil {
		r.refuse(c, outcomeMalformed, err)
		return upgrade.HintOther, outcomeMalformed
	}
	// A sender that hangs up has still delivered: only our own patience ends the wait.
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), inboxPatience, errInboxSlow)
	defer cancel()
	fresh, err := r.inbox.Deliver(ctx, d)
	switch {
	case err != nil:
		r.log.ErrorContext(ctx, "delivery not kept", "delivery", d.ID, "event", d.Event, "err", err)
		return d.Hint.Kind, outcomeUnavailable
	case !fresh:
		return d.Hint.Kind, outcomeDuplicate
	}
	r.log.InfoContext(ctx, "delivery kept", "delivery", d.ID, "event", d.Event, "kind", d.Hint.Kind, "project_id", d.Hint.ProjectID)
	return d.Hint.Kind, outcomeAccepted
}

// refuse logs why a delivery was turned away; err never holds a secret.
func (r *Receiver) refuse(c *gin.Context, came outcome, err error) {
	r.log.WarnContext(c.Request.Context(), "delivery refused", "outcome", came, "from", c.Request.RemoteAddr, "err", err)
}
