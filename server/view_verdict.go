package server

import (
	"fmt"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// verdictView is the panel that answers the three questions of dashboard.md §1.
type verdictView struct {
	Path       string
	Key        upgrade.Key
	Chip       chip
	Beside     string // words beside the chip
	Headline   string
	Live       string
	Causes     []causeView
	More       string // "and 2 more", empty if all are shown
	Warnings   []string
	Override   *overrideView // nil: nobody asked for one
	Agree      *agreeView    // nil: it does not wait for a yes
	Rehearsal  *rehearsalView
	Reasons    []reasonView
	Production productionView
	Next       string
	Steps      []string
	Button     *button
	Links      []button
	Asked      string // what was asked and is not done yet
	Told       reasonView
	Title      string // of the tab, kept true by a script
}

type causeView struct {
	Text   string
	Chain  []link // from what was done to the evidence, or to the run that it comes from
	Number int
}

// reasonView is an icon with a sentence.
type reasonView struct {
	Icon upgrade.Icon
	Tone upgrade.Tone
	Bold string
	Text string
	When when
}

// button leads to an act or to GitLab. Off says who has the right that the reader lacks.
type button struct {
	Text, Href string
	Outside    bool
	Filled     bool // there is something to do, and this is it
	Off        string
}

func (s *Server) verdict(d runData, p upgrade.Person) verdictView {
	r := d.run
	told := upgrade.Tell(r)
	v := verdictView{
		Path: runPath(r.ID), Key: told.Key, Chip: chipOf(told.Look, told.Key), Beside: besideChip(d), Headline: told.Headline,
		Live: told.Live, Next: told.Next, Title: fmt.Sprintf("%s: %s %s", told.Look.Word, r.Stack, r.Version),
		Production: productionView{Path: runPath(r.ID), Lines: production(d)},
	}
	broken, against, changed := productionCauses(d), noesOf(d), planGroups(d.events)
	for i, cause := range slices.Concat(broken, r.Causes) {
		if i == 3 {
			v.More = fmt.Sprintf("and %d more below", len(broken)+len(r.Causes)-3)
			break
		}
		cv := causeView{Number: i + 1, Text: glued(stop(cause.Message))}
		switch {
		case i < len(broken):
			cv.Chain = []link{{Text: "See production", Href: "/environments"}}
		case cause.Run != 0:
			cv.Chain = []link{{Text: "See run " + cause.Run.String(), Href: runPath(cause.Run)}}
		case cause.Gate != "":
			cv.Chain = against.chain(cause, changed)
			if slices.ContainsFunc(v.Causes, func(said causeView) bool { return slices.Equal(said.Chain, cv.Chain) }) {
				cv.Chain = []link{against.evidence(cause)} // the way there stands above
			}
		}
		v.Causes = append(v.Causes, cv)
	}
	for _, warning := range r.Warnings {
		v.Warnings = append(v.Warnings, strings.TrimRight(warning, ".")+".") // may begin with the name of something
	}
	v.Override, v.Agree, v.Rehearsal = overrideOf(d), agreeOf(d), rehearsalOf(d)
	v.Reasons = reasons(d)
	if r.Phase == upgrade.PhaseUnlocked && !r.Production.Started {
		if f := s.freezeLine(d.words); len(s.freezes) > 0 && f.Now == "" {
			v.Reasons = append(v.Reasons, reasonView{Icon: upgrade.IconOK, Tone: upgrade.ToneOK, Bold: "No freeze.", Text: f.NowText})
		}
	}
	v.Steps = hints(r, told.Next)
	v.Told = toldOf(d)
	v.Button, v.Links = s.offers(d, p)
	if !r.Phase.Live() && len(d.events) > 0 {
		v.Links = append(v.Links, button{Text: "Time-lapse", Href: runPath(r.ID) + "/replay"})
	}
	for _, q := range d.requests {
		v.Asked = fmt.Sprintf("%s asked to %s at %s. It is done as soon as the run can.", q.By.Name, requestVerb(q.Kind), d.words.second(q.At).Text)
	}
	return v
}

// toldOf says where people see the run's state without this page.
func toldOf(d runData) reasonView {
	r := d.run
	for _, e := range slices.Backward(d.events) {
		if e.Kind != upgrade.EventStatus {
			continue
		}
		if e.Data["state"] != string(r.Phase.CommitState()) {
			break // of an earlier phase
		}
		on := "the commit"
		if commit := upgrade.Commit(e.Data["commit"]); commit != "" {
			on = "commit " + commit.Short()
		}
		for _, answer := range r.Answers {
			if answer.MergeRequest != 0 && answer.Commit == upgrade.Commit(e.Data["commit"]) {
				on += fmt.Sprintf(" and in !%d", answer.MergeRequest)
			}
		}
		return reasonView{Text: fmt.Sprintf("GitLab shows “%s” on %s since", e.Data["state"], on), When: d.words.stamp(e.At)}
	}
	return reasonView{Text: "GitLab does not show this yet."}
}

// stop ends a sentence.
func stop(s string) string {
	s = strings.TrimRight(upperFirst(s), ".")
	if s == "" || strings.HasSuffix(s, "…") {
		return s
	}
	return s + "."
}

// hints are the further steps that causes name; the first is the headline of the panel already.
func hints(r upgrade.Run, next string) []string {
	var out []string
	for _, cause := range r.Causes {
		if h := stop(cause.Hint); h != "" && h != stop(next) && len(out) < 3 {
			out = append(out, h)
		}
	}
	return out
}

func besideChip(d runData) string {
	switch r := d.run; {
	case r.Phase == upgrade.PhaseUnlocked && r.Verdict != upgrade.VerdictOpen && r.Override != nil:
		return "Unlocked " + d.words.stamp(r.Since).Text + " by override"
	case r.Phase == upgrade.PhaseUnlocked:
		return "Unlocked " + d.words.stamp(r.Since).Text + " by rule"
	case r.Phase == upgrade.PhaseUnlocking && r.Verdict != upgrade.VerdictOpen && r.Override != nil:
		return "Being unlocked by override"
	case r.Phase == upgrade.PhasePromoted:
		return ""
	case r.Phase.Live():
		return "Production stays locked until all gates pass"
	}
	return "Production stays locked"
}

// reasons say why a run may go, or how far it is.
func reasons(d runData) []reasonView {
	r := d.run
	ok := func(bold, text string) reasonView {
		return reasonView{Icon: upgrade.IconOK, Tone: upgrade.ToneOK, Bold: bold, Text: text}
	}
	if !r.Phase.Opens() {
		return nil
	}
	out := []reasonView{ok("Same change.", "Production gets commit "+r.Commit.Short()+", the content tested here.")}
	if n := r.Plan.Destroy + r.Plan.Replace; n == 0 {
		out = append(out, ok("Nothing destroyed.", fmt.Sprintf("The staging plan changed %s.", plural(r.Plan.Changes(), "resource"))))
	} else {
		out = append(out, reasonView{
			Icon: upgrade.IconWarn, Tone: upgrade.ToneWarn, Bold: fmt.Sprintf("%s destroyed, %d replaced.", plural(r.Plan.Destroy, "resource"), r.Plan.Replace),
			Text: passedWith(r),
		})
	}
	for _, o := range d.orders {
		switch text := strings.TrimSpace(string(o.Hold.Kind) + " " + o.Hold.Job + ": " + orderText(o)); o.State {
		case upgrade.OrderDone:
			out = append(out, ok("Unlocked in GitLab.", text))
		case upgrade.OrderOpen, upgrade.OrderArmed, upgrade.OrderClaimed:
			out = append(out, reasonView{Icon: upgrade.IconWait, Tone: upgrade.ToneIdle, Bold: "Still to do in GitLab.", Text: text})
		case upgrade.OrderVoid:
		}
	}
	if r.Phase == upgrade.PhaseUnlocked {
		out = append(out, reasonView{Icon: upgrade.IconLock, Tone: upgrade.ToneIdle, Bold: "Locks again by itself.", Text: locksAgain(r)})
	}
	return out
}

// locksAgain says until when an open run stays open: as long as it would be opened again.
func locksAgain(r upgrade.Run) string {
	text := fmt.Sprintf("As soon as anything else is applied to %s, no watched branch leads to what was tested any more, an answer grows too old, or a check that is asked again fails.", r.Environment)
	if r.Verdict != upgrade.VerdictOpen && r.Override != nil {
		return strings.Replace(text, "or a check", "the override ends, or a check", 1)
	}
	return text
}

func passedWith(r upgrade.Run) string {
	if r.Verdict != upgrade.VerdictOpen {
		return ""
	}
	return "The gates passed with that."
}

func orderText(o upgrade.Order) string {
	switch {
	case o.Result != "" && o.Target != "":
		return o.Target + ", " + o.Result
	case o.Result != "":
		return o.Result
	case o.State == upgrade.OrderArmed:
		return "waits for the production pipeline"
	}
	return "being delivered"
}

// productionView is the line that is always there: is production safe? It is a part of its own, since
// production is checked far more often than a run changes.
type productionView struct {
	Path  string
	Lines []reasonView
}

// productionCauses is what production itself breaks, which no run hides, if the run's causes do not say it.
func productionCauses(d runData) []upgrade.Cause {
	sum := d.envs.sum(productionEnv)
	if sum.Broken == 0 || d.newer != 0 {
		return nil
	}
	for _, one := range sum.Bad {
		for _, cause := range d.run.Causes {
			if cause.Gate == one.Key.Gate && cause.Effect == upgrade.EffectProductionBroken {
				return nil
			}
		}
	}
	first := sum.Bad[0]
	return []upgrade.Cause{{Kind: upgrade.CauseGateFailed, Effect: upgrade.EffectProductionBroken, Message: fmt.Sprintf(
		"Production breaks %d of %s since %s: %s", sum.Broken, plural(sum.All-sum.Paused, "invariant"), d.words.stamp(sum.Since).Text, first.Result.Message)}}
}

// production says whether production is safe.
func production(d runData) []reasonView {
	r := d.run
	first := reasonView{Icon: upgrade.IconLock, Tone: upgrade.ToneIdle, Bold: "Production is untouched"}
	switch {
	case r.Phase == upgrade.PhasePromoted:
		first = reasonView{Icon: upgrade.IconOK, Tone: upgrade.ToneOK, Bold: "Production runs " + r.Version}
	case r.Production.Failed:
		first = reasonView{Icon: upgrade.IconBad, Tone: upgrade.ToneBad, Bold: "The production job failed"}
	case r.Production.Started:
		first = reasonView{Icon: upgrade.IconRun, Tone: upgrade.ToneRun, Bold: "Production is being deployed"}
	case r.Phase == upgrade.PhaseUnlocked:
		first = reasonView{Icon: upgrade.IconOpen, Tone: upgrade.ToneOK, Bold: "Production is unlocked, not started"}
	}
	line, checked := productionChecks(d)
	if checked && line.Tone == upgrade.ToneBad && r.Production == (upgrade.ProductionFacts{}) && first.Icon == upgrade.IconLock {
		first.Bold = "This change is not in production" // nobody deployed it, and yet it reached what production needs
	}
	if !checked {
		return []reasonView{first}
	}
	return []reasonView{first, line}
}

// productionChecks sums up what is known of production: by its invariants, or where there are none by what
// gates of other environments than the run's own said.
func productionChecks(d runData) (reasonView, bool) {
	switch sum := d.envs.sum(productionEnv); {
	case d.envs.problem != "":
		return reasonView{Icon: upgrade.IconUnk, Tone: upgrade.ToneWarn, Bold: "Production is not verified", Text: "its invariants could not be read"}, true
	case sum.All > sum.Paused:
		return invariantsLine(sum, d.words), true
	}
	return gatesLine(d)
}

// invariantsLine sums up the invariants of production.
func invariantsLine(sum envSum, w words) reasonView {
	all := sum.All - sum.Paused
	line := reasonView{Icon: upgrade.IconOK, Tone: upgrade.ToneOK, Text: fmt.Sprintf("holds %d of %s, checked", sum.Held, plural(all, "invariant")), When: w.ago(sum.Checked)}
	switch {
	case sum.Broken > 0:
		line.Icon, line.Tone, line.Bold, line.Text = upgrade.IconBad, upgrade.ToneBad, fmt.Sprintf("It breaks %d of %s,", sum.Broken, plural(all, "invariant")), "checked"
	case sum.NotVerified > 0:
		line.Icon, line.Tone, line.Bold, line.Text = upgrade.IconUnk, upgrade.ToneWarn, "Not verified:", fmt.Sprintf("holds %d of %s, checked", sum.Held, plural(all, "invariant"))
	}
	if line.When.Text == "" {
		line.Text = strings.TrimSuffix(line.Text, "checked") + "one was never checked"
	}
	return line
}

// gatesLine sums up what gates of other environments than the run's own said in the run.
func gatesLine(d runData) (reasonView, bool) {
	held, broken, all := 0, 0, 0
	var last when
	var env upgrade.EnvName
	for _, r := range d.results {
		of := r.Stage == upgrade.StageAfter || r.Stage == upgrade.StageStanding
		if r.Environment == d.run.Environment || r.Environment == "" || !of {
			continue
		}
		all, env, last = all+1, r.Environment, d.words.ago(r.StartedAt.Add(r.Took))
		switch {
		case r.Outcome == upgrade.OutcomeFailed:
			broken++
		case r.Outcome == upgrade.OutcomePassed && !r.Expired(d.words.now) && !r.Early:
			held++
		}
	}
	name := upperFirst(string(env))
	switch {
	case all == 0:
		return reasonView{}, false
	case broken > 0:
		return reasonView{Icon: upgrade.IconBad, Tone: upgrade.ToneBad, Bold: fmt.Sprintf("%s breaks %d of %s", name, broken, plural(all, "check")), Text: "checked", When: last}, true
	case held < all:
		return reasonView{Icon: upgrade.IconUnk, Tone: upgrade.ToneWarn, Bold: fmt.Sprintf("%s is not verified", name), Text: fmt.Sprintf("%d of %s held, checked", held, plural(all, "check")), When: last}, true
	}
	return reasonView{Icon: upgrade.IconOK, Tone: upgrade.ToneOK, Text: fmt.Sprintf("%s holds %d of %s, checked", name, held, plural(all, "check")), When: last}, true
}
