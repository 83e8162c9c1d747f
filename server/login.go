package server

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// loginView is the page on which a token is typed in.
type loginView struct {
	Next  string
	Wrong bool
	Out   bool // just signed out
}

// loginPage signs in whoever comes with ?token=, by a link that an operator or the demo gave them, and
// shows a field for the token otherwise. The redirect takes the token out of the address.
func (s *Server) loginPage(c *gin.Context) error {
	next := localPath(c.Query("next"))
	if token := c.Query("token"); token != "" {
		return s.signIn(c, token, next)
	}
	return s.show(c, http.StatusOK, "login", s.layout(c, "Sign in", loginView{Next: next, Out: c.Query("out") != ""}))
}

func (s *Server) login(c *gin.Context) error {
	if err := c.Request.ParseForm(); err != nil {
		return badBody(err)
	}
	return s.signIn(c, c.PostForm("token"), localPath(c.PostForm("next")))
}

func (s *Server) signIn(c *gin.Context, token, next string) error {
	p, ok := s.keys.byToken(token)
	if !ok {
		s.log.WarnContext(c.Request.Context(), "sign-in refused", "from", c.Request.RemoteAddr, "request_id", requestID(c))
		return s.show(c, http.StatusUnauthorized, "login", s.layout(c, "Sign in", loginView{Next: next, Wrong: true}))
	}
	s.log.InfoContext(c.Request.Context(), "signed in", "who", p.Name, "request_id", requestID(c))
	s.keys.setSession(c.Writer, s.keys.session(p), sessionAge)
	c.Redirect(http.StatusSeeOther, next)
	return nil
}

func (s *Server) logout(c *gin.Context) {
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
