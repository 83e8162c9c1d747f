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
	Make        tokenForm
	Made        *madeToken // nil: none was made just now
}

type sessionRow struct {
	ID, Browser, From, Since, Seen, Ends string
	Current                              bool
}

type tokenRow struct {
	ID, Name, May, Used, Ends, State string
	Good                             bool // it can be revoked
}

func (s *Server) accessPage(c *gin.Context) error {
	return s.showAccess(c, http.StatusOK, func(v *accessView) {
		switch c.Query("done") {
		case "":
		case "token":
			v.Flash = "That token is not good any more."
		default:
			v.Flash = "That session is over."
		}
	})
}

// showAccess shows the page with what there is now; as changes it for what was done or typed.
func (s *Server) showAccess(c *gin.Context, code int, as func(*accessView)) error {
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
	v := accessView{Name: who.person.Name, Make: tokenFormOf(who)}
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
				ID: n.ID, Browser: browserOf(n.Browser), From: n.From, Since: at(n.BegunAt), Seen: at(n.SeenAt), Ends: at(n.EndsAt), Current: n.ID == who.session,
			})
		}
	}
	for _, t := range tokens {
		w := s.wireToken(t)
		may := roleTitle(t.Role)
		if len(t.Projects) > 0 {
			may += " in " + strings.Join(t.Projects, ", ")
		}
		v.Tokens = append(v.Tokens, tokenRow{ID: t.ID, Name: t.Name, May: may, Used: at(t.UsedAt), Ends: at(t.EndsAt), State: w.State, Good: w.State == "active"})
	}
	as(&v)
	return s.show(c, code, "access", s.layout(c, "Sessions and tokens", v))
}

func (s *Server) endSessionForm(c *gin.Context) error {
	if err := s.endSession(c, c.Param("id")); err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, "/access?done=1")
	return nil
}

func (s *Server) endTokenForm(c *gin.Context) error {
	if _, err := s.revokeToken(c, c.Param("id")); err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, "/access?done=token")
	return nil
}

// browserOf is what a browser says of itself in two words, such as "Firefox on Linux"; what is not known is left as
// it is.
func browserOf(agent string) string {
	first := func(pairs ...string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if strings.Contains(agent, pairs[i]) {
				return pairs[i+1]
			}
		}
		return ""
	}
	// Most say that they are others too: the order matters.
	name := first("Edg/", "Edge", "OPR/", "Opera", "Firefox/", "Firefox", "Chrome/", "Chrome", "Safari/", "Safari")
	system := first("Android", "Android", "iPhone", "iPhone", "iPad", "iPad", "Windows", "Windows", "Mac OS X", "macOS", "Linux", "Linux")
	if name == "" || system == "" {
		return agent
	}
	return name + " on " + system
}
