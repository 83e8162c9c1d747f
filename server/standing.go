package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const productionEnv upgrade.EnvName = "production"

// envData is what is known of the environments, read at one time.
type envData struct {
	all     []upgrade.Standing // in the order of the file
	problem string             // why nothing could be read; empty: it was
	words   words
}

// readEnvs reads what standing gates say. That they cannot be read is told on the page, beside what can be.
func (s *Server) readEnvs(ctx context.Context) envData {
	d := envData{words: s.words()}
	all, err := s.invariants.Invariants(ctx)
	if err != nil {
		s.log.ErrorContext(ctx, "invariants could not be read for a page", "err", err)
		d.problem = stop(upgrade.Public(err))
		return d
	}
	d.all = all
	return d
}

// envSum is one environment in numbers.
type envSum struct {
	Name                                   upgrade.EnvName
	All, Held, Broken, NotVerified, Paused int
	Checked                                time.Time          // of the invariant that was asked longest ago; zero: one was never asked
	Bad                                    []upgrade.Standing // broken, in the order of the file
	Unsure                                 []upgrade.Standing // not verified
	Since                                  time.Time          // of the first that broke, of those that are broken
}

// environments returns the names of all: those of the stacks first, production last, as an upgrade passes them.
func (s *Server) environments(all []upgrade.Standing) []upgrade.EnvName {
	var names []upgrade.EnvName
	add := func(name upgrade.EnvName) {
		if name != "" && name != productionEnv && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, stack := range s.stacks {
		add(stack.Staging.Environment)
	}
	for _, one := range all {
		add(one.Key.Environment)
	}
	return append(names, productionEnv)
}

// sum counts what is known of an environment.
func (d envData) sum(env upgrade.EnvName) envSum {
	out := envSum{Name: env}
	never := false
	for _, one := range d.all {
		if one.Key.Environment != env {
			continue
		}
		out.All++
		switch one.State(d.words.now) {
		case upgrade.InvariantHeld, upgrade.InvariantWarning:
			out.Held++
		case upgrade.InvariantBroken:
			out.Broken++
			out.Bad = append(out.Bad, one)
			if out.Since.IsZero() || one.Since.Before(out.Since) {
				out.Since = one.Since
			}
		case upgrade.InvariantPaused:
			out.Paused++
			continue // nobody asks it
		case upgrade.InvariantNotVerified:
			out.NotVerified++
			out.Unsure = append(out.Unsure, one)
		}
		at := one.Result.StartedAt
		never = never || at.IsZero()
		if out.Checked.IsZero() || at.Before(out.Checked) {
			out.Checked = at
		}
	}
	if never {
		out.Checked = time.Time{}
	}
	return out
}

// sentence says what an environment does, without full stop: "production holds", "staging breaks two invariants".
func (e envSum) sentence() string {
	name := string(e.Name)
	switch {
	case e.Broken > 0:
		return fmt.Sprintf("%s breaks %s %s", name, number(e.Broken), invariantsWord(e.Broken))
	case e.NotVerified > 0:
		return fmt.Sprintf("%s is not verified in %s %s", name, number(e.NotVerified), invariantsWord(e.NotVerified))
	case e.All == e.Paused:
		return name + " is not checked"
	}
	return name + " holds"
}

func invariantsWord(n int) string {
	if n == 1 {
		return "invariant"
	}
	return "invariants"
}

// look is how it is shown.
func (e envSum) look() upgrade.Look {
	switch {
	case e.Broken > 0:
		return upgrade.Look{Word: "Broken", Icon: upgrade.IconBad, Tone: upgrade.ToneBad}
	case e.NotVerified > 0:
		return upgrade.Look{Word: "Not verified", Icon: upgrade.IconUnk, Tone: upgrade.ToneWarn}
	case e.All == e.Paused:
		return upgrade.Look{Word: "Not checked", Icon: upgrade.IconSkip, Tone: upgrade.ToneIdle}
	}
	return upgrade.Look{Word: "Holds", Icon: upgrade.IconOK, Tone: upgrade.ToneOK}
}

// stateLook is how the state of an invariant is shown.
func stateLook(state upgrade.InvariantState) upgrade.Look {
	switch state {
	case upgrade.InvariantHeld:
		return upgrade.Look{Word: "Held", Icon: upgrade.IconOK, Tone: upgrade.ToneOK}
	case upgrade.InvariantWarning:
		return upgrade.Look{Word: "Held, with a warning", Icon: upgrade.IconWarn, Tone: upgrade.ToneWarn}
	case upgrade.InvariantBroken:
		return upgrade.Look{Word: "Broken", Icon: upgrade.IconBad, Tone: upgrade.ToneBad}
	case upgrade.InvariantPaused:
		return upgrade.Look{Word: "Paused", Icon: upgrade.IconSkip, Tone: upgrade.ToneIdle}
	case upgrade.InvariantNotVerified:
	}
	return upgrade.Look{Word: "Not verified", Icon: upgrade.IconUnk, Tone: upgrade.ToneWarn}
}

// kindsOf names what is asked by standing gates, each once: "KMS grants and Varnish reachability".
func kindsOf(all []upgrade.Standing) string {
	var names []string
	for _, one := range all {
		if name := kindTitle(one.Result.Kind); !slices.Contains(names, name) {
			if kind := one.Result.Kind; len(names) > 0 && (kind == "instance-launch" || kind == "settled" || kind == "ownership") {
				name = strings.ToLower(name[:1]) + name[1:]
			}
			names = append(names, name)
		}
	}
	if len(names) > 2 {
		return strings.Join(names[:2], ", ") + fmt.Sprintf(" and %d more", len(names)-2)
	}
	return strings.Join(names, " and ")
}

func invariantPath(k upgrade.StandingKey) string {
	path := "/environments/" + url.PathEscape(string(k.Environment)) + "/" + url.PathEscape(string(k.Gate))
	if k.Stack != "" {
		path += "/" + url.PathEscape(string(k.Stack))
	}
	return path
}

// standingMarks tells apart what is known of the environments at two times.
type standingMarks struct {
	States string // changes with the state of an invariant
	Checks string // changes with each answer
}

// query is the marks in the address of a stream, so that what changes before it is opened is told too.
func (m standingMarks) query() string {
	if m.Checks == "" {
		return ""
	}
	return "&env=" + m.States + "." + m.Checks
}

// readMarks is the inverse of query.
func readMarks(raw string) standingMarks {
	states, checks, _ := strings.Cut(raw, ".")
	return standingMarks{states, checks}
}

// marks sums up what is known; with nothing known both are empty.
func (d envData) marks() standingMarks {
	if len(d.all) == 0 {
		return standingMarks{}
	}
	states, checks := sha256.New(), sha256.New()
	for _, one := range d.all {
		// A hash takes everything.
		_, _ = fmt.Fprintf(states, "%s %s %d\n", one.Key, one.State(d.words.now), one.Since.UnixMilli())
		_, _ = fmt.Fprintf(checks, "%s %d\n", one.Key, one.Result.StartedAt.UnixNano())
	}
	checks.Write(states.Sum(nil))
	return standingMarks{hex.EncodeToString(states.Sum(nil)[:6]), hex.EncodeToString(checks.Sum(nil)[:6])}
}

// markCache lets all streams that look within one pulse share one look.
type markCache struct {
	mu    sync.Mutex
	at    time.Time
	marks standingMarks
}

// standingMarks returns the marks as they were at most a pulse ago.
func (s *Server) standingMarks(ctx context.Context) standingMarks {
	s.standing.mu.Lock()
	defer s.standing.mu.Unlock()
	if now := s.keys.now(); s.standing.at.IsZero() || now.Sub(s.standing.at) >= pulse {
		d := s.readEnvs(ctx)
		if d.problem != "" {
			return s.standing.marks // what cannot be read has not changed
		}
		s.standing.at, s.standing.marks = now, d.marks()
	}
	return s.standing.marks
}
