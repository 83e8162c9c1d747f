package aws

import (
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// unseenFor is how long a read may miss what was just written: AWS promises to agree with itself
// eventually, and in practice does within seconds.
const unseenFor = 30 * time.Second

// recent remembers what this client wrote a moment ago, so that a read which does not know of it yet is not
// taken for the truth. It need not outlive the process: to start again takes longer.
type recent struct {
	clock upgrade.Clock

	mu    sync.Mutex // guards the fields below
	notes map[string]time.Time
}

// The things that are remembered, each with a name behind it.
const (
	madeGroup     = "made "     // a trial was, or may have been, created
	taggedGroup   = "tagged "   // the intent was, or may have been, written
	raisedGroup   = "raised "   // and one instance more asked
	untaggedGroup = "untagged " // the intent was removed
	endedInstance = "ended "    // by TakeOne
	endingMaybe   = "ending "   // by TakeOne, whose answer was lost
)

func (r *recent) note(what, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	for key, at := range r.notes {
		if now.Sub(at) >= unseenFor {
			delete(r.notes, key)
		}
	}
	if r.notes == nil {
		r.notes = map[string]time.Time{}
	}
	r.notes[what+name] = now
}

func (r *recent) is(what, name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, there := r.notes[what+name]
	return there && r.clock.Now().Sub(at) < unseenFor
}

func (r *recent) forget(what, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.notes, what+name)
}

// notYet says that AWS must be asked again.
func notYet(what string) error {
	return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "AWS does not show yet " + what, RetryAfter: unseenFor / 6}
}
