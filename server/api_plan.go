package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// plans is where plans are read, masked. Error: CodeNotFound for a run that has none, or none any more.
type plans interface {
	Plan(ctx context.Context, id upgrade.RunID) (plan.Summary, error)
}

// wireWholePlan is what a plan changes. Values that Terraform calls sensitive, and every secret of the
// configuration, were masked before it was kept.
type wireWholePlan struct {
	Run     upgrade.RunID `json:"run"`
	Plan    wirePlan      `json:"plan"`
	Changes []wireChange  `json:"changes"`
	Moves   []wireMove    `json:"moves"`
	Outputs []wireOutput  `json:"outputs"`
	Drifted []string      `json:"drifted"` // addresses of what was not as the state had it
}

type wireChange struct {
	Address  string          `json:"address"`
	Previous string          `json:"previous_address,omitempty"`
	Type     string          `json:"type"`
	Provider string          `json:"provider,omitempty"`
	Deposed  string          `json:"deposed,omitempty"`
	Action   plan.Action     `json:"action"`
	Reason   string          `json:"reason,omitempty"`
	Before   json.RawMessage `json:"before,omitempty"`
	After    json.RawMessage `json:"after,omitempty"`
	Unknown  json.RawMessage `json:"after_unknown,omitempty"`
}

type wireMove struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type wireOutput struct {
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

func (s *Server) apiPlan(c *gin.Context) error {
	run, err := s.run(c)
	if err != nil {
		return err
	}
	summary, err := s.plans.Plan(c.Request.Context(), run.ID)
	if err != nil {
		return fmt.Errorf("read the plan of run %d: %w", run.ID, err)
	}
	w := wireWholePlan{
		Run: run.ID, Plan: s.wireRun(run).Plan, Changes: make([]wireChange, 0, len(summary.Changes)), Moves: []wireMove{}, Outputs: []wireOutput{},
		Drifted: append([]string{}, summary.Drifted...),
	}
	for _, ch := range summary.Changes {
		w.Changes = append(w.Changes, wireChange{
			ch.Address, ch.PreviousAddress, ch.Type, ch.Provider, ch.Deposed, ch.Action, ch.Reason, ch.Before, ch.After, ch.AfterUnknown,
		})
	}
	for _, m := range summary.Moves {
		w.Moves = append(w.Moves, wireMove(m))
	}
	for _, o := range summary.Outputs {
		w.Outputs = append(w.Outputs, wireOutput{o.Name, append([]string{}, o.Actions...)})
	}
	writeJSON(c, http.StatusOK, jsonType, w)
	return nil
}

// wireEnvironment is an environment: what stands and falls in it.
type wireEnvironment struct {
	Name        upgrade.EnvName `json:"name"`
	Held        int             `json:"held"` // with those that hold with a warning
	Broken      int             `json:"broken"`
	NotVerified int             `json:"not_verified"`
	Paused      int             `json:"paused"`
	CheckedAt   time.Time       `json:"checked_at,omitzero"` // of the invariant that was asked longest ago; absent: one was never asked, or there is none
	Invariants  []wireInvariant `json:"invariants"`
}

// apiEnvironments answers production first, then those of the stacks and invariants in their order.
func (s *Server) apiEnvironments(c *gin.Context) error {
	standings, err := s.invariants.Invariants(c.Request.Context())
	if err != nil {
		return fmt.Errorf("read the invariants: %w", err)
	}
	out, at := []wireEnvironment{}, map[upgrade.EnvName]int{}
	find := func(name upgrade.EnvName) *wireEnvironment {
		i, known := at[name]
		if !known {
			i = len(out)
			at[name], out = i, append(out, wireEnvironment{Name: name, Invariants: []wireInvariant{}})
		}
		return &out[i]
	}
	find("production")
	for _, stack := range s.stacks {
		if stack.Staging.Environment != "" {
			find(stack.Staging.Environment)
		}
	}
	never := map[upgrade.EnvName]bool{}
	for _, one := range standings {
		w, env := s.wireInvariantOf(one), find(one.Key.Environment)
		env.Invariants = append(env.Invariants, w)
		switch w.State {
		case upgrade.InvariantHeld, upgrade.InvariantWarning:
			env.Held++
		case upgrade.InvariantBroken:
			env.Broken++
		case upgrade.InvariantPaused:
			env.Paused++
		case upgrade.InvariantNotVerified:
			env.NotVerified++
		}
		if never[env.Name] = never[env.Name] || w.CheckedAt.IsZero(); env.CheckedAt.IsZero() || w.CheckedAt.Before(env.CheckedAt) {
			env.CheckedAt = w.CheckedAt
		}
	}
	for i := range out {
		if never[out[i].Name] {
			out[i].CheckedAt = time.Time{}
		}
	}
	writeJSON(c, http.StatusOK, jsonType, page[wireEnvironment]{Items: out})
	return nil
}
