package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/upgradegate/upgradegate/upgrade"
)

// runs is where runs are read. Errors: CodeNotFound for a run that does not exist.
type runs interface {
	Run(ctx context.Context, id upgrade.RunID) (upgrade.Run, error)
	Runs(ctx context.Context, f upgrade.RunFilter) ([]upgrade.Run, error)
	OpenRequests(ctx context.Context, id upgrade.RunID) ([]upgrade.Request, error)
}

// searches is where runs are found by what people remember of them.
type searches interface {
	// SearchRuns returns runs newest first. older is where the same search goes on, as its Before; 0: there is
	// nothing more. A search that would have to look at too many runs ends early, perhaps with none found.
	SearchRuns(ctx context.Context, f upgrade.RunSearch) (found []upgrade.Run, older upgrade.RunID, err error)
	// FindRuns is SearchRuns, and counts what it finds.
	FindRuns(ctx context.Context, f upgrade.RunSearch) (upgrade.RunsFound, error)
}

// evidence is where what a run found and did is read. A run that has none gives an empty list.
type evidence interface {
	Results(ctx context.Context, id upgrade.RunID) ([]upgrade.Result, error)
	Applies(ctx context.Context, id upgrade.RunID) ([]upgrade.Apply, error)
	Orders(ctx context.Context, id upgrade.UpgradeID) ([]upgrade.Order, error)
}

// journal is where the journal is read. Changed gives a channel that gets a value, sooner or later,
// after events were written; cancel gives it back.
type journal interface {
	Events(ctx context.Context, f upgrade.EventFilter) ([]upgrade.Event, error)
	Changed() (c <-chan struct{}, cancel func())
}

// forge is whether GitLab answers: since when it does not, the zero time if it does.
type forge interface {
	SilentSince() time.Time
}

// deliveries is where deliveries are read. Error: CodeNotFound for one that does not exist.
type deliveries interface {
	Delivery(ctx context.Context, id upgrade.DeliveryID) (upgrade.Delivery, error)
	Deliveries(ctx context.Context, f upgrade.DeliveryFilter) ([]upgrade.Delivery, error)
}

// pinger says whether the database answers.
type pinger interface {
	Ping(ctx context.Context) error
}

// acts is where somebody asks for something. It decides whether they may (CodeForbidden), and whether
// what they ask about is in a state that allows it (CodeConflict).
type acts interface {
	Ask(ctx context.Context, r upgrade.Request) error
	// Repeat asks for another attempt of a run: HintRetry or HintRehearse. What comes of it is found at
	// the delivery.
	Repeat(ctx context.Context, run upgrade.RunID, kind upgrade.HintKind, by upgrade.Person, reason string) (upgrade.DeliveryID, error)
	SetBase(ctx context.Context, stack upgrade.StackName, commit upgrade.Commit, by upgrade.Person, reason string) (upgrade.Base, error)
	// PlayAgain has a delivery looked at anew, under the id that it returns.
	PlayAgain(ctx context.Context, id upgrade.DeliveryID, by upgrade.Person) (upgrade.DeliveryID, error)
	// RefreshState has a Terraform state read now and returns what came of it.
	RefreshState(ctx context.Context, name upgrade.StateName, by upgrade.Person) (upgrade.Reading, error)
	CheckInvariant(ctx context.Context, key upgrade.StandingKey, by upgrade.Person) error
}

// states is where it is read what is known of Terraform states.
type states interface {
	Readings(ctx context.Context) ([]upgrade.Reading, error)
}

// invariants is where it is read what standing gates say, in the order of the file.
type invariants interface {
	Invariants(ctx context.Context) ([]upgrade.Standing, error)
}

// stretches is where it is read what a standing gate said.
type stretches interface {
	Stretches(ctx context.Context, key upgrade.StandingKey, since time.Time) ([]upgrade.Stretch, error)
}

// changes is where the open changes of stacks are read.
type changes interface {
	Base(ctx context.Context, stack upgrade.StackName) (base upgrade.Base, known bool, err error)
	AppliesSince(ctx context.Context, stack upgrade.StackName, env upgrade.EnvName, seq int64) ([]upgrade.Apply, error)
}

// logs is where output of the stages "prepare", "plan" and "apply" is read. Error: CodeNotFound if
// that stage of that run left none, or left it long ago.
type logs interface {
	Log(ctx context.Context, id upgrade.RunID, stage string) (io.ReadCloser, error)
}

// metrics is a *prometheus.Registry.
type metrics interface {
	prometheus.Registerer
	prometheus.Gatherer
}

// Token is what one person or program signs in with.
type Token struct {
	Person upgrade.Person
	Secret upgrade.Secret
}

// Routes adds routes to a router.
type Routes = func(gin.IRouter)

