package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	pastSpan = 24 * time.Hour
	pastBins = 96 // of 15 min
	longBins = 90 // of 8 h each, in 30 days
)

// envPage is the page of the invariants. Each field but the last two is a part.
type envPage struct {
	Lead      leadView
	Banner    envBanners
	Matrix    matrixView
	Inventory inventoryView
	Flash     string
}

type envBanners struct{ Rows []envBanner }

// envBanner says what is broken, and which run may have done it.
type envBanner struct {
	Env   string
	Since when
	Text  string
	Run   link // that changed the environment just before; empty: none did
	Fix   link
}

// matrixView is a row for each invariant and a column for each environment.
type matrixView struct {
	Columns []envColumn
	Rows    []matrixRow
	Problem string
	Empty   bool
	Off     string // why the reader may not have them checked
}

type envColumn struct{ Name, Sum string }

type matrixRow struct {
	Title, Name, About string
	Cells              []envCell
}

// envCell is one invariant in one environment.
type envCell struct {
	Env      string
	None     bool // it is not asked there
	Path     string
	Chip     chip
	Sentence string
	Strip    pastView
	Before   string // before When, such as "since 08:46"
	When     when
	Right    string
	Next     when
}

// envs describes the page.
func (s *Server) envs(ctx context.Context, d envData, p upgrade.Person, picked string) envPage {
	return envPage{Lead: s.envLead(d), Banner: s.envBanner(ctx, d), Matrix: s.matrix(ctx, d, p), Inventory: s.inventory(d, picked)}
}

// envLead says what production does, then the others.
func (s *Server) envLead(d envData) leadView {
	switch {
	case d.problem != "":
		return leadView{Headline: "Nobody knows now whether the environments hold."}
	case len(d.all) == 0:
		return leadView{Headline: "Nothing is checked continuously."}
	}
	var said []string
	for _, env := range slices.Backward(s.environments(d.all)) {
		if sum := d.sum(env); sum.All > 0 {
			said = append(said, upperFirst(sum.sentence())+".")
		}
	}
	return leadView{Headline: strings.Join(said, " ")}
}

// maxBanners is how many facts may stand above a page at once.
const maxBanners = 2

func (s *Server) envBanner(ctx context.Context, d envData) envBanners {
	var v envBanners
	for _, env := range slices.Backward(s.environments(d.all)) {
		sum := d.sum(env)
		if sum.Broken == 0 || len(v.Rows) == maxBanners {
			continue
		}
		first := sum.Bad[0]
		b := envBanner{Env: upperFirst(string(env)), Since: d.words.stamp(sum.Since), Text: stop(first.Result.Message), Fix: link{Text: "See what to do", Href: invariantPath(first.Key)}}
		if n := sum.Broken - 1; n > 0 {
			b.Text += fmt.Sprintf(" %s more %s broken too.", upperFirst(number(n)), map[bool]string{true: "is", false: "are"}[n == 1])
		}
		if run, ok := s.changedBefore(ctx, env, first); ok {
			b.Run = link{Text: strings.TrimSpace(fmt.Sprintf("%s %s, run %d", run.Stack, run.Version, run.ID)), Href: runPath(run.ID)}
			b.Fix = link{Text: "See what to fix", Href: runPath(run.ID)}
		}
		v.Rows = append(v.Rows, b)
	}
	return v
}

// changedBefore returns the run that changed the environment between the last pass and the first no: nobody
// has proven that it was that, and nothing else of ours happened.
func (s *Server) changedBefore(ctx context.Context, env upgrade.EnvName, broken upgrade.Standing) (upgrade.Run, bool) {
	if broken.HeldAt.IsZero() {
		return upgrade.Run{}, false
	}
	runs, err := s.runs.Runs(ctx, upgrade.RunFilter{Stack: broken.Key.Stack, Limit: 100})
	if err != nil {
		s.log.WarnContext(ctx, "runs could not be read for a banner", "err", err)
		return upgrade.Run{}, false
	}
	for _, r := range runs {
		ended := r.ChangedAt
		if r.Phase == upgrade.PhaseApplying {
			ended = s.clock.Now()
		}
		there := r.Environment == env && r.Applies > 0
		if env == productionEnv {
			there, ended = !r.PromotedAt.IsZero(), r.PromotedAt
		}
		if there && !ended.Before(broken.HeldAt) && !r.CreatedAt.After(broken.Since) {
			return r, true
		}
	}
	return upgrade.Run{}, false
}

