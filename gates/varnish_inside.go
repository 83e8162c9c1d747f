package gates

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// inspect asks Varnish itself, nil where that is not configured or it does not answer. It is evidence: that
// it cannot be had is a warning and closes nothing.
func (c climbing) inspect(ctx context.Context, rec *Recorder) *probe.Inside {
	if c.inspector == nil || !c.node.Given() {
		return nil
	}
	inside, err := c.inspector.Inspect(ctx, c.node)
	if err != nil {
		rec.Warnf("Varnish itself could not be asked for evidence: %s", unsaid(err))
		return nil
	}
	return &inside
}

// risen returns by how much a counter rose, 0 where that is not known: Varnish began anew in between, or
// the counter was not there.
func risen(before, after *probe.Inside, name string) uint64 {
	if before == nil || after == nil || after.Counters["MAIN.uptime"] < before.Counters["MAIN.uptime"] {
		return 0
	}
	was, is := before.Counters[name], after.Counters[name]
	if is < was {
		return 0
	}
	return is - was
}

// counterMeanings says which layer behind Varnish a counter of a back end accuses.
func counterMeanings() [][2]string {
	return [][2]string{
		{"fail_econnrefused", "nothing listens on its port, or a firewall rejects"},
		{"fail_etimedout", "a security group or route drops what goes to it"},
		{"fail_enetunreach", "there is no route to it from Varnish's host"},
		{"fail_eacces", "a firewall on Varnish's own host forbids it"},
		{"fail_eaddrnotavail", "Varnish's host is out of local ports"},
		{"fail_other", "connecting to it fails"},
		{"busy", "it has as many connections as the VCL allows (max_connections)"},
	}
}

// sharpen says why the backend fails, in Varnish's own words, and writes it into the rungs where it is a
// class of its own. It returns the cause, "" where nothing is known.
func sharpen(looks []look, before, after *probe.Inside) string {
	if after == nil || !backendBroken(looks) {
		return ""
	}
	if forced := forcedOf(after); len(forced) > 0 && len(usable(after)) == 0 {
		cause := are(forced) + " set sick by hand (varnishadm backend.set_health)"
		force(looks, cause)
		return cause
	}
	counted := accusations(before, after)
	sick := names(after.Backends, probe.Backend.Sick)
	switch {
	case counted != "":
		return "Varnish counts: " + counted
	case len(usable(after)) == 0 && len(sick) > 0:
		return fmt.Sprintf("no back end is healthy, says Varnish, so it asks none: %s sick", are(sick))
	case risen(before, after, "MAIN.fetch_failed") > 0:
		return "Varnish counts failed fetches but no failed connection: the backend takes the connection and does not answer, or none was healthy"
	case risen(before, after, "MAIN.cache_hit_grace") > 0:
		return "Varnish counts hits in grace: stale pages are being served"
	}
	return ""
}

// accused says what the counters of a back end tell of it, nothing if they are silent. Varnish holds a back
// end down for a moment after a failed connection, without trying it again; then what it had counted before
// is all there is.
func accused(before, after *probe.Inside, name string) []string {
	var said []string
	for _, pair := range counterMeanings() {
		if risen(before, after, name+"."+pair[0]) > 0 {
			said = append(said, pair[1]+" ("+pair[0]+")")
		}
	}
	if len(said) > 0 || risen(before, after, name+".helddown") == 0 {
		return said
	}
	const held = "not tried again so soon (helddown)"
	for _, pair := range counterMeanings() {
		if after.Counters[name+"."+pair[0]] > 0 {
			return []string{pair[1] + " (" + pair[0] + "), " + held}
		}
	}
	return []string{held}
}

// accusations says what the counters tell of all back ends, those together of which they say the same.
func accusations(before, after *probe.Inside) string {
	var said []string
	of := map[string][]string{}
	for _, name := range names(after.Backends, func(probe.Backend) bool { return true }) {
		for _, text := range accused(before, after, name) {
			if of[text] == nil {
				said = append(said, text)
			}
			of[text] = append(of[text], name)
		}
	}
	for i, text := range said {
		said[i] = strings.Join(of[text], " and ") + ": " + text
	}
	return strings.Join(said, "; ")
}

