package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// setBaseWithin bounds how long setting a base may take: the commit is fetched from GitLab, and the answer
// must be out before the WriteTimeout of servers.
const setBaseWithin = 25 * time.Second

type wireStack struct {
	Name        upgrade.StackName   `json:"name"`
	Project     string              `json:"project"`
	Dir         string              `json:"dir,omitempty"` // of the root module in the repository; absent: its top
	Environment upgrade.EnvName     `json:"environment"`   // the staging one
	After       []upgrade.StackName `json:"after"`
	Base        *wireBase           `json:"base,omitempty"` // absent: nobody knows what production has
	OpenChange  []wireApply         `json:"open_change"`    // every apply to staging since the base, the first one first
	Holder      *wireRunning        `json:"holder,omitempty"`
	OnTheWay    []wireRunning       `json:"on_the_way"` // to production
	Queued      []wireRunning       `json:"queued"`     // the oldest first
}

type wireBase struct {
	Commit  upgrade.Commit `json:"commit"`
	Tree    upgrade.Tree   `json:"tree"`
	Assumed bool           `json:"assumed"` // not proven by a promotion
	Since   int64          `json:"since"`   // number of the apply that brought staging there; 0: every one is later
	By      string         `json:"by,omitempty"`
	Reason  string         `json:"reason,omitempty"`
	At      time.Time      `json:"at,omitzero"`
}

type wireApply struct {
	Run     upgrade.RunID      `json:"run"`
	N       int                `json:"n"`
	Seq     int64              `json:"seq"` // order over all stacks
	Tree    upgrade.Tree       `json:"tree"`
	Back    bool               `json:"back"` // the way back of a rehearsal
	State   upgrade.ApplyState `json:"state"`
	OK      bool               `json:"ok"` // it ended, and Terraform succeeded
	BegunAt time.Time          `json:"begun_at,omitzero"`
	EndedAt time.Time          `json:"ended_at,omitzero"`
}

// wireRunning is a run in a list of those that concern a stack.
type wireRunning struct {
	Run      upgrade.RunID  `json:"run"`
	Commit   upgrade.Commit `json:"commit"`
	Phase    upgrade.Phase  `json:"phase"`
	Headline string         `json:"headline"`
	URL      string         `json:"url"`
}

// wireSetBase is the body of the post that says what production has.
type wireSetBase struct {
	Commit string `json:"commit"`
	Reason string `json:"reason"`
}

func (s *Server) apiStacks(c *gin.Context) error {
	out := make([]wireStack, 0, len(s.stacks))
	for _, stack := range s.stacks {
		w, err := s.wireStack(c.Request.Context(), stack)
		if err != nil {
			return err
		}
		out = append(out, w)
	}
	writeJSON(c, http.StatusOK, jsonType, page[wireStack]{Items: out})
	return nil
}

func (s *Server) apiStack(c *gin.Context) error {
	stack, err := s.stack(c.Param("name"))
	if err != nil {
		return err
	}
	w, err := s.wireStack(c.Request.Context(), stack)
	if err != nil {
		return err
	}
	writeJSON(c, http.StatusOK, jsonType, w)
	return nil
}

func (s *Server) stack(name string) (upgrade.Stack, error) {
	names := make([]string, 0, len(s.stacks))
	for _, stack := range s.stacks {
		if string(stack.Name) == name {
			return stack, nil
		}
		names = append(names, string(stack.Name))
	}
	return upgrade.Stack{}, &upgrade.Error{
		Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no stack %q", name), Hint: "there are " + strings.Join(names, ", "),
	}
}

// wireStack reads what is known of a stack now.
func (s *Server) wireStack(ctx context.Context, stack upgrade.Stack) (wireStack, error) {
	w := wireStack{
		Name: stack.Name, Project: stack.Project, Dir: stack.Dir, Environment: stack.Staging.Environment,
		After: append([]upgrade.StackName{}, stack.After...), OpenChange: []wireApply{}, OnTheWay: []wireRunning{}, Queued: []wireRunning{},
	}
	base, known, err := s.changes.Base(ctx, stack.Name)
	if err != nil {
		return w, fmt.Errorf("read the base of %s: %w", stack.Name, err)
	}
	if known {
		w.Base = &wireBase{base.Commit, base.Tree, base.Assumed, base.Since, base.By, base.Reason, utc(base.At)}
	}
	applies, err := s.changes.AppliesSince(ctx, stack.Name, stack.Staging.Environment, base.Since)
	if err != nil {
		return w, fmt.Errorf("read the open change of %s: %w", stack.Name, err)
	}
	for _, a := range applies {
		w.OpenChange = append(w.OpenChange, wireApply{a.Run, a.N, a.Seq, a.Tree, a.Back, a.State, a.OK, utc(a.BegunAt), utc(a.EndedAt)})
	}
	running, err := s.runs.Runs(ctx, upgrade.RunFilter{Stack: stack.Name, Phases: onTheirWay(), Limit: 500})
	if err != nil {
		return w, fmt.Errorf("list the runs of %s: %w", stack.Name, err)
	}
	for _, r := range slices.Backward(running) {
		one := wireRunning{r.ID, r.Commit, r.Phase, upgrade.Tell(r).Headline, s.publicURL + runPath(r.ID)}
		switch {
		case r.Phase.HoldsSlot():
			w.Holder = &one
		case r.Phase == upgrade.PhaseQueued:
			w.Queued = append(w.Queued, one)
		default:
			w.OnTheWay = append(w.OnTheWay, one)
		}
	}
	return w, nil
}

// onTheirWay are the phases of runs that use their stack or wait for it.
func onTheirWay() []upgrade.Phase {
	return slices.DeleteFunc(upgrade.Phases(), func(p upgrade.Phase) bool {
		return p != upgrade.PhaseQueued && p != upgrade.PhaseUnlocking && p != upgrade.PhaseUnlocked && !p.HoldsSlot()
	})
}

// apiSetBase says what production of a stack has, as a person knows it.
func (s *Server) apiSetBase(c *gin.Context) error {
	stack, err := s.stack(c.Param("name"))
	if err != nil {
		return err
	}
	var in wireSetBase
	body, err := readJSON(c, &in)
	if err != nil {
		return err
	}
	if len(in.Reason) > maxReason {
		return invalid("the reason is longer than %d bytes", maxReason)
	}
	commit, err := upgrade.ParseCommit(strings.ToLower(in.Commit))
	if err != nil {
		return fmt.Errorf("read the commit: %w", err)
	}
	return s.once(c, body, func() (int, any, error) {
		ctx, cancel := context.WithTimeout(c.Request.Context(), setBaseWithin)
		defer cancel()
		if e := upgrade.ActingOf(ctx); e != nil {
			e.Why, e.Detail = in.Reason, "commit "+string(commit)
		}
		if _, err := s.acts.SetBase(ctx, stack.Name, commit, person(c), in.Reason); err != nil {
			return 0, nil, fmt.Errorf("set the base of %s: %w", stack.Name, err)
		}
		w, err := s.wireStack(c.Request.Context(), stack)
		return http.StatusOK, w, err
	})
}
