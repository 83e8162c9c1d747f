package upgrade

import (
	"cmp"
	"slices"
	"strings"
)

// LongOutage stands in the brief of an availability gate whose outage was more than ten times as long as
// its limit, or had not ended. Results are listed without their evidence, so the brief has to tell.
const LongOutage = "far beyond the limit"

// EffectOf returns what it means for people that r failed.
func EffectOf(r Result) Effect {
	if r.Outcome != OutcomeFailed {
		return EffectNotComplete
	}
	if r.Environment == "production" { // its name in every configuration
		return EffectProductionBroken
	}
	switch r.Kind {
	case "instance-launch":
		return EffectCannotStart
	case "varnish", "http":
		return EffectUnreachable
	case "kms-grants":
		return EffectGrants
	case "availability":
		if strings.Contains(r.Brief, LongOutage) {
			return EffectLongOutage
		}
		return EffectShortOutage
	}
	return EffectOther
}

// sortCauses puts the worst effect first and keeps the order of the file within one effect.
func sortCauses(causes []Cause) {
	slices.SortStableFunc(causes, func(a, b Cause) int { return cmp.Compare(b.Effect, a.Effect) })
}
