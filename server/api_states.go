package server

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// readStateWithin bounds how long somebody may wait for a state to be read: what reading one may take, and
// a while in which others are read.
const readStateWithin = 6 * time.Minute

// wireState is what is known of a Terraform state. What it owns is not shown.
type wireState struct {
	Name        upgrade.StateName `json:"name"`
	Stack       upgrade.StackName `json:"stack,omitempty"`       // whose own it is; absent: a foreign one
	Environment upgrade.EnvName   `json:"environment,omitempty"` // of a stack's own
	Account     string            `json:"account,omitempty"`     // in which all of its things are, as far as they say
	Region      string            `json:"region,omitempty"`
	Objects     int               `json:"objects"`           // things in it that can be told apart
	ReadAt      time.Time         `json:"read_at,omitzero"`  // of what is known; absent: it was never read
	TriedAt     time.Time         `json:"tried_at,omitzero"` // of the last try
	Problem     string            `json:"problem,omitempty"` // why the last try failed, and what to do
	Lineage     string            `json:"lineage,omitempty"` // absent: the empty state of a new stack
	Serial      int64             `json:"serial"`
}

func wireStateOf(r upgrade.Reading) wireState {
	return wireState{
		Name: r.State, Stack: r.Stack, Environment: r.Env, Account: r.Account, Region: r.Region, Objects: r.Objects,
		ReadAt: utc(r.ReadAt), TriedAt: utc(r.TriedAt), Problem: r.Problem, Lineage: r.Lineage, Serial: r.Serial,
	}
}

func (s *Server) apiStates(c *gin.Context) error {
	readings, err := s.states.Readings(c.Request.Context())
	if err != nil {
		return fmt.Errorf("list states: %w", err)
	}
	out := make([]wireState, 0, len(readings))
	for _, reading := range readings {
		out = append(out, wireStateOf(reading))
	}
	writeJSON(c, http.StatusOK, jsonType, page[wireState]{Items: out})
	return nil
}

// apiRefreshState has a state read now, and answers when it was. Who asks again meanwhile waits for the same
// reading.
func (s *Server) apiRefreshState(c *gin.Context) error {
	body, err := readJSON(c, &struct{}{})
	if err != nil {
		return err
	}
	return s.once(c, body, func() (int, any, error) {
		reading, err := s.refreshState(c)
		return http.StatusOK, wireStateOf(reading), err
	})
}

func (s *Server) refreshState(c *gin.Context) (upgrade.Reading, error) {
	if s.open.Add(1) > maxStreams {
		s.open.Add(-1)
		return upgrade.Reading{}, &upgrade.Error{Code: upgrade.CodeLimited, Msg: "too many wait for answers", Hint: "try again in a moment", RetryAfter: silence}
	}
	defer s.open.Add(-1)
	ctx, cancel := context.WithTimeout(c.Request.Context(), readStateWithin)
	defer cancel()
	// A server whose own WriteTimeout is shorter would cut the answer off; if it cannot be moved, it is not.
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(readStateWithin + writePatience)) //nolint:forbidigo // a deadline of the network
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-s.ending: // the service stops, and does not wait for this
			cancel()
		case <-ended:
		}
	}()
	reading, err := s.acts.RefreshState(ctx, upgrade.StateName(c.Param("name")), person(c))
	if err != nil {
		return reading, fmt.Errorf("refresh a state: %w", err)
	}
	return reading, nil
}
