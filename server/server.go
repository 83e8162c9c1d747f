package server

import (
	_ "embed"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/upgradegate/upgradegate/upgrade"
)

const jsonType = "application/json"

//go:embed openapi.json
var openAPI []byte

// Server answers people and programs.
type Server struct {
	runs       runs
	searches   searches
	evidence   evidence
	journal    journal
	deliveries deliveries
	health     pinger
	acts       acts
	logs       logs
	idTokens   idTokens
	questions  verifications
	stacks     []upgrade.Stack
	changes    changes
	states     states
	invariants invariants
	stretches  stretches
	agents     agents
	askedFrom  map[upgrade.AgentName][]string
	hooks      hooks
	plans      plans
	forge      forge // nil: nothing is known of it

	keys       *keyring
	admissions admissions
	audit      auditLog
	signIns    signIns
	memory     memory
	pacer      *pacer
	publicURL  string // without a slash at its end
	gitLabURL  string
	clock      upgrade.Clock
	zone       *time.Location
	version    string
	notice     string
	log        *slog.Logger

	served  *prometheus.CounterVec
	took    *prometheus.HistogramVec
	streams prometheus.Gauge

	pages pages
	files map[string]asset // by the name under which they are served
	tail  journalEnd

	standing markCache
	freezes  []Freeze
	settings func() Settings
	open     atomic.Int64 // streams, and those who wait for an answer

	asking    atomic.Int64 // those whose ID token is being looked at
	calling   atomic.Int64 // agents
	enrolling atomic.Int64 // agents, and those that did a moment ago

	handler http.Handler
	ending  chan struct{} // closed when streams are to end
	end     sync.Once
}

// New returns a server. Error: CodeInvalid if cfg is not complete.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.check()
	if err != nil {
		return nil, err
	}
	s := &Server{
		runs: cfg.Runs, searches: cfg.Searches, evidence: cfg.Evidence, journal: cfg.Journal, deliveries: cfg.Deliveries, health: cfg.Health,
		acts: cfg.Acts, logs: cfg.Logs, idTokens: cfg.IDTokens, questions: cfg.Questions,
		stacks: cfg.Stacks, changes: cfg.Changes, states: cfg.States, invariants: cfg.Invariants, stretches: cfg.Stretches, agents: cfg.Agents, askedFrom: cfg.AskedFrom, hooks: cfg.Hooks, plans: cfg.Plans, forge: cfg.Forge,
		keys: newKeyring(cfg), audit: cfg.Audit, memory: memory{posts: cfg.Posts, now: cfg.Now}, pacer: newPacer(cfg.Pace), signIns: signIns{SignIn: cfg.SignIn},
		publicURL: strings.TrimRight(cfg.PublicURL, "/"), gitLabURL: strings.TrimRight(cfg.GitLabURL, "/"),
		clock: cfg.Clock, zone: cfg.Zone, version: cfg.Version, notice: cfg.Notice, log: cfg.Log,
		ending: make(chan struct{}), freezes: cfg.Freezes, settings: cfg.Settings,
	}
	assets, files, err := loadAssets()
	if err != nil {
		return nil, err
	}
	s.files = files
	if s.pages, err = loadTemplates(assets); err != nil {
		return nil, err
	}
	if err := s.measure(cfg.Metrics); err != nil {
		return nil, err
	}
	s.handler, err = s.protect(s.routes(cfg))
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Handler returns everything that is served. Serve it with a ReadHeaderTimeout and any WriteTimeout:
// streams and logs lift the latter for themselves.
func (s *Server) Handler() http.Handler { return s.handler }

// EndStreams ends every live stream and followed log, now and from now on. Hand it to
// http.Server.RegisterOnShutdown: Shutdown waits for open requests and streams would never end. It
// may be called more than once.
func (s *Server) EndStreams() { s.end.Do(func() { close(s.ending) }) }

// protect refuses posts that come from another site's page. Deliveries and programs send no browser's
// headers and pass.
func (s *Server) protect(next http.Handler) (http.Handler, error) {
	p := http.NewCrossOriginProtection()
	if u, err := url.Parse(s.publicURL); err == nil && u.Host != "" {
		// Behind a proxy that rewrites Host, the address in the browser is still this one.
		if err := p.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
			return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "public_url is not an origin", Cause: err}
		}
	}
	p.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.log.WarnContext(r.Context(), "cross-site request refused", "path", r.URL.Path, "origin", r.Header.Get("Origin"))
		http.Error(w, "refused: this was sent by the page of another site", http.StatusForbidden)
	}))
	return p.Handler(next), nil
}

