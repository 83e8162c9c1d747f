package server

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// shownStretches is how far back it is told what an invariant was.
const shownStretches = 30 * 24 * time.Hour

// wireInvariant is what a standing gate says about an environment.
type wireInvariant struct {
	Name        string                 `json:"name"` // GATE/ENVIRONMENT, or GATE/ENVIRONMENT/STACK
	Gate        upgrade.GateName       `json:"gate"`
	Kind        string                 `json:"kind"`
	Environment upgrade.EnvName        `json:"environment"`
	Stack       upgrade.StackName      `json:"stack,omitempty"` // absent: it is not about one stack
	Required    bool                   `json:"required"`        // it keeps production shut
	State       upgrade.InvariantState `json:"state"`
	Outcome     upgrade.Outcome        `json:"outcome,omitempty"` // of the newest asking; absent: it was never asked
	Message     string                 `json:"message,omitempty"`
	Hint        string                 `json:"hint,omitempty"`
	Warnings    []string               `json:"warnings,omitempty"`
	CheckedAt   time.Time              `json:"checked_at,omitzero"`
	Since       time.Time              `json:"since,omitzero"`   // since when askings have had this outcome
	HeldAt      time.Time              `json:"held_at,omitzero"` // of the newest pass
	Every       float64                `json:"every_seconds"`
	GoodFor     float64                `json:"good_for_seconds"`
	Evidence    *wireEvidence          `json:"evidence,omitempty"` // of one invariant alone
	Stretches   []wireStretch          `json:"stretches,omitempty"`
}

// wireStretch is a time in which askings had one outcome.
type wireStretch struct {
	Outcome upgrade.Outcome `json:"outcome"`
	Message string          `json:"message"`
	Since   time.Time       `json:"since,omitzero"`
	Until   time.Time       `json:"until,omitzero"`
	Checks  int             `json:"checks"`
}

// wireChecking is the answer to having an invariant checked.
type wireChecking struct {
	Name string `json:"name"`
}

func (s *Server) wireInvariantOf(i upgrade.Standing) wireInvariant {
	r := i.Result
	return wireInvariant{
		Name: i.Key.String(), Gate: i.Key.Gate, Kind: r.Kind, Environment: i.Key.Environment, Stack: i.Key.Stack, Required: r.Required,
		State: i.State(s.clock.Now()), Outcome: r.Outcome, Message: r.Message, Hint: r.Hint, Warnings: r.Warnings,
		CheckedAt: utc(r.StartedAt), Since: utc(i.Since), HeldAt: utc(i.HeldAt), Every: i.Every.Seconds(), GoodFor: r.GoodFor.Seconds(),
	}
}

func (s *Server) apiInvariants(c *gin.Context) error {
	all, err := s.invariants.Invariants(c.Request.Context())
	if err != nil {
		return fmt.Errorf("list invariants: %w", err)
	}
	out := make([]wireInvariant, 0, len(all))
	for _, one := range all {
		out = append(out, s.wireInvariantOf(one))
	}
	writeJSON(c, http.StatusOK, jsonType, page[wireInvariant]{Items: out})
	return nil
}

// apiInvariant tells all of one: what it saw, and what it said in the last 30 days.
func (s *Server) apiInvariant(c *gin.Context) error {
	key := invariantKey(c)
	all, err := s.invariants.Invariants(c.Request.Context())
	if err != nil {
		return fmt.Errorf("read an invariant: %w", err)
	}
	for _, one := range all {
		if one.Key != key {
			continue
		}
		stretches, err := s.stretches.Stretches(c.Request.Context(), key, s.clock.Now().Add(-shownStretches))
		if err != nil {
			return fmt.Errorf("read an invariant: %w", err)
		}
		out := s.wireInvariantOf(one)
		evidence := wireResultOf(one.Result, false, s.clock.Now()).Evidence
		out.Evidence = &evidence
		for _, st := range stretches {
			out.Stretches = append(out.Stretches, wireStretch{st.Outcome, st.Message, utc(st.Since), utc(st.Until), st.Checks})
		}
		writeJSON(c, http.StatusOK, jsonType, out)
		return nil
	}
	return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("no standing gate is called %s", key)}
}

// apiCheckInvariant has a standing gate asked now; what it says is to be read later.
func (s *Server) apiCheckInvariant(c *gin.Context) error {
	key := invariantKey(c)
	body, err := readJSON(c, &struct{}{})
	if err != nil {
		return err
	}
	return s.once(c, body, func() (int, any, error) {
		if err := s.acts.CheckInvariant(c.Request.Context(), key, person(c)); err != nil {
			return 0, nil, fmt.Errorf("check an invariant: %w", err)
		}
		return http.StatusAccepted, wireChecking{Name: key.String()}, nil
	})
}

// invariantKey reads the name in the address.
func invariantKey(c *gin.Context) upgrade.StandingKey {
	gate, rest, _ := strings.Cut(c.Param("name"), "/")
	env, stack, _ := strings.Cut(rest, "/")
	return upgrade.StandingKey{Gate: upgrade.GateName(gate), Environment: upgrade.EnvName(env), Stack: upgrade.StackName(stack)}
}
