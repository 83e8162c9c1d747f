package gates

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// Prober looks at paths.
type Prober interface {
	// Climb climbs the ladder of layers of a path, once per address behind its name. It returns an error only
	// if it could not look at all.
	Climb(ctx context.Context, path probe.Path) ([]probe.Ladder, error)
	// Stream probes a path at a fixed rate on each address behind its name, whatever comes back, until ctx
	// ends and what is in flight has come to its limits; then it returns nil. each is called for every probe
	// and every lookup, one call at a time. It returns an error only if it cannot probe the path at all.
	Stream(ctx context.Context, stream probe.Stream, each func(probe.Sample)) error
}

// Inspector asks Varnish's own tools. It changes nothing. Error: CodeUnavailable when they do not answer.
type Inspector interface {
	Inspect(ctx context.Context, node probe.Node) (probe.Inside, error)
}

// VarnishSettings are the settings of a varnish gate.
type VarnishSettings struct {
	Paths    []probe.Path
	Tries    int             // per path before a broken rung counts; default 3
	Vantages []probe.Vantage // from where each path is climbed; empty: Here
	Closed   []Closed        // ports that must not be open
	Node     probe.Node      // how to ask Varnish itself, for evidence; zero: not at all
}

// Closed are ports that must not take connections.
type Closed struct {
	Ports []uint16
	At    []netip.Addr    // empty: every address behind the names of the gate's paths
	From  []probe.Vantage // of the gate's vantages; empty: Here, or all of them where Here is none
}

// probePause lies between the tries of a path.
const probePause = time.Second

// defaultTries is how often a path is tried before a broken rung counts.
const defaultTries = 3

// Kind returns "varnish".
func (VarnishSettings) Kind() string { return KindVarnish }

// Bind gives the gate its check: each path answers, layer by layer, on every address behind its name, from
// each vantage.
func (s VarnishSettings) Bind(gate *Gate, deps Deps) error {
	c := climbing{
		paths: s.Paths, tries: s.Tries, vantages: s.Vantages, closed: s.Closed, node: s.Node, inspector: deps.Varnish,
		probers: probersOf(deps), clock: deps.Clock, words: siteWords{is: "answers through Varnish and from the backend", are: "answer through Varnish and from the backend", not: "the site does not answer through Varnish"},
	}
	gate.Check = c.defaulted().check
	return nil
}

// siteWords are how a kind says what came of it.
type siteWords struct{ is, are, not string }

// climbing climbs paths from places.
type climbing struct {
	paths     []probe.Path
	tries     int
	vantages  []probe.Vantage
	closed    []Closed
	node      probe.Node
	inspector Inspector
	probers   func(probe.Vantage) (Prober, error)
	clock     upgrade.Clock
	words     siteWords
}

func (c climbing) defaulted() climbing {
	if c.tries == 0 {
		c.tries = defaultTries
	}
	if len(c.vantages) == 0 {
		c.vantages = []probe.Vantage{probe.Here}
	}
	return c
}

// probersOf returns who probes from a place. Error: CodeInvalid for a place that nobody knows.
func probersOf(deps Deps) func(probe.Vantage) (Prober, error) {
	return func(v probe.Vantage) (Prober, error) {
		switch {
		case v == "" || v == probe.Here:
			return deps.Prober, nil
		case deps.Vantage == nil:
			return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "there is no vantage " + string(v), Hint: "enroll an agent of that name"}
		}
		return deps.Vantage(v)
	}
}

func (c climbing) check(ctx context.Context, _ Input, rec *Recorder) error {
	before := c.inspect(ctx, rec)
	looks := c.lookFromAll(ctx, rec)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var after *probe.Inside
	if before != nil { // what did not answer a moment ago is not waited for again
		after = c.inspect(ctx, rec)
	}
	cause := sharpen(looks, before, after)
	recordLadders(rec, looks, len(c.vantages) > 1)
	recordDNS(rec, looks)
	recordDoors(rec, looks, len(c.vantages) > 1)
	recordInside(rec, before, after)
	recordWarnings(rec, looks)
	return c.verdict(rec, looks, cause)
}

// look is what came of one path from one place.
type look struct {
	path    probe.Path
	from    probe.Vantage
	ladders []probe.Ladder
	tries   int
	blip    string // what an earlier try said that a later one did not
	err     error  // nobody could tell
}

// lookFromAll climbs every path from every place, the places at once, the paths of one place one after
// another. The list is in the order of paths, then of places.
func (c climbing) lookFromAll(ctx context.Context, rec *Recorder) []look {
	looks := make([]look, len(c.paths)*len(c.vantages))
	runner := Runner{Clock: c.clock}
	runner.Each(len(c.vantages), func(v int) {
		from := c.vantages[v]
		prober, err := c.probers(from)
		for p, path := range c.doors(from) {
			one := look{path: path, from: from, err: err}
			if err == nil {
				c.climb(ctx, prober, &one, rec)
			}
			looks[p*len(c.vantages)+v] = one
		}
	})
	return looks
}

// doors returns the paths with the doors that must be closed from a place: those of given addresses with
// the first path, those of addresses behind names with the first path of each name.
func (c climbing) doors(from probe.Vantage) []probe.Path {
	paths := slices.Clone(c.paths)
	for _, closed := range c.closed {
		if !closed.seenFrom(from, c.vantages) {
			continue
		}
		for _, port := range closed.Ports {
			for _, addr := range closed.At {
				paths[0].Closed = append(slices.Clone(paths[0].Closed), probe.Door{Addr: addr, Port: port})
			}
			if len(closed.At) > 0 {
				continue
			}
			hosts := map[string]bool{}
			for i := range paths {
				if host := hostOf(paths[i].URL); !hosts[host] {
					hosts[host] = true
					paths[i].Closed = append(slices.Clone(paths[i].Closed), probe.Door{Port: port})
				}
			}
		}
	}
	return paths
}

func (c Closed) seenFrom(from probe.Vantage, all []probe.Vantage) bool {
	if len(c.From) > 0 {
		return slices.Contains(c.From, from)
	}
	return from == probe.Here || !slices.Contains(all, probe.Here)
}

// climb tries a path until every address is whole, at most as often as there are tries.
func (c climbing) climb(ctx context.Context, prober Prober, one *look, rec *Recorder) {
	for one.tries = 1; ; one.tries++ {
		one.ladders, one.err = prober.Climb(ctx, one.path)
		if one.err == nil && len(one.ladders) == 0 {
			one.err = &upgrade.Error{Code: upgrade.CodeInternal, Msg: "the prober returned nothing"}
		}
		if one.err != nil {
			return
		}
		whole := true
		for i := range one.ladders {
			one.ladders[i].Vantage = one.from
			if rung, bad := one.ladders[i].Broken(); bad {
				whole = false
				one.blip = rung.Detail
				rec.Logf("try %d from %s: %s at %s: %s: %s", one.tries, one.from, one.ladders[i].URL, one.ladders[i].Address, rung.Layer, rung.Detail)
			}
		}
		if whole || one.tries >= c.tries {
			return
		}
		if one.err = c.clock.Sleep(ctx, probePause); one.err != nil {
			return
		}
	}
}