func (s *Server) routes(cfg Config) *gin.Engine {
	// Only release mode keeps gin from printing to standard output, which belongs to the command.
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	// No proxy is trusted, so nobody's X-Forwarded-For is: the error is for malformed lists only.
	_ = r.SetTrustedProxies(nil)
	r.UseRawPath, r.UnescapePathValues = true, true // ids of deliveries may hold a slash
	r.HandleMethodNotAllowed = true
	r.RedirectTrailingSlash = false // it would answer before anybody is asked who they are
	r.Use(identifyRequest, s.secure, s.watch, s.survive)
	for _, mount := range cfg.Mount {
		mount(r)
	}
	r.GET("/healthz", s.healthz)
	r.GET("/readyz", s.readyz)
	show := gin.WrapH(promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{}))
	if cfg.OpenMetrics {
		r.GET("/metrics", show)
	} else {
		r.GET("/metrics", s.guardAPI, show)
	}
	s.apiRoutes(r.Group("/api/v1", limitBody, s.guardAPI, s.keepPace))
	s.verifyRoutes(r.Group("/api/v1", limitBody))
	s.agentRoutes(r.Group("/api/v1", s.limitAgents))
	s.pageRoutes(r)
	r.NoRoute(s.guardRest, func(c *gin.Context) {
		if typed := c.Request.URL; c.Request.Method == http.MethodGet && strings.HasSuffix(typed.Path, "/") && !strings.HasPrefix(typed.Path, "/api/") {
			without := url.URL{Path: strings.TrimRight(typed.Path, "/"), RawQuery: typed.RawQuery}
			c.Redirect(http.StatusSeeOther, localPath(without.String()))
			return
		}
		s.answer(c, &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "there is nothing at this address"})
	})
	r.NoMethod(s.guardRest, func(c *gin.Context) {
		if strings.HasPrefix(c.Request.URL.Path, "/api/") {
			const code = http.StatusMethodNotAllowed
			writeJSON(c, code, "application/problem+json", hinted(problem{
				Type: "about:blank", Title: http.StatusText(code), Status: code, Detail: "this address does not take " + c.Request.Method, Code: upgrade.CodeInvalid, RequestID: requestID(c),
			}))
			return
		}
		c.Status(http.StatusMethodNotAllowed)
		c.Writer.WriteHeaderNow()
	})
	return r
}

// guardRest guards what has no route, so that a stranger learns nothing of which addresses exist.
func (s *Server) guardRest(c *gin.Context) {
	if strings.HasPrefix(c.Request.URL.Path, "/api/") {
		s.guardAPI(c)
		return
	}
	s.guardPage(c)
}

func (s *Server) apiRoutes(g *gin.RouterGroup) {
	g.GET("/openapi.json", func(c *gin.Context) { writeTagged(c, http.StatusOK, jsonType, openAPI) })
	g.GET("/runs", s.api(s.apiRuns))
	g.GET("/runs/:id", s.api(s.apiRun))
	g.GET("/runs/:id/events", s.api(s.apiEvents))
	g.GET("/runs/:id/results", s.api(s.apiResults))
	g.GET("/runs/:id/gates", s.api(s.apiGates))
	g.GET("/runs/:id/gates/:gate/csv", s.api(s.apiCSV))
	g.GET("/runs/:id/plan", s.api(s.apiPlan))
	g.GET("/runs/:id/log/:stage", s.api(s.apiLog))
	for _, a := range theActs() {
		g.POST("/runs/:id/"+a.name, s.api(s.apiAct(a)))
	}
	g.GET("/stacks", s.api(s.apiStacks))
	g.GET("/stacks/:name", s.api(s.apiStack))
	g.POST("/stacks/:name/base", s.api(s.apiSetBase))
	g.GET("/states", s.api(s.apiStates))
	g.POST("/states/:name/refresh", s.api(s.apiRefreshState))
	g.GET("/environments", s.api(s.apiEnvironments))
	g.GET("/invariants", s.api(s.apiInvariants))
	g.GET("/invariants/:name", s.api(s.apiInvariant))
	g.POST("/invariants/:name/check", s.api(s.apiCheckInvariant))
	s.vantageRoutes(g)
	s.accessRoutes(g)
	s.hookRoutes(g)
	s.settingsRoutes(g)
	g.GET("/deliveries", s.api(s.apiDeliveries))
	g.GET("/deliveries/:id", s.api(s.apiDelivery))
	g.POST("/deliveries/:id/play", s.api(s.apiPlay))
}
