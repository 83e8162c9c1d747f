package gates

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// drawn is how many outages are drawn on the timeline at most; the table has more.
const drawn = 100

// record keeps what was probed and how it went.
func (w *outageWatch) record(rec *Recorder, s sight) {
	rec.Fact("Probed", "%s", w.Path.URL)
	rec.Fact("Rate", "every %s, on %s", probe.Length(w.Every), counted(len(s.addresses), "address"))
	if len(s.addresses) > 1 {
		rec.Fact("Rate", "every %s, on each of %d addresses", probe.Length(w.Every), len(s.addresses))
	}
	rec.Fact("Probes", "%d in %s, %d failed", s.sent, probe.Length(s.watched), s.failed)
	rec.Fact("Answers", "half of them within %s, 99 %% within %s", probe.Length(s.p50), probe.Length(s.p99))
	blind := "never"
	if s.blind > 0 || s.unsent > 0 {
		blind = fmt.Sprintf("%s in all, %s at a time; %s not sent", probe.Length(s.blind), probe.Length(s.longestBlind), counted(s.unsent, "probe"))
	}
	rec.Fact("Prober could not see", "%s", blind)
	if s.own > 0 {
		rec.Fact("Own network out", "%s, by %s", probe.Length(s.own), counted(len(s.controls), "outage")+" of controls")
	}
	if missing := w.notWatched(); missing != "" {
		rec.Fact("Not watched", "%s", missing)
	}
	longest := "none"
	if o := s.longest; o.Class != "" {
		longest = fmt.Sprintf("%s (from %s to %s)", probe.Length(o.Best), probe.Length(o.Certain), probe.Length(o.Most))
	}
	rec.Fact("Longest outage", "%s, limit %s", longest, probe.Length(w.Budget.Longest))
	rec.Fact("Outages in total", "%s, limit %s", probe.Length(s.total), probe.Length(w.Budget.Total))
}

// notWatched says what no stream of probes would see.
func (w *outageWatch) notWatched() string {
	var missing []string
	names := map[string]bool{}
	for _, stream := range w.streams() {
		names[stream.Name] = true
	}
	if !names[streamPast] && !names[streamDeep] {
		missing = append(missing, "anything past the cache: while the cache answers, an outage behind it is not seen (set past_cache or deep_page)")
	} else if !names[streamDeep] {
		missing = append(missing, "a deep page (set deep_page)")
	}
	if !names[streamCached] {
		missing = append(missing, "new connections")
	}
	if !names[streamKept] {
		missing = append(missing, "kept connections")
	}
	if len(w.Controls) == 0 {
		missing = append(missing, "a control: an outage of this network would be charged to the site")
	}
	return strings.Join(missing, "; ")
}

// recordStreams keeps how each stream went.
func (w *outageWatch) recordStreams(rec *Recorder, s sight) {
	var rows [][]string
	for _, one := range s.strips {
		if !one.address.IsValid() {
			continue
		}
		longest := time.Duration(0)
		for _, o := range one.seen.Outages {
			longest = max(longest, o.Best)
		}
		name := one.stream.Name
		if one.control != "" {
			name += " " + one.control
		}
		rows = append(rows, []string{
			string(one.vantage), name, one.address.String(), probe.Length(one.stream.Every), strconv.Itoa(one.seen.Sent), strconv.Itoa(one.seen.Failed),
			probe.Length(one.seen.P99), strconv.Itoa(one.seen.Slow), probe.Length(longest),
		})
	}
	if len(rows) > 0 {
		rec.Table("Streams", []string{"From", "Stream", "Address", "Every", "Probes", "Failed", "99 % within", "Slow", "Longest outage"}, rows)
	}
}

