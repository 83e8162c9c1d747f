package server

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// pingPatience is how long the database may take to answer before the service counts as not ready.
const pingPatience = time.Second

type health struct {
	Status string            `json:"status"` // up or down
	Checks map[string]string `json:"checks,omitempty"`
}

// healthz says that the process answers. It asks nobody, so that a slow database does not get it killed.
func (s *Server) healthz(c *gin.Context) {
	writeJSON(c, http.StatusOK, jsonType, health{Status: "up"})
}

// readyz says whether requests can be served now.
func (s *Server) readyz(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), pingPatience)
	defer cancel()
	if err := s.health.Ping(ctx); err != nil {
		s.log.WarnContext(ctx, "not ready", "err", err)
		writeJSON(c, http.StatusServiceUnavailable, jsonType, health{Status: "down", Checks: map[string]string{"database": "no answer"}})
		return
	}
	select {
	case <-s.ending:
		writeJSON(c, http.StatusServiceUnavailable, jsonType, health{Status: "down", Checks: map[string]string{"process": "shutting down"}})
	default:
		writeJSON(c, http.StatusOK, jsonType, health{Status: "up", Checks: map[string]string{"database": "answers"}})
	}
}
