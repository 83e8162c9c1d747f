package gates

import (
	"strconv"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// clocked is a prober whose clock is not this host's. What it saw is placed on the timeline by the difference.
type clocked interface {
	// Clock returns its clock minus this one, and how far off that may be; measured is false while nobody did.
	Clock() (offset, within time.Duration, measured bool)
}

// recordClocks keeps how the clocks of other places compared.
func (w *outageWatch) recordClocks(rec *Recorder) {
	for _, vantage := range w.Vantages {
		if vantage == probe.Here {
			continue
		}
		prober, err := w.prober(vantage)
		if err != nil {
			continue // the verdict says so
		}
		if c, ok := prober.(clocked); ok {
			if offset, within, measured := c.Clock(); measured {
				rec.Fact("Clock of "+string(vantage), "%s ms ± %s ms against this one", millis(offset, true), millis(within, false))
			}
		}
	}
}

// millis writes milliseconds with one digit behind the point.
func millis(d time.Duration, signed bool) string {
	text := strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64)
	if signed && d >= 0 {
		text = "+" + text
	}
	return text
}
