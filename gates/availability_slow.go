package gates

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// Slow answers are good ones that took longer than they may. They are no outage: users got what they asked for, and
// waited. So they have a budget of their own: a part of the probes of each stream.

// slowBeyond returns how long a good answer of a stream may take; 0: as long as a probe waits.
func (s OutageSettings) slowBeyond(stream string) time.Duration {
	switch stream {
	case streamCached, streamKept:
		return s.Slow
	case streamPast:
		return s.Past.Slow
	case streamDeep:
		return s.Deep.Slow
	}
	return 0
}

// addSlow counts the slow answers of one strip of the site as a class of its own. For how long answers were slow is
// told by the stream that had most of them, since streams overlap.
func (w *outageWatch) addSlow(s *sight, one *seenStrip) {
	if one.seen.Slow == 0 {
		return
	}
	c := s.classes[probe.ClassSlow]
	c.probes += one.seen.Slow
	c.likely = max(c.likely, time.Duration(one.seen.Slow)*one.stream.Every)
	c.surely = c.likely
	s.classes[probe.ClassSlow] = c
}

// slowest returns the strip of the site of which the largest part of answers was slow, and whether that is more than
// may be.
func (s *sight) slowest(limit float64) (worst *seenStrip, bad bool) {
	for i := range s.strips {
		one := &s.strips[i]
		if one.control != "" || !one.address.IsValid() || one.seen.Slow < leastStray {
			continue
		}
		if worst == nil || one.seen.Slow*worst.seen.Sent > worst.seen.Slow*one.seen.Sent {
			worst = one
		}
	}
	if worst == nil {
		return nil, false
	}
	return worst, float64(worst.seen.Slow) > limit*float64(worst.seen.Sent)
}

// slowly says it for people.
func (w *outageWatch) slowly(one *seenStrip) string {
	return fmt.Sprintf("%d of %s of stream %s took longer than %s (%s), the longest %s", one.seen.Slow, counted(one.seen.Sent, "probe"), one.stream.Name,
		probe.Length(w.slowBeyond(one.stream.Name)), percent(float64(one.seen.Slow)/float64(one.seen.Sent)), probe.Length(one.seen.Max))
}

// overClass returns the no of a class that was met for longer than it may.
func (w *outageWatch) overClass(s sight) error {
	for _, class := range slices.Sorted(maps.Keys(w.Budget.Classes)) {
		limit, seen := w.Budget.Classes[class], s.classes[class]
		switch {
		case limit == 0 && seen.probes > 0:
			return FailBrief("the site answered wrongly during the apply", "%s: %s met %s, and not one may",
				inWords(class, 0), counted(seen.probes, "probe"), class)
		case seen.surely > limit:
			if class == probe.ClassSlow {
				return FailBrief("the site was slow during the apply", "answers were slow for %s, limit %s for %s", probe.Length(seen.likely), probe.Length(limit), class)
			}
			return FailBrief(fmt.Sprintf("the site was down for %s during the apply", roughly(seen.likely)),
				"%s for %s in all, limit %s for %s", inWords(class, 0), probe.Length(seen.likely), probe.Length(limit), class)
		}
	}
	return nil
}
