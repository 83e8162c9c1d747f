package vantages

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"time"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	keySize = ed25519.PublicKeySize
	// perSecond and burst bound how many calls an agent makes: one that delivers what it kept for an hour needs some.
	perSecond = 50
	burst     = 200
	// maxNonces bounds what is remembered of an agent's calls: all that its rate allows within the window.
	maxNonces = 2 * perSecond * int(wire.Window/time.Second)
	// saveEvery is how often it is kept when an agent was heard.
	saveEvery = 15 * time.Second
)

// Call answers a signed call, if it is what the agent sent, now and once. ending ends what waits. Errors:
// CodeUnauthorized, CodeInvalid, CodeLimited.
func (r *Room) Call(ctx context.Context, method, path string, header http.Header, body []byte, ending <-chan struct{}) (any, error) {
	a, err := r.believe(method, path, header, body)
	if err != nil {
		return nil, err
	}
	switch path {
	case wire.PathPing:
		return wire.Pong{Now: r.now().UnixNano()}, nil
	case wire.PathPoll:
		return r.poll(ctx, a, body, ending)
	case wire.PathSamples:
		return r.samples(a, body)
	}
	return nil, &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "agents make no such call"}
}

// believe returns the agent whose call this is.
func (r *Room) believe(method, path string, header http.Header, body []byte) (*agent, error) {
	sig, err := wire.ReadSignature(header)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.agents[sig.Agent]
	if a == nil || !a.row.Enrolled() || !sig.By(a.row.Key, method, path, body) {
		return nil, &upgrade.Error{
			Code: upgrade.CodeUnauthorized, Msg: fmt.Sprintf("the gate does not know the key of agent %s, or it was revoked", sig.Agent),
			Hint: "enrol the agent again, with a folder of its own: `upgradegate vantage enrol NAME`",
		}
	}
	if !r.configured(sig.Agent) {
		return nil, &upgrade.Error{Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("the gate has no vantage %s any more", sig.Agent), Hint: "add it under vantages in the gate's configuration, or stop this agent"}
	}
	now := r.now()
	// What was signed before this process began could have been used with the one before: nobody remembers.
	if sig.At.Before(now.Add(-wire.Window)) || sig.At.After(now.Add(wire.Window)) || sig.At.Before(r.started.Truncate(time.Millisecond)) {
		return nil, &upgrade.Error{Code: upgrade.CodeUnauthorized, Msg: "the time of the call is not the gate's", Hint: "the answer says what the gate's clock shows"}
	}
	if _, used := a.nonces[sig.Nonce]; used {
		return nil, &upgrade.Error{Code: upgrade.CodeUnauthorized, Msg: "this call was made before"}
	}
	a.heard = now // also of one that calls too often: it is there
	if err := a.limitLocked(now); err != nil {
		return nil, err
	}
	a.nonces[sig.Nonce] = sig.At
	return a, nil
}

// limitLocked takes one call from what the agent may make, and forgets calls that are too old to come again.
func (a *agent) limitLocked(now time.Time) error {
	if !a.filled.IsZero() {
		a.allowed = min(burst, a.allowed+now.Sub(a.filled).Seconds()*perSecond)
	}
	a.filled = now
	if a.allowed < 1 {
		return &upgrade.Error{Code: upgrade.CodeLimited, Msg: "this agent calls too often", RetryAfter: time.Second}
	}
	if len(a.nonces) >= maxNonces/2 {
		for nonce, at := range a.nonces {
			if at.Before(now.Add(-wire.Window)) {
				delete(a.nonces, nonce)
			}
		}
	}
	if len(a.nonces) >= 2*maxNonces {
		return &upgrade.Error{Code: upgrade.CodeLimited, Msg: "this agent calls too often", RetryAfter: 10 * time.Second}
	}
	a.allowed--
	return nil
}

// poll answers what is wanted of the agent, once that is not what it knows.
func (r *Room) poll(ctx context.Context, a *agent, body []byte, ending <-chan struct{}) (any, error) {
	var in wire.Poll
	if err := wire.Lenient(body, &in); err != nil {
		return nil, err
	}
	if err := in.Check(); err != nil {
		return nil, err
	}
	news, err := r.report(ctx, a, in)
	if err != nil {
		return nil, err
	}
	if news != nil {
		timer := time.NewTimer(min(max(in.Wait, 0), wire.MaxWait))
		defer timer.Stop()
		select {
		case <-news:
		case <-timer.C:
		case <-ending:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return r.orders(a), nil
}

// report notes how far the agent is. It returns a channel that is closed when there is something new for it;
// nil when there is already.
func (r *Room) report(ctx context.Context, a *agent, in wire.Poll) (<-chan struct{}, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if in.Instance != a.instance || in.N > a.polled {
		a.instance, a.polled = in.Instance, in.N
		in.About.MeasuredAt = in.About.MeasuredAt.UTC().Truncate(time.Millisecond)
		a.row.Facts = in.About
		if in.Epoch == r.epoch { // what it says is about this process's orders
			for i := range in.Works {
				if w := a.works[in.Works[i].ID]; w != nil {
					w.report = &in.Works[i]
					w.isOf(cmp.Or(w.report.Origin, in.Instance))
					w.tellLocked()
				}
			}
		}
	}
	a.row.HeardAt = now.UTC().Truncate(time.Millisecond)
	if now.Sub(a.saved) >= saveEvery {
		if err := r.cfg.Store.SaveAgent(ctx, a.row); err != nil {
			return nil, fmt.Errorf("keep that agent %s was heard: %w", a.row.Name, err)
		}
		a.saved = now
	}
	if in.Epoch != r.epoch || in.Known != a.rev {
		return nil, nil //nolint:nilnil // there is something new, and that is no error
	}
	return a.news, nil
}

// isOf notes of which beginning the agent speaks.
func (w *work) isOf(origin string) {
	if w.origin == "" {
		w.origin = origin
	}
	w.lost = w.lost || w.origin != origin
}

// orders returns what is wanted now.
func (r *Room) orders(a *agent) wire.Orders {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := wire.Orders{Epoch: r.epoch, Rev: a.rev, Now: r.now().UnixNano(), Orders: []wire.Order{}}
	for _, w := range a.works {
		order := w.order
		order.Next = w.next
		out.Orders = append(out.Orders, order)
	}
	return out
}

// samples takes a delivery, if it is what is wanted next.
func (r *Room) samples(a *agent, body []byte) (any, error) {
	var in wire.Delivery
	if err := wire.Lenient(body, &in); err != nil {
		return nil, err
	}
	samples, err := wire.Unpack(in.Packed)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w := a.works[in.Stream]
	if w == nil || w.order.Stream == nil {
		return wire.Wanted{Next: -1}, nil
	}
	if in.Origin != "" {
		if w.isOf(in.Origin); w.lost {
			w.tellLocked()
			return wire.Wanted{Next: -1}, nil
		}
	}
	if in.First < 0 || in.First > w.next || len(w.queue) >= maxQueue {
		return wire.Wanted{Next: w.next}, nil
	}
	if skip := w.next - in.First; skip < int64(len(samples)) {
		w.queue = append(w.queue, samples[skip:])
		w.next = in.First + int64(len(samples))
		if w.begun == 0 {
			w.begun = in.Begun // the first word counts
		}
		w.tellLocked()
	}
	return wire.Wanted{Next: w.next}, nil
}
