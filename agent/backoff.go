package agent

import (
	"math/rand/v2"
	"time"
)

// The pauses between tries to reach the gate. The longest is well below wire.Gone: a gate that comes back
// hears of its agents before it takes them for gone.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 8 * time.Second
)

// backoff gives pauses that grow, each drawn by chance from its upper half, so that many agents do not come back at once.
// The zero value is ready.
type backoff struct{ tries int }

// next returns the pause before the next try: at least what the gate asked for.
func (b *backoff) next(atLeast time.Duration) time.Duration {
	pause := min(firstPause<<min(b.tries, 10), lastPause)
	b.tries++
	return max(atLeast, pause/2+rand.N(pause/2+1)) //nolint:gosec // chance, not secrecy
}

// reset begins anew after a success.
func (b *backoff) reset() { b.tries = 0 }
