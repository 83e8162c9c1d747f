package gates

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// maxEarlier is of how many earlier launches the median is taken.
const maxEarlier = 50

// preflight is what was seen of the group's keys before the launch.
type preflight struct {
	chain   chain
	keys    []keyState
	lacks   []string // in words, one for each key of which the role certainly lacks something
	without []string // ARNs of those keys
	mend    []repair
	problem error // why it is not whole; nil if it is
}

// preflight looks at the keys as a kms-grants gate does, as evidence and for the diagnosis. nil: there is no
// way to look.
func (l launch) preflight(ctx context.Context, rec *Recorder) *preflight {
	if l.keys == nil {
		return nil
	}
	pre := &preflight{}
	pre.problem = pre.look(ctx, l, rec)
	switch {
	case Failed(pre.problem):
		rec.Fact("Preflight", "%s", pre.problem)
	case pre.problem != nil:
		rec.Fact("Preflight", "could not be made: %s", upgrade.Public(pre.problem))
		rec.Warnf("the keys of group %s could not be looked at before the launch: %s", l.Group, upgrade.Public(pre.problem))
		rec.Logf("look at the keys: %v", pre.problem)
	case len(pre.lacks) > 0:
		rec.Fact("Preflight", "%s", strings.Join(pre.lacks, "; "))
	default:
		rec.Fact("Preflight", "the role has what it needs of %s", counted(len(pre.keys), "key"))
	}
	return pre
}

func (pre *preflight) look(ctx context.Context, l launch, rec *Recorder) error {
	var err error
	pre.chain, err = follow(ctx, l.keys, l.env, l.Group)
	if pre.chain.group.Name != "" {
		recordChain(rec, pre.chain)
	}
	if err != nil {
		return err
	}
	who := pre.chain.who
	for _, key := range pre.chain.keys {
		if !key.Customer {
			continue
		}
		state, err := lookAtKey(ctx, l.keys, key, who.account)
		if err != nil {
			return err
		}
		pre.keys = append(pre.keys, state)
		if words, sure := stateFault(key); sure {
			pre.lacks, pre.without = append(pre.lacks, fmt.Sprintf("the key %s %s", key.ARN, words)), append(pre.without, key.ARN)
			pre.mend = append(pre.mend, revive(key)...)
		}
		rights := state.rightsOf(who)
		rec.Table("Operations on "+shortKey(key.ARN), []string{"Operation", "Needed", "Given by"}, rightRows(rights))
		lack := lacking(rights)
		if len(lack) == 0 {
			continue
		}
		pre.lacks = append(pre.lacks, fmt.Sprintf("the role %s lacks %s on key %s", principalName(who.role, who.account), strings.Join(lack, ", "), key.ARN))
		pre.without = append(pre.without, key.ARN)
		if !slices.ContainsFunc(rights, func(r right) bool { return r.policy.deny == yes }) {
			pre.mend = append(pre.mend, grantAnew(l.Group, key.ARN, who.role))
		}
	}
	return nil
}

// expected returns the key of each volume that a launch of the template makes, by device; "" for a volume
// that is not encrypted.
func (pre *preflight) expected(template cloud.Template) map[string]string {
	out := map[string]string{}
	if pre == nil || pre.problem != nil {
		return out
	}
	for _, v := range pre.chain.volumes {
		if v.template == template {
			out[v.device] = v.target
		}
	}
	return out
}

// settled refuses to ask while a change of the keys may not count yet, or count no longer: for some minutes
// KMS goes on as before, and a launch proves nothing. Error: CodeUnavailable with the time that is left.
func (l launch) settled(ctx context.Context, pre *preflight, rec *Recorder) error {
	if pre == nil || l.settle <= 0 || len(pre.keys) == 0 {
		return nil
	}
	now := l.clock.Now()
	last, what := time.Time{}, ""
	see := func(at time.Time, words string) {
		if at.After(last) && !at.After(now) {
			last, what = at, words
		}
	}
	for _, key := range pre.keys {
		for _, g := range key.grants {
			if g.Grantee == pre.chain.who.role {
				see(g.CreatedAt, "the grant "+grantName(g)+" was made")
			}
		}
	}
	events, err := l.keys.KeyEvents(ctx, now.Add(-l.settle))
	if err != nil {
		rec.Warnf("it is not known whether grants were revoked in the last %s: %s", l.settle, upgrade.Public(err))
		rec.Logf("ask CloudTrail for changes of keys: %v", err)
	}
	for _, e := range events {
		if ofSomebody(e, pre.chain.who.role) && slices.ContainsFunc(pre.keys, func(k keyState) bool { return sameKey(e.KeyID, k.key) }) {
			see(e.At, fmt.Sprintf("%s did %s", e.By, e.Name))
		}
	}
	due := last.Add(l.settle)
	if last.IsZero() || !now.Before(due) {
		return nil
	}
	rec.Fact("Last change of the keys", "%s at %s", what, clockTime(last))
	return &upgrade.Error{
		Code: upgrade.CodeUnavailable, RetryAfter: due.Sub(now),
		Msg:  fmt.Sprintf("cannot tell yet: %s at %s, and such a change counts after %s only", what, clockTime(last), l.settle),
		Hint: "run the gates again in a few minutes",
	}
}

// believed says what a healthy instance means. It is no proof before the settling time, nor when the keys
// changed meanwhile, nor when the role lacks what the next launch will need.
func (l launch) believed(ctx context.Context, in Input, pre *preflight, took time.Duration, rec *Recorder) error {
	if in.Early {
		rec.Passed("this counts for nothing yet, for a revoked grant goes on working for minutes: an instance started through %s was healthy after %s", l.Group, took)
		return nil
	}
	if err := l.settled(ctx, pre, rec); err != nil {
		return err
	}
	if pre != nil && len(pre.lacks) > 0 {
		l.mend(pre, rec)
		return &upgrade.Error{
			// A right that was taken away works for a while: the launch is tried again when it does not.
			Code: upgrade.CodeUnavailable, RetryAfter: l.settle,
			Msg:  fmt.Sprintf("an instance started through %s, although %s: the next one may not", l.Group, strings.Join(pre.lacks, "; ")),
			Hint: "give the role what it lacks, then run the gates again",
		}
	}
	rec.Passed("an instance started through %s was healthy after %s, %s allowed", l.Group, probe.Length(took), probe.Length(l.HealthyWithin))
	return nil
}

// mend keeps how the role gets what it lacks, and reports whether there is a way.
func (launch) mend(pre *preflight, rec *Recorder) bool {
	var commands []string
	for _, r := range pre.mend[:min(len(pre.mend), maxRepairs)] {
		commands = append(commands, r.command())
	}
	if len(commands) == 0 {
		return false
	}
	rec.Fact("Repair", "%s", strings.Join(commands, "\n"))
	return true
}

// earlier keeps how long the group's launches took before, to compare with.
func (l launch) earlier(ctx context.Context, group string, rec *Recorder) {
	activities, err := l.aws.Activities(ctx, group)
	if err != nil {
		rec.Logf("read the earlier launches of %s: %v", group, err)
		return
	}
	var took []time.Duration
	for _, a := range activities {
		if a.Status == "Successful" && strings.HasPrefix(a.Description, "Launching") && a.End.After(a.Start) && len(took) < maxEarlier {
			took = append(took, a.End.Sub(a.Start))
		}
	}
	if len(took) == 0 {
		rec.Fact("Earlier launches", "AWS remembers none")
		return
	}
	slices.Sort(took)
	rec.Fact("Earlier launches", "half of %d took at most %s", len(took), probe.Length(took[(len(took)-1)/2].Round(time.Second)))
}