// recordOutages keeps each outage, for the timeline and as a table.
func (w *outageWatch) recordOutages(rec *Recorder, s sight) {
	var rows [][]string
	for i, o := range slices.Concat(s.outages, s.controls) {
		from, to := w.began.Add(o.From), w.began.Add(o.To)
		words := inWords(o.Class, o.Status)
		if o.control != "" {
			words = "control " + o.control + ": " + words
		} else if o.own > 0 {
			words += fmt.Sprintf(", for %s of it with a control", probe.Length(o.own))
		}
		row := []string{from.UTC().Format("15:04:05.000"), to.UTC().Format("15:04:05.000"), probe.Length(o.Best), words, o.address.String(), w.through(o)}
		if !o.address.IsValid() {
			row[4] = "DNS"
		}
		span := upgrade.Span{Name: fmt.Sprintf("Outage %d: %s", i+1, words), From: from, To: to, Failed: o.charged() && o.control == ""}
		if o.Open {
			row[1], span.To = "not ended", time.Time{}
		}
		if w.known {
			row = append(row, w.within(o, w.steps...).cell())
		}
		rows = append(rows, row)
		if i < drawn {
			rec.Span(span)
		}
	}
	if len(rows) == 0 {
		return
	}
	columns := []string{"From", "To", "Length", "What", "Address", "Stream"}
	if w.known {
		columns = append(columns, "Terraform")
	}
	rec.Table("Outages", columns, rows)
	for _, o := range s.outages {
		if o.Quote != "" {
			rec.Quote(o.stream.Path.URL, o.Quote, w.began.Add(o.From))
			return
		}
	}
	if s.failure.Quote != "" {
		rec.Quote(w.Path.URL, s.failure.Quote, w.began.Add(s.failure.Start))
	}
}

// through says which stream saw an outage.
func (w *outageWatch) through(o located) string {
	if o.vantage == probe.Here {
		return o.stream.Name
	}
	return o.stream.Name + " from " + string(o.vantage)
}

// inWords says what probes met during an outage.
func inWords(class probe.Class, status int) string {
	switch class {
	case probe.ClassSlow:
		return "answers came slowly"
	case probe.ClassLate:
		return "answers stalled and came late"
	case probe.ClassTCPTimeout:
		return "new connections were not answered"
	case probe.ClassTCPRefused:
		return "connections were refused"
	case probe.ClassTCPReset:
		return "connections were reset"
	case probe.ClassNetUnreachable, probe.ClassHostUnreachable:
		return "the address could not be reached"
	case probe.ClassTLSTimeout, probe.ClassTLSReset, probe.ClassTLSNotTLS, probe.ClassTLSOther:
		return "TLS failed"
	case probe.ClassTLSWrongName, probe.ClassTLSUnknownCA, probe.ClassTLSExpired, probe.ClassTLSExpires, probe.ClassTLSOld:
		return "the certificate was wrong"
	case probe.ClassHTTPFirstByte, probe.ClassHTTPBody:
		return "requests were not answered"
	case probe.ClassHTTPEOF, probe.ClassHTTPReset, probe.ClassHTTPCut:
		return "connections broke off"
	case probe.ClassHTTPMalformed, probe.ClassProxyMismatch, probe.ClassProxyPort:
		return "what answered was not the site"
	case probe.ClassNotViaVarnish:
		return "answers did not come through Varnish"
	case probe.ClassSynth:
		return "Varnish answered " + statusOr(status) + " by itself"
	case probe.ClassBackendFetch:
		return "Varnish got nothing from the backend"
	case probe.ClassBackendStatus:
		return "the backend answered " + statusOr(status)
	case probe.ClassLoadBalancer:
		return "the load balancer answered " + statusOr(status) + " by itself"
	case probe.ClassWrongContent, probe.ClassStale:
		return "another page answered"
	case probe.ClassBypassNotHonoured:
		return "the cache answered what goes past it"
	case probe.ClassBackendSlow:
		return "Varnish waited for the backend in vain"
	case probe.ClassDNSMissing, probe.ClassDNSUnexpected, probe.ClassDNSServfail, probe.ClassDNSTimeout, probe.ClassDNSRefused:
		return "DNS had no address for the site"
	case probe.ClassOK, probe.ClassGuarded, probe.ClassProber, probe.ClassUnsent, probe.ClassStalled,
		probe.ClassPacketLoss, probe.ClassForcedSick, probe.ClassHealthByVCL, probe.ClassPerIP, probe.ClassPortOpen: // no probe of a stream says so
	}
	return strings.ReplaceAll(string(class), "_", " ")
}

// statusOr returns a status, or what stands for one.
func statusOr(status int) string {
	if status == 0 {
		return "an error"
	}
	return strconv.Itoa(status)
}

// roughly is probe.Length with less detail, for headlines.
func roughly(d time.Duration) string {
	if d < time.Second {
		return probe.Length(d.Round(10 * time.Millisecond))
	}
	return probe.Length(d.Round(100 * time.Millisecond))
}

// trimmed returns a decimal number without zeros at its end.
func trimmed(s string) string { return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") }
