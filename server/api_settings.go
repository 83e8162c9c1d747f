package server

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// wireFreeze is a time in which production stays as it is.
type wireFreeze struct {
	Name   string              `json:"name"`
	State  string              `json:"state"` // past, now, next
	From   time.Time           `json:"from"`
	To     time.Time           `json:"to"`
	Stacks []upgrade.StackName `json:"stacks"` // empty: all
	Reason string              `json:"reason,omitempty"`
	By     string              `json:"by,omitempty"`
}

// wireConfig is the configuration that is in force. Of a secret only where it comes from is told.
type wireConfig struct {
	File     string           `json:"file"`
	LoadedAt time.Time        `json:"loaded_at,omitzero"`
	Digest   string           `json:"digest"`  // SHA-256 of the file as it was loaded, hexadecimal
	Changed  bool             `json:"changed"` // the file is another one by now
	Warnings []string         `json:"warnings"`
	Rejected []wireMistake    `json:"rejected"` // why the file as it is now would not be loaded
	Values   []wireConfigured `json:"values"`   // in the order of the file
}

type wireMistake struct {
	Line    int    `json:"line,omitempty"` // absent: the file as a whole
	Path    string `json:"path"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

type wireConfigured struct {
	Path   string `json:"path"`
	Value  string `json:"value"`
	Line   int    `json:"line,omitempty"` // absent: a default
	Secret bool   `json:"secret"`         // value says where it comes from
}

func (s *Server) settingsRoutes(g gin.IRoutes) {
	g.GET("/freezes", s.api(s.apiFreezes))
	g.GET("/config", s.api(s.apiConfig))
}

// apiFreezes answers every freeze, by time.
func (s *Server) apiFreezes(c *gin.Context) error {
	if q := newQuery(c); q.err != nil {
		return q.err
	}
	now, out := s.clock.Now(), []wireFreeze{}
	for _, f := range s.byTime() {
		w := wireFreeze{Name: f.Name, State: "now", From: f.From.UTC(), To: f.To.UTC(), Stacks: append([]upgrade.StackName{}, f.Stacks...), Reason: f.Reason, By: f.By}
		switch {
		case !f.To.After(now):
			w.State = "past"
		case f.From.After(now):
			w.State = "next"
		}
		out = append(out, w)
	}
	writeJSON(c, http.StatusOK, jsonType, page[wireFreeze]{Items: out})
	return nil
}

func (s *Server) apiConfig(c *gin.Context) error {
	if q := newQuery(c); q.err != nil {
		return q.err
	}
	if err := upgrade.May(person(c), upgrade.ActRead, upgrade.Object{Name: "the configuration"}); err != nil {
		return err
	}
	if s.settings == nil {
		return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "the configuration is not from a file", Hint: "start the service with --config"}
	}
	in := s.settings()
	w := wireConfig{
		File: in.File, LoadedAt: utc(in.LoadedAt), Digest: in.Digest, Changed: in.Changed, Warnings: append([]string{}, in.Warnings...), Rejected: []wireMistake{},
		Values: make([]wireConfigured, 0, len(in.Values)),
	}
	for _, p := range in.Rejected {
		w.Rejected = append(w.Rejected, wireMistake(p))
	}
	for _, v := range in.Values {
		w.Values = append(w.Values, wireConfigured(v))
	}
	writeJSON(c, http.StatusOK, jsonType, w)
	return nil
}
