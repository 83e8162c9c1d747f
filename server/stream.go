package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	// pulse is the shortest time between two signals for one part.
	pulse = 500 * time.Millisecond
	// silence is the longest time in which a stream says nothing.
	silence = 15 * time.Second
	// maxGap is the largest number of events that is told part by part; behind it, everything is fetched anew.
	maxGap = 1000
	// maxStreams is how many streams may be open at once.
	maxStreams = 1000
	// writePatience is how long a reader may be stuck before its stream is given up.
	writePatience = 10 * time.Second
)

// stream tells one page which of its parts have changed. It sends signals, not content: the page
// fetches what it shows. The journal is the buffer, so that a page that was away, or a restart in
// between, loses nothing.
type stream struct {
	server *Server
	c      *gin.Context
	run    upgrade.RunID // 0: the board, or the environments
	env    bool          // the environments, of which no journal tells
	at     int64         // last event that was told: Seq of the run's, or ID
	marks  standingMarks // of what was told last of the environments
}

// streamEvents is GET /events?scope=board, env or run:N. after is the last event that the page knows of;
// Last-Event-ID, which browsers send when they come back, counts more. env is what the page knows of the
// environments.
func (s *Server) streamEvents(c *gin.Context) error {
	st := &stream{server: s, c: c, marks: readMarks(c.Query("env"))}
	scope := c.Query("scope")
	if raw, ok := strings.CutPrefix(scope, "run:"); ok {
		n, err := strconv.ParseInt(raw, 10, 64)
		if err != nil || n < 1 {
			return invalid("scope=%q names no run", scope)
		}
		run, err := s.runs.Run(c.Request.Context(), upgrade.RunID(n))
		if err != nil {
			return fmt.Errorf("open a stream of run %d: %w", n, err)
		}
		st.run = run.ID
	} else if st.env = scope == "env"; !st.env && scope != "board" {
		return invalid("scope=%q is none of board, env and run:N", scope)
	}
	resync := false
	if st.env {
		return st.serve(false)
	}
	if last := c.GetHeader("Last-Event-ID"); last != "" {
		n, err := strconv.ParseInt(last, 10, 64)
		known := err == nil && n >= 0
		if known {
			if known, err = st.known(c.Request.Context(), n); err != nil {
				return err
			}
		}
		st.at, resync = n, !known
	} else if after, err := strconv.ParseInt(c.DefaultQuery("after", "0"), 10, 64); err == nil && after >= 0 {
		st.at = after
	}
	return st.serve(resync)
}

func (st *stream) filter(after int64, limit int) upgrade.EventFilter {
	return upgrade.EventFilter{Run: st.run, After: after, Limit: limit}
}

// known reports whether the journal still has the event that a page says it saw last.
func (st *stream) known(ctx context.Context, n int64) (bool, error) {
	if n == 0 {
		return true, nil
	}
	found, err := st.server.journal.Events(ctx, st.filter(n-1, 1))
	if err != nil {
		return false, fmt.Errorf("look for event %d: %w", n, err)
	}
	return len(found) == 1 && st.id(found[0]) == n, nil
}

func (st *stream) id(e upgrade.Event) int64 {
	if st.run != 0 {
		return e.Seq
	}
	return e.ID
}

func (st *stream) serve(resync bool) error {
	s := st.server
	defer s.whileAdmitted(st.c)()
	ctx := st.c.Request.Context()
	if open := s.open.Add(1); open > maxStreams {
		s.open.Add(-1)
		return &upgrade.Error{Code: upgrade.CodeLimited, Msg: "too many live streams are open", RetryAfter: silence}
	}
	s.streams.Inc()
	defer func() { s.open.Add(-1); s.streams.Dec() }()
	ticks, cancel := s.journal.Changed() // before the first look, so that nothing falls in between
	defer cancel()

	h := st.c.Writer.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	st.c.Status(http.StatusOK)
	if err := st.write("retry: 2000\nevent: hello\ndata: {}\n\n"); err != nil {
		return nil // the reader has gone
	}
	for {
		if err := st.tell(ctx, resync); err != nil {
			if !errors.Is(err, errGone) && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "stream ended", "request_id", requestID(st.c), "err", err)
			}
			return nil // the page comes back by itself
		}
		resync = false
		if !s.pause(ctx, pulse) {
			return nil
		}
		for quiet := true; quiet; {
			more, ok := st.wait(ctx, ticks)
			if !ok {
				return nil
			}
			quiet = !more && st.marks.Checks == "" // what is held may have become too old meanwhile
			if !more && st.write(": still here\n\n") != nil {
				return nil
			}
		}
	}
}

