package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// agents are the probers in other places, and what is known of them.
type agents interface {
	// Agents lists them, those that are configured and not enrolled too.
	Agents(ctx context.Context) ([]upgrade.Agent, error)
	// Invite makes a token with which an agent may enrol once; within 0 is its own default.
	Invite(ctx context.Context, name upgrade.AgentName, within time.Duration, by upgrade.Person) (token upgrade.Secret, until time.Time, err error)
	Revoke(ctx context.Context, name upgrade.AgentName, by upgrade.Person) error
	// Enrol answers an agent that shows such a token, Call every other call of an agent: signed, and held
	// until ending is closed if it waits for news.
	Enrol(ctx context.Context, body []byte) (answer any, err error)
	Call(ctx context.Context, method, path string, header http.Header, body []byte, ending <-chan struct{}) (answer any, err error)
	// Stamp is a header of answers that refuse a call.
	Stamp() (header, value string)
}

const (
	// maxAgentBody is the largest body of an agent's call, in bytes.
	maxAgentBody = 512 << 10
	// maxAgentCalls is how many calls of agents are open at once: each holds one, and a second now and then.
	maxAgentCalls = 256
	// enrolEvery is how long a place among those who enrol is taken: anybody may send a token.
	enrolEvery = time.Second
	maxEnrol   = 10
	// agentGone is the time without a word after which an agent is shown as gone.
	agentGone = 30 * time.Second
)

type wireAgent struct {
	Name        upgrade.AgentName `json:"name"`
	State       string            `json:"state"`                // not_enrolled, invited, enrolled, gone, revoked
	HeardAt     time.Time         `json:"heard_at,omitzero"`    // its last word; absent: none
	EnrolledAt  time.Time         `json:"enrolled_at,omitzero"` // absent: not yet
	InvitedBy   string            `json:"invited_by,omitempty"` // who made the last token
	TokenUntil  time.Time         `json:"token_until,omitzero"` // when the open token ends; absent: there is none
	RevokedBy   string            `json:"revoked_by,omitempty"` // absent: it was not revoked
	RevokedAt   time.Time         `json:"revoked_at,omitzero"`
	Key         string            `json:"key,omitempty"`          // fingerprint, as ssh writes it
	Version     string            `json:"version,omitempty"`      // of the agent
	Host        string            `json:"host,omitempty"`         // that it says it runs on
	Allow       []string          `json:"allow"`                  // what it reaches, and nothing else
	MaxRate     float64           `json:"max_rate,omitempty"`     // probes a second to each address
	MaxDuration float64           `json:"max_duration,omitempty"` // of one watch, in seconds
	Clock       *wireClock        `json:"clock,omitempty"`        // absent: never compared
}

type wireClock struct {
	Offset     float64   `json:"offset_ms"` // the agent's clock minus the gate's
	Within     float64   `json:"within_ms"` // how far off that may be: half the round trip
	MeasuredAt time.Time `json:"measured_at"`
}

func (s *Server) wireAgent(a upgrade.Agent, now time.Time) wireAgent {
	w := wireAgent{
		Name: a.Name, State: "not_enrolled", HeardAt: utc(a.HeardAt), EnrolledAt: utc(a.EnrolledAt), InvitedBy: a.InvitedBy, TokenUntil: utc(a.TokenUntil),
		RevokedBy: a.RevokedBy, RevokedAt: utc(a.RevokedAt), Version: a.Facts.Version, Host: a.Facts.Host,
		Allow: append([]string{}, a.Facts.Allow...), MaxRate: a.Facts.MaxRate, MaxDuration: a.Facts.MaxDuration.Seconds(),
	}
	if len(a.Key) > 0 {
		sum := sha256.Sum256(a.Key)
		w.Key = "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
	}
	switch {
	case a.Enrolled() && now.Sub(a.HeardAt) > agentGone:
		w.State = "gone"
	case a.Enrolled():
		w.State = "enrolled"
	case a.Token != "":
		w.State = "invited"
	case !a.RevokedAt.IsZero():
		w.State = "revoked"
	}
	if !a.Facts.MeasuredAt.IsZero() {
		w.Clock = &wireClock{
			Offset: float64(a.Facts.Offset.Microseconds()) / 1000, Within: float64(a.Facts.RTT.Microseconds()) / 2000, MeasuredAt: a.Facts.MeasuredAt.UTC(),
		}
	}
	return w
}

// wireInvite is the body of the post that invites an agent. All of it may be left out.
type wireInvite struct {
	Within string `json:"within"` // how long the token may be used, such as 1h
}

type wireToken struct {
	Name  upgrade.AgentName `json:"name"`
	Token string            `json:"token,omitempty"` // shown this once
	Until time.Time         `json:"until"`
}

