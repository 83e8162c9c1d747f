package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	// answerWithin is how long a question may wait for its answer. The job's own limit ends it sooner.
	answerWithin = 24 * time.Hour
	// maxAsking is how many tokens are looked at once: anybody may send one.
	maxAsking = 64
	// maxAnswerWait is the longest that one request waits for news, below the WriteTimeout of servers.
	maxAnswerWait = 25 * time.Second
)

// idTokens says what an ID token proves. Errors: CodeUnauthorized for one that proves nothing,
// CodeUnavailable and CodeLimited if that cannot be told now.
type idTokens interface {
	Verify(ctx context.Context, raw string) (upgrade.PipelineToken, error)
}

// verifications is where the questions of production pipelines are kept. Errors: CodeConflict for a token
// that was used before, CodeNotFound for a question that nobody asked.
type verifications interface {
	Verify(ctx context.Context, v upgrade.Verification) error
	Verification(ctx context.Context, id upgrade.VerificationID) (upgrade.Verification, error)
}

// wireQuestion is the body of the post that asks. All of it may be left out.
type wireQuestion struct {
	Commit string `json:"commit"`
}

type wireVerification struct {
	ID       upgrade.VerificationID    `json:"id"`
	State    upgrade.VerificationState `json:"state"`
	Sentence string                    `json:"sentence"` // empty until there is one
	Told     int                       `json:"told"`
	Commit   upgrade.Commit            `json:"commit"`
	Project  string                    `json:"project"`
	Run      upgrade.RunID             `json:"run,omitempty"`
	RunURL   string                    `json:"run_url,omitempty"`
	Until    time.Time                 `json:"until,omitzero"`
}

func (s *Server) wireVerification(v upgrade.Verification) wireVerification {
	w := wireVerification{
		ID: v.ID, State: v.State, Sentence: v.Sentence, Told: v.Told, Commit: v.Commit, Project: v.Project, Run: v.Run, Until: v.Until.UTC(),
	}
	if v.Run != 0 {
		w.RunURL = s.publicURL + "/runs/" + url.PathEscape(v.Run.String())
	}
	return w
}

// verifyRoutes are for jobs of pipelines, which have no token of ours.
func (s *Server) verifyRoutes(g gin.IRoutes) {
	g.POST("/verify", s.api(s.apiAsk))
	g.GET("/verify/:id", s.api(s.apiAnswer))
}

// apiAsk keeps the question whether the commit of an ID token may go to production.
func (s *Server) apiAsk(c *gin.Context) error {
	defer s.asking.Add(-1)
	if s.asking.Add(1) > maxAsking {
		return &upgrade.Error{Code: upgrade.CodeLimited, Msg: "too many ask at once", RetryAfter: time.Second}
	}
	raw, err := idToken(c.Request)
	if err != nil {
		return err
	}
	commit, err := questionOf(c)
	if err != nil {
		return err
	}
	key := c.GetHeader("Idempotency-Key")
	if len(key) > 200 {
		return invalid("the Idempotency-Key is longer than 200 characters")
	}
	token, err := s.idTokens.Verify(c.Request.Context(), raw)
	if err != nil {
		return fmt.Errorf("check an ID token: %w", err)
	}
	if commit != "" && commit != token.Commit {
		return &upgrade.Error{
			Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("the ID token is of commit %s, and the question is about %s", token.Commit.Short(), commit.Short()),
			Hint: "leave the commit out: the ID token says which one the pipeline runs",
		}
	}
	return s.keep(c, questionID(raw, key), token)
}

// keep keeps the question, unless the same was asked before and only its answer was lost.
func (s *Server) keep(c *gin.Context, id upgrade.VerificationID, token upgrade.PipelineToken) error {
	ctx, now := c.Request.Context(), s.clock.Now()
	asked := upgrade.Verification{
		ID: id, Token: token.ID, ProjectID: token.ProjectID, Project: token.Project, Commit: token.Commit,
		Ref: token.Ref, RefType: token.RefType, Protected: token.Protected, Pipeline: token.Pipeline, Job: token.Job,
		AskedAt: now, Until: now.Add(answerWithin), State: upgrade.VerifyWaiting,
	}
	err := s.questions.Verify(ctx, asked)
	if err != nil && upgrade.CodeOf(err) == upgrade.CodeConflict {
		// Only who has both the token and the key of the first time comes to the same id.
		old, e := s.questions.Verification(ctx, id)
		if e == nil && old.Token == token.ID {
			c.Header("Idempotent-Replayed", "true")
			asked, err = old, nil
		}
	}
	if err != nil {
		return fmt.Errorf("keep the question of job %d: %w", token.Job, err)
	}
	s.log.InfoContext(ctx, "production asked", "project", token.Project, "commit", token.Commit, "ref", token.Ref, "pipeline", token.Pipeline,
		"job", token.Job, "request_id", requestID(c))
	c.Header("Location", "/api/v1/verify/"+url.PathEscape(string(asked.ID)))
	writeJSON(c, http.StatusCreated, jsonType, s.wireVerification(asked))
	return nil
}

