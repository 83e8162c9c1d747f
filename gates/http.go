package gates

import (
	"slices"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// HTTPSettings are the settings of an http gate: a varnish gate without Varnish.
type HTTPSettings struct {
	Paths    []probe.Path
	Tries    int             // per path before a broken rung counts; default 3
	Vantages []probe.Vantage // from where each path is climbed; empty: Here
	Closed   []Closed        // ports that must not be open
}

// Kind returns "http".
func (HTTPSettings) Kind() string { return KindHTTP }

// Bind gives the gate its check: each URL answers as expected, on every address behind its name, from each
// vantage. Who answers is not asked.
func (s HTTPSettings) Bind(gate *Gate, deps Deps) error {
	paths := slices.Clone(s.Paths)
	for i := range paths {
		paths[i].Plain, paths[i].ViaVarnish, paths[i].Bypass = true, false, probe.Bypass{}
	}
	c := climbing{
		paths: paths, tries: s.Tries, vantages: s.Vantages, closed: s.Closed, probers: probersOf(deps), clock: deps.Clock,
		words: siteWords{is: "answers as expected", are: "answer as expected", not: "the site does not answer as expected"},
	}
	gate.Check = c.defaulted().check
	return nil
}
