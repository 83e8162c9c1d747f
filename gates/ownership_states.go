package gates

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// knowledge is what is known of the states that could hold what a plan takes away.
type knowledge struct {
	own      upgrade.StateName
	home     plan.Object // account and region in which this state's things are, as far as it is known
	objects  []plan.Object
	readings []upgrade.Reading          // of every state, by name
	stale    []upgrade.StateName        // that were too old even when they had been read anew
	holds    map[upgrade.StateName]bool // that could hold one of the objects
}

// look finds the states that could hold one of the objects, and has those read anew whose reading is not
// of the last minutes, or could not be taken when it was last tried: an apply may have made it an old one.
func (o owner) look(ctx context.Context, in Input, objects []plan.Object) (*knowledge, error) {
	k := &knowledge{own: upgrade.StateOf(in.Run.Stack, in.Run.Environment), objects: objects}
	if err := o.read(ctx, k, in); err != nil {
		return nil, err
	}
	var again []upgrade.StateName
	for _, r := range k.readings {
		if k.holds[r.State] && (r.Problem != "" || o.clock.Now().Sub(r.ReadAt) > readAgainAfter) {
			again = append(again, r.State)
		}
	}
	if len(again) > 0 {
		if err := o.states.Refresh(ctx, again); err != nil {
			return nil, fmt.Errorf("read the states anew: %w", err)
		}
		if err := o.read(ctx, k, in); err != nil {
			return nil, err
		}
	}
	for _, r := range k.readings {
		if k.holds[r.State] && (r.ReadAt.IsZero() || o.clock.Now().Sub(r.ReadAt) > o.maxAge) {
			k.stale = append(k.stale, r.State)
		}
	}
	return k, nil
}

func (o owner) read(ctx context.Context, k *knowledge, in Input) error {
	readings, err := o.states.Readings(ctx)
	if err != nil {
		return fmt.Errorf("list the states that are known: %w", err)
	}
	k.readings, k.holds, k.home = readings, map[upgrade.StateName]bool{}, plan.Object{}
	var own upgrade.Reading
	for _, r := range readings {
		if r.State == k.own || r.Stack != "" && r.Stack == in.Run.Stack && r.Env == in.Run.Environment {
			own, k.own = r, r.State
		}
	}
	k.home.Account, k.home.Region = own.Account, own.Region
	if own.ReadAt.IsZero() {
		k.home.Account, k.home.Region = whereabouts(in.Plan)
	}
	for _, r := range readings {
		k.holds[r.State] = slices.ContainsFunc(k.objects, func(object plan.Object) bool { return couldHold(r, k.placed(object)) })
	}
	return nil
}

// whereabouts returns the account and region of the things in a plan, if all agree that say one.
func whereabouts(p plan.Summary) (account, region string) {
	accounts, regions := map[string]bool{}, map[string]bool{}
	for _, change := range p.Changes {
		o := plan.ObjectOf(change)
		accounts[o.Account], regions[o.Region] = true, true
	}
	return only(accounts), only(regions)
}

// only returns the one word in the set besides the empty one; "" if there is none, or there are several.
func only(set map[string]bool) string {
	found := ""
	for word := range set {
		switch {
		case word == "":
		case found != "":
			return ""
		default:
			found = word
		}
	}
	return found
}

// couldHold reports whether the thing may be in the state: one that was never read holds anything.
func couldHold(r upgrade.Reading, o plan.Object) bool {
	return o.Key != "" && maybe(r.Account, o.Account) && maybe(r.Region, o.Region)
}

// maybe reports whether two words may be the same, of which either may not be known.
func maybe(a, b string) bool { return a == "" || b == "" || a == b }

// placed returns the object with the account and region of its state, where its key alone does not tell it
// from others and it does not say itself. A key that is unique stays as it is: a grant is one thing,
// whichever account the state that names it works in.
func (k *knowledge) placed(o plan.Object) plan.Object {
	return placed(o, k.home.Account, k.home.Region)
}

func placed(o plan.Object, account, region string) plan.Object {
	if o.Unique() || !strings.HasPrefix(o.Type, "aws_") {
		return o
	}
	if o.Account == "" {
		o.Account = account
	}
	if o.Region == "" && !global(o.Type) {
		o.Region = region
	}
	return o
}

// global reports whether things of an AWS type have no region.
func global(kind string) bool {
	return slices.ContainsFunc([]string{"aws_iam_", "aws_route53_", "aws_cloudfront_", "aws_organizations_", "aws_s3_"}, func(prefix string) bool {
		return strings.HasPrefix(kind, prefix)
	})
}

