package gates

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// drawn is how many outages are drawn on the timeline at most; the table has more.
const drawn = 100

// record keeps what was probed and how it went.
func (a availability) record(rec *Recorder, s sight) {
	rec.Fact("Probed", "%s", a.Path.URL)
	rec.Fact("Rate", "every %s, on %s", length(a.Every), counted(len(s.addresses), "address"))
	if len(s.addresses) > 1 {
		rec.Fact("Rate", "every %s, on each of %d addresses", length(a.Every), len(s.addresses))
	}
	rec.Fact("Probes", "%d in %s, %d failed", s.sent, length(s.watched), s.failed)
	rec.Fact("Answers", "half of them within %s, 99 %% within %s", length(s.p50), length(s.p99))
	blind := "never"
	if s.blind > 0 || s.unsent > 0 {
		blind = fmt.Sprintf("%s in all, %s at a time; %s not sent", length(s.blind), length(s.longestBlind), counted(s.unsent, "probe"))
	}
	rec.Fact("Prober could not see", "%s", blind)
	longest := "none"
	if o := s.longest; o.Class != "" {
		longest = fmt.Sprintf("%s (from %s to %s)", length(o.Best), length(o.Certain), length(o.Most))
	}
	rec.Fact("Longest outage", "%s, limit %s", longest, length(a.Budget.Longest))
	rec.Fact("Outages in total", "%s, limit %s", length(s.total), length(a.Budget.Total))
}

// recordOutages keeps each outage, for the timeline and as a table.
func (w *outageWatch) recordOutages(rec *Recorder, s sight) {
	var rows [][]string
	for i, o := range s.outages {
		from, to := s.began.Add(o.From), s.began.Add(o.To)
		words := inWords(o.Class, o.Status)
		row := []string{from.UTC().Format("15:04:05.000"), to.UTC().Format("15:04:05.000"), length(o.Best), words, o.address.String()}
		if !o.address.IsValid() {
			row[4] = "DNS"
		}
		span := upgrade.Span{Name: fmt.Sprintf("Outage %d: %s", i+1, words), From: from, To: to, Failed: true}
		if o.Open {
			row[1], span.To = "not ended", time.Time{}
		}
		if w.known {
			row = append(row, w.within(s, o, w.steps...).cell())
		}
		rows = append(rows, row)
		if i < drawn {
			rec.Span(span)
		}
	}
	if len(rows) == 0 {
		return
	}
	columns := []string{"From", "To", "Length", "What", "Address"}
	if w.known {
		columns = append(columns, "Terraform")
	}
	rec.Table("Outages", columns, rows)
	for _, o := range s.outages {
		if o.Quote != "" {
			rec.Quote(w.Path.URL, o.Quote, s.began.Add(o.From))
			return
		}
	}
}

// inWords says what probes met during an outage.
func inWords(class probe.Class, status int) string {
	switch class {
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
	case probe.ClassTLSWrongName, probe.ClassTLSUnknownCA, probe.ClassTLSExpired:
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
		return "Varnish answered " + strconv.Itoa(status) + " by itself"
	case probe.ClassBackendFetch:
		return "Varnish got nothing from the backend"
	case probe.ClassBackendStatus:
		return "the backend answered " + strconv.Itoa(status)
	case probe.ClassLoadBalancer:
		return "the load balancer answered " + strconv.Itoa(status) + " by itself"
	case probe.ClassWrongContent, probe.ClassStale, probe.ClassBypassNotHonoured:
		return "another page answered"
	case probe.ClassDNSMissing, probe.ClassDNSUnexpected, probe.ClassDNSServfail, probe.ClassDNSTimeout, probe.ClassDNSRefused:
		return "DNS had no address for the site"
	case probe.ClassOK, probe.ClassGuarded, probe.ClassProber, probe.ClassUnsent:
	}
	return strings.ReplaceAll(string(class), "_", " ")
}

// length writes how long something took: "240 ms", "1.24 s", "2m5s".
func length(d time.Duration) string {
	switch {
	case d < time.Second:
		return strconv.FormatInt(d.Round(time.Millisecond).Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return trimmed(strconv.FormatFloat(d.Seconds(), 'f', 2, 64)) + " s"
	}
	return d.Round(time.Second).String()
}

// roughly is length with less detail, for headlines.
func roughly(d time.Duration) string {
	if d < time.Second {
		return length(d.Round(10 * time.Millisecond))
	}
	return length(d.Round(100 * time.Millisecond))
}

// trimmed returns a decimal number without zeros at its end.
func trimmed(s string) string { return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") }
