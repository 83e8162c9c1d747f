package server

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

func (s *Server) pageRoutes(r *gin.Engine) {
	r.GET("/static/:name", s.static)
	r.GET("/login", s.page(s.loginPage))
	r.POST("/login", limitBody, s.page(s.login))
	r.GET("/login/:provider", s.page(s.beginSignIn))
	r.GET("/login/:provider/callback", s.page(s.finishSignIn))

	g := r.Group("/", limitBody, s.guardPage)
	g.GET("/", s.page(s.boardPage))
	g.GET("/board/parts/:part", s.page(s.boardPart))
	g.GET("/history", s.page(s.historyPage))
	g.GET("/deliveries", s.page(s.deliveriesPage))
	g.POST("/deliveries/:id/play", s.page(s.playDelivery))
	g.GET("/messages", s.page(s.messagesPage))
	g.POST("/messages/:name/:message/resend", s.page(s.resendForm))
	g.GET("/runs/:id", s.page(s.showRun))
	g.GET("/runs/:id/parts/:part", s.page(s.runPart))
	g.GET("/runs/:id/replay", s.page(s.replayPage))
	g.GET("/runs/:id/replay/parts/scene", s.page(s.replayScene))
	g.GET("/runs/:id/plan", s.page(s.planPage))
	g.GET("/runs/:id/log/:stage", s.page(s.logPage))
	for _, a := range theActs() {
		g.GET("/runs/:id/"+a.page, s.page(s.confirmPage(a)))
		g.POST("/runs/:id/"+a.page, s.page(s.confirm(a)))
	}
	s.environmentRoutes(g)
	s.vantageRoutesOfPages(g)
	g.GET("/freezes", s.page(s.freezesPage))
	g.GET("/audit", s.page(s.auditPage))
	g.GET("/config", s.page(s.configPage))
	g.GET("/events", s.page(s.streamEvents))
	g.POST("/theme", s.setTheme)
	g.POST("/logout", s.logout)
	g.GET("/access", s.page(s.accessPage))
	g.POST("/access", s.page(s.makeTokenForm))
	g.POST("/access/sessions/:id/revoke", s.page(s.endSessionForm))
	g.POST("/access/tokens/:id/revoke", s.page(s.endTokenForm))
}

func (s *Server) boardPage(c *gin.Context) error {
	tail, err := s.tail.read(c.Request.Context(), s)
	if err != nil {
		return err
	}
	d, err := s.readBoard(c.Request.Context())
	if err != nil {
		return err
	}
	page := s.board(c.Request.Context(), d, person(c))
	l := s.layout(c, page.Lead.Headline, page)
	l.Stream = "/events?scope=board&after=" + strconv.FormatInt(tail, 10) + d.envs.marks().query()
	return s.show(c, http.StatusOK, "board", l)
}

func (s *Server) boardPart(c *gin.Context) error {
	ctx, part, d := c.Request.Context(), c.Param("part"), boardData{words: s.words()}
	switch part { // each reads what it shows and no more: open pages ask for parts all the time
	case "env", "envline":
		return s.showPart(c, "board", "part-"+part, s.boardEnvs(ctx, s.readEnvs(ctx)))
	case "recent":
		if err := s.readRecent(ctx, &d); err != nil {
			return err
		}
		return s.showPart(c, "board", "part-recent", recent(d))
	}
	if err := s.readBoardRuns(ctx, &d); err != nil {
		return err
	}
	if part == "lead" {
		return s.showPart(c, "board", "part-lead", s.lead(d))
	}
	for _, g := range s.groups(d, person(c)) {
		if g.ID == part {
			return s.showPart(c, "board", "part-group", g)
		}
	}
	return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("the board has no part %q", part)}
}

func (s *Server) showRun(c *gin.Context) error {
	id, err := runID(c)
	if err != nil {
		return err
	}
	d, err := s.read(c.Request.Context(), id)
	if err != nil {
		return err
	}
	page := s.runPage(c.Request.Context(), d, person(c))
	page.Flash = flash(c.Query("done"))
	page.Log.announce(c.Query("announce"))
	l := s.layout(c, page.Title, page)
	l.TabIcon = tabIcon(page.Verdict.Chip.Tone)
	l.Stream = fmt.Sprintf("/events?scope=run:%d&after=%d", id, d.seq()) + d.envs.marks().query()
	return s.show(c, http.StatusOK, "run", l)
}

// runPart renders one part of the page of a run, from the very template that the page uses.
func (s *Server) runPart(c *gin.Context) error {
	id, err := runID(c)
	if err != nil {
		return err
	}
	if c.Param("part") == "production" {
		return s.productionPart(c, id)
	}
	d, err := s.read(c.Request.Context(), id)
	if err != nil {
		return err
	}
	page, part := s.runPage(c.Request.Context(), d, person(c)), c.Param("part")
	page.Log.announce(c.Query("announce"))
	models := map[string]any{
		"crumbs": page.Crumbs, "verdict": page.Verdict, "rail": page.Rail, "gates": page.Gates, "plan": page.Plan, "log": page.Log,
		"facts": page.Facts, "audit": page.Audit,
	}
	if model, ok := models[part]; ok {
		return s.showPart(c, "run", "part-"+part, model)
	}
	for _, g := range page.Gates.Gates {
		if g.ID == part {
			return s.showPart(c, "run", "part-gate", g)
		}
	}
	return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("run %d has no part %q", id, part)}
}

// productionPart is the line of production, which is asked for with each check of an invariant and so is made
// of no more than it needs.
func (s *Server) productionPart(c *gin.Context, id upgrade.RunID) error {
	run, err := s.runs.Run(c.Request.Context(), id)
	if err != nil {
		return fmt.Errorf("read run %d: %w", id, err)
	}
	d := runData{run: run, envs: s.readEnvs(c.Request.Context()), words: s.words()}
	if d.envs.sum(productionEnv).All == 0 {
		all, err := s.evidence.Results(c.Request.Context(), id)
		if err != nil {
			return fmt.Errorf("read results of run %d: %w", id, err)
		}
		d.results = wayBackOf(run, nil).newest(all)
	}
	return s.showPart(c, "run", "part-production", productionView{Path: runPath(id), Lines: production(d)})
}

func address(path string, values url.Values) string {
	if len(values) == 0 {
		return path
	}
	return path + "?" + values.Encode()
}