// asked returns the places of the objects that the state could hold.
func (k *knowledge) asked(r upgrade.Reading) []int {
	var places []int
	for i, o := range k.objects {
		if couldHold(r, k.placed(o)) {
			places = append(places, i)
		}
	}
	return places
}

// tooOld returns the readings that are too old to count.
func (k *knowledge) tooOld() []upgrade.Reading {
	var old []upgrade.Reading
	for _, r := range k.readings {
		if slices.Contains(k.stale, r.State) {
			old = append(old, r)
		}
	}
	return old
}

func (k *knowledge) reading(state upgrade.StateName) upgrade.Reading {
	for _, r := range k.readings {
		if r.State == state {
			return r
		}
	}
	return upgrade.Reading{State: state}
}

// table keeps which states were looked at, and how old what is known of them is.
func (k *knowledge) table(rec *Recorder, now time.Time, maxAge time.Duration) {
	var rows [][]string
	others := 0
	for _, r := range k.readings {
		if !k.holds[r.State] {
			others++
			continue
		}
		read, note := "never", r.Problem
		if !r.ReadAt.IsZero() {
			read = "just now"
			if age := now.Sub(r.ReadAt); age >= time.Second {
				read = ageOf(age) + " ago"
			}
		}
		switch {
		case slices.Contains(k.stale, r.State):
			note = strings.TrimSuffix("too old, limit "+ageOf(maxAge)+": "+r.Problem, ": ")
		case r.Problem != "":
			note = "old, could not be read anew: " + r.Problem
		case r.State == k.own:
			note = "this plan's own"
		}
		rows = append(rows, []string{string(r.State), read, fmt.Sprint(r.Objects), where(r.Account, r.Region), note})
	}
	rec.Table("States that could hold it", []string{"State", "Read", "Things", "Where", "Note"}, rows)
	if others > 0 {
		rec.Fact("States of other accounts and regions", "%d, not needed", others)
	}
}

func where(account, region string) string {
	switch {
	case account == "" && region == "":
		return "not known"
	case account == "":
		return region
	case region == "":
		return account
	}
	return account + ", " + region
}

// match is one place in a state in which something is that the plan takes away.
type match struct {
	upgrade.Owned
	stack   upgrade.StackName
	sure    bool // it is the same thing; else it may be another of the same name
	counted bool // the reading is young enough
}

// owners returns the other places of each object.
func (o owner) owners(ctx context.Context, in Input, t taken, k *knowledge) ([][]match, error) {
	found := make([][]match, len(t.objects))
	var asked []plan.Object
	for _, object := range t.objects {
		if object.Key != "" {
			asked = append(asked, object)
		}
	}
	if len(asked) == 0 {
		return found, nil
	}
	owned, err := o.states.Owners(ctx, asked)
	if err != nil {
		return nil, fmt.Errorf("look up who owns what the plan takes away: %w", err)
	}
	byKey := map[[2]string][]upgrade.Owned{}
	for _, one := range owned {
		byKey[[2]string{one.Type, one.Key}] = append(byKey[[2]string{one.Type, one.Key}], one)
	}
	leaving := leaving(in.Plan)
	for i, object := range t.objects {
		for _, one := range byKey[[2]string{object.Type, object.Key}] {
			if one.State == k.own && leaving[one.Address] {
				continue // the very thing, or one more address of it that this plan clears
			}
			r := k.reading(one.State)
			mine := k.placed(object)
			theirs := placed(plan.Object{Type: one.Type, Key: one.Key, Account: one.Account, Region: one.Region, Address: one.Address}, r.Account, r.Region)
			if object.Key == "" || !mine.Same(theirs) {
				continue
			}
			found[i] = append(found[i], match{
				Owned: one, stack: r.Stack, counted: !slices.Contains(k.stale, one.State),
				sure: object.Unique() || one.State == k.own || mine.Account != "" && theirs.Account != "" && (mine.Region == "") == (theirs.Region == ""),
			})
		}
	}
	return found, nil
}

// leaving returns the addresses that the plan takes out of its state, as the state has them now: before
// any move.
func leaving(p plan.Summary) map[string]bool {
	addresses := map[string]bool{}
	for _, change := range takenAway(p).changes {
		addresses[plan.ObjectOf(*change).Address] = true
		if change.PreviousAddress != "" {
			addresses[change.PreviousAddress] = true
		}
	}
	return addresses
}