// Config is what a Server needs. Fields are required unless they say otherwise.
type Config struct {
	Runs       runs
	Searches   searches
	Evidence   evidence
	Journal    journal
	Deliveries deliveries
	Health     pinger
	Acts       acts
	Logs       logs
	IDTokens   idTokens      // of jobs that ask for production
	Questions  verifications // of theirs
	Changes    changes
	States     states
	Invariants invariants
	Stretches  stretches
	Agents     agents
	// AskedFrom lists what probes from each vantage, "here" too, for people.
	AskedFrom map[upgrade.AgentName][]string
	Hooks     hooks
	Plans     plans
	Forge     forge // optional: nothing is said of it

	// Access keeps sessions and API tokens, Audit what was done.
	Access access
	Audit  auditLog
	// Posts remembers posts with an Idempotency-Key.
	Posts posts
	// SignIn says how people sign in besides by token, and what they may do. Optional.
	SignIn SignIn
	// Now gives real time, for sessions and tokens. Default: time.Now.
	Now func() time.Time

	// Stacks are the configured ones, in the order of the file.
	Stacks []upgrade.Stack

	// Freezes are the configured ones, in any order. They are shown; what they hold shut is decided elsewhere.
	Freezes []Freeze

	// Settings returns the configuration for its page. Optional.
	Settings func() Settings

	// Tokens has at least one, unless SignIn says how people sign in; names and secrets differ.
	Tokens []Token
	// PublicURL is the address that people use, such as "https://gate.example.org". With https, the
	// session cookie is sent over TLS only. Optional.
	PublicURL string
	// GitLabURL is the address of GitLab, for links to merge requests and commits. Optional.
	GitLabURL string
	// Clock gives world time.
	Clock upgrade.Clock
	// Zone is the time zone of pages. Default: UTC.
	Zone *time.Location
	// Version is shown at the foot of pages. Optional.
	Version string
	// Notice is a line for the board, such as "Varnish is a stand-in on this machine". Optional.
	Notice string
	// Metrics collects what is served and gives what /metrics shows. Default: a registry of its own.
	Metrics metrics
	// Pace is how fast one caller of the API may ask. Optional.
	Pace Pace
	// OpenMetrics serves /metrics without a token.
	OpenMetrics bool
	Log         *slog.Logger
	// Mount adds routes that need no session, such as the one of webhooks. Optional.
	Mount []Routes
}

// check returns cfg with its defaults, or what is wrong with it.
func (cfg Config) check() (Config, error) {
	for name, given := range map[string]bool{
		"Runs": cfg.Runs != nil, "Searches": cfg.Searches != nil, "Evidence": cfg.Evidence != nil, "Journal": cfg.Journal != nil,
		"Deliveries": cfg.Deliveries != nil, "Health": cfg.Health != nil, "Acts": cfg.Acts != nil,
		"Logs": cfg.Logs != nil, "IDTokens": cfg.IDTokens != nil, "Questions": cfg.Questions != nil, "Changes": cfg.Changes != nil, "States": cfg.States != nil, "Invariants": cfg.Invariants != nil, "Stretches": cfg.Stretches != nil, "Agents": cfg.Agents != nil, "Hooks": cfg.Hooks != nil, "Plans": cfg.Plans != nil, "Posts": cfg.Posts != nil, "Clock": cfg.Clock != nil, "Log": cfg.Log != nil,
	} {
		if !given {
			return cfg, invalid("server: %s must be set", name)
		}
	}
	if len(cfg.Tokens) == 0 && len(cfg.SignIn.Providers) == 0 && cfg.SignIn.BreakGlass == nil {
		return cfg, &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: "neither a token nor a way to sign in is configured, so nobody could sign in",
			Hint: "add a token under server.tokens, or a way under sign_in",
		}
	}
	names, secrets := map[string]bool{}, map[upgrade.Secret]bool{}
	for i, t := range cfg.Tokens {
		switch {
		case t.Person.Name == "":
			return cfg, invalid("server.tokens[%d]: the name must be set", i)
		case !t.Person.Role.Includes(upgrade.RoleViewer):
			return cfg, invalid("server.tokens[%d]: %q is not a role", i, t.Person.Role)
		case !t.Secret.Set():
			return cfg, invalid("server.tokens[%d]: the token of %s is empty", i, t.Person.Name)
		case names[t.Person.Name]:
			return cfg, invalid("server.tokens[%d]: %s is listed twice", i, t.Person.Name)
		case secrets[t.Secret]:
			return cfg, invalid("server.tokens[%d]: %s has the token of somebody else", i, t.Person.Name)
		}
		names[t.Person.Name], secrets[t.Secret] = true, true
	}
	for name, raw := range map[string]string{"public_url": cfg.PublicURL, "gitlab.url": cfg.GitLabURL} {
		u, err := url.Parse(raw)
		if raw != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
			return cfg, invalid("%s: %q is not an address such as https://gate.example.org", name, raw)
		}
	}
	if err := cfg.SignIn.check(); err != nil {
		return cfg, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // how long somebody is signed in is no matter of the world's clock
	}
	if cfg.Zone == nil {
		cfg.Zone = time.UTC
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	return cfg, nil
}

func invalid(format string, args ...any) error {
	return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf(format, args...)}
}
