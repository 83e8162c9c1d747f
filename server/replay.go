package server

import (
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	// replaySpeed is how many times as fast as it was a run is played.
	replaySpeed = 30
	// longestIdle is how much of a time in which nothing happened is played.
	longestIdle = time.Minute
	// playStep is the unit in which the page counts: that of its slider.
	playStep = 10 * time.Millisecond
)

// playback says when each event of a journal is played, counted from the first, and what is left out.
type playback struct {
	at        []time.Duration
	idle      time.Duration // that is not played
	stretches int           // in which that was
}

func playbackOf(events []upgrade.Event) playback {
	p, played := playback{at: make([]time.Duration, len(events))}, time.Duration(0)
	for i := 1; i < len(events); i++ {
		gap := max(events[i].At.Sub(events[i-1].At), 0)
		if gap > longestIdle {
			p.idle, p.stretches = p.idle+gap-longestIdle, p.stretches+1
			gap = longestIdle
		}
		played += gap
		p.at[i] = (played / replaySpeed).Truncate(playStep)
	}
	return p
}

// length is how long it plays.
func (p playback) length() time.Duration {
	if len(p.at) == 0 {
		return 0
	}
	return p.at[len(p.at)-1]
}

// index is the last event that has happened at a time of the playback.
func (p playback) index(at time.Duration) int {
	i, found := slices.BinarySearch(p.at, at)
	if !found {
		return max(i-1, 0)
	}
	for i+1 < len(p.at) && p.at[i+1] == at {
		i++
	}
	return i
}

// asOf is what was known of a run when the event with that index was written: the journal up to there, and
// answers, applies and agreements that were there by then. What the journal does not say of the past is left
// out. The last event of a run shows the run as it is.
func (d runData) asOf(index int) runData {
	event, final := d.events[index], d.run
	then := runData{words: words{now: event.At, zone: d.words.zone}, events: d.events[:index+1]}
	for _, r := range d.all {
		// The journal's event is written when the answer is kept, which is within the same second.
		if !r.StartedAt.Add(r.Took).Truncate(time.Second).After(event.At) {
			then.all = append(then.all, r)
		}
	}
	for _, a := range d.applies {
		if a.BegunAt.IsZero() || a.BegunAt.Truncate(time.Second).After(event.At) {
			continue
		}
		if a.EndedAt.After(event.At) {
			a.State, a.OK, a.EndedAt = upgrade.ApplyStarted, false, time.Time{}
		}
		then.applies = append(then.applies, a)
	}
	last := index
	for i, e := range d.events {
		if e.Kind == upgrade.EventPhase {
			last = i
		}
	}
	if index >= last && index == len(d.events)-1 {
		then.run = final
	} else {
		then.run = foldRun(final, then)
		if index >= last && then.run.Phase == final.Phase { // what it came to is known since then
			then.run.Causes, then.run.Verdict, then.run.Tally = final.Causes, final.Verdict, final.Tally
		}
	}
	then.back = wayBackOf(then.run, then.applies)
	then.results = then.back.newest(then.all)
	return then
}

// foldRun makes of a journal what the run was at its end. What never changes is taken from the run as it is.
func foldRun(final upgrade.Run, then runData) upgrade.Run {
	r := upgrade.Run{
		ID: final.ID, Upgrade: final.Upgrade, ProjectID: final.ProjectID, Project: final.Project, Stack: final.Stack, Environment: final.Environment, Tree: final.Tree,
		Commit: final.Commit, Version: final.Version, Base: final.Base, Title: final.Title, Author: final.Author, Attempt: final.Attempt, Answers: final.Answers,
		CreatedAt: final.CreatedAt, Phase: upgrade.PhaseQueued, Since: final.CreatedAt, Verdict: upgrade.VerdictClosed,
	}
	now := then.words.now
	for _, a := range then.applies {
		r.Applies, r.ChangedAt = r.Applies+1, a.EndedAt
		if final.Half != "" {
			r.Half = upgrade.HalfForth
			if a.Back {
				r.Half = upgrade.HalfBack
			}
		}
	}
	done := map[string]bool{}
	for _, e := range then.events {
		switch e.Kind {
		case upgrade.EventPhase:
			r.From, r.Phase, r.Since = r.Phase, upgrade.Phase(e.Data["to"]), e.At
			if r.Phase == upgrade.PhaseJudging {
				r.Plan = final.Plan // a rehearsal's first plan is not kept
			}
		case upgrade.EventApply:
			clear(done)
		case upgrade.EventResource:
			if e.Data["state"] == "done" {
				done[e.Data["address"]] = true
			}
		case upgrade.EventCreated, upgrade.EventAnswer, upgrade.EventWaiting, upgrade.EventGate, upgrade.EventOrder, upgrade.EventStatus,
			upgrade.EventRequest, upgrade.EventRetry, upgrade.EventNote:
		}
	}
	if r.Half != final.Half {
		r.Plan = upgrade.PlanFacts{}
	}
	if r.Applies > 0 && r.Applies == final.Applies {
		r.Progress = upgrade.Progress{Done: min(len(done), final.Progress.Total), Total: final.Progress.Total}
	}
	for _, a := range final.Agreed {
		if !a.At.After(now) {
			r.Agreed = append(r.Agreed, a)
		}
	}
	if o := final.Override; o != nil && !o.Asked.After(now) {
		was := *o
		if was.Given.After(now) {
			was.Given, was.By = time.Time{}, was.By[:min(1, len(was.By))]
		}
		r.Override = &was
	}
	r.Round, r.Tally = tallied(final, then.all)
	return r
}

// tallied counts the answers of the newest round so far.
func tallied(final upgrade.Run, all []upgrade.Result) (round int, t upgrade.Tally) {
	for _, r := range all {
		round = max(round, r.Round)
	}
	newest := map[string]upgrade.Outcome{}
	for _, r := range all {
		if r.Round == round && r.Stage == upgrade.StageAfter && !r.Early {
			newest[string(r.Gate)+"/"+string(r.Environment)] = r.Outcome
		}
	}
	for _, outcome := range newest {
		switch outcome {
		case upgrade.OutcomePassed:
			t.Passed++
		case upgrade.OutcomeFailed:
			t.Failed++
		case upgrade.OutcomeSkipped:
			t.Skipped++
		case upgrade.OutcomeUnknown:
			t.Unknown++
		case upgrade.OutcomeWaiting, upgrade.OutcomeRunning:
		}
	}
	if n := len(newest); n > 0 {
		t.Gates = max(n, final.Tally.Gates)
	}
	return round, t
}

// headlineOf is the headline as it was recorded: what was said when the phase was entered.
func headlineOf(events []upgrade.Event) string {
	for _, e := range slices.Backward(events) {
		if e.Kind == upgrade.EventPhase {
			return stop(e.Text)
		}
	}
	return stop(events[0].Text)
}