// wait waits for a change, or for as long as silence may last. ok is false when the stream is to end.
func (st *stream) wait(ctx context.Context, ticks <-chan struct{}) (more, ok bool) {
	timer := time.NewTimer(silence)
	defer timer.Stop()
	select {
	case <-ticks:
		return true, true
	case <-timer.C:
		return false, true
	case <-ctx.Done():
	case <-st.server.ending:
	}
	return false, false
}

// tell signals what has changed since the last look. Only the last signal carries the id, so that a
// connection that breaks in between is told all of it again.
func (st *stream) tell(ctx context.Context, resync bool) error {
	if st.env {
		return st.write(signals(st.standing(ctx)))
	}
	events, err := st.server.journal.Events(ctx, st.filter(st.at, maxGap+1))
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	partsOf := boardParts
	if st.run != 0 {
		partsOf = runParts
	}
	parts := changed(events, partsOf)
	if resync || len(events) > maxGap {
		if st.at, err = st.server.last(ctx, st.run); err != nil {
			return err
		}
		parts = []string{"resync"}
	} else if len(events) > 0 {
		st.at = st.id(events[len(events)-1])
	}
	for _, part := range st.standing(ctx) {
		if !slices.Contains(parts, part) && !resync {
			parts = append(parts, part)
		}
	}
	var b strings.Builder
	for i, part := range parts {
		if i == len(parts)-1 {
			fmt.Fprintf(&b, "id: %d\n", st.at)
		}
		fmt.Fprintf(&b, "event: %s\ndata: {\"run\":%d,\"at\":%d%s}\n\n", part, st.run, st.at, st.rows(events, part))
	}
	if b.Len() == 0 {
		return nil
	}
	return st.write(b.String())
}

// standing returns the parts that change with what is known of the environments since it was told last.
func (st *stream) standing(ctx context.Context) []string {
	before, now := st.marks, st.server.standingMarks(ctx)
	st.marks = now
	switch {
	case now == before:
		return nil
	case st.env:
		return []string{"lead", "banner", "matrix", "inventory"}
	case st.run == 0:
		return []string{"env"}
	case now.States != before.States:
		return []string{"verdict"} // and with it the line of production
	}
	return []string{"production"}
}

// signals puts parts of a page without a journal into events.
func signals(parts []string) string {
	var b strings.Builder
	for _, part := range parts {
		fmt.Fprintf(&b, "event: %s\ndata: {}\n\n", part)
	}
	return b.String()
}

var errGone = errors.New("the reader has gone")

func (st *stream) write(text string) error {
	if text == "" {
		return nil
	}
	rc := http.NewResponseController(st.c.Writer)
	// The server's own WriteTimeout would cut the stream; this replaces it before each write, so that a
	// reader who is stuck does not hold the stream for ever either.
	_ = rc.SetWriteDeadline(time.Now().Add(writePatience)) //nolint:forbidigo // a deadline of the network
	if _, err := st.c.Writer.WriteString(text); err != nil {
		return errGone
	}
	if err := rc.Flush(); err != nil {
		return errGone
	}
	return nil
}

// last returns the number of the newest event of a run, or of all runs. The journal tells only what
// comes after a number, so this gallops: some 2·log₂ n reads of one row each.
func (s *Server) last(ctx context.Context, run upgrade.RunID) (int64, error) {
	st := stream{run: run}
	at, step := int64(0), int64(1)
	for grow := true; ; {
		found, err := s.journal.Events(ctx, st.filter(at+step-1, 1))
		switch {
		case err != nil:
			return 0, fmt.Errorf("find the end of the journal: %w", err)
		case len(found) > 0:
			at = st.id(found[0])
			if grow {
				step *= 2
			}
		case step == 1:
			return at, nil
		default:
			grow, step = false, step/2
		}
	}
}

// journalEnd remembers where the journal ended when somebody looked last.
type journalEnd struct {
	mu sync.Mutex
	at int64
}

// read returns the number of the newest event of all runs.
func (j *journalEnd) read(ctx context.Context, s *Server) (int64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.at == 0 {
		at, err := s.last(ctx, 0)
		if err != nil {
			return 0, err
		}
		j.at = at
	}
	for {
		events, err := s.journal.Events(ctx, upgrade.EventFilter{After: j.at, Limit: maxGap})
		if err != nil {
			return 0, fmt.Errorf("find the end of the journal: %w", err)
		}
		if len(events) == 0 {
			return j.at, nil
		}
		j.at = events[len(events)-1].ID
	}
}