// force gives the rungs that failed for want of a back end the class of a hand's work.
func force(looks []look, cause string) {
	for i := range looks {
		for j := range looks[i].ladders {
			rungs := slices.Clone(looks[i].ladders[j].Rungs)
			for k := range rungs {
				if rungs[k].State == probe.RungBroken && (rungs[k].Class == probe.ClassBackendFetch || rungs[k].Class == probe.ClassBackendSlow) {
					rungs[k].Class, rungs[k].Detail = probe.ClassForcedSick, "Varnish runs but asks no backend: "+cause
				}
			}
			looks[i].ladders[j].Rungs = rungs
		}
	}
}

// forcedHint says how to put back what a hand took out, "" where nothing is broken by that.
func forcedHint(looks []look) string {
	for _, one := range looks {
		for _, ladder := range one.ladders {
			if rung, bad := ladder.Broken(); bad && rung.Class == probe.ClassForcedSick {
				return "put the back ends back: varnishadm backend.set_health '*' auto"
			}
		}
	}
	return ""
}

// backendBroken reports whether anything is broken behind Varnish.
func backendBroken(looks []look) bool {
	for _, one := range looks {
		for _, ladder := range one.ladders {
			if rung, bad := ladder.Broken(); bad && (rung.Layer == probe.LayerBackend || rung.Layer == probe.LayerCache) {
				return true
			}
		}
	}
	return false
}

// names returns the back ends, directors apart, of which something is true.
func names(list []probe.Backend, is func(probe.Backend) bool) []string {
	var out []string
	for _, one := range list {
		if one.Type == "backend" && is(one) {
			out = append(out, one.Name)
		}
	}
	return out
}

func forcedOf(inside *probe.Inside) []string { return names(inside.Backends, probe.Backend.Forced) }

// usable returns the back ends that Varnish sends requests to.
func usable(inside *probe.Inside) []string {
	return names(inside.Backends, func(b probe.Backend) bool { return !b.Sick() })
}

// are joins names for people, with the verb.
func are(list []string) string {
	if len(list) == 1 {
		return list[0] + " is"
	}
	return strings.Join(list, " and ") + " are"
}

// recordInside keeps what Varnish says of itself, and warns of back ends that it leaves out.
func recordInside(rec *Recorder, before, after *probe.Inside) {
	if after == nil {
		return
	}
	active := ""
	for _, one := range after.VCLs {
		if one.Status == "active" {
			active = one.Name
		}
	}
	rec.Fact("Active VCL", "%s, of %d loaded", active, len(after.VCLs))
	var rows [][]string
	for _, one := range after.Backends {
		rows = append(rows, []string{one.Name, one.Type, adminWord(one.Admin), healthOf(one), probesOf(one), sinceOf(one.Since)})
	}
	rec.Table("Back ends, says Varnish", []string{"Back end", "Type", "Set by hand", "In use", "Good probes", "Since"}, rows)
	if forced := forcedOf(after); len(forced) > 0 {
		rec.Warnf("%s set sick by hand (varnishadm backend.set_health)", are(forced))
	}
	byProbe := func(b probe.Backend) bool { return b.Sick() && !b.Forced() }
	if sick := names(after.Backends, byProbe); len(sick) > 0 {
		rec.Warnf("%s sick, says Varnish's own probe: %d of %d back ends get requests", are(sick), len(usable(after)), len(names(after.Backends, func(probe.Backend) bool { return true })))
	}
	recordCounters(rec, before, after)
}

func recordCounters(rec *Recorder, before, after *probe.Inside) {
	if before == nil {
		return
	}
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(after.Counters)) {
		if n := risen(before, after, name); n > 0 && name != "MAIN.uptime" {
			rows = append(rows, []string{name, strconv.FormatUint(before.Counters[name], 10), strconv.FormatUint(after.Counters[name], 10), "+" + strconv.FormatUint(n, 10)})
		}
	}
	if len(rows) > 0 {
		rec.Table("Counters that rose meanwhile", []string{"Counter", "Before", "After", "Change"}, rows)
	}
}

func adminWord(admin string) string {
	if admin == "probe" || admin == "auto" {
		return "no"
	}
	return admin
}

func healthOf(b probe.Backend) string {
	if b.Sick() {
		return "no"
	}
	return "yes"
}

func probesOf(b probe.Backend) string {
	if b.Of == 0 {
		return "no probe"
	}
	return fmt.Sprintf("%d of %d", b.Good, b.Of)
}

func sinceOf(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.DateTime) + " UTC"
}
