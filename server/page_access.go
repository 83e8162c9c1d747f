package server

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// accessView is the page of somebody's own sessions and tokens.
type accessView struct {
	Name, Flash string
	Sessions    []sessionRow
	Tokens      []tokenRow
}

type sessionRow struct {
	ID, Browser, From, Since, Seen, Ends string
	Current                              bool
}

type tokenRow struct{ ID, Name, May, Used, Ends, State string }

func (s *Server) accessPage(c *gin.Context) error {
	ctx, who := c.Request.Context(), callerOf(c)
	if err := upgrade.May(who.person, upgrade.ActOwnAccess, upgrade.Object{}); err != nil {
		return err
	}
	sessions, err := s.keys.access.Sessions(ctx, who.identity.Subject)
	if err != nil {
		return fmt.Errorf("list sessions: %w", err)
	}
	tokens, err := s.keys.access.Tokens(ctx, who.identity.Subject)
	if err != nil {
		return fmt.Errorf("list tokens: %w", err)
	}
	v := accessView{Name: who.person.Name}
	if c.Query("done") != "" {
		v.Flash = "That session is over."
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return t.In(s.zone).Format("2 Jan 15:04")
	}
	now := s.keys.now()
	for _, n := range sessions {
		if now.Before(n.EndsAt) && now.Sub(n.SeenAt) <= s.keys.limits.Idle {
			v.Sessions = append(v.Sessions, sessionRow{
				ID: n.ID, Browser: n.Browser, From: n.From, Since: at(n.BegunAt), Seen: at(n.SeenAt), Ends: at(n.EndsAt), Current: n.ID == who.session,
			})
		}
	}
	for _, t := range tokens {
		w := s.wireToken(t)
		may := roleTitle(t.Role)
		if len(t.Projects) > 0 {
			may += " in " + strings.Join(t.Projects, ", ")
		}
		v.Tokens = append(v.Tokens, tokenRow{ID: t.ID, Name: t.Name, May: may, Used: at(t.UsedAt), Ends: at(t.EndsAt), State: w.State})
	}
	return s.show(c, http.StatusOK, "access", s.layout(c, "Sessions and tokens", v))
}

func (s *Server) endSessionForm(c *gin.Context) error {
	if err := s.endSession(c, c.Param("id")); err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, "/access?done=1")
	return nil
}
