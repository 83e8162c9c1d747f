package gates

import (
	"fmt"
	"sync"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Targets knows which sites are being watched, so that none is by two gates at a time: it would get twice the
// load, and an outage during two applies could be charged to neither. The zero value is usable, by several
// goroutines; nil knows nothing and refuses nothing.
type Targets struct {
	mu      sync.Mutex // guards watched
	watched map[string]string
}

// take notes that a site is watched until it is released, which may be done more than once. Error:
// CodeUnavailable while somebody else watches it.
func (t *Targets) take(site string, in Input) (release func(), err error) {
	if t == nil {
		return func() {}, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if by, taken := t.watched[site]; taken {
		return nil, &upgrade.Error{
			Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("%s is watched by %s already, and only one at a time may", site, by),
			Hint: "rehearse again when that has ended",
		}
	}
	if t.watched == nil {
		t.watched = map[string]string{}
	}
	t.watched[site] = fmt.Sprintf("gate %s for run %d", in.Gate, in.Run.ID)
	var once sync.Once
	return func() {
		once.Do(func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			delete(t.watched, site)
		})
	}, nil
}
