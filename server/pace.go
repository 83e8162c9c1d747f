package server

import (
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Pace is how fast one caller of the API may ask: Burst at once, and PerSecond in the long run. The zero value
// is 50 and 200.
type Pace struct {
	PerSecond float64
	Burst     int
}

const (
	usualPace  = 50
	usualBurst = 200
	// maxBuckets bounds how many callers are remembered; those who have their whole burst are forgotten first.
	maxBuckets = 10_000
)

// pacer has an allowance of tokens for each caller.
type pacer struct {
	pace Pace

	mu      sync.Mutex // guards the fields below
	buckets map[string]allowance
}

type allowance struct {
	tokens float64
	at     time.Time // when there were so many
}

func newPacer(p Pace) *pacer {
	if p.PerSecond <= 0 {
		p.PerSecond = usualPace
	}
	if p.Burst <= 0 {
		p.Burst = usualBurst
	}
	return &pacer{pace: p, buckets: map[string]allowance{}}
}

// take takes a token of who, or says how long to wait until there is one.
func (p *pacer) take(who string, now time.Time) (wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, known := p.buckets[who]
	if !known {
		p.makeRoom(now)
		b = allowance{float64(p.pace.Burst), now}
	}
	b = p.filled(b, now)
	if b.tokens < 1 {
		wait = time.Duration((1 - b.tokens) / p.pace.PerSecond * float64(time.Second))
	} else {
		b.tokens--
	}
	p.buckets[who] = b
	return wait
}

func (p *pacer) filled(b allowance, now time.Time) allowance {
	gained := now.Sub(b.at).Seconds() * p.pace.PerSecond
	return allowance{min(b.tokens+max(gained, 0), float64(p.pace.Burst)), now}
}

func (p *pacer) makeRoom(now time.Time) {
	if len(p.buckets) < maxBuckets {
		return
	}
	for who, b := range p.buckets {
		if p.filled(b, now).tokens >= float64(p.pace.Burst) {
			delete(p.buckets, who)
		}
	}
	if len(p.buckets) >= maxBuckets {
		clear(p.buckets)
	}
}

// keepPace refuses callers of the API who ask too fast.
func (s *Server) keepPace(c *gin.Context) {
	now := time.Now() //nolint:forbidigo // how fast somebody asks is real time, however world time is moved
	if wait := s.pacer.take(person(c).Name, now); wait > 0 {
		s.answerProblem(c, &upgrade.Error{
			Code: upgrade.CodeLimited, Msg: "you ask too fast", RetryAfter: wait,
			Hint: "wait as long as Retry-After says; ask for changes with If-None-Match, or follow /events",
		})
	}
}