// idToken returns the ID token that a request brings.
func idToken(r *http.Request) (string, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", &upgrade.Error{
			Code: upgrade.CodeUnauthorized, Msg: "this needs the ID token of a GitLab job",
			Hint: "give the job id_tokens: and send the token as Authorization: Bearer …",
		}
	}
	return token, nil
}

// questionOf returns the commit that a question names; none if it names none.
func questionOf(c *gin.Context) (upgrade.Commit, error) {
	body, err := io.ReadAll(c.Request.Body)
	if err != nil {
		return "", fmt.Errorf("read the body: %w", badBody(err))
	}
	var q wireQuestion
	if len(body) > 0 {
		if err := json.Unmarshal(body, &q); err != nil {
			return "", &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the body is not JSON of the documented shape", Cause: err}
		}
	}
	if q.Commit == "" {
		return "", nil
	}
	return upgrade.ParseCommit(strings.ToLower(q.Commit))
}

// questionID makes up an id of 128 bits. With a key it is always the same for the same token, so that
// one who did not get the answer can ask again; nobody without the token can work it out.
func questionID(raw, key string) upgrade.VerificationID {
	if key == "" {
		return upgrade.VerificationID(rand.Text())
	}
	sum := sha256.Sum256([]byte(raw + "\n" + key))
	return upgrade.VerificationID(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16]))
}

// apiAnswer answers how far the question is, once that is no longer what the asker knows: told is the
// number of the last sentence that it got, wait how long it is willing to wait for another.
func (s *Server) apiAnswer(c *gin.Context) error {
	q := newQuery(c, "told", "wait")
	told, wait := int(q.integer("told", 0, 1<<31-1)), q.wait()
	if q.err != nil {
		return q.err
	}
	id := upgrade.VerificationID(c.Param("id"))
	if len(id) != 26 {
		return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "nobody asked that"}
	}
	ticks, cancel := s.journal.Changed() // before the first look, so that nothing falls in between
	defer cancel()
	v, err := s.asked(c, id)
	if err != nil {
		return err
	}
	if wait > 0 && nothingNew(v, told) {
		if v, err = s.await(c, v, told, wait, ticks); err != nil {
			return err
		}
	}
	writeJSON(c, http.StatusOK, jsonType, s.wireVerification(v))
	return nil
}

func nothingNew(v upgrade.Verification, told int) bool {
	return v.State == upgrade.VerifyWaiting && v.Told == told
}

func (s *Server) asked(c *gin.Context, id upgrade.VerificationID) (upgrade.Verification, error) {
	v, err := s.questions.Verification(c.Request.Context(), id)
	if err != nil {
		return upgrade.Verification{}, fmt.Errorf("read a question: %w", err)
	}
	return v, nil
}

// await looks again after each change, until there is something new or the wait is over.
func (s *Server) await(c *gin.Context, v upgrade.Verification, told int, wait time.Duration, ticks <-chan struct{}) (upgrade.Verification, error) {
	if s.open.Add(1) > maxStreams {
		s.open.Add(-1)
		return v, &upgrade.Error{Code: upgrade.CodeLimited, Msg: "too many wait for answers", RetryAfter: silence}
	}
	defer s.open.Add(-1)
	ctx := c.Request.Context()
	// A server whose own WriteTimeout is shorter would cut the answer off; if it cannot be moved, it is not.
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(wait + writePatience)) //nolint:forbidigo // a deadline of the network
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for nothingNew(v, told) {
		select {
		case <-ticks:
			if !s.pause(ctx, pulse) {
				return v, nil
			}
		case <-timer.C:
			return v, nil
		case <-ctx.Done():
			return v, nil
		case <-s.ending:
			return v, nil
		}
		var err error
		if v, err = s.asked(c, v.ID); err != nil {
			return v, err
		}
	}
	return v, nil
}

// wait reads how long to wait, at most maxAnswerWait; nothing said: not at all.
func (q *query) wait() time.Duration {
	raw := q.values.Get("wait")
	if raw == "" {
		return 0
	}
	d, err := time.ParseDuration(raw)
	if err != nil || d < 0 {
		q.err = invalid("wait=%q is not a time such as 25s", raw)
		return 0
	}
	return min(d, maxAnswerWait)
}
