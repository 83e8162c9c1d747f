package server

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

func (s *Server) environmentRoutes(g *gin.RouterGroup) {
	g.GET("/environments", s.page(s.environmentsPage))
	g.GET("/environments/parts/:part", s.page(s.environmentsPart))
	g.GET("/environments/:env/:invariant", s.page(s.invariantPage))
	g.GET("/environments/:env/:invariant/:stack", s.page(s.invariantPage))
	g.POST("/environments/check", s.page(s.checkInvariants))
}

func (s *Server) environmentsPage(c *gin.Context) error {
	q := newQuery(c, "asked", "refused", "shown")
	if q.err != nil {
		return q.err
	}
	d := s.readEnvs(c.Request.Context())
	page := s.envs(c.Request.Context(), d, person(c), q.values.Get("shown"))
	page.Flash = checkedFlash(q.integer("asked", 0, 0), q.integer("refused", 0, 0))
	l := s.layout(c, page.Lead.Headline, page)
	l.Stream = "/events?scope=env" + d.marks().query()
	l.TabIcon = "tick.svg"
	for _, env := range s.environments(d.all) {
		if look := d.sum(env).look(); look.Tone != upgrade.ToneOK && l.TabIcon != "cross.svg" {
			l.TabIcon = tabIcon(look.Tone)
		}
	}
	return s.show(c, http.StatusOK, "environments", l)
}

// checkedFlash is what the page says after invariants were asked about.
func checkedFlash(asked, refused int64) string {
	switch {
	case asked == 0 && refused == 0:
		return ""
	case refused > 0:
		return fmt.Sprintf("Asked for %s. %d may be asked for by others only.", plural(int(asked), "check"), refused)
	}
	return fmt.Sprintf("Asked for %s. What they find is shown here as soon as it is there.", plural(int(asked), "check"))
}

// environmentsPart is a piece of the page, from the very template that the page uses.
func (s *Server) environmentsPart(c *gin.Context) error {
	d := s.readEnvs(c.Request.Context())
	page := s.envs(c.Request.Context(), d, person(c), c.Query("shown"))
	models := map[string]any{"lead": page.Lead, "banner": page.Banner, "matrix": page.Matrix, "inventory": page.Inventory}
	part := c.Param("part")
	model, ok := models[part]
	if !ok {
		return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("the environments have no part %q", part)}
	}
	return s.showPart(c, "environments", "part-env"+part, model)
}

// checkInvariants has one invariant, or all, asked now. Each is asked for by itself, as the reader may; asking
// twice has one effect.
func (s *Server) checkInvariants(c *gin.Context) error {
	if err := c.Request.ParseForm(); err != nil {
		return badBody(err)
	}
	one, back := c.PostForm("invariant"), "/environments"
	all, err := s.invariants.Invariants(c.Request.Context())
	if err != nil {
		return fmt.Errorf("read the invariants: %w", err)
	}
	asked, refused := 0, 0
	var last error
	for _, st := range all {
		if one != "" && st.Key.String() != one {
			continue
		}
		if one != "" {
			back = invariantPath(st.Key)
		}
		switch err := s.acts.CheckInvariant(c.Request.Context(), st.Key, person(c)); {
		case err == nil:
			asked++
		case upgrade.CodeOf(err) == upgrade.CodeForbidden:
			refused++
			last = err
		default:
			return fmt.Errorf("check invariant %s: %w", st.Key, err)
		}
	}
	switch {
	case asked == 0 && last != nil:
		return last
	case asked == 0:
		return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "there is no such invariant", Hint: "look at the environments for those that there are"}
	}
	if e := upgrade.ActingOf(c.Request.Context()); e != nil {
		e.On, e.Detail = one, fmt.Sprintf("%d asked, %d refused", asked, refused)
		if one == "" {
			e.On = "all invariants"
		}
	}
	c.Redirect(http.StatusSeeOther, back+"?"+url.Values{"asked": {strconv.Itoa(asked)}, "refused": {strconv.Itoa(refused)}}.Encode())
	return nil
}

// invariantView is the page of one invariant in one environment.
type invariantView struct {
	Title, Name, About string
	Env                string
	Cell               envCell
	Month              pastView
	Hint               string
	Warnings           []string
	Facts              []factView
	Gate               gateView
	History            []stretchRow
	More               int
	Others             []link // the same in other environments
	JSON               string
	Check              string // name of the form
	Off                string
	Flash              string
}

type stretchRow struct {
	Chip         chip
	From         when
	Lasted, Text string
	Checks       string
}

func (s *Server) invariantPage(c *gin.Context) error {
	q := newQuery(c, "asked", "refused")
	if q.err != nil {
		return q.err
	}
	key := upgrade.StandingKey{Gate: upgrade.GateName(c.Param("invariant")), Environment: upgrade.EnvName(c.Param("env")), Stack: upgrade.StackName(c.Param("stack"))}
	d := s.readEnvs(c.Request.Context())
	if d.problem != "" {
		return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "the invariants cannot be read now", Hint: "load the page again in a minute"}
	}
	for _, one := range d.all {
		if one.Key == key {
			v, err := s.invariant(c.Request.Context(), d, one, person(c))
			if err != nil {
				return err
			}
			v.Flash = checkedFlash(q.integer("asked", 0, 0), q.integer("refused", 0, 0))
			l := s.layout(c, fmt.Sprintf("%s: %s in %s", v.Cell.Chip.Word, v.Title, key.Environment), v)
			l.TabIcon = tabIcon(v.Cell.Chip.Tone)
			return s.show(c, http.StatusOK, "invariant", l)
		}
	}
	return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("no standing gate is called %s", key), Hint: "look at the environments for those that there are"}
}

