package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// followEvery is how often a log that is being followed is looked at again.
const followEvery = time.Second

func stages() []string { return []string{"prepare", "plan", "apply"} }

// apiLog streams the output of one stage as text. With follow=1 it goes on until the run has left the
// stages that write logs, or until nobody reads any more.
func (s *Server) apiLog(c *gin.Context) error {
	q := newQuery(c, "follow")
	follow := q.integer("follow", 0, 1) == 1
	if q.err != nil {
		return q.err
	}
	run, err := s.run(c)
	if err != nil {
		return err
	}
	stage := c.Param("stage")
	r, err := s.openLog(c.Request.Context(), run, stage)
	if err != nil {
		return err
	}
	c.Header("Content-Type", "text/plain; charset=utf-8")
	c.Header("X-Accel-Buffering", "no")
	if follow {
		if s.open.Add(1) > maxStreams {
			s.open.Add(-1)
			return &upgrade.Error{Code: upgrade.CodeLimited, Msg: "too many follow logs and live streams", Hint: "try again in a moment, or leave follow out", RetryAfter: silence}
		}
		defer s.open.Add(-1)
		defer s.whileAdmitted(c)()
	}
	c.Status(http.StatusOK)
	sent, err := copyOut(c, r, 0)
	for follow && err == nil && run.Phase.Live() {
		c.Writer.Flush()
		if !s.pause(c.Request.Context(), followEvery) {
			return nil
		}
		if run, err = s.runs.Run(c.Request.Context(), run.ID); err != nil {
			break
		}
		var again io.ReadCloser
		if again, err = s.openLog(c.Request.Context(), run, stage); err == nil {
			sent, err = copyOut(c, again, sent)
		}
	}
	if err != nil && c.Request.Context().Err() == nil {
		return fmt.Errorf("send the log of %s of run %d: %w", stage, run.ID, err)
	}
	return nil
}

// openLog opens the log of a stage. CodeNotFound, which says why, if there is none.
func (s *Server) openLog(ctx context.Context, run upgrade.Run, stage string) (io.ReadCloser, error) {
	if !slices.Contains(stages(), stage) {
		return nil, &upgrade.Error{
			Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no stage %q", stage), Hint: "stages with a log are prepare, plan and apply",
		}
	}
	r, err := s.logs.Log(ctx, run.ID, stage)
	if upgrade.CodeOf(err) == upgrade.CodeNotFound {
		return nil, noLog(run, stage, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open the log of %s of run %d: %w", stage, run.ID, err)
	}
	return r, nil
}

// copyOut sends what r has beyond the first skip bytes, closes it, and returns how far it is now.
func copyOut(c *gin.Context, r io.ReadCloser, skip int64) (int64, error) {
	defer func() { _ = r.Close() }() // only read from
	skipped, err := io.CopyN(io.Discard, r, skip)
	if err != nil { // shorter than before: nothing new
		return max(skip, skipped), nil
	}
	n, err := io.Copy(patient{c.Writer}, r)
	return skip + n, err
}

// patient sends for as long as it takes, and gives a reader up who takes nothing for writePatience. It replaces the
// server's limit on how long an answer may take.
type patient struct{ to http.ResponseWriter }

func (p patient) Write(b []byte) (int, error) {
	_ = http.NewResponseController(p.to).SetWriteDeadline(time.Now().Add(writePatience)) //nolint:forbidigo // a deadline of the network
	return p.to.Write(b)
}

// pause waits for d and reports whether there is reason to go on: nobody has left, no shutdown.
func (s *Server) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-s.ending:
	}
	return false
}
