package gates

import (
	"fmt"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// compare looks what became of each key and grant of the inventory.
func (q *inquest) compare() {
	for _, old := range q.memo.Keys {
		at := slices.IndexFunc(q.keys, func(k keyState) bool { return k.key.ARN == old.ARN })
		if at < 0 {
			continue // look has read each of them
		}
		state := q.keys[at]
		if words, sure := stateFault(state.key); sure && !q.inChain(old.ARN) && old.State == "Enabled" {
			q.lost(fault{
				brief:  brief("%s lost a key: it %s", q.env, words),
				text:   fmt.Sprintf("the key %s, which group %s had at %s, %s", old.ARN, q.Group, clockTime(q.memo.At), words),
				advice: "make the key usable again with the command under Repair", mend: revive(state.key),
			})
		}
		if state.digest != old.Policy && state.digest != "" && old.Policy != "" {
			q.rec.Warnf("the policy of key %s was changed since %s: look whether somebody lost what they need", shortKey(old.ARN), clockTime(q.memo.At))
		}
		before := make([]cloud.Grant, len(old.Grants))
		for i, g := range old.Grants {
			before[i] = g.grant(old.ARN)
		}
		for _, d := range compared(old.ARN, before, state.grants) {
			q.diffs = append(q.diffs, d)
			if len(d.gone) > 0 {
				q.weigh(d, state)
			}
		}
	}
}

// weigh decides what it means that a grantee no longer has operations by any grant.
func (q *inquest) weigh(d difference, state keyState) {
	mine := d.before.Grantee == q.chain.who.role && q.inChain(d.key)
	left := slices.DeleteFunc(slices.Clone(d.gone), func(op string) bool { return q.otherwise(d, state, op, mine) })
	name, grantee := grantWithID(d.before), principalName(d.before.Grantee, q.chain.who.account)
	switch {
	case len(left) == 0 && mine:
		q.rec.Warnf("the grant %s of %s on key %s %s %s: what it needs of it, it has otherwise", name, grantee, shortKey(d.key), d.fate.words(), q.since())
		return
	case len(left) == 0:
		q.rec.Warnf("the grant %s of %s on key %s %s %s: the key policy gives the same", name, grantee, shortKey(d.key), d.fate.words(), q.since())
		return
	case strings.HasSuffix(d.before.Grantee, ".amazonaws.com"):
		q.rec.Warnf("the grant %s of the service %s on key %s %s %s: look whether AWS still needs it", name, d.before.Grantee, shortKey(d.key), d.fate.words(), q.since())
		return
	}
	f := fault{
		key: d.key, brief: brief("%s lost the grant %s", q.env, grantName(d.before)),
		text:   fmt.Sprintf("the grant %s of %s on key %s %s %s", name, grantee, d.key, d.fate.took(q.since()), strings.Join(left, ", ")),
		advice: fmt.Sprintf("restore the grant %s with the command under Repair", grantName(d.before)),
		mend:   []repair{{grant: d.before}},
	}
	at := slices.IndexFunc(q.faults, func(lacks fault) bool { return mine && lacks.key == d.key && len(lacks.lack) > 0 })
	if at < 0 {
		q.lost(f)
		return
	}
	// That it is lost is why the role lacks what it needs: one fault, not two.
	lacks := q.faults[at]
	f.brief, f.text = lacks.brief, f.text+consequence(lacks, left, q.Group)
	f.lack = slices.DeleteFunc(slices.Clone(lacks.lack), func(op string) bool { return slices.Contains(d.before.Operations, op) })
	if len(f.lack) > 0 {
		f.mend = append(f.mend, lacks.mend...)
	}
	q.faults[at] = f
}

// lost keeps a loss that the group does not feel. After a change it is a no: the change took something from
// somebody. A standing gate cannot tell it from what somebody meant to do, so it warns, and goes on doing so
// for a while.
func (q *inquest) lost(f fault) {
	if !q.standing {
		q.faults = append(q.faults, f)
		return
	}
	q.losses = append(q.losses, memoLoss{At: q.clock.Now(), Text: f.text})
}

// since says what losses are counted from.
func (q *inquest) since() string {
	if q.standing {
		return "since " + clockTime(q.memo.At)
	}
	return "since the change began"
}

// consequence says what a lost grant means for the group, without saying the same twice.
func consequence(lacks fault, left []string, group string) string {
	if slices.Equal(lacks.lack, left) {
		return ": group " + group + " launches by this role and cannot start instances" + lacks.why
	}
	return "; " + lacks.text + lacks.why
}

// otherwise reports whether the grantee needs no grant for an operation that it no longer has by any.
func (q *inquest) otherwise(d difference, state keyState, op string, mine bool) bool {
	if mine && (d.before.Constraints != "" || !slices.Contains(neededOperations(), op)) {
		return true // it never counted
	}
	if state.policy == nil {
		return false
	}
	who := caller{role: d.before.Grantee, account: accountIn(d.before.Grantee)}
	if d.before.Grantee == q.chain.who.role {
		who = q.chain.who
	}
	ruled := state.policy.rules(who, d.key, op)
	return ruled.allow == yes && ruled.deny == no
}

// grantWithID names a grant by its name and the beginning of its id.
func grantWithID(g cloud.Grant) string {
	if g.Name == "" {
		return shortID(g.ID)
	}
	return g.Name + " (" + shortID(g.ID) + ")"
}
