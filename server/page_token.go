package server

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

const hoursOfDay = 24 * time.Hour

// tokenForm is the form that makes an API token, with what was typed before.
type tokenForm struct {
	Key                  string // makes a second sending of the same form have no second effect
	Name, Projects, Days string
	MostDays             int
	Roles                []roleOption
	Problem              string // why the last try made none
	Off                  string // why the reader cannot make any; then there is no form
}

type roleOption struct {
	Value, Title string
	Chosen       bool
}

// madeToken is a token that was made just now. Token is shown on this one page and is nowhere else.
type madeToken struct {
	Title string
	Token string // empty: the form was sent once more, and the token was shown before
}

// tokenFormOf is the empty form: it offers the roles that the caller has somewhere.
func tokenFormOf(who caller) tokenForm {
	f := tokenForm{Key: rand.Text(), Days: strconv.Itoa(int(defaultToken / hoursOfDay)), MostDays: int(longestToken / hoursOfDay)}
	if who.lent() {
		f.Off = stop(upperFirst(onlyThemselves)) + " Sign in as yourself."
	}
	for _, role := range upgrade.Roles() {
		if who.person.Highest().Includes(role) {
			f.Roles = append(f.Roles, roleOption{Value: string(role), Title: roleTitle(role), Chosen: role == upgrade.RoleViewer})
		}
	}
	return f
}

// makeTokenForm makes a token and shows it on the answer itself: an address to go on to would have to carry it.
func (s *Server) makeTokenForm(c *gin.Context) error {
	if err := c.Request.ParseForm(); err != nil {
		return badBody(err)
	}
	var made wireMadeToken
	_, kept, err := s.onceForm(c, func() (any, error) {
		in, err := tokenAsked(c)
		if err == nil {
			made, err = s.makeToken(c, in)
		}
		return made, err
	})
	switch code := upgrade.CodeOf(err); {
	case err == nil:
	case code == upgrade.CodeInvalid, code == upgrade.CodeForbidden, code == upgrade.CodeConflict:
		refusedBy(c.Request.Context(), err)
		return s.showAccess(c, statusOf(err), func(v *accessView) {
			v.Make.Problem = told(err)
			v.Make.Name, v.Make.Projects, v.Make.Days = c.PostForm("name"), c.PostForm("projects"), c.PostForm("days")
			for i := range v.Make.Roles {
				v.Make.Roles[i].Chosen = v.Make.Roles[i].Value == c.PostForm("role")
			}
		})
	default:
		return err
	}
	if made.Listed.ID == "" {
		if err := json.Unmarshal(kept, &made); err != nil {
			return fmt.Errorf("read what was answered: %w", err)
		}
	}
	return s.showAccess(c, http.StatusCreated, func(v *accessView) {
		v.Made = &madeToken{Title: fmt.Sprintf("The token %s", made.Listed.Name), Token: made.Token}
	})
}

// tokenAsked is what the form asks for.
func tokenAsked(c *gin.Context) (wireMakeToken, error) {
	in := wireMakeToken{Name: c.PostForm("name"), Role: upgrade.Role(c.PostForm("role"))}
	days, err := strconv.Atoi(strings.TrimSpace(c.PostForm("days")))
	if most := int(longestToken / hoursOfDay); err != nil || days < 1 || days > most {
		return in, invalid("good for days: %q is no number from 1 to %d", c.PostForm("days"), most)
	}
	in.Within = (time.Duration(days) * hoursOfDay).String()
	in.Projects = strings.FieldsFunc(c.PostForm("projects"), func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' })
	return in, nil
}
