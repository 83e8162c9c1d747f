package gates

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// What is kept of certificates and of DNS: varnish.md §6.4.
const (
	mostChains  = 100
	mostAnswers = 200 // rows about DNS
	namesTold   = 4   // of one certificate
)

// metChain is a chain of certificates with where and when it was first met.
type metChain struct {
	at      time.Time
	from    probe.Vantage
	address netip.AddrPort
	chain   []probe.Cert
}

// meet adds a chain unless the same was the last to be met there.
func meet(list []metChain, one metChain) []metChain {
	if len(one.chain) == 0 || len(list) >= mostChains {
		return list
	}
	for _, other := range slices.Backward(list) {
		if other.from == one.from && other.address == one.address {
			if slices.EqualFunc(other.chain, one.chain, func(a, b probe.Cert) bool { return a.SHA256 == b.SHA256 }) {
				return list
			}
			break
		}
	}
	return append(list, one)
}

// recordChains keeps the certificates that were met, a row for each, the terminator's own first.
func recordChains(rec *Recorder, list []metChain) {
	slices.SortStableFunc(list, func(a, b metChain) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.from, b.from), a.address.Compare(b.address))
	})
	var rows [][]string
	for _, one := range list {
		for i, cert := range one.chain {
			what := cmp.Or(cert.Subject, strings.Join(cert.Names[:min(1, len(cert.Names))], ""), "without a name")
			if i > 0 {
				what = "signed by " + what
			}
			rows = append(rows, []string{
				one.at.UTC().Format("15:04:05.000"), placeName(one.from), one.address.String(), what, namesOf(cert), cert.Issuer, cert.Serial,
				cert.Until.UTC().Format("2006-01-02 15:04 MST"), cert.SHA256[:min(len(cert.SHA256), 16)],
			})
		}
	}
	if len(rows) > 0 {
		rec.Table("Certificates", []string{"First met", "From", "Address", "Certificate", "For", "Issued by", "Serial", "Valid until", "SHA-256 begins"}, rows)
	}
}

func namesOf(cert probe.Cert) string {
	shown := cert.Names[:min(namesTold, len(cert.Names))]
	text := strings.Join(shown, ", ")
	if more := len(cert.Names) - len(shown) + cert.More; more > 0 {
		text += " and " + strconv.Itoa(more) + " more"
	}
	return text
}

// ttlAt is the TTL of one lookup.
type ttlAt struct{ at, ttl time.Duration }

// noteNames keeps what a sample tells beside what came of it. The caller holds the mutex.
func (w *outageWatch) noteNames(f *feed, s probe.Sample) {
	w.chains = meet(w.chains, metChain{w.began.Add(s.Start), f.vantage, s.Address, s.Chain})
	if s.TTL <= 0 || f.control != "" {
		return
	}
	if w.ttls == nil {
		w.ttls = map[probe.Vantage][]ttlAt{}
	}
	w.ttls[f.vantage] = append(w.ttls[f.vantage], ttlAt{s.Sched, s.TTL})
}

// recordNames keeps what the site's name meant and for how long that may be kept.
func (w *outageWatch) recordNames(rec *Recorder, s sight) {
	var rows [][]string
	names := w.names(s)
	for i, named := range names {
		until := s.watched + probe.LookupEvery
		for _, later := range names[i+1:] {
			if later.Vantage == named.Vantage {
				until = later.At
				break
			}
		}
		var most time.Duration
		least := time.Duration(-1)
		for _, one := range w.ttls[probe.Vantage(named.Vantage)] {
			if one.at >= named.At-probe.LookupEvery && one.at < until {
				most = max(most, one.ttl)
				if least < 0 || one.ttl < least {
					least = one.ttl
				}
			}
		}
		ttl := "not known"
		switch {
		case least < 0:
		case least == most:
			ttl = probe.Length(most)
		default: // a server in between counts it down
			ttl = probe.Length(least) + " to " + probe.Length(most)
		}
		rows = append(rows, []string{
			w.began.Add(named.At).UTC().Format("15:04:05.000"), placeName(probe.Vantage(named.Vantage)), strings.Join(named.Addresses, ", "), ttl,
		})
	}
	if len(rows) > 0 && len(w.ttls) > 0 {
		rec.Table("DNS", []string{"Since", "From", "Addresses", "May be kept (TTL)"}, rows[:min(len(rows), mostAnswers)])
	}
}

// recordDNS keeps for how long DNS lets the addresses of ladders be kept, and what certificates were met on them.
func recordDNS(rec *Recorder, looks []look) {
	var rows [][]string
	var chains []metChain
	for _, one := range looks {
		for i, ladder := range one.ladders {
			chains = meet(chains, metChain{ladder.At, cmp.Or(one.from, probe.Here), ladder.Address, ladder.Chain})
			if i > 0 || ladder.TTL == 0 {
				continue
			}
			var addrs []string
			for _, each := range one.ladders {
				addrs = append(addrs, each.Address.Addr().String())
			}
			rows = append(rows, []string{one.path.URL, placeName(one.from), strings.Join(addrs, ", "), probe.Length(ladder.TTL)})
		}
	}
	if len(rows) > 0 {
		rec.Table("DNS", []string{"Path", "From", "Addresses", "May be kept (TTL)"}, rows)
	}
	recordChains(rec, chains)
}
