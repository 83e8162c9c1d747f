package gates

import (
	"time"

	"github.com/upgradegate/upgradegate/upgrade/cloud"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// ReadProbe is readProbe.
func ReadProbe(path probe.Path, command cloud.Command, at time.Time) ([]probe.Ladder, string, error) {
	return readProbe(path, command, at)
}
