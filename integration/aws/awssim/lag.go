package awssim

import (
	"slices"
	"time"
)

// unseen reports whether reads do not know yet of what was made at a time.
func (c *call) unseen(made time.Time) bool { return c.now.Before(made.Add(c.cfg.Timing.Lag)) }

// seenInstances are the instances that reads know of.
func (c *call) seenInstances() []*instance {
	if c.cfg.Timing.Lag == 0 {
		return c.realm.instances
	}
	return slices.DeleteFunc(slices.Clone(c.realm.instances), func(i *instance) bool { return c.unseen(i.launched) })
}

// lag makes reads of a group that is about to change answer for a while what they answered before.
func (c *call) lag(g *group) {
	if c.cfg.Timing.Lag == 0 || c.now.Before(g.shownUntil) {
		return
	}
	was := g.describe()
	g.shown, g.shownUntil = &was, c.now.Add(c.cfg.Timing.Lag)
}