func (s *Server) matrix(ctx context.Context, d envData, p upgrade.Person) matrixView {
	v := matrixView{Problem: d.problem, Empty: d.problem == "" && len(d.all) == 0}
	if needs := upgrade.ActCheck.Needs(); !p.Highest().Includes(needs) {
		v.Off = "needs the role " + roleTitle(needs)
	}
	envs := s.environments(d.all)
	for _, env := range envs {
		v.Columns = append(v.Columns, envColumn{Name: upperFirst(string(env)), Sum: d.sum(env).short()})
	}
	type row struct {
		gate  upgrade.GateName
		stack upgrade.StackName
	}
	var rows []row
	for _, one := range d.all {
		if r := (row{one.Key.Gate, one.Key.Stack}); !slices.Contains(rows, r) {
			rows = append(rows, r)
		}
	}
	for _, r := range rows {
		mr := matrixRow{}
		for _, env := range envs {
			key := upgrade.StandingKey{Gate: r.gate, Environment: env, Stack: r.stack}
			i := slices.IndexFunc(d.all, func(o upgrade.Standing) bool { return o.Key == key })
			if i < 0 {
				mr.Cells = append(mr.Cells, envCell{Env: upperFirst(string(env)), None: true})
				continue
			}
			one := d.all[i]
			mr.Title, mr.About = kindTitle(one.Result.Kind), invariantSays(one.Result.Kind)
			mr.Name = string(one.Key.Gate)
			if mr.Name == one.Result.Kind {
				mr.Name = ""
			}
			if r.stack != "" {
				mr.Name = beside(mr.Name, string(r.stack))
			}
			mr.Cells = append(mr.Cells, s.cell(ctx, d, one))
		}
		v.Rows = append(v.Rows, mr)
	}
	return v
}

// short is what stands beside the name of a column.
func (e envSum) short() string {
	var said []string
	if e.Broken > 0 {
		said = append(said, fmt.Sprintf("breaks %d of %d", e.Broken, e.All))
	}
	if e.NotVerified > 0 {
		said = append(said, fmt.Sprintf("%d not verified", e.NotVerified))
	}
	if len(said) == 0 && e.All > e.Paused {
		said = append(said, fmt.Sprintf("holds %d of %d", e.Held, e.All-e.Paused))
	}
	if e.Paused > 0 {
		said = append(said, fmt.Sprintf("%d paused", e.Paused))
	}
	return strings.Join(said, ", ")
}

// invariantSays is what must be true, in the words of pages.
func invariantSays(kind string) string {
	switch kind {
	case "kms-grants":
		return "Every grant that the group needs exists, and none is lost"
	case "instance-launch":
		return "A new instance reaches service"
	case "varnish":
		return "All paths answer on DNS, TCP, TLS, Varnish and backend"
	case "http":
		return "The addresses answer as they should"
	case "settled":
		return "A fresh plan shows no change"
	case "ownership":
		return "Each thing has one owner among the Terraform states"
	}
	return ""
}

