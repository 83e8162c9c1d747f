package server

import (
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// outageClass is the colour of an outage: all are red, and the deeper the layer, the lighter. What hit the
// vantage's own network too is grey.
func outageClass(o upgrade.Outage) string {
	if o.Own {
		return "f-own"
	}
	return failureClass(o.Class, o.Layer)
}

// failureClass is the colour of a failed probe.
func failureClass(class, layer string) string {
	switch {
	case class == string(probe.ClassLate):
		return "f-late"
	case strings.HasPrefix(class, "tls"), layer == string(probe.LayerTLS):
		return "f-tls"
	case strings.HasPrefix(class, "dns"), strings.HasPrefix(class, "tcp"), strings.HasSuffix(class, "unreachable"),
		layer == string(probe.LayerDNS), layer == string(probe.LayerTCP):
		return "f-bad"
	}
	return "f-http"
}

// legend says what the colours of the rows mean.
func (s watched) legend(rows []stripView) []legendView {
	used := map[string]bool{}
	blind, stray := false, false
	for _, o := range s.watch.Outages {
		used[outageClass(o)] = true
	}
	for _, row := range rows {
		stray = stray || row.Stray != ""
		blind = blind || slices.ContainsFunc(row.Bars, func(b barView) bool { return b.Class == "f-blind" })
	}
	out := []legendView{{"f-okl", "answered; the higher, the slower"}}
	for _, one := range []legendView{
		{"f-bad", "no connection"},
		{"f-tls", "TLS failed"},
		{"f-http", "no answer, or a wrong one"},
		{"f-late", "answered late"},
		{"f-own", "the control was out too"},
	} {
		if used[one.Class] {
			out = append(out, one)
		}
	}
	if stray {
		out = append(out, legendView{"f-stray", "single probes failed"})
	}
	if blind {
		out = append(out, legendView{"f-blind", "not seen"})
	}
	if len(s.marks) > 0 {
		out = append(out, legendView{"f-tf", "a step of Terraform's"})
	}
	return out
}
