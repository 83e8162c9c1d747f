package gates

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// trailDelay is how late CloudTrail may know of a call.
const trailDelay = 15 * time.Minute

// compare looks what became of each key and grant of the inventory.
func (q *inquest) compare() {
	for _, old := range q.memo.Keys {
		at := slices.IndexFunc(q.keys, func(k keyState) bool { return k.key.ARN == old.ARN })
		if at < 0 {
			continue // look has read each of them
		}
		state := q.keys[at]
		if words, sure := stateFault(state.key); sure && !q.inChain(old.ARN) && old.State == "Enabled" {
			q.faults = append(q.faults, fault{
				brief:  brief("%s lost a key: it %s", q.env, words),
				text:   fmt.Sprintf("the key %s, which group %s had before the change, %s", old.ARN, q.Group, words),
				advice: "make the key usable again with the command under Repair, then run the gates again", mend: revive(state.key),
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
		q.rec.Warnf("the grant %s of %s on key %s %s since the change began: what it needs of it, it has otherwise", name, grantee, shortKey(d.key), d.fate.words())
		return
	case len(left) == 0:
		q.rec.Warnf("the grant %s of %s on key %s %s since the change began: the key policy gives the same", name, grantee, shortKey(d.key), d.fate.words())
		return
	case strings.HasSuffix(d.before.Grantee, ".amazonaws.com"):
		q.rec.Warnf("the grant %s of the service %s on key %s %s since the change began: look whether AWS still needs it", name, d.before.Grantee, shortKey(d.key), d.fate.words())
		return
	}
	f := fault{
		key: d.key, brief: brief("%s lost the grant %s", q.env, grantName(d.before)),
		text:   fmt.Sprintf("the grant %s of %s on key %s %s %s", name, grantee, d.key, d.fate.took(), strings.Join(left, ", ")),
		advice: fmt.Sprintf("restore the grant %s with the command under Repair, then run the gates again", grantName(d.before)),
		mend:   []repair{{grant: d.before}},
	}
	at := slices.IndexFunc(q.faults, func(lacks fault) bool { return mine && lacks.key == d.key && len(lacks.lack) > 0 })
	if at < 0 {
		q.faults = append(q.faults, f)
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

// whoDid asks CloudTrail who took away what is lost. What it does not know yet is no reason to wait.
func (q *inquest) whoDid(ctx context.Context) {
	since := q.memo.At
	if q.memo.Version == 0 {
		since = q.clock.Now().Add(-24 * time.Hour)
	}
	events, err := q.aws.KeyEvents(ctx, since.Add(-time.Minute))
	if err != nil {
		q.rec.Logf("ask CloudTrail who did it: %v", err)
		q.rec.Fact("Done by", "not known: %s", upgrade.Public(err))
		return
	}
	q.events = events
	var rows [][]string
	for _, e := range events {
		if q.about(e) {
			rows = append(rows, []string{clockTime(e.At), e.Name, q.grantOf(e), e.By, e.Agent})
		}
	}
	if len(rows) > 0 {
		q.rec.Table("What CloudTrail knows", []string{"At", "What", "Grant or key", "By", "With"}, rows)
	}
	var known []string
	missing := false
	for _, d := range q.diffs {
		if len(d.gone) == 0 {
			continue
		}
		at := slices.IndexFunc(events, func(e cloud.KeyEvent) bool {
			return e.GrantID == d.before.ID && (e.Name == "RevokeGrant" || e.Name == "RetireGrant")
		})
		if at < 0 {
			missing = true
			continue
		}
		e := events[at]
		known = append(known, fmt.Sprintf("%s at %s took back %s%s", e.By, clockTime(e.At), grantName(d.before), with(e.Agent)))
	}
	if missing || len(known) == 0 && len(rows) == 0 {
		known = append(known, fmt.Sprintf("not known yet: CloudTrail may say so up to %d minutes later", int(trailDelay.Minutes())))
	}
	if len(known) > 0 {
		q.rec.Fact("Done by", "%s", strings.Join(known, "; "))
	}
}

// with names the program that did it, as far as CloudTrail knows it.
func with(agent string) string {
	if agent == "" {
		return ""
	}
	name, _, _ := strings.Cut(agent, " ")
	return " with " + name
}

// about reports whether an event is about one of the keys, and no volume's everyday life.
func (q *inquest) about(e cloud.KeyEvent) bool {
	return ofSomebody(e, q.chain.who.role) && slices.ContainsFunc(q.keys, func(k keyState) bool { return sameKey(e.KeyID, k.key) })
}

// grantOf names the grant of an event as the inventory does.
func (q *inquest) grantOf(e cloud.KeyEvent) string {
	for _, d := range q.diffs {
		for _, g := range []cloud.Grant{d.before, d.after} {
			if e.GrantID != "" && g.ID == e.GrantID {
				return grantWithID(g)
			}
		}
	}
	if e.GrantID != "" {
		return shortID(e.GrantID)
	}
	return shortKey(e.KeyID)
}

// sameKey reports whether a request named the key.
func sameKey(name string, key cloud.Key) bool {
	return name != "" && (name == key.ARN || name == key.ID || strings.HasSuffix(key.ARN, ":key/"+name))
}

// ofSomebody reports whether a person or a program did it, and not AWS for a volume: those grants are made
// and retired with each instance by the role that launches, or by no role at all.
func ofSomebody(e cloud.KeyEvent, role string) bool {
	if e.Name != "CreateGrant" && e.Name != "RetireGrant" && e.Name != "RevokeGrant" {
		return true
	}
	session := ":assumed-role/" + role[strings.LastIndexByte(role, '/')+1:] + "/"
	return e.By != "" && e.By != role && !strings.Contains(e.By, session) && !strings.Contains(e.By, ":assumed-role/aws:") && !strings.HasSuffix(e.By, ".amazonaws.com")
}
