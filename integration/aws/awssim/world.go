package awssim

import (
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// world is everything there is. The Sim's lock guards it; whoever holds a *world holds the lock.
type world struct {
	cfg       Config
	seq       int
	realms    map[realmKey]*realm
	keys      []*kmsKey
	aliases   []*alias
	images    []*image
	snapshots []*snapshot
	roles     map[string]*Role // by ARN
	sessions  map[string]*session
	denials   map[denial]bool
	policies  map[string][]identityPolicy // principal → what it may do; none: everything
	profiles  map[string]string           // account and instance profile → ARN of its role
	faults    []*fault
	failing   map[string]Failure // AMI → how its launches die
	spoiled   map[string]Spoil   // AMI → what does not work in its instances
	joins     map[string]string  // group, or template by id or name → cluster
	trail     []*trailEvent      // oldest first
	lookups   map[string]lookups // account → of this second
	calls     []Call
	events    eventQueue
	beside    func(do func() (then func()))
	changed   chan struct{} // closed and replaced when a security group changes
}

// realmKey names an account in a region.
type realmKey struct{ account, region string }

// realm is what one account has in one region.
type realm struct {
	realmKey

	vpcs       []*vpc
	subnets    []*subnet
	firewalls  []*firewall
	templates  []*template
	instances  []*instance
	groups     []*group
	launches   map[string][]node // answers of RunInstances by token
	clusters   []*cluster
	parameters map[string]string // of Systems Manager
	commands   []*command
	buried     []*group // deleted, for their activities
	ebsKey     string   // ARN of the default key; empty: the AWS managed one
	ebsEncrypt bool
	limit      int // of instances; 0: none
}

// event is something that will happen.
type event struct {
	at  time.Time
	seq int
	do  func(now time.Time)
}

// eventQueue is a heap of events, earliest first, in order of planning within one instant.
type eventQueue []event

// Len, Less, Swap, Push and Pop make it a heap.
func (q eventQueue) Len() int { return len(q) }

// Less orders by time.
func (q eventQueue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].seq < q[j].seq
}

// Swap swaps two.
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push appends.
func (q *eventQueue) Push(x any) { *q = append(*q, x.(event)) } //nolint:forcetypeassert // only at pushes

// Pop removes the last.
func (q *eventQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

// at plans do for a time. What happens then sees that time, however late it is noticed.
func (w *world) at(when time.Time, do func(now time.Time)) {
	w.seq++
	heap.Push(&w.events, event{when, w.seq, do})
}

// advance lets everything happen that is due by now.
func (w *world) advance(now time.Time) {
	for len(w.events) > 0 && !w.events[0].at.After(now) {
		e := heap.Pop(&w.events).(event) //nolint:forcetypeassert // only at pushes
		e.do(e.at)
	}
}

// id makes up an identifier such as "sg-0a1b2c3d4e5f60718". The same requests in the same order make
// the same ones.
func (w *world) id(prefix string) string { return prefix + "-" + w.hex(17) }

// hex returns n digits that were not used before. n is at most 64.
func (w *world) hex(n int) string {
	w.seq++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", w.cfg.Account, w.seq))
	return hex.EncodeToString(sum[:])[:n]
}

// uuid makes up an identifier of that shape.
func (w *world) uuid() string {
	h := w.hex(32)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}

func (k realmKey) arn(service, rest string) string {
	return "arn:aws:" + service + ":" + k.region + ":" + k.account + ":" + rest
}

// defaultRole is the ARN of the account's service-linked role for Auto Scaling.
func (k realmKey) defaultRole() string {
	return "arn:aws:iam::" + k.account + ":role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
}

func itoa(n int) string { return strconv.Itoa(n) }

// find returns the first of all that is, or nil.
func find[T any](all []*T, is func(*T) bool) *T {
	for _, x := range all {
		if is(x) {
			return x
		}
	}
	return nil
}
