package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// auditLog is where acts are kept, in a chain.
type auditLog interface {
	Record(ctx context.Context, e upgrade.AuditEntry) error
	Audit(ctx context.Context, f upgrade.AuditFilter) ([]upgrade.AuditEntry, error)
	WalkAudit(ctx context.Context, see func(upgrade.AuditEntry) error) (upgrade.AuditHead, error)
}

// recordAct serves the rest of a request, and has what it does kept in the audit log: in the transaction of
// the act where there is one, else behind it. What is refused is kept too. Whatever is not a GET is an act:
// a new route need not remember to say so.
func (s *Server) recordAct(c *gin.Context, who caller) {
	route := c.FullPath()
	if m := c.Request.Method; m == http.MethodGet || m == http.MethodHead || m == http.MethodOptions || route == "" || route == "/theme" || s.audit == nil {
		return
	}
	entry := &upgrade.AuditEntry{
		At: s.clock.Now(), Who: who.person.Name, User: who.person.GitLabUser, Via: who.via, From: remote(c.Request), Act: actOf(c.Request.Method, route),
		On: s.onWhat(c, route), Result: upgrade.AuditDone,
	}
	if name := c.Param("name"); strings.Contains(route, "/stacks/") {
		for _, stack := range s.stacks {
			if string(stack.Name) == name {
				entry.Stack, entry.Project = stack.Name, stack.Project
			}
		}
	}
	c.Request = c.Request.WithContext(upgrade.Acting(c.Request.Context(), entry))
	ended := false
	defer func() {
		code := c.Writer.Status()
		switch {
		case !ended:
			entry.Result, entry.Detail = upgrade.AuditFailed, "the service made a mistake"
		case code >= http.StatusInternalServerError:
			entry.Result = upgrade.AuditFailed
		case code >= http.StatusBadRequest:
			entry.Result = upgrade.AuditRefused
		}
		if c.Writer.Header().Get("Idempotent-Replayed") != "" || entry.Seq != 0 && code < http.StatusBadRequest && ended {
			return // nothing was done, or it is kept already
		}
		if err := s.audit.Record(context.WithoutCancel(c.Request.Context()), *entry); err != nil {
			s.log.ErrorContext(c.Request.Context(), "an act is missing in the audit log", "act", string(entry.Act), "on", entry.On, "who", entry.Who, "err", err)
		}
	}()
	c.Next()
	ended = true
}

// refusedBy notes why the act under way is refused.
func refusedBy(ctx context.Context, err error) {
	if e := upgrade.ActingOf(ctx); e != nil && err != nil {
		e.Detail = upgrade.Public(err)
	}
}

// actOf names the act of a route.
func actOf(method, route string) upgrade.Act {
	path := strings.TrimPrefix(route, "/api/v1")
	if rest, ok := strings.CutPrefix(path, "/runs/:id/"); ok {
		for _, a := range theActs() {
			if rest == a.name || rest == a.page && !strings.HasPrefix(route, "/api/") {
				return a.act()
			}
		}
	}
	switch path {
	case "/deliveries/:id/play":
		return upgrade.ActPlay
	case "/stacks/:name/base":
		return upgrade.ActSetBase
	case "/states/:name/refresh":
		return upgrade.ActRefreshState
	case "/invariants/:name/check":
		return upgrade.ActCheck
	case "/vantages/:name/enrol":
		return upgrade.ActInvite
	case "/vantages/:name/revoke":
		return upgrade.ActRevokeAgent
	case "/tokens", "/access":
		return "token.make"
	case "/tokens/:id/revoke", "/access/tokens/:id/revoke":
		return "token.revoke"
	case "/sessions/:id/revoke", "/access/sessions/:id/revoke":
		return "session.revoke"
	case "/messages/:name/:message/resend":
		return "hook.message.resend" // as over the API
	case "/logout":
		return upgrade.ActSignOut
	}
	words := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	var kept []string
	for _, word := range words {
		if !strings.HasPrefix(word, ":") {
			kept = append(kept, strings.TrimSuffix(word, "s"))
		}
	}
	if method == http.MethodDelete {
		kept = append(kept, "remove")
	}
	return upgrade.Act(strings.Join(kept, "."))
}

// act is what the domain is asked for.
func (a act) act() upgrade.Act {
	if a.again != "" {
		return upgrade.ActOfHint(a.again)
	}
	return upgrade.ActOfRequest(a.kind)
}

// onWhat names what a request is about, by its address.
func (s *Server) onWhat(c *gin.Context, route string) string {
	words := strings.FieldsFunc(strings.TrimPrefix(route, "/api/v1"), func(r rune) bool { return r == '/' })
	for i, word := range words {
		if name, ok := strings.CutPrefix(word, ":"); ok && i > 0 {
			value := c.Param(name)
			if len(value) > 200 {
				value = value[:200]
			}
			noun := strings.TrimSuffix(words[i-1], "s")
			if noun == "deliverie" {
				noun = "delivery"
			}
			return noun + " " + value
		}
	}
	return ""
}

// recordSignIn keeps that somebody signed in, or was not let in.
func (s *Server) recordSignIn(c *gin.Context, e upgrade.AuditEntry) error {
	if s.audit == nil {
		return nil
	}
	e.At, e.From, e.Act = s.clock.Now(), remote(c.Request), upgrade.ActSignIn
	if err := s.audit.Record(c.Request.Context(), e); err != nil {
		return fmt.Errorf("keep the sign-in in the audit log: %w", err)
	}
	return nil
}
