package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/upgradegate/upgradegate/upgrade"
)

const requestIDKey = "request_id"

// maxForm is the largest body that a form or the API may send, in bytes.
const maxForm = 64 << 10

// policy forbids everything that the pages do not do themselves: no inline script or style, no other
// host, no frame (dashboard.md §3).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

func requestID(c *gin.Context) string { return c.GetString(requestIDKey) }

// identifyRequest gives each request an id, which is in the answer and in the log.
func identifyRequest(c *gin.Context) {
	id := rand.Text()
	c.Set(requestIDKey, id)
	c.Header("X-Request-Id", id)
}

// secure sets the headers that every answer has.
func (s *Server) secure(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if s.keys.secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// watch logs and counts each request when it has ended. It logs paths without their query: a sign-in
// link has a token in it.
func (s *Server) watch(c *gin.Context) {
	begun := time.Now() //nolint:forbidigo // how long an answer took is measured, not decided on
	defer func() {
		took := time.Since(begun) //nolint:forbidigo // as above
		route := c.FullPath()
		if route == "" {
			route = "none"
		}
		code := c.Writer.Status()
		s.served.WithLabelValues(route, methodLabel(c.Request.Method), strconv.Itoa(code)).Inc()
		if !strings.HasPrefix(c.Writer.Header().Get("Content-Type"), "text/event-stream") { // open for as long as somebody looks
			s.took.WithLabelValues(route).Observe(took.Seconds())
		}
		who := ""
		if p, ok := c.Get(personKey); ok {
			if p, ok := p.(upgrade.Person); ok {
				who = p.Name
			}
		}
		level := slog.LevelDebug
		if code >= http.StatusBadRequest {
			level = slog.LevelInfo
		}
		s.log.Log(c.Request.Context(), level, "request served", "method", c.Request.Method, "path", c.Request.URL.Path,
			"status", code, "bytes", c.Writer.Size(), "took", took, "who", who, "request_id", requestID(c))
	}()
	c.Next()
}

func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
		return method
	}
	return "other"
}

// survive turns a panic into a 500, and its text into a line of the log.
func (s *Server) survive(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(http.ErrAbortHandler) // net/http's own way of cutting a connection
		}
		s.log.ErrorContext(c.Request.Context(), "handler panicked", "route", c.FullPath(), "request_id", requestID(c),
			"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		if c.Writer.Written() {
			panic(http.ErrAbortHandler)
		}
		s.answer(c, &upgrade.Error{Code: upgrade.CodeInternal, Msg: "something went wrong; the log has the details"})
	}()
	c.Next()
}

// limitBody bounds what a form or a program may send.
func limitBody(c *gin.Context) {
	if c.Request.Body != nil {
		c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxForm)
	}
}

// answer tells err as a problem to programs and as a page to people.
func (s *Server) answer(c *gin.Context, err error) {
	if strings.HasPrefix(c.Request.URL.Path, "/api/") || c.GetHeader("HX-Request") != "" {
		s.answerProblem(c, err)
		return
	}
	s.answerPage(c, err)
}

// measure registers what watch counts.
func (s *Server) measure(to prometheus.Registerer) error {
	s.served = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "upgradegate_http_requests_total", Help: "Requests that were answered.",
	}, []string{"route", "method", "code"})
	s.took = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "upgradegate_http_request_seconds", Help: "How long answers took, streams left out.",
		Buckets: []float64{.001, .005, .015, .05, .15, .5, 1.5, 5},
	}, []string{"route"})
	s.streams = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "upgradegate_live_streams", Help: "Live streams that are open now.",
	})
	for _, c := range []prometheus.Collector{s.served, s.took, s.streams} {
		if err := to.Register(c); err != nil {
			return fmt.Errorf("register the server's metrics: %w", err)
		}
	}
	return nil
}
