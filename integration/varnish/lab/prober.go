package lab

import (
	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// Prober returns what a prober needs to look at the site from a place: the way there, and a guard that
// lets it reach the site and nothing else.
func (s *Site) Prober(from Place, limits probe.Limits) varnish.Config {
	var guard varnish.Guard
	for _, allow := range s.Allow {
		guard.Allow = append(guard.Allow, varnish.Allow{Prefix: allow.Prefix, Ports: allow.Ports})
	}
	return varnish.Config{Guard: guard, Limits: limits, Dial: s.DialFrom(from)}
}
