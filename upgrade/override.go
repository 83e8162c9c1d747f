package upgrade

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"time"
)

// OverrideDefault is for how long an override counts unless its people say otherwise: product.md §3, S6.
const OverrideDefault = 24 * time.Hour

// Override is an unlock in spite of the verdict (S6). It is never a pass: the run's verdict stays
// closed. It is bound to the run's causes as its people saw them, and kept for ever.
type Override struct {
	Causes []Cause // that it overrides
	Reason string
	By     []Person // who asked, and who agreed; it counts from two on
	Asked  time.Time
	Given  time.Time // when the second person agreed; zero: not yet
	Until  time.Time
}

// Counts reports whether the override is in force at now.
func (o *Override) Counts(now time.Time) bool {
	return o != nil && len(o.By) >= 2 && !o.Given.IsZero() && now.Before(o.Until)
}

// Covers reports whether every one of the causes was seen by those who overrode: a new cause, or one
// that says something else, voids the override.
func (o *Override) Covers(causes []Cause) bool {
	if o == nil {
		return false
	}
	for _, cause := range causes {
		seen := slices.ContainsFunc(o.Causes, func(c Cause) bool { return c.same(cause) })
		if !seen {
			return false
		}
	}
	return true
}

// same reports whether two causes say the same thing.
func (c Cause) same(other Cause) bool {
	return c.Kind == other.Kind && c.Gate == other.Gate && c.Run == other.Run && c.Message == other.Message
}

// CausesDigest returns a SHA-256, hexadecimal, over what the causes say, whatever their order. Who
// overrides says with it what they saw.
func CausesDigest(causes []Cause) string {
	lines := make([]string, 0, len(causes))
	for _, c := range causes {
		lines = append(lines, strconv.Quote(string(c.Kind))+strconv.Quote(string(c.Gate))+c.Run.String()+strconv.Quote(c.Message))
	}
	slices.Sort(lines)
	sum := sha256.New()
	for _, line := range lines {
		sum.Write([]byte(line + "\n"))
	}
	return hex.EncodeToString(sum.Sum(nil))
}
