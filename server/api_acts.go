package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// maxReason is the longest reason that is taken, in bytes.
const maxReason = 2000

// wireAct is the body of a post that does something with a run. What the act does not need may be left out.
type wireAct struct {
	Reason string `json:"reason"`
	// Digest is of what the person has seen: the plan's change_digest to approve or refuse, the run's
	// causes_digest to override.
	Digest string `json:"digest"`
	// Until is when an override ends; default: after a day.
	Until time.Time `json:"until"`
	// Rev, if given, is the run's revision as the caller saw it; another one is a conflict.
	Rev *int64 `json:"rev"`
}

// asked is the answer to such a post. The run's own job takes it from here; another attempt is a run of
// its own, and what came of asking for it is found at the delivery.
type asked struct {
	Run      wireRun            `json:"run"`
	Asked    string             `json:"asked"`
	Delivery upgrade.DeliveryID `json:"delivery,omitempty"`
}

// apiAct returns the handler of a post that does something with a run.
func (s *Server) apiAct(a act) func(c *gin.Context) error {
	return func(c *gin.Context) error {
		id, err := runID(c)
		if err != nil {
			return err
		}
		var in wireAct
		body, err := readJSON(c, &in)
		if err != nil {
			return err
		}
		return s.once(c, body, func() (int, any, error) {
			r := upgrade.Request{Run: id, Reason: in.Reason, Digest: in.Digest, Until: in.Until}
			run, delivery, err := s.ask(c, a, r, func(r upgrade.Run) bool { return in.Rev == nil || *in.Rev == r.Rev })
			if err != nil {
				return 0, nil, err
			}
			return http.StatusAccepted, asked{Run: s.wireRun(run), Asked: a.name, Delivery: delivery}, nil
		})
	}
}

// readJSON reads a body, which may be empty, into a shape, and returns its bytes.
func readJSON(c *gin.Context, into any) ([]byte, error) {
	body, err := io.ReadAll(c.Request.Body)
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", badBody(err))
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, into); err != nil {
			return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the body is not JSON of the documented shape", Cause: err}
		}
	}
	return body, nil
}

func badBody(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the body did not arrive whole", Cause: err}
}

// ask does something with a run in the name of who is signed in, unless the run is no longer as same
// wants it. It returns the run as it is afterwards, and the delivery by which another attempt was asked for.
func (s *Server) ask(c *gin.Context, a act, r upgrade.Request, same func(upgrade.Run) bool) (upgrade.Run, upgrade.DeliveryID, error) {
	ctx := c.Request.Context()
	if len(r.Reason) > maxReason {
		return upgrade.Run{}, "", invalid("the reason is longer than %d bytes", maxReason)
	}
	run, err := s.runs.Run(ctx, r.Run)
	if err != nil {
		return run, "", fmt.Errorf("read run %d: %w", r.Run, err)
	}
	if e := upgrade.ActingOf(ctx); e != nil {
		e.Stack, e.Project, e.Run, e.Why = run.Stack, run.Project, run.ID, r.Reason
	}
	if !same(run) {
		err := &upgrade.Error{
			Code: upgrade.CodeStale, Msg: "this run changed while you were looking",
			Hint: "look at it again; nothing was done",
		}
		refusedBy(ctx, err)
		return run, "", err
	}
	var delivery upgrade.DeliveryID
	if a.again != "" {
		delivery, err = s.acts.Repeat(ctx, r.Run, a.again, person(c), r.Reason)
	} else {
		r.Kind, r.By, r.At = a.kind, person(c), s.clock.Now()
		err = s.acts.Ask(ctx, r)
	}
	if err != nil {
		refusedBy(ctx, err)
		return run, "", fmt.Errorf("%s run %d: %w", a.name, r.Run, err)
	}
	run, err = s.runs.Run(ctx, r.Run)
	return run, delivery, err
}
