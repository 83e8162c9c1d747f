package gates

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// DefaultMaxAge is how old a reading of a state may be unless the settings say otherwise.
const DefaultMaxAge = time.Hour

// readAgainAfter is how old a reading may be that is not taken anew when the gate is asked, which is right
// before the apply.
const readAgainAfter = 5 * time.Minute

// OwnerSettings are the settings of an ownership gate.
type OwnerSettings struct {
	MaxAge time.Duration // how old a reading of a state may be; default 1 h
}

// Kind returns "ownership".
func (OwnerSettings) Kind() string { return KindOwner }

// Bind gives the gate its check: nothing that the plan destroys or replaces is in another state too, and
// no grant or right of a service's own role is lost in a way that the plan does not show. Nobody is asked
// for a yes to that: who agrees sees one state, and the harm is done to another. Without states it can
// tell only of plans that destroy, replace and forget nothing.
func (s OwnerSettings) Bind(gate *Gate, deps Deps) error {
	o := owner{maxAge: s.MaxAge, states: deps.States, clock: deps.Clock}
	if o.maxAge <= 0 {
		o.maxAge = DefaultMaxAge
	}
	if o.clock == nil {
		o.clock = upgrade.SystemClock{}
	}
	gate.Check = o.check
	return nil
}

type owner struct {
	maxAge time.Duration
	states States
	clock  upgrade.Clock
}

// objection is one thing that stands against a plan.
type objection struct {
	brief, msg string
	repair     string // Terraform or a command; may be empty
	advice     string // what to do about it, with the repair; may be empty
}

func (o owner) check(ctx context.Context, in Input, rec *Recorder) error {
	if err := judgeable(in); err != nil {
		return err
	}
	taken := takenAway(in.Plan)
	rec.Fact("Destroyed or replaced", "%d", taken.lost)
	rec.Fact("Forgotten", "%d", len(taken.changes)-taken.lost)
	against := slices.Concat(grantRaces(in.Plan, rec), lostPrincipals(in.Plan, rec))
	var err error
	said := "the plan destroys, replaces and forgets nothing"
	switch {
	case len(taken.changes) == 0:
	case !slices.ContainsFunc(taken.changes, func(c *plan.Change) bool { return !inside(c.Type) }):
		said = "what the plan takes away is nothing outside of Terraform, so nobody else can own it"
	default:
		var shared []objection
		shared, said, err = o.whoElse(ctx, in, taken, rec)
		against = append(shared, against...)
	}
	switch {
	case len(against) > 0: // what is certain does not wait for what could not be told
		first := against[0]
		if first.repair != "" {
			rec.Fact("Repair", "%s", first.repair)
		}
		more := ""
		if n := len(against) - 1; n > 0 {
			more = fmt.Sprintf("; that is one of %d things that stand against the plan", n+1)
		}
		return Advise(FailBrief(first.brief, "%s%s", first.msg, more), "%s", first.advice)
	case err != nil:
		return err
	}
	rec.Passed("%s", said)
	return nil
}

// judgeable returns why the input's plan cannot be judged; nil if it can.
func judgeable(in Input) error {
	if err := readable(in.Plan); err != nil {
		return err
	}
	if digest := in.Run.Plan.ChangeDigest; in.Plan.Digest != "" && digest != "" && in.Plan.Digest != digest {
		return &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: "the plan that was read is not the one that would be applied",
			Hint: "start the run again",
		}
	}
	return nil
}

// taken is what a plan takes away from its state.
type taken struct {
	changes []*plan.Change // destroyed and replaced ones first, then the forgotten ones
	objects []plan.Object  // of each change; without a key for what cannot be identified
	lost    int            // how many are destroyed or replaced
}

func takenAway(p plan.Summary) taken {
	var t taken
	for i := range p.Changes {
		change := &p.Changes[i]
		if change.Mode != "data" && (change.Action == plan.Delete || change.Action == plan.Replace || change.Action == plan.Forget) {
			t.changes = append(t.changes, change)
		}
		if destroys(change) {
			t.lost++
		}
	}
	slices.SortStableFunc(t.changes, func(a, b *plan.Change) int { return cmp.Compare(forgets(a), forgets(b)) })
	return t
}

// destroys reports whether the plan takes a thing out of the world.
func destroys(change *plan.Change) bool {
	return change.Mode != "data" && (change.Action == plan.Delete || change.Action == plan.Replace)
}

func forgets(change *plan.Change) int {
	if change.Action == plan.Forget {
		return 1
	}
	return 0
}

// whoElse asks who else owns what the plan takes away. It returns what stands against the plan, and the
// sentence for a plan against which nothing does. Its error means that it could not tell.
func (o owner) whoElse(ctx context.Context, in Input, t taken, rec *Recorder) (against []objection, said string, err error) {
	if o.states == nil {
		return nil, "", &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: "no Terraform state is known here, so whether another one owns what the plan takes away is not known",
			Hint: "name the folder of the states with --states",
		}
	}
	for _, change := range t.changes {
		t.objects = append(t.objects, plan.ObjectOf(*change))
	}
	known, err := o.look(ctx, in, t.objects)
	if err != nil {
		return nil, "", err
	}
	found, err := o.owners(ctx, in, t, known)
	if err != nil {
		return nil, "", err
	}
	f := findings{in: in, taken: t, known: known, found: found}
	f.record(rec)
	known.table(rec, o.clock.Now(), o.maxAge)
	if old := known.tooOld(); len(old) > 0 {
		err = o.notKnown(t, known, old)
	}
	return f.objections(), f.sentence(), err
}

// notKnown is why it could not be told: a state could hold what the plan takes away, and was not read in
// time.
func (o owner) notKnown(t taken, known *knowledge, old []upgrade.Reading) error {
	first := old[0]
	age := "it was never read"
	if !first.ReadAt.IsZero() {
		age = fmt.Sprintf("its last reading is %s old, limit %s", ageOf(o.clock.Now().Sub(first.ReadAt)), ageOf(o.maxAge))
	}
	because := ""
	if first.Problem != "" {
		because = ": " + first.Problem
	}
	others := ""
	if len(old) > 1 {
		others = fmt.Sprintf(" and %s more", counted(len(old)-1, "state"))
	}
	return &upgrade.Error{
		Code: upgrade.CodeConflict,
		Msg: fmt.Sprintf("whether %s%s also owns %s is not known: %s%s; make it readable, and run this again",
			first.State, others, subject(t, known.asked(first)), age, because),
	}
}

// subject names the things that a sentence is about.
func subject(t taken, asked []int) string {
	if len(asked) == 0 {
		return "what the plan takes away"
	}
	words := make([]string, 0, listed)
	for _, i := range asked[:min(len(asked), listed)] {
		words = append(words, t.objects[i].Address)
	}
	return andMore(words, len(asked))
}

// ageOf writes how old something is: minutes below an hour, hours below two days, else days.
func ageOf(d time.Duration) string {
	switch {
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour && d%time.Hour < time.Minute:
		return fmt.Sprintf("%d h", int(d.Hours()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
