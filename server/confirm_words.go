package server

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	// longestHours is for how long an override may be asked, as the domain has it.
	longestHours = 7 * 24
	// shortestReason is how long the reason of an override is, in characters.
	shortestReason = 20
	// maxSeen is how many lines a question shows; the run's page has them all.
	maxSeen = 50
)

// ask puts the question into words: what would change, never "are you sure".
func (v *confirmView) ask(a act, in asking) {
	r := in.run
	name, env := strings.TrimSpace(fmt.Sprintf("%s %s", r.Stack, r.Version)), string(r.Environment)
	switch a.name {
	case "stop":
		v.Title, v.Safe, v.Risky = "Stop "+name+"?", "Let it go on", "Stop the run"
		v.Effect = stopEffect(r)
		v.NeedsReason = r.Phase == upgrade.PhaseApplying
	case "recheck":
		v.Title, v.Safe, v.Risky = "Run the gates of "+name+" again?", "Leave it as it is", "Run the gates again"
		v.Effect = []string{
			"Nothing is applied again: " + env + " stays as it is, and all gates ask once more.",
			"A gate that tries a launch starts one test instance in " + env + " and removes it.",
		}
	case "retry":
		v.Title, v.Safe, v.Risky = "Run "+name+" from the plan again?", "Leave it as it is", "Run it from the plan"
		v.Effect = []string{
			upperFirst(env) + " is planned and changed again, by a run of its own.",
			"A no that this change has had already stays: a second try does not make it good. Rehearse it for that.",
		}
	case "rehearse":
		v.Title, v.Safe, v.Risky = "Rehearse "+name+" again?", "Leave it as it is", "Rehearse it"
		v.Effect = []string{
			upperFirst(env) + " is first taken back to what production has, then changed to this again, by a run of its own.",
			"Both plans are shown and judged. What the way back destroys under guard needs a yes of its own.",
			"Once it is back, what was said against earlier tries no longer counts.",
		}
	case "relock":
		v.askLock(name, in.next)
	case "approve", "refuse":
		v.askYes(a, name, in)
	case "resolve":
		v.Title, v.Safe, v.Risky = "What is true of "+env+" now?", "Look at it first", "Free the stack"
		v.Effect = []string{
			"An apply of " + name + " was cut off, and nobody knows whether " + env + " is whole. Say what you found there.",
			"The run ends as failed, and the next one may change " + env + ". Production stays locked.",
		}
		v.NeedsReason = true
	case "override":
		v.askOverride(name, in)
	}
}

func stopEffect(r upgrade.Run) []string {
	switch {
	case r.Phase == upgrade.PhaseApplying:
		return []string{
			"Terraform is asked to end after what is in flight. It is never killed.",
			fmt.Sprintf("%d of %d resources are changed already and stay changed: %s is left half changed.", r.Progress.Done, r.Progress.Total, r.Environment),
		}
	case r.Applies > 0:
		return []string{fmt.Sprintf("The apply is done and stays: %s keeps the change, untested.", r.Environment), "Production stays locked."}
	}
	return []string{fmt.Sprintf("%s has not been touched.", upperFirst(string(r.Environment))), "Production stays locked."}
}

func (v *confirmView) askLock(name string, next upgrade.RunID) {
	v.Title, v.Safe, v.Risky = "Lock "+name+" again?", "Keep it unlocked", "Lock it again"
	v.Effect = []string{"Production can no longer be started for this run. What has been started already goes on.", "The status in GitLab turns to failed."}
	v.NeedsReason = true
	if next != 0 {
		v.Title, v.Risky = fmt.Sprintf("Lock %s again, and let run %d in?", name, next), "Let the next one in"
		v.Effect = append(v.Effect, fmt.Sprintf("Run %d, which waits for this one, begins to change staging.", next))
	}
}