// maxStretches is how many times of one outcome the page of an invariant lists; the API has them all.
const maxStretches = 50

func (s *Server) invariant(ctx context.Context, d envData, one upgrade.Standing, p upgrade.Person) (invariantView, error) {
	r := one.Result
	stretches, err := s.stretches.Stretches(ctx, one.Key, d.words.now.Add(-shownStretches-r.GoodFor))
	if err != nil {
		return invariantView{}, fmt.Errorf("read what invariant %s said: %w", one.Key, err)
	}
	v := invariantView{
		Title: kindTitle(r.Kind), Name: string(one.Key.Gate), About: invariantSays(r.Kind), Env: string(one.Key.Environment), Cell: s.cell(ctx, d, one),
		Month: past(stretches, r.GoodFor, d.words.now, shownStretches, longBins), Hint: stop(r.Hint), Warnings: r.Warnings,
		Gate: s.evidenceOf(d, one), JSON: "/api/v1/invariants/" + url.PathEscape(one.Key.String()), Check: one.Key.String(),
	}
	if one.Key.Stack != "" {
		v.Name = beside(v.Name, string(one.Key.Stack))
	}
	if needs := upgrade.ActCheck.Needs(); !p.Highest().Includes(needs) {
		v.Off = "needs the role " + roleTitle(needs)
	}
	add := func(name, value string) { v.Facts = append(v.Facts, factView{Name: name, Value: value}) }
	add("Checked every", span(one.Every))
	add("A pass counts for", span(r.GoodFor))
	if !one.HeldAt.IsZero() {
		add("Last good", d.words.stamp(one.HeldAt).Text)
	}
	required := "Yes: production stays shut while it does not hold"
	if !r.Required {
		required = "No: neither opens nor closes"
	}
	add("Required", required)
	for _, other := range d.all {
		if other.Key.Gate == one.Key.Gate && other.Key.Stack == one.Key.Stack && other.Key != one.Key {
			v.Others = append(v.Others, link{Text: upperFirst(string(other.Key.Environment)), Href: invariantPath(other.Key)})
		}
	}
	for i, stretch := range slices.Backward(stretches) {
		if len(v.History) == maxStretches {
			v.More = i + 1
			break
		}
		v.History = append(v.History, stretchOf(stretch, i == len(stretches)-1, d.words))
	}
	return v, nil
}

func stretchOf(st upgrade.Stretch, newest bool, w words) stretchRow {
	state := map[upgrade.Outcome]upgrade.InvariantState{
		upgrade.OutcomePassed: upgrade.InvariantHeld, upgrade.OutcomeFailed: upgrade.InvariantBroken, upgrade.OutcomeSkipped: upgrade.InvariantPaused,
	}[st.Outcome]
	row := stretchRow{Chip: chipOf(stateLook(state), ""), From: w.stamp(st.Since), Text: stop(st.Message), Checks: plural(st.Checks, "check"), Lasted: coarse(st.Until.Sub(st.Since))}
	if st.Checks < 2 {
		row.Lasted = "at one check"
	}
	if newest {
		row.Lasted += ", and is so now"
	}
	return row
}

// evidenceOf describes what an invariant saw last, as a gate of a run would.
func (s *Server) evidenceOf(d envData, one upgrade.Standing) gateView {
	r := one.Result
	g := gate(runData{run: upgrade.Run{Environment: one.Key.Environment}, words: d.words}, r)
	g.LadderCSV = link{}
	return g
}

// inventoryView is what the worst invariant saw.
type inventoryView struct {
	ID     string // of what is shown; empty: there is nothing
	Title  string
	Beside string
	Chip   chip
	Path   string
	Links  []link
	Gate   gateView
	Empty  string
	Query  string // of the address of the part
}

// inventory picks what is shown: what was asked for, else the worst, else the KMS grants, else the first.
func (s *Server) inventory(d envData, picked string) inventoryView {
	if len(d.all) == 0 {
		return inventoryView{}
	}
	best, rank := d.all[0], -1
	for _, one := range d.all {
		now := 0
		switch state := one.State(d.words.now); {
		case one.Key.String() == picked:
			now = 5
		case state == upgrade.InvariantBroken && one.Key.Environment == productionEnv:
			now = 4
		case state == upgrade.InvariantBroken:
			now = 3
		case state == upgrade.InvariantNotVerified && one.Rev > 0:
			now = 2
		case one.Result.Kind == "kms-grants":
			now = 1
		}
		if now > rank {
			best, rank = one, now
		}
	}
	key := best.Key
	v := inventoryView{
		ID: key.String(), Title: fmt.Sprintf("%s in %s", kindTitle(best.Result.Kind), key.Environment), Beside: beside(string(key.Stack), string(key.Gate)), Path: invariantPath(key),
		Chip: chipOf(stateLook(best.State(d.words.now)), ""), Gate: s.evidenceOf(d, best),
	}
	if picked == v.ID {
		v.Query = "?" + url.Values{"shown": {picked}}.Encode()
	}
	for _, one := range d.all {
		if one.Key.Gate == key.Gate && one.Key.Stack == key.Stack {
			v.Links = append(v.Links, link{Text: upperFirst(string(one.Key.Environment)), Href: "/environments?" + url.Values{"shown": {one.Key.String()}}.Encode() + "#inventory"})
		}
	}
	v.Links = append(v.Links, link{Text: "JSON", Href: "/api/v1/invariants/" + url.PathEscape(v.ID)})
	if g := v.Gate; len(g.Facts)+len(g.Tables)+len(g.Ladders)+len(g.Quotes)+len(g.Repairs)+len(g.Causes) == 0 {
		v.Empty = "It kept no list of what it saw."
		if best.Rev == 0 {
			v.Empty = "It was not checked yet."
		}
	}
	return v
}
