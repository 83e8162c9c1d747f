package gates

import (
	"context"
	"fmt"
	"strconv"
	"strings"
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

// VarnishSettings are the settings of a varnish gate.
type VarnishSettings struct {
	Paths []probe.Path
	Tries int // per path before a broken rung counts; default 3
}

// probePause lies between the tries of a path.
const probePause = time.Second

// Kind returns "varnish".
func (VarnishSettings) Kind() string { return KindVarnish }

// Bind gives the gate its check: each path answers, layer by layer, on every address behind its name.
func (s VarnishSettings) Bind(gate *Gate, deps Deps) error {
	tries := s.Tries
	if tries == 0 {
		tries = 3
	}
	v := varnish{paths: s.Paths, tries: tries, prober: deps.Prober, clock: deps.Clock}
	gate.Check = v.check
	return nil
}

type varnish struct {
	paths  []probe.Path
	tries  int
	prober Prober
	clock  upgrade.Clock
}

func (v varnish) check(ctx context.Context, _ Input, rec *Recorder) error {
	var all []probe.Ladder
	var broken []string
	var brief string
	for _, path := range v.paths {
		ladders, err := v.path(ctx, path, rec)
		if err != nil {
			return err
		}
		all = append(all, ladders...)
		for _, ladder := range ladders {
			rung, bad := ladder.Broken()
			if !bad || rung.Class == probe.ClassGuarded {
				continue
			}
			broken = append(broken, fmt.Sprintf("%s (%s)", rung.Detail, ladder.URL))
			if brief == "" {
				brief = fmt.Sprintf("the site does not answer through Varnish (%s: %s)", rung.Layer, strings.ToLower(brokenWord(rung.Class, ladder.Status)))
			}
			if ladder.Quote != "" {
				rec.Quote(ladder.URL, ladder.Quote, ladder.At)
			}
		}
	}
	recordLadders(rec, all)
	if err := unasked(all); err != nil && len(broken) == 0 {
		return err
	}
	if len(broken) > 0 {
		rec.Fact("Broken", "%d of %d", len(broken), len(all))
		return FailBrief(brief, "%s", strings.Join(broken, "; "))
	}
	if len(v.paths) == 1 {
		rec.Passed("%s answers through Varnish and from the backend", v.paths[0].URL)
		return nil
	}
	rec.Passed("all %d paths answer through Varnish and from the backend", len(v.paths))
	return nil
}

// unasked says what could not be told although nothing is broken: an address that the probe may not
// reach, or a backend that the cache answered for. Neither is a pass (S5).
func unasked(ladders []probe.Ladder) error {
	for _, ladder := range ladders {
		asked := false
		for _, rung := range ladder.Rungs {
			if rung.Class == probe.ClassGuarded {
				return &upgrade.Error{
					Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%s: %s", ladder.URL, rung.Detail),
					Hint: "add the address to network.allow, if it is really the site's",
				}
			}
			asked = asked || rung.Layer == probe.LayerBackend && rung.State != probe.RungNotAsked
		}
		if !asked {
			return &upgrade.Error{
				Code: upgrade.CodeInvalid, Msg: ladder.URL + ": the cache answered, so nobody asked the backend",
				Hint: "configure a bypass for the path, so that Varnish lets the probe through",
			}
		}
	}
	return nil
}

// path climbs until every address is whole, at most as often as there are tries.
func (v varnish) path(ctx context.Context, path probe.Path, rec *Recorder) ([]probe.Ladder, error) {
	for try := 1; ; try++ {
		ladders, err := v.prober.Climb(ctx, path)
		if err != nil {
			return nil, fmt.Errorf("probe %s: %w", path.URL, err)
		}
		if len(ladders) == 0 {
			return nil, &upgrade.Error{Code: upgrade.CodeInternal, Msg: "the prober returned nothing for " + path.URL}
		}
		whole := true
		for _, ladder := range ladders {
			if rung, bad := ladder.Broken(); bad {
				whole = false
				rec.Logf("try %d: %s at %s: %s: %s", try, ladder.URL, ladder.Address, rung.Layer, rung.Detail)
			}
		}
		if whole || try >= v.tries {
			return ladders, nil
		}
		if err := v.clock.Sleep(ctx, probePause); err != nil {
			return nil, fmt.Errorf("wait before probing %s again: %w", path.URL, err)
		}
	}
}

// ladderColumns are the headings of the evidence table that pages draw as a ladder.
func ladderColumns() []string {
	return []string{
		"Path", "Address", string(probe.LayerDNS), string(probe.LayerTCP), string(probe.LayerTLS),
		string(probe.LayerVarnish), string(probe.LayerBackend),
	}
}

func recordLadders(rec *Recorder, ladders []probe.Ladder) {
	columns := ladderColumns()
	rows := make([][]string, 0, len(ladders))
	for _, ladder := range ladders {
		row := []string{ladder.URL, "", "Not reached", "Not reached", "Not reached", "Not reached", "Not reached"}
		if ladder.Address.IsValid() {
			row[1] = ladder.Address.String()
		}
		for _, rung := range ladder.Rungs {
			for i, column := range columns {
				if column == string(rung.Layer) || rung.Layer == probe.LayerContent && rung.State == probe.RungBroken && column == string(probe.LayerBackend) {
					row[i] = rungText(rung, ladder.Status)
				}
			}
		}
		rows = append(rows, row)
	}
	rec.Table("Ladder", columns, rows)
}

func rungText(rung probe.Rung, status int) string {
	switch rung.State {
	case probe.RungOK:
		text := strconv.FormatFloat(float64(rung.Took.Microseconds())/1000, 'f', 1, 64) + " ms"
		if rung.Detail != "" {
			text += " " + rung.Detail
		}
		return text
	case probe.RungBroken:
		return "✗ " + brokenWord(rung.Class, status)
	case probe.RungNotReached:
		return "Not reached"
	case probe.RungNotAsked:
		return "–"
	}
	return "Not reached"
}

// brokenWord is what a broken rung is marked with; the sentence stands in the gate's message.
func brokenWord(class probe.Class, status int) string {
	words := map[probe.Class]string{
		probe.ClassDNSMissing: "No such name",
		probe.ClassTCPRefused: "Refused", probe.ClassDNSRefused: "Refused",
		probe.ClassDNSTimeout: "No answer", probe.ClassTCPTimeout: "No answer", probe.ClassTLSTimeout: "No answer",
		probe.ClassHTTPFirstByte: "No answer", probe.ClassHTTPBody: "No answer",
		probe.ClassNetUnreachable: "Unreachable", probe.ClassHostUnreachable: "Unreachable",
		probe.ClassTLSWrongName: "Wrong certificate", probe.ClassTLSUnknownCA: "Wrong certificate", probe.ClassTLSExpired: "Wrong certificate",
		probe.ClassNotViaVarnish: "Not Varnish", probe.ClassWrongContent: "Wrong content", probe.ClassGuarded: "Not allowed",
	}
	switch word, known := words[class]; {
	case known:
		return word
	case status > 0: // the other classes are told by the status
		return strconv.Itoa(status)
	}
	return "Broken"
}
