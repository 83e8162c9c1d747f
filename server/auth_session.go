package server

import (
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

type wireSession struct {
	ID      string    `json:"id"`
	Who     string    `json:"who"`
	Subject string    `json:"subject"`
	Current bool      `json:"current"` // the one that asks
	BegunAt time.Time `json:"begun_at"`
	SeenAt  time.Time `json:"seen_at"`
	EndsAt  time.Time `json:"ends_at"` // sooner if it is not used
	From    string    `json:"from"`
	Browser string    `json:"browser"`
}

type wireEnded struct {
	Revoked string `json:"revoked"`
}

// wireMe is who asks and what they may do.
type wireMe struct {
	Name     string                  `json:"name"`
	Subject  string                  `json:"subject"`
	Via      string                  `json:"via"`
	Role     upgrade.Role            `json:"role"`     // everywhere
	Projects map[string]upgrade.Role `json:"projects"` // in these besides
	Acts     []upgrade.Act           `json:"acts"`     // that they may everywhere
}

func (s *Server) accessRoutes(g gin.IRoutes) {
	g.GET("/me", s.api(s.apiMe))
	g.GET("/sessions", s.api(s.apiSessions))
	g.POST("/sessions/:id/revoke", s.api(s.apiEndSession))
	g.GET("/tokens", s.api(s.apiTokens))
	g.POST("/tokens", s.api(s.apiMakeToken))
	g.POST("/tokens/:id/revoke", s.api(s.apiRevokeToken))
	g.GET("/audit", s.api(s.apiAudit))
	g.GET("/audit/export", s.api(s.apiAuditExport))
	g.GET("/audit/verify", s.api(s.apiAuditVerify))
}

func (s *Server) apiMe(c *gin.Context) error {
	who := callerOf(c)
	me := wireMe{Name: who.person.Name, Subject: who.identity.Subject, Via: who.via, Role: who.person.Role, Projects: map[string]upgrade.Role{}, Acts: []upgrade.Act{}}
	if who.person.Rights != nil {
		maps.Copy(me.Projects, *who.person.Rights)
	}
	for _, act := range upgrade.Acts() {
		if upgrade.May(who.person, act, upgrade.Object{}) == nil {
			me.Acts = append(me.Acts, act)
		}
	}
	writeJSON(c, http.StatusOK, jsonType, me)
	return nil
}

func (s *Server) apiSessions(c *gin.Context) error {
	subject, err := s.subject(c)
	if err != nil {
		return err
	}
	all, err := s.keys.access.Sessions(c.Request.Context(), subject)
	if err != nil {
		return fmt.Errorf("list sessions: %w", err)
	}
	out, now := make([]wireSession, 0, len(all)), s.keys.now()
	for _, n := range all {
		if !now.Before(n.EndsAt) || now.Sub(n.SeenAt) > s.keys.limits.Idle {
			continue
		}
		out = append(out, wireSession{
			ID: n.ID, Who: n.Who.Name, Subject: n.Who.Subject, Current: n.ID == callerOf(c).session, BegunAt: n.BegunAt.UTC(), SeenAt: n.SeenAt.UTC(),
			EndsAt: n.EndsAt.UTC(), From: n.From, Browser: n.Browser,
		})
	}
	return writeAfter(c, out, func(n wireSession) (time.Time, string) { return n.BegunAt, n.ID })
}

func (s *Server) apiEndSession(c *gin.Context) error {
	body, err := readJSON(c, &struct{}{})
	if err != nil {
		return err
	}
	return s.once(c, body, func() (int, any, error) {
		return http.StatusOK, wireEnded{c.Param("id")}, s.endSession(c, c.Param("id"))
	})
}

// endSession ends a session of the caller's, or of somebody else's if they may.
func (s *Server) endSession(c *gin.Context, id string) error {
	ctx := c.Request.Context()
	all, err := s.keys.access.Sessions(ctx, "")
	if err != nil {
		return fmt.Errorf("list sessions: %w", err)
	}
	owner := ""
	for _, n := range all {
		if n.ID == id {
			owner = n.Who.Subject
		}
	}
	if owner == "" {
		return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("you have no session %s", id)}
	}
	if err := s.mayEnd(c, owner, "session", id); err != nil {
		return err
	}
	if err := s.keys.access.EndSession(ctx, id); err != nil {
		return fmt.Errorf("end session %s: %w", id, err)
	}
	s.revoked(id)
	return nil
}
