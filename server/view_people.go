package server

import (
	"fmt"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// secondWithin is for how long an override waits for its second person: dashboard.md §10.
const secondWithin = 30 * time.Minute

// overrideView says who overrode what, or asks to. It stays for ever.
type overrideView struct {
	Bold, Text string
	Causes     []string // that were overridden
}

// agreeView is what a person must agree to.
type agreeView struct {
	Lists []seenList
	Until when
}

// rehearsalView says which half of a rehearsal a run is in, and what came of both.
type rehearsalView struct {
	Text    string
	Applies []reasonView
}

// asksSecond reports whether an override waits for its second person.
func (d runData) asksSecond() bool {
	o := d.run.Override
	return o != nil && len(o.By) == 1 && asksAlready(d.run, o.By[0], d.words.now)
}

// asksAlready reports whether it is this person's asking that waits for a second person.
func asksAlready(r upgrade.Run, p upgrade.Person, now time.Time) bool {
	o := r.Override
	return o != nil && len(o.By) == 1 && o.By[0].Name == p.Name && now.Sub(o.Asked) <= secondWithin && o.Covers(r.Causes)
}

func overrideOf(d runData) *overrideView {
	o := d.run.Override
	if o == nil || len(o.By) == 0 {
		return nil
	}
	names := make([]string, 0, len(o.By))
	for _, p := range o.By {
		names = append(names, p.Name)
	}
	who := strings.Join(names, " and ")
	v := &overrideView{}
	if !d.asksSecond() { // then they stand above
		for _, c := range o.Causes {
			v.Causes = append(v.Causes, stop(c.Message))
		}
	}
	reason := stop(o.Reason)
	switch {
	case d.asksSecond():
		v.Bold = who + " asks to override this."
		v.Text = fmt.Sprintf("A second release manager must agree by %s. Reason: %s", d.words.stamp(o.Asked.Add(secondWithin)).Text, reason)
	case o.Given.IsZero():
		v.Bold = who + " asked to override this, and it does not count."
		v.Text = "No second release manager agreed in time, or what stood against it changed. Reason: " + reason
	case !o.Counts(d.words.now):
		v.Bold = fmt.Sprintf("Overridden by %s until %s, which is over.", who, d.words.stamp(o.Until).Text)
		v.Text = "Reason: " + reason
	default:
		v.Bold = fmt.Sprintf("Overridden by %s until %s.", who, d.words.stamp(o.Until).Text)
		v.Text = "This is not a pass. Reason: " + reason
	}
	return v
}

func agreeOf(d runData) *agreeView {
	if d.run.Phase != upgrade.PhaseAwaitingApproval {
		return nil
	}
	return &agreeView{Lists: agreed(d.run, newestPlan(d.all)), Until: d.words.stamp(d.run.Deadline)}
}

// rehearsalOf returns nil for a run that is no rehearsal.
func rehearsalOf(d runData) *rehearsalView {
	r, env := d.run, string(d.run.Environment)
	v := &rehearsalView{}
	back := "what production has"
	if r.Base != "" {
		back = r.Base
	}
	switch r.Half {
	case upgrade.HalfBack:
		v.Text = fmt.Sprintf("First half: %s is taken back to %s. What is said of that is kept, and does not count.", env, back)
	case upgrade.HalfForth:
		v.Text = fmt.Sprintf("Second half: %s was taken back to %s, and gets this change anew. Only this half counts.", env, back)
	default:
		return nil
	}
	for _, a := range d.applies {
		line := reasonView{Bold: "This change", Text: "being applied", Icon: upgrade.IconRun, Tone: upgrade.ToneRun, When: d.words.stamp(a.BegunAt)}
		if a.Back {
			line.Bold = "Way back"
		}
		switch {
		case a.State == upgrade.ApplyLost && a.OK:
			line.Text, line.Icon, line.Tone, line.When = "was cut off, and nothing was left of it", upgrade.IconOK, upgrade.ToneOK, d.words.stamp(a.EndedAt)
		case a.State == upgrade.ApplyLost:
			line.Text, line.Icon, line.Tone, line.When = "was cut off", upgrade.IconBad, upgrade.ToneBad, d.words.stamp(a.EndedAt)
		case a.State == upgrade.ApplyExited && a.OK:
			line.Text, line.Icon, line.Tone, line.When = "applied", upgrade.IconOK, upgrade.ToneOK, d.words.stamp(a.EndedAt)
		case a.State == upgrade.ApplyExited:
			line.Text, line.Icon, line.Tone, line.When = "did not succeed", upgrade.IconBad, upgrade.ToneBad, d.words.stamp(a.EndedAt)
		}
		v.Applies = append(v.Applies, line)
	}
	return v
}
