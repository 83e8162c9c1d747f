package probe

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Length writes how long something took, as pages do: "38 ms", "0.24 s", "1.24 s", "2 min 5 s", "1 h 5 min".
func Length(d time.Duration) string {
	switch {
	case d < 100*time.Millisecond:
		return strconv.FormatInt(d.Round(time.Millisecond).Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return trimmed(strconv.FormatFloat(d.Seconds(), 'f', 2, 64)) + " s"
	}
	d = d.Round(time.Second)
	units, rest := fmt.Sprintf("%d min", d/time.Minute), fmt.Sprintf(" %d s", d%time.Minute/time.Second)
	if d >= time.Hour {
		units, rest = fmt.Sprintf("%d h", d/time.Hour), fmt.Sprintf(" %d min", d%time.Hour/time.Minute)
	}
	if strings.HasPrefix(rest, " 0 ") {
		return units
	}
	return units + rest
}

// trimmed returns a decimal number without zeros at its end.
func trimmed(s string) string { return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") }