// cell describes one invariant in one environment.
func (s *Server) cell(ctx context.Context, d envData, one upgrade.Standing) envCell {
	r, state := one.Result, one.State(d.words.now)
	c := envCell{
		Env: upperFirst(string(one.Key.Environment)), Path: invariantPath(one.Key), Chip: chipOf(stateLook(state), ""),
		Sentence: upperFirst(strings.TrimRight(r.Message, ".")), When: d.words.ago(r.StartedAt),
	}
	next := r.StartedAt.Add(one.Every)
	c.Right, c.Next = d.words.until(next)
	switch state {
	case upgrade.InvariantBroken:
		c.Before = "since " + d.words.stamp(one.Since).Text + " · "
	case upgrade.InvariantNotVerified:
		c.Chip.Kind = "dashed"
		c.unverified(d, one)
	case upgrade.InvariantPaused:
		c.Right, c.Next, c.When = "not asked meanwhile", when{}, when{}
	case upgrade.InvariantWarning:
		c.Sentence = upperFirst(strings.TrimRight(r.Warnings[0], "."))
		if n := len(r.Warnings) - 1; n > 0 {
			c.Sentence += fmt.Sprintf(", and %s more", plural(n, "warning"))
		}
	case upgrade.InvariantHeld:
	}
	stretches, err := s.stretches.Stretches(ctx, one.Key, d.words.now.Add(-pastSpan-r.GoodFor))
	if err != nil {
		s.log.WarnContext(ctx, "the past of an invariant could not be read", "invariant", one.Key.String(), "err", err)
	}
	c.Strip = past(stretches, r.GoodFor, d.words.now, pastSpan, pastBins)
	return c
}

// unverified says why it is not known whether it holds.
func (c *envCell) unverified(d envData, one upgrade.Standing) {
	r, now := one.Result, d.words.now
	switch {
	case one.Rev == 0 || r.StartedAt.IsZero():
		c.Sentence, c.When = "Not checked yet", when{}
		c.Right, c.Next = "checked every "+span(one.Every), when{}
	case one.HeldAt.IsZero():
		c.Sentence = "Not verified: " + r.Message
	default:
		c.Sentence = fmt.Sprintf("Not verified for %s, limit %s", coarse(now.Sub(one.HeldAt)), span(r.GoodFor))
		c.Before, c.When = "last good ", d.words.stamp(one.HeldAt)
		if r.Outcome == upgrade.OutcomeUnknown {
			c.Right, c.Next = r.Message, when{}
		}
	}
}

// until returns how long it is until t, as text with the time that a script keeps true.
func (w words) until(t time.Time) (before string, at when) {
	d := t.Sub(w.now)
	if d <= 0 {
		return "next any moment", when{}
	}
	at = when{Exact: t.UTC().Format(time.RFC3339), Text: span(d.Round(time.Second)), Left: true}
	if d >= 2*time.Hour {
		at = w.stamp(t)
		at.Left = false
		return "next", at
	}
	if d >= time.Minute {
		at.Text = fmt.Sprintf("%d%smin", int(d.Minutes()), nb)
	}
	return "next in", at
}

// envsView is the environments in a few lines, production first, as the board has them.
type envsView struct {
	Rows    []envRow
	Problem string
}

type envRow struct {
	Chip   chip
	Text   string
	Detail string
	When   when
	Run    link
}

func (s *Server) boardEnvs(ctx context.Context, d envData) envsView {
	v := envsView{Problem: d.problem}
	for _, env := range slices.Backward(s.environments(d.all)) {
		sum := d.sum(env)
		if sum.All == 0 {
			continue
		}
		row := envRow{Chip: chipOf(sum.look(), ""), Text: upperFirst(sum.sentence())}
		switch {
		case sum.Broken > 0:
			row.Detail = fmt.Sprintf("%s, since %s", kindsOf(sum.Bad), d.words.stamp(sum.Since).Text)
			if run, ok := s.changedBefore(ctx, env, sum.Bad[0]); ok {
				row.Run = link{Text: strings.TrimSpace(string(run.Stack) + " " + run.Version), Href: runPath(run.ID)}
			}
		case sum.NotVerified > 0:
			row.Detail, row.When = kindsOf(sum.Unsure), d.words.ago(sum.Checked)
		case sum.All > sum.Paused:
			row.Detail, row.When = fmt.Sprintf("%d of %s", sum.Held, plural(sum.All-sum.Paused, "invariant")), d.words.ago(sum.Checked)
		default:
			row.Detail = "paused by configuration"
		}
		v.Rows = append(v.Rows, row)
	}
	return v
}
