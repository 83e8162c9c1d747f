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

// GrantsSettings are the settings of a kms-grants gate.
type GrantsSettings struct {
	Group string // name of the Auto Scaling group whose launches need the keys
}

// Kind returns "kms-grants".
func (GrantsSettings) Kind() string { return KindGrants }

// Bind gives the gate its look before a change, an inventory of the grants on every key of the group's
// volumes, and its check: the role by which the group launches may do with those keys what EBS needs, and
// no grant is lost since the inventory.
func (s GrantsSettings) Bind(gate *Gate, deps Deps) error {
	if deps.Keys == nil {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("environment %s has no aws", gate.Environment), Hint: "add its region and role"}
	}
	aws, err := deps.Keys(gate.Environment)
	if err != nil {
		return fmt.Errorf("reach AWS of %s: %w", gate.Environment, err)
	}
	g := grants{GrantsSettings: s, env: gate.Environment, aws: aws, clock: deps.Clock}
	gate.Before, gate.Check, gate.Learn = g.before, g.check, g.learn
	return nil
}

type grants struct {
	GrantsSettings
	env   upgrade.EnvName
	aws   Keys
	clock upgrade.Clock
}

// before keeps what there is on the keys, for the check to compare with.
func (g grants) before(ctx context.Context, _ Input, rec *Recorder) (string, error) {
	began := g.clock.Now()
	c, err := follow(ctx, g.aws, g.env, g.Group)
	if c.group.Name != "" {
		recordChain(rec, c)
	}
	m := memo{Version: memoVersion, At: began, Group: g.Group, Role: c.who.role}
	if c.group.Name == "" && upgrade.CodeOf(err) == upgrade.CodeNotFound {
		// The change may be what makes it. If it is not, or the name is wrong, the check cannot tell either.
		rec.Passed("there is no group %s yet, so the change can take nothing from it", g.Group)
		return m.text()
	}
	if Failed(err) { // the change may be what mends it: what the way led to so far is compared
		rec.Warnf("before the change, %s", err)
		err = nil
	}
	if err != nil {
		return "", err
	}
	for _, key := range c.keys {
		if !key.Customer {
			continue
		}
		state, err := lookAtKey(ctx, g.aws, key, c.who.account)
		if err != nil {
			return "", err
		}
		m.Keys = append(m.Keys, state.memo())
		rec.Table("Grants on "+shortKey(key.ARN), []string{"Grant", "Grantee", "Operations", "Constraints"}, grantRows(state.grants, c.who.account))
	}
	rec.Passed("the grants on %s are written down, to be compared after the change", counted(len(m.Keys), "key"))
	return m.text()
}

// inquest is one check at work.
type inquest struct {
	grants
	rec      *Recorder
	standing bool
	chain    chain
	memo     memo // of version 0: there is nothing to compare with
	keys     []keyState
	diffs    []difference
	faults   []fault
	losses   []memoLoss
	doubts   []string
}

// fault is one thing that is wrong.
type fault struct {
	key    string   // ARN; may be empty
	lack   []string // operations on it that the group's role needs and does not have
	brief  string
	text   string
	why    string // goes behind the text
	advice string
	mend   []repair
}

func (g grants) check(ctx context.Context, in Input, rec *Recorder) error {
	q := &inquest{grants: g, rec: rec, standing: in.Standing}
	if in.Memo != "" {
		var err error
		if q.memo, err = readMemo(in.Memo); err != nil {
			return err
		}
	}
	var err error
	q.chain, err = follow(ctx, g.aws, g.env, g.Group)
	if q.chain.group.Name != "" {
		recordChain(rec, q.chain)
	}
	if err != nil {
		return err
	}
	if err := q.look(ctx); err != nil {
		return err
	}
	q.judgeKeys()
	if q.memo.Version > 0 {
		q.compare()
	}
	q.record()
	if len(q.faults) > 0 {
		q.whatDid(in.Plan)
		q.whoDid(ctx)
		return q.refuse()
	}
	return q.verdict(in)
}

// look reads the keys of today's volumes, and those that volumes had before the change.
func (q *inquest) look(ctx context.Context) error {
	for _, key := range q.chain.keys {
		if !key.Customer {
			continue
		}
		state, err := lookAtKey(ctx, q.aws, key, q.chain.who.account)
		if err != nil {
			return err
		}
		q.keys = append(q.keys, state)
	}
	for _, old := range q.memo.Keys {
		if q.inChain(old.ARN) {
			continue
		}
		key, err := q.aws.Key(ctx, old.ARN)
		switch {
		case err != nil && upgrade.CodeOf(err) == upgrade.CodeNotFound:
			key = cloud.Key{ARN: old.ARN, Account: accountIn(old.ARN), State: "Gone", Customer: true}
			q.keys = append(q.keys, keyState{key: key})
			continue
		case err != nil:
			return fmt.Errorf("read key %s, which the group had before the change: %w", old.ARN, err)
		}
		state, err := lookAtKey(ctx, q.aws, key, q.chain.who.account)
		if err != nil {
			return err
		}
		q.keys = append(q.keys, state)
	}
	return nil
}

func (q *inquest) inChain(arn string) bool {
	return slices.ContainsFunc(q.chain.keys, func(k cloud.Key) bool { return k.ARN == arn })
}

