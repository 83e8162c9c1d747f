package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// maxReason is the longest reason that is taken, in bytes.
const maxReason = 2000

// wireAct is the body of a post that asks something of a run. All of it may be left out.
type wireAct struct {
	Reason string `json:"reason"`
	// Rev, if given, is the run's revision as the caller saw it; another one is a conflict.
	Rev *int64 `json:"rev"`
}

// asked is the answer to such a post: the run's own job takes it from here.
type asked struct {
	Run   wireRun             `json:"run"`
	Asked upgrade.RequestKind `json:"asked"`
}

// apiAct returns the handler of a post that asks kind of a run.
func (s *Server) apiAct(kind upgrade.RequestKind) func(c *gin.Context) error {
	return func(c *gin.Context) error {
		id, err := runID(c)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(c.Request.Body)
		if err != nil {
			return fmt.Errorf("read the body: %w", badBody(err))
		}
		var act wireAct
		if len(body) > 0 {
			if err := json.Unmarshal(body, &act); err != nil {
				return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the body is not JSON of the documented shape", Cause: err}
			}
		}
		return s.once(c, body, func() (int, any, error) {
			run, err := s.ask(c, upgrade.Request{Run: id, Kind: kind, Reason: act.Reason}, func(r upgrade.Run) bool {
				return act.Rev == nil || *act.Rev == r.Rev
			})
			if err != nil {
				return 0, nil, err
			}
			return http.StatusAccepted, asked{Run: s.wireRun(run), Asked: kind}, nil
		})
	}
}

func badBody(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the body did not arrive whole", Cause: err}
}

// ask asks something of a run in the name of who is signed in, unless the run is no longer as same
// wants it. It returns the run as it is afterwards.
func (s *Server) ask(c *gin.Context, r upgrade.Request, same func(upgrade.Run) bool) (upgrade.Run, error) {
	ctx := c.Request.Context()
	if len(r.Reason) > maxReason {
		return upgrade.Run{}, invalid("the reason is longer than %d bytes", maxReason)
	}
	run, err := s.runs.Run(ctx, r.Run)
	if err != nil {
		return run, fmt.Errorf("read run %d: %w", r.Run, err)
	}
	if !same(run) {
		return run, &upgrade.Error{
			Code: upgrade.CodeStale, Msg: "this run changed while you were looking",
			Hint: "look at it again; nothing was done",
		}
	}
	r.By, r.At = person(c), s.clock.Now()
	if err := s.acts.Ask(ctx, r); err != nil {
		return run, fmt.Errorf("ask %s of run %d: %w", r.Kind, r.Run, err)
	}
	return s.runs.Run(ctx, r.Run)
}