// withoutSecret is what is remembered.
func (w wireToken) withoutSecret() any {
	w.Token = ""
	return w
}

type wireRevoked struct {
	Revoked upgrade.AgentName `json:"revoked"`
}

func (s *Server) vantageRoutes(g gin.IRoutes) {
	g.GET("/vantages", s.api(s.apiVantages))
	g.POST("/vantages/:name/enrol", s.api(s.apiInvite))
	g.POST("/vantages/:name/revoke", s.api(s.apiRevoke))
}

func (s *Server) apiVantages(c *gin.Context) error {
	list, err := s.agents.Agents(c.Request.Context())
	if err != nil {
		return fmt.Errorf("list agents: %w", err)
	}
	now := time.Now() //nolint:forbidigo // agents live in real time, whatever the world's clock shows
	out := make([]wireAgent, 0, len(list))
	for _, a := range list {
		out = append(out, s.wireAgent(a, now))
	}
	writeJSON(c, http.StatusOK, jsonType, page[wireAgent]{Items: out})
	return nil
}

// apiInvite makes a token. A post that is sent again with the same key is told how long it is good, without the
// token itself.
func (s *Server) apiInvite(c *gin.Context) error {
	var in wireInvite
	body, err := readJSON(c, &in)
	if err != nil {
		return err
	}
	var within time.Duration
	if in.Within != "" {
		if within, err = time.ParseDuration(in.Within); err != nil {
			return invalid("within: %q is not a duration such as 1h", in.Within)
		}
	}
	name := upgrade.AgentName(c.Param("name"))
	return s.once(c, body, func() (int, any, error) {
		token, until, err := s.agents.Invite(c.Request.Context(), name, within, person(c))
		if err != nil {
			return 0, nil, fmt.Errorf("invite agent %s: %w", name, err)
		}
		return http.StatusCreated, wireToken{Name: name, Token: token.Reveal(), Until: until.UTC()}, nil
	})
}

func (s *Server) apiRevoke(c *gin.Context) error {
	name := upgrade.AgentName(c.Param("name"))
	body, err := readJSON(c, &struct{}{})
	if err != nil {
		return err
	}
	return s.once(c, body, func() (int, any, error) {
		if err := s.agents.Revoke(c.Request.Context(), name, person(c)); err != nil {
			return 0, nil, fmt.Errorf("revoke agent %s: %w", name, err)
		}
		return http.StatusOK, wireRevoked{name}, nil
	})
}

// agentRoutes are for agents, which sign their calls.
func (s *Server) agentRoutes(g gin.IRoutes) {
	g.POST("/agent/enrol", s.api(s.apiEnrol))
	for _, call := range []string{"poll", "samples", "ping"} {
		g.POST("/agent/"+call, s.api(s.apiAgentCall))
	}
}

// limitAgents bounds how much agents, or who says to be one, may send at once.
func (s *Server) limitAgents(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxAgentBody)
	if s.calling.Add(1) > maxAgentCalls {
		s.calling.Add(-1)
		s.answerProblem(c, &upgrade.Error{Code: upgrade.CodeLimited, Msg: "too many agents call at once", RetryAfter: time.Second})
		return
	}
	defer s.calling.Add(-1)
	c.Next()
}

// apiEnrol lets an agent in that shows a token. Few may try at a time, and each takes its place for a while:
// tokens cannot be guessed anyway, and nobody should try.
func (s *Server) apiEnrol(c *gin.Context) error {
	if s.enrolling.Add(1) > maxEnrol {
		s.enrolling.Add(-1)
		return &upgrade.Error{Code: upgrade.CodeLimited, Msg: "too many agents enrol at once", RetryAfter: enrolEvery}
	}
	time.AfterFunc(enrolEvery, func() { s.enrolling.Add(-1) })
	body, err := io.ReadAll(c.Request.Body)
	if err != nil {
		return fmt.Errorf("read the body: %w", badBody(err))
	}
	answer, err := s.agents.Enrol(c.Request.Context(), body)
	if err != nil {
		return fmt.Errorf("enrol an agent: %w", err)
	}
	writeJSON(c, http.StatusOK, jsonType, answer)
	return nil
}

func (s *Server) apiAgentCall(c *gin.Context) error {
	body, err := io.ReadAll(c.Request.Body)
	if err != nil {
		return fmt.Errorf("read the body: %w", badBody(err))
	}
	answer, err := s.agents.Call(c.Request.Context(), http.MethodPost, c.FullPath(), c.Request.Header, body, s.ending)
	if err != nil {
		c.Header(s.agents.Stamp())
		return fmt.Errorf("answer an agent: %w", err)
	}
	writeJSON(c, http.StatusOK, jsonType, answer)
	return nil
}
