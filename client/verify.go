package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	// pollFor is how long one request waits for news: the longest that the service allows.
	pollFor = 25 * time.Second
	// pollPause is the shortest time between two requests that bring no news.
	pollPause = time.Second
	// longestPause is the longest time between two attempts, unless the service asks for more.
	longestPause = 15 * time.Second
	// maxPatience is the default of Question.Patience.
	maxPatience = 5 * time.Minute
)

// Question is a production pipeline's question whether its commit may go.
type Question struct {
	// Commit, if given, must be the ID token's: another one is refused.
	Commit upgrade.Commit
	// Patience is how long the service may be away or unable to tell, without a break; default 5 min.
	Patience time.Duration
	// Each is called with each sentence that says how far the answer is, and when the service goes away
	// or comes back. Not with the last sentence, which is in the Answer. Optional.
	Each func(sentence string)
}

// Answer is the answer to a Question: its state is open or closed.
type Answer struct {
	upgrade.Verification                 // what the API tells of it
	RunURL               string          // page of the run that the answer speaks of; empty: of none
	Raw                  json.RawMessage // the API's own words
}

// Verify asks whether the commit of an ID token, which must be the client's Token, may go to production,
// and waits until the service knows, or ctx ends. Asked again after an answer that was lost, the service
// takes it for the same question.
//
// Errors: CodeUnauthorized for a token that proves nothing, CodeConflict for one that was used before,
// CodeForbidden for another commit, CodeNotFound if the service has forgotten the question, CodeUnavailable
// if the service or its GitLab was away for too long; or the cause of ctx's end.
func (c *Client) Verify(ctx context.Context, q Question) (Answer, error) {
	if q.Patience <= 0 {
		q.Patience = maxPatience
	}
	if q.Each == nil {
		q.Each = func(string) {}
	}
	body := []byte("{}")
	if q.Commit != "" {
		var err error
		if body, err = json.Marshal(map[string]string{"commit": string(q.Commit)}); err != nil {
			return Answer{}, fmt.Errorf("encode: %w", err)
		}
	}
	key := rand.Text()
	answer, err := c.stubbornly(ctx, &q, func() (Answer, error) { return c.ask(ctx, body, key) })
	told := 0
	for err == nil && answer.State == upgrade.VerifyWaiting {
		if answer.Told != told && answer.Sentence != "" {
			q.Each(answer.Sentence)
		}
		told = answer.Told
		begun := c.clock.Now()
		answer, err = c.stubbornly(ctx, &q, func() (Answer, error) { return c.poll(ctx, answer) })
		// A service that stops answers at once.
		if nothing := answer.State == upgrade.VerifyWaiting && answer.Told == told; err == nil && nothing && c.clock.Now().Sub(begun) < pollPause {
			err = c.clock.Sleep(ctx, pollPause)
		}
	}
	if err != nil && ctx.Err() != nil {
		return Answer{}, fmt.Errorf("wait for the answer: %w", context.Cause(ctx))
	}
	if err == nil && q.Commit != "" && answer.Commit != q.Commit {
		err = &upgrade.Error{Code: upgrade.CodeInternal, Msg: fmt.Sprintf("asked about %s, the answer is about %s", q.Commit.Short(), answer.Commit.Short())}
	}
	return answer, err
}

// stubbornly tries again what may work later, until the question's patience is at its end.
func (c *Client) stubbornly(ctx context.Context, q *Question, try func() (Answer, error)) (Answer, error) {
	since, wait := time.Time{}, time.Second
	for {
		answer, err := try()
		switch {
		case err == nil && !since.IsZero():
			q.Each(c.base.Host + " answers again")
			return answer, nil
		case err == nil || ctx.Err() != nil || !upgrade.Transient(err):
			return answer, err
		}
		now := c.clock.Now()
		if since.IsZero() {
			since = now
			q.Each(fmt.Sprintf("%s; trying again for up to %s", upgrade.Public(err), q.Patience))
		}
		pause := max(wait, upgrade.RetryAfterOf(err))
		if now.Add(pause).Sub(since) > q.Patience {
			return answer, err
		}
		if err := c.clock.Sleep(ctx, pause); err != nil {
			return answer, err
		}
		wait = min(2*wait, longestPause)
	}
}

func (c *Client) ask(ctx context.Context, body []byte, key string) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.String()+"/api/v1/verify", bytes.NewReader(body))
	if err != nil {
		return Answer{}, fmt.Errorf("ask %s: %w", c.base.Host, err)
	}
	req.Header.Set("Idempotency-Key", key)
	c.sign(req)
	return c.answer(req, true)
}

// poll waits for news of a question.
func (c *Client) poll(ctx context.Context, known Answer) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, pollFor+c.timeout)
	defer cancel()
	query := url.Values{"told": {strconv.Itoa(known.Told)}, "wait": {pollFor.String()}}
	at := c.base.String() + "/api/v1/verify/" + url.PathEscape(string(known.ID)) + "?" + query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return Answer{}, fmt.Errorf("ask %s: %w", c.base.Host, err)
	}
	return c.answer(req, false)
}

func (c *Client) answer(req *http.Request, body bool) (Answer, error) {
	var raw json.RawMessage
	if err := c.send(req, body, &raw); err != nil {
		return Answer{}, err
	}
	return c.decodeAnswer(raw)
}

// decodeAnswer refuses what is not an answer, as some other service at the address would give.
func (c *Client) decodeAnswer(raw json.RawMessage) (Answer, error) {
	var said struct {
		ID       upgrade.VerificationID    `json:"id"`
		State    upgrade.VerificationState `json:"state"`
		Sentence string                    `json:"sentence"`
		Told     int                       `json:"told"`
		Commit   upgrade.Commit            `json:"commit"`
		Project  string                    `json:"project"`
		Run      upgrade.RunID             `json:"run"`
		RunURL   string                    `json:"run_url"`
		Until    time.Time                 `json:"until"`
	}
	err := json.Unmarshal(raw, &said)
	switch said.State {
	case upgrade.VerifyWaiting, upgrade.VerifyOpen, upgrade.VerifyClosed:
	default:
		err = fmt.Errorf("the state is %q", said.State)
	}
	if err != nil || said.ID == "" {
		return Answer{}, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: c.base.Host + " gave an answer that makes no sense", Hint: "is that the address of upgradegate?", Cause: err}
	}
	return Answer{Verification: upgrade.Verification{
		ID: said.ID, Project: said.Project, Commit: said.Commit, Until: said.Until, State: said.State, Run: said.Run, Sentence: said.Sentence, Told: said.Told,
	}, RunURL: said.RunURL, Raw: raw}, nil
}
