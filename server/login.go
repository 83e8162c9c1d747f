package server

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// loginView is the page on which somebody signs in.
type loginView struct {
	Next       string
	Wrong      bool
	Out        bool // just signed out
	Problem    string
	Hint       string
	Providers  []loginProvider
	BreakGlass bool // there is a local account
	Ask        *loginAsk
}

// loginAsk asks somebody who followed a link of another site whether they want to be who it says.
type loginAsk struct{ Who, Token string }

type loginProvider struct{ Title, Path string }

func (s *Server) loginView(next string) loginView {
	v := loginView{Next: next, BreakGlass: s.signIns.BreakGlass != nil}
	for _, p := range s.signIns.Providers {
		v.Providers = append(v.Providers, loginProvider{Title: p.Title, Path: "/login/" + p.Name + nextQuery(next)})
	}
	return v
}

// loginPage signs in whoever comes with ?token=, by a link that an operator or the demo gave them, and
// shows the ways to sign in otherwise. The redirect takes the token out of the address.
func (s *Server) loginPage(c *gin.Context) error {
	next := localPath(c.Query("next"))
	v := s.loginView(next)
	if token := c.Query("token"); token != "" {
		who, known := s.keys.byToken(token)
		if !known || !fromElsewhere(c.Request) {
			return s.signIn(c, token, next)
		}
		v.Ask = &loginAsk{who.Name, token}
	}
	v.Out = c.Query("out") != ""
	return s.showLogin(c, http.StatusOK, v)
}

// fromElsewhere reports whether a page of another site sent the browser here, which could make somebody act under
// the name of whoever wrote that page. A link that was typed, or clicked outside a browser, says none.
func fromElsewhere(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return true
	}
	return false
}

func (s *Server) showLogin(c *gin.Context, code int, v loginView) error {
	return s.show(c, code, "login", s.layout(c, "Sign in", v))
}

func (s *Server) login(c *gin.Context) error {
	if err := c.Request.ParseForm(); err != nil {
		return badBody(err)
	}
	next := localPath(c.PostForm("next"))
	if c.PostForm("account") != "" {
		return s.breakGlass(c, c.PostForm("account"), c.PostForm("password"), next)
	}
	return s.signIn(c, c.PostForm("token"), next)
}

func (s *Server) signIn(c *gin.Context, token, next string) error {
	p, ok := s.keys.byToken(token)
	if !ok {
		s.refuseSignIn(c, "", "token", "this token is not known")
		v := s.loginView(next)
		v.Wrong = true
		return s.showLogin(c, http.StatusUnauthorized, v)
	}
	return s.enter(c, identityOfToken(p), "token", next, 0)
}

// refuseSignIn tells the log and the audit log of somebody who was not let in. Only so many of them are kept:
// strangers must not fill the disk.
func (s *Server) refuseSignIn(c *gin.Context, who, via, why string) {
	s.log.WarnContext(c.Request.Context(), "sign-in refused", "from", c.Request.RemoteAddr, "via", via, "why", why, "request_id", requestID(c))
	if !s.signIns.refusals.allow(s.keys.now(), maxRefusals, time.Minute) {
		return
	}
	if err := s.recordSignIn(c, upgrade.AuditEntry{Who: who, Via: via, Result: upgrade.AuditRefused, Detail: why}); err != nil {
		s.log.ErrorContext(c.Request.Context(), "a refused sign-in is missing in the audit log", "err", err)
	}
}

// enter begins a session and goes on to where the person wanted to be. It is in the audit log in the same
// transaction.
func (s *Server) enter(c *gin.Context, who upgrade.Identity, via, next string, limit time.Duration) error {
	entry := &upgrade.AuditEntry{
		At: s.clock.Now(), Who: who.Name, User: who.GitLabUser, Via: via, From: remote(c.Request), Act: upgrade.ActSignIn, On: who.Subject, Result: upgrade.AuditDone,
	}
	c.Request = c.Request.WithContext(upgrade.Acting(c.Request.Context(), entry))
	now := s.keys.now()
	if s.signIns.purges.allow(now, 1, time.Hour) {
		if err := s.keys.access.PurgeSessions(withoutAct(c.Request.Context()), now, now.Add(-s.keys.limits.Idle)); err != nil {
			return fmt.Errorf("purge sessions: %w", err)
		}
	}
	if err := s.keys.begin(c, who, limit); err != nil {
		return err
	}
	s.log.InfoContext(c.Request.Context(), "signed in", "who", who.Name, "via", via, "request_id", requestID(c))
	c.Redirect(http.StatusSeeOther, next)
	return nil
}

func (s *Server) logout(c *gin.Context) {
	if id := callerOf(c).session; id != "" {
		if err := s.keys.access.EndSession(c.Request.Context(), id); err != nil && upgrade.CodeOf(err) != upgrade.CodeNotFound {
			s.answer(c, fmt.Errorf("end the session: %w", err))
			return
		}
	}
	s.revoked(callerOf(c).session)
	s.keys.setSession(c.Writer, "", -1)
	c.Redirect(http.StatusSeeOther, "/login?out=1")
}

// setTheme remembers the choice of colours in a cookie, so that the first paint has them already.
func (s *Server) setTheme(c *gin.Context) {
	if err := c.Request.ParseForm(); err != nil {
		s.answer(c, badBody(err))
		return
	}
	choice, age := c.PostForm("theme"), 365*24*60*60
	switch choice {
	case "light", "dark":
	case "auto":
		choice, age = "", -1
	default:
		s.answer(c, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "there is no such theme", Hint: "light, dark and auto exist"})
		return
	}
	http.SetCookie(c.Writer, &http.Cookie{ //nolint:gosec // Secure wherever the service is reached by https
		Name: themeCookie, Value: choice, Path: "/", MaxAge: age, Secure: s.keys.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	c.Redirect(http.StatusSeeOther, localPath(c.PostForm("back")))
}

// nextQuery carries where somebody wants to go.
func nextQuery(next string) string {
	if next == "" || next == "/" {
		return ""
	}
	return "?next=" + strings.NewReplacer("%", "%25", "&", "%26", "#", "%23", "+", "%2B", " ", "%20").Replace(next)
}