// askYes asks for a person's yes to a change, or for their no.
func (v *confirmView) askYes(a act, name string, in asking) {
	r := in.run
	v.Digest = r.Plan.ChangeDigest
	change := fmt.Sprintf("The plan changes %s: %d destroyed, %d replaced, %d changed, %d added.",
		plural(r.Plan.Changes(), "resource"), r.Plan.Destroy, r.Plan.Replace, r.Plan.Update, r.Plan.Create)
	until := "The run waits for it until " + in.words.stamp(r.Deadline).Text + "."
	if r.Deadline.IsZero() {
		until = ""
	}
	if a.kind == upgrade.RequestRefuse {
		v.Title, v.Safe, v.Risky = "Say no to what "+name+" does?", "Leave it open", "Say no"
		v.Effect = []string{fmt.Sprintf("The run ends, and %s stays as it is.", r.Environment)}
		v.NeedsReason = true
	} else {
		v.Title, v.Safe, v.Risky = "Agree to what "+name+" does?", "Leave it open", "Agree to this change"
		v.Effect = []string{change, "Your yes counts for exactly this change, also if it has to be planned again, and for no other."}
		if r.Half == upgrade.HalfBack {
			v.Effect = append(v.Effect, "It is the way back to what production has, the first half of a rehearsal.")
		}
	}
	if until != "" {
		v.Effect = append(v.Effect, until)
	}
	v.Lists = agreed(r, in.results)
}

// agreed lists what needs a person's yes, in the words of the gates that ask for it.
func agreed(r upgrade.Run, results []upgrade.Result) []seenList {
	var lists []seenList
	for _, res := range results {
		if !res.Agreeable || res.Outcome != upgrade.OutcomeFailed || res.Apply != r.Applies+1 {
			continue
		}
		l := seenList{Title: stop(res.Message)}
		for _, t := range res.Evidence.Tables {
			for _, row := range t.Rows {
				if len(row) == 0 {
					continue
				}
				if len(l.Lines) == maxSeen {
					l.More++
					continue
				}
				l.Lines = append(l.Lines, seenLine{Text: row[0], Beside: strings.Join(slices.DeleteFunc(slices.Clone(row[1:]), func(s string) bool { return s == "" }), ", "), Mono: true})
			}
		}
		lists = append(lists, l)
	}
	return lists
}

// newestPlan returns the last result of each plan gate: they are about the plan that waits for a yes.
func newestPlan(all []upgrade.Result) []upgrade.Result {
	plans := slices.DeleteFunc(slices.Clone(all), func(r upgrade.Result) bool { return r.Stage != upgrade.StagePlan })
	return wayBack{}.newest(plans)
}

func (v *confirmView) askOverride(name string, in asking) {
	r := in.run
	v.Digest, v.NeedsReason, v.Shortest, v.Hours = upgrade.CausesDigest(r.Causes), true, shortestReason, int(upgrade.OverrideDefault.Hours())
	v.Title, v.Safe, v.Risky = "Unlock production for "+name+" all the same?", "Keep it locked", "Override"
	v.Effect = []string{
		"An override is never a pass: the run stays not passed, and everybody sees for ever who overrode what and why.",
		"Two release managers must ask for it within 30 minutes, neither of whom is an author of this change.",
	}
	v.Box = "I have read this. Production may get this change although all of the above stands against it."
	if r.Phase == upgrade.PhaseBlocked && (r.From == upgrade.PhaseJudging || r.From == upgrade.PhaseAwaitingApproval) {
		v.Title = "Let " + name + " change " + string(r.Environment) + " all the same?"
		v.Effect = append(v.Effect, "It goes on to the apply. Production then still needs a pass of all the rest.")
		v.Box = "I have read this. " + upperFirst(string(r.Environment)) + " may be changed although all of the above stands against it."
	}
	if o := r.Override; o != nil && len(o.By) == 1 {
		v.Effect = append(v.Effect, fmt.Sprintf("%s asked for it at %s: %s. If nothing has changed since, your asking makes it count at once.",
			o.By[0].Name, in.words.stamp(o.Asked).Text, strings.TrimRight(o.Reason, ".")))
	}
	l := seenList{Title: "This stands against it:"}
	for _, cause := range r.Causes {
		l.Lines = append(l.Lines, seenLine{Text: stop(cause.Message)})
	}
	v.Lists = []seenList{l}
}

// nextInLine returns the first run that waits for this one's way to production to end, 0 if none does.
func (s *Server) nextInLine(ctx context.Context, r upgrade.Run) (upgrade.RunID, error) {
	queued, err := s.runs.Runs(ctx, upgrade.RunFilter{Stack: r.Stack, ProjectID: r.ProjectID, Phases: []upgrade.Phase{upgrade.PhaseQueued}, Limit: 500})
	if err != nil {
		return 0, fmt.Errorf("list what waits for %s: %w", r.Stack, err)
	}
	for _, other := range slices.Backward(queued) {
		if other.Upgrade != r.Upgrade {
			return other.ID, nil
		}
	}
	return 0, nil
}
