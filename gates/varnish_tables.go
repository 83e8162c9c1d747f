package gates

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// recordLadders keeps the evidence table that pages draw as a ladder, and the failing answers. A layer that
// no ladder was asked about has no column, but the five that people look for always have.
func recordLadders(rec *Recorder, looks []look, several bool) {
	columns := []string{"Path"}
	if several {
		columns = append(columns, "From")
	}
	columns = append(columns, "Address")
	first := len(columns)
	shown := shownLayers(looks)
	for _, layer := range shown {
		columns = append(columns, string(layer))
	}
	var rows [][]string
	broken, all := 0, 0
	for _, one := range looks {
		lead := []string{one.path.URL}
		if several {
			lead = append(lead, placeName(one.from))
		}
		if one.err != nil {
			row := append(slices.Clone(lead), "")
			for range shown {
				row = append(row, "–")
			}
			rows = append(rows, row)
			continue
		}
		for _, ladder := range one.ladders {
			all++
			if rung, bad := ladder.Broken(); bad && !void(rung) {
				broken++
				if ladder.Quote != "" {
					rec.Quote(ladder.URL, ladder.Quote, ladder.At)
				}
			}
			row := append(slices.Clone(lead), addressOf(ladder))
			row[0] = ladder.URL
			rows = append(rows, append(row, rungTexts(ladder, shown)...))
		}
	}
	rec.Table("Ladder", columns[:first+len(shown)], rows)
	if broken > 0 {
		rec.Fact("Broken", "%d of %d", broken, all)
	}
}

func addressOf(ladder probe.Ladder) string {
	if !ladder.Address.IsValid() {
		return ""
	}
	return ladder.Address.String()
}

// shownLayers returns the layers that the table has a column for.
func shownLayers(looks []look) []probe.Layer {
	layers := []probe.Layer{
		probe.LayerDNS, probe.LayerTCP, probe.LayerTLS, probe.LayerProxy, probe.LayerVarnish, probe.LayerHTTP,
		probe.LayerBackend, probe.LayerContent, probe.LayerCache,
	}
	there, told := map[probe.Layer]bool{}, map[probe.Layer]bool{}
	for _, one := range looks {
		for _, ladder := range one.ladders {
			for _, rung := range ladder.Rungs {
				there[rung.Layer] = true
				told[rung.Layer] = told[rung.Layer] || rung.State == probe.RungOK || rung.State == probe.RungBroken
			}
		}
	}
	if len(there) == 0 {
		return []probe.Layer{probe.LayerDNS, probe.LayerTCP, probe.LayerTLS, probe.LayerVarnish, probe.LayerBackend}
	}
	return slices.DeleteFunc(layers, func(l probe.Layer) bool {
		rare := l == probe.LayerProxy || l == probe.LayerContent || l == probe.LayerCache
		return !there[l] || rare && !told[l]
	})
}

func rungTexts(ladder probe.Ladder, shown []probe.Layer) []string {
	texts := make([]string, len(shown))
	for i := range texts {
		texts[i] = "–" // this ladder has no such layer
	}
	for _, rung := range ladder.Rungs {
		if i := slices.Index(shown, rung.Layer); i >= 0 {
			texts[i] = rungText(rung, ladder.Status)
		}
	}
	return texts
}

func rungText(rung probe.Rung, status int) string {
	switch rung.State {
	case probe.RungOK:
		if rung.Took == 0 && rung.Detail != "" {
			return rung.Detail
		}
		text := strconv.FormatFloat(float64(rung.Took.Microseconds())/1000, 'f', 1, 64) + " ms"
		if rung.Detail != "" {
			text += " " + rung.Detail
		}
		return text
	case probe.RungBroken:
		return "✗ " + brokenWord(rung.Class, status)
	case probe.RungNotAsked:
		return "–"
	case probe.RungNotReached:
	}
	return "Not reached"
}

