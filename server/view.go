package server

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// layout is what every page has around its own model.
type layout struct {
	Title   string // of the tab; begins with the verdict
	TabIcon string // name of a file: tick, cross or ring
	Theme   string // light, dark, or empty: as the system has it
	Now     string // RFC 3339, world time: a script keeps ages true by it
	Zone    string
	Version string
	Here    string // path of this page, to come back to
	Nav     []navItem
	Who     *whoView // nil: nobody is signed in
	Stream  string   // address of the live stream; empty: none
	Script  string   // a script of this page alone; empty: none
	Page    any
}

type navItem struct {
	Title, Path string
	Current     bool
}

type whoView struct{ Name, Initials, Role string }

// chip is a look with its class, as templates print it.
type chip struct {
	Word string
	Icon upgrade.Icon
	Tone upgrade.Tone
	Kind string // further class: solid or dashed
}

func chipOf(l upgrade.Look, key upgrade.Key) chip {
	out := chip{Word: l.Word, Icon: l.Icon, Tone: l.Tone}
	switch key {
	case upgrade.KeyBlocked, upgrade.KeyApplyFailed:
		out.Kind = "solid"
	case upgrade.KeyNotVerified:
		out.Kind = "dashed"
	case upgrade.KeyQueued, upgrade.KeyPlanning, upgrade.KeyPlanFailed, upgrade.KeyPolicyDenied, upgrade.KeyNeedsApproval,
		upgrade.KeyApplying, upgrade.KeyChecking, upgrade.KeyUnlocked, upgrade.KeyUnlocking, upgrade.KeyCheckoutFailed,
		upgrade.KeyInterrupted, upgrade.KeyFrozen, upgrade.KeyRelocked, upgrade.KeyInProduction, upgrade.KeyOverridden,
		upgrade.KeyStopped, upgrade.KeySuperseded:
	}
	return out
}

// link is text that may lead somewhere.
type link struct {
	Text, Href string
	Outside    bool // in GitLab
}

// layout returns what is around the page that c asks for.
func (s *Server) layout(c *gin.Context, title string, page any) layout {
	out := layout{
		Title: title, TabIcon: "ring.svg", Theme: theme(c.Request), Now: s.clock.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		Zone: s.zoneName(), Version: s.version, Here: c.Request.URL.RequestURI(), Page: page,
	}
	path := c.Request.URL.Path
	for _, n := range mainNav() {
		n.Current = path == n.Path || n.Path == "/" && strings.HasPrefix(path, "/runs/") || n.Path != "/" && strings.HasPrefix(path, n.Path+"/")
		out.Nav = append(out.Nav, n)
	}
	if v, ok := c.Get(personKey); ok {
		if p, ok := v.(upgrade.Person); ok {
			out.Who = &whoView{Name: p.Name, Initials: initials(p.Name), Role: roleTitle(p.Role)}
		}
	}
	return out
}

// mainNav is the navigation, the same everywhere; the rest is in the user menu.
func mainNav() []navItem {
	return []navItem{
		{Title: "Upgrades", Path: "/"},
		{Title: "Environments", Path: "/environments"},
		{Title: "History", Path: "/history"},
		{Title: "Freezes", Path: "/freezes"},
		{Title: "Audit", Path: "/audit"},
	}
}

func (s *Server) words() words { return words{now: s.clock.Now(), zone: s.zone} }

// zoneName is the zone with its present offset, such as "Europe/Berlin (UTC+1)".
func (s *Server) zoneName() string {
	_, offset := s.clock.Now().In(s.zone).Zone()
	if offset == 0 {
		return s.zone.String()
	}
	hours := strconv.FormatFloat(float64(offset)/3600, 'f', -1, 64)
	if offset > 0 {
		hours = "+" + hours
	}
	return s.zone.String() + " (UTC" + hours + ")"
}

func initials(name string) string {
	var out []rune
	for part := range strings.FieldsSeq(name) {
		if out = append(out, []rune(part)[0]); len(out) == 2 {
			break
		}
	}
	return strings.ToUpper(string(out))
}

const themeCookie = "upgradegate_theme"

func theme(r *http.Request) string {
	cookie, err := r.Cookie(themeCookie)
	if err != nil || cookie.Value != "light" && cookie.Value != "dark" {
		return ""
	}
	return cookie.Value
}

// tabIcon is the variant of the icon of the tab.
func tabIcon(t upgrade.Tone) string {
	switch t {
	case upgrade.ToneOK:
		return "tick.svg"
	case upgrade.ToneBad:
		return "cross.svg"
	case upgrade.ToneRun, upgrade.ToneWarn, upgrade.ToneIdle, upgrade.ToneOver:
	}
	return "ring.svg"
}

// mergeRequest links to the merge request that the run answers for, if there is one.
func (s *Server) mergeRequest(r upgrade.Run) (link, bool) {
	for _, a := range r.Answers {
		if a.MergeRequest > 0 {
			l := link{Text: "!" + strconv.FormatInt(a.MergeRequest, 10)}
			if s.gitLabURL != "" && r.Project != "" {
				l.Href = s.gitLabURL + "/" + r.Project + "/-/merge_requests/" + strconv.FormatInt(a.MergeRequest, 10)
				l.Outside = true
			}
			return l, true
		}
	}
	return link{}, false
}

// commit links to the commit that the run checks out.
func (s *Server) commit(r upgrade.Run) link {
	l := link{Text: r.Commit.Short()}
	if s.gitLabURL != "" && r.Project != "" && !r.Commit.Zero() {
		l.Href, l.Outside = s.gitLabURL+"/"+r.Project+"/-/commit/"+string(r.Commit), true
	}
	return l
}

// from says where the run comes from in a few words: "!412 by Priya Raman".
func (s *Server) from(r upgrade.Run) (link, string) {
	l, ok := s.mergeRequest(r)
	if !ok {
		l = s.commit(r)
	}
	if r.Author == "" {
		return l, ""
	}
	return l, "by " + r.Author
}