// judgeKeys looks whether the role may do with today's keys what it needs.
func (q *inquest) judgeKeys() {
	who := q.chain.who
	for _, state := range q.keys {
		if !q.inChain(state.key.ARN) {
			continue
		}
		if words, sure := stateFault(state.key); sure {
			q.faults = append(q.faults, fault{
				brief:  brief("%s's group %s cannot start: the key of its image %s", q.env, q.Group, words),
				text:   fmt.Sprintf("the key %s of group %s %s, so no instance can start", state.key.ARN, q.Group, words),
				advice: "make the key usable again with the command under Repair",
				mend:   revive(state.key),
			})
		} else if words != "" {
			q.doubts = append(q.doubts, fmt.Sprintf("the key %s %s", state.key.ARN, words))
		}
		rights := state.rightsOf(who)
		q.rec.Table("Operations on "+shortKey(state.key.ARN), []string{"Operation", "Needed", "Given by"}, rightRows(rights))
		if lack := lacking(rights); len(lack) > 0 {
			q.faults = append(q.faults, q.missing(state, rights, lack))
		}
		for _, r := range rights {
			switch {
			case r.needed && r.held() == unclear:
				q.doubts = append(q.doubts, fmt.Sprintf("whether %s may %s with key %s: statement %s of its policy has the condition %s, which cannot be judged",
					principalName(who.role, who.account), r.op, shortKey(state.key.ARN), r.policy.by, r.policy.condition))
			case r.held() == yes && r.policy.deny == unclear:
				q.rec.Warnf("the policy of key %s may deny %s to %s: the condition %s of its statement %s cannot be judged",
					shortKey(state.key.ARN), r.op, principalName(who.role, who.account), r.policy.condition, r.policy.by)
			}
		}
		if advised := opsWhere(rights, func(r right) bool { return !r.needed && r.held() == no }); len(advised) > 0 && len(lacking(rights)) == 0 {
			q.rec.Warnf("%s lacks %s on key %s, which Amazon's examples give it and its list of needs does not",
				principalName(who.role, who.account), strings.Join(advised, " and "), shortKey(state.key.ARN))
		}
	}
}

// missing is the fault that the role lacks operations on a key.
func (q *inquest) missing(state keyState, rights []right, lack []string) fault {
	who := principalName(q.chain.who.role, q.chain.who.account)
	f := fault{
		key: state.key.ARN, lack: lack,
		brief: brief("%s's group %s cannot use the key of its image", q.env, q.Group),
		text: fmt.Sprintf("the role %s, by which group %s launches, lacks %s on key %s",
			who, q.Group, strings.Join(lack, ", "), state.key.ARN),
		advice: "give the role what it lacks with the command under Repair",
	}
	for _, r := range rights {
		switch {
		case r.needed && r.policy.deny == yes:
			f.why = fmt.Sprintf("; statement %s of the key policy denies it", r.policy.by)
			f.advice = fmt.Sprintf("take the role out of statement %s of the policy of key %s", r.policy.by, shortKey(state.key.ARN))
			return f
		case r.needed && r.held() == no && r.constrained != nil:
			f.why = fmt.Sprintf("; its grant %s does not count, for it has constraints", grantName(*r.constrained))
		default:
			continue
		}
		break
	}
	if deleted := slices.IndexFunc(state.grants, func(g cloud.Grant) bool { return strings.HasPrefix(g.Grantee, "AROA") }); deleted >= 0 {
		f.why += fmt.Sprintf("; the grant %s on it is for a role that was deleted", grantName(state.grants[deleted]))
	}
	f.mend = []repair{grantAnew(q.Group, state.key.ARN, q.chain.who.role)}
	return f
}

// verdict says what it means that nothing is certainly wrong.
func (q *inquest) verdict(in Input) error {
	if len(q.doubts) > 0 {
		return &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: "cannot tell " + andMore(q.doubts[:min(len(q.doubts), listed)], len(q.doubts)),
			Hint: "look at the key policy, or give the role a grant without constraints",
		}
	}
	if q.memo.Version == 0 && (in.Run.Applies > 0 || len(in.Befores) > 0) {
		return &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: "it is not known which grants there were before the change, so nobody can tell whether one is lost",
			Hint: "rehearse again: then the grants are written down first",
		}
	}
	q.passed()
	if in.Standing {
		return q.goOn()
	}
	return nil
}

// remembered is how long a standing gate warns of a loss that the group does not feel.
const remembered = 24 * time.Hour

// goOn keeps the inventory of now for the next asking. One that finds the group's role without what it needs
// keeps the one that it had, so that it can go on naming the grant that is lost.
func (q *inquest) goOn() error {
	now := memo{Version: memoVersion, At: q.clock.Now(), Group: q.Group, Role: q.chain.who.role}
	for _, loss := range append(q.memo.Losses, q.losses...) {
		if now.At.Sub(loss.At) < remembered {
			now.Losses = append(now.Losses, loss)
			q.rec.Warnf("%s: if nobody meant to, give it back", loss.Text)
		}
	}
	for _, state := range q.keys {
		if q.inChain(state.key.ARN) {
			now.Keys = append(now.Keys, state.memo())
		}
	}
	text, err := now.text()
	if err != nil {
		return err
	}
	q.rec.Keep(text)
	return nil
}

func (q *inquest) passed() {
	since := "; nothing was applied since"
	switch {
	case q.standing && (q.memo.Version == 0 || len(q.losses) > 0):
		since = ""
	case q.memo.Version > 0:
		since = ", and nothing is lost since " + clockTime(q.memo.At)
	}
	role := principalName(q.chain.who.role, q.chain.who.account)
	customer := len(slices.DeleteFunc(slices.Clone(q.chain.keys), func(k cloud.Key) bool { return !k.Customer }))
	if customer == 0 {
		q.rec.Passed("no volume of group %s has a key that needs grants%s", q.Group, since)
		return
	}
	q.rec.Passed("%s may use the %s of group %s%s", role, counted(customer, "key"), q.Group, since)
}

// clockTime writes a moment for people.
func clockTime(t time.Time) string { return t.UTC().Format("2 Jan 15:04:05 UTC") }