// brokenWord is what a broken rung is marked with; the sentence stands in the gate's message.
func brokenWord(class probe.Class, status int) string {
	words := map[probe.Class]string{
		probe.ClassDNSMissing: "No such name", probe.ClassDNSUnexpected: "Wrong address", probe.ClassDNSServfail: "Fails",
		probe.ClassTCPRefused: "Refused", probe.ClassDNSRefused: "Refused", probe.ClassTCPReset: "Reset", probe.ClassTLSReset: "Reset",
		probe.ClassDNSTimeout: "No answer", probe.ClassTCPTimeout: "No answer", probe.ClassTLSTimeout: "No answer",
		probe.ClassHTTPFirstByte: "No answer", probe.ClassHTTPBody: "Stops", probe.ClassHTTPCut: "Cut off",
		probe.ClassHTTPEOF: "Closed", probe.ClassHTTPReset: "Reset", probe.ClassHTTPMalformed: "Not HTTP",
		probe.ClassNetUnreachable: "Unreachable", probe.ClassHostUnreachable: "Unreachable", probe.ClassTLSNotTLS: "Not TLS",
		probe.ClassTLSWrongName: "Wrong certificate", probe.ClassTLSUnknownCA: "Wrong certificate", probe.ClassTLSExpired: "Wrong certificate",
		probe.ClassTLSExpires: "Ends soon", probe.ClassTLSOld: "Too old", probe.ClassTLSOther: "Fails",
		probe.ClassProxyPort: "PROXY port", probe.ClassProxyMismatch: "Mismatch",
		probe.ClassNotViaVarnish: "Not Varnish", probe.ClassWrongContent: "Wrong content", probe.ClassGuarded: "Not allowed",
		probe.ClassBypassNotHonoured: "No bypass", probe.ClassStale: "Stale", probe.ClassForcedSick: "Set sick",
	}
	switch word, known := words[class]; {
	case known:
		return word
	case status > 0: // the other classes are told by the status
		return strconv.Itoa(status)
	}
	return "Broken"
}

// recordDoors keeps what came of the doors that must be closed.
func recordDoors(rec *Recorder, looks []look, several bool) {
	var rows [][]string
	for _, one := range looks {
		for _, ladder := range one.ladders {
			for _, knock := range ladder.Doors {
				row := []string{knock.Address.Addr().String(), strconv.Itoa(int(knock.Address.Port()))}
				if several {
					row = append(row, placeName(one.from))
				}
				word := map[probe.State]string{probe.RungBroken: "✗ Open", probe.RungNotAsked: "Could not be tried"}[knock.State]
				if word == "" {
					word = knock.Detail
				}
				rows = append(rows, append(row, word))
			}
		}
	}
	if len(rows) == 0 {
		return
	}
	columns := []string{"Address", "Port", "Found"}
	if several {
		columns = []string{"Address", "Port", "From", "Found"}
	}
	rec.Table("Ports that must be closed", columns, rows)
}

// openDoors says which doors are open.
func openDoors(looks []look, several bool) []string {
	var list []string
	for _, one := range looks {
		for _, ladder := range one.ladders {
			for _, knock := range ladder.Doors {
				if knock.State != probe.RungBroken {
					continue
				}
				from := ""
				if several {
					from = " from " + placeName(one.from)
				}
				text := fmt.Sprintf("TCP %d of %s is open%s and must be closed: a security group, network ACL or firewall lets it through",
					knock.Address.Port(), knock.Address.Addr(), from)
				if !slices.Contains(list, text) {
					list = append(list, text)
				}
			}
		}
	}
	return list
}

// recordWarnings keeps what should be looked at and closes nothing.
func recordWarnings(rec *Recorder, looks []look) {
	for _, one := range looks {
		whole := one.err == nil
		for _, ladder := range one.ladders {
			if _, bad := ladder.Broken(); bad {
				whole = false
			}
			for _, warning := range ladder.Warnings {
				rec.Warnf("%s (%s)", warning.Detail, ladder.URL)
			}
			for _, rung := range ladder.Rungs {
				if rung.Layer == probe.LayerTCP && rung.State == probe.RungNotAsked {
					rec.Warnf("%s was not probed: %s (%s)", addressOf(ladder), rung.Detail, ladder.URL)
				}
			}
		}
		if whole && one.tries > 1 {
			rec.Warnf("%s", fmt.Sprintf("it took %d tries from %s: %s (%s)", one.tries, placeName(one.from), one.blip, one.path.URL))
		}
	}
}
