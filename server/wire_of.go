package server

import (
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

func (s *Server) wireRun(r upgrade.Run) wireRun {
	told := upgrade.Tell(r)
	w := wireRun{
		ID: r.ID, Upgrade: r.Upgrade, Stack: r.Stack, Environment: r.Environment, ProjectID: r.ProjectID, Project: r.Project,
		Tree: r.Tree, Commit: r.Commit, Version: r.Version, Base: r.Base, Title: r.Title, Author: r.Author, Attempt: r.Attempt,
		Answers: []wireAnswer{}, Phase: r.Phase, Since: utc(r.Since), From: r.From, Reason: r.Reason, Deadline: utc(r.Deadline),
		Verdict: r.Verdict, Causes: []wireCause{}, Seen: upgrade.CausesDigest(r.Causes), Warnings: append([]string{}, r.Warnings...),
		Half: r.Half, Agreed: []wireAgreement{},
		Told:     wireTelling{told.Key, told.Look.Word, told.Look.Tone, told.Headline, told.Next, told.Live},
		Gates:    wireTally{r.Tally.Gates, r.Tally.Passed, r.Tally.Failed, r.Tally.Unknown, r.Tally.Skipped},
		Progress: wireProgress{r.Progress.Done, r.Progress.Total, r.Progress.Failed},
		Plan: wirePlan{
			Create: r.Plan.Create, Update: r.Plan.Update, Replace: r.Plan.Replace, Destroy: r.Plan.Destroy, Forget: r.Plan.Forget,
			FileDigest: r.Plan.FileDigest, ChangeDigest: r.Plan.ChangeDigest, LockDigest: r.Plan.LockDigest, Tool: r.Plan.Tool,
		},
		Round: r.Round, Applies: r.Applies, ChangedAt: utc(r.ChangedAt), StoppedBy: r.StoppedBy, PromotedAt: utc(r.PromotedAt),
		Production: wireProduction{r.Production.Started, r.Production.Failed, r.Production.JobURL},
		CreatedAt:  utc(r.CreatedAt), Rev: r.Rev, URL: s.publicURL + runPath(r.ID), Status: r.Phase.CommitState(),
	}
	if w.Verdict == "" {
		w.Verdict = upgrade.VerdictClosed // not decided yet is closed
	}
	for _, a := range r.Answers {
		w.Answers = append(w.Answers, wireAnswer{a.Ref, a.Commit, a.MergeRequest, utc(a.At)})
	}
	for _, cause := range r.Causes {
		w.Causes = append(w.Causes, wireCauseOf(cause))
	}
	for _, a := range r.Agreed {
		w.Agreed = append(w.Agreed, wireAgreement{a.ChangeDigest, a.By, a.Reason, utc(a.At)})
	}
	if o := r.Override; o != nil {
		w.Override = &wireOverride{
			Causes: []wireCause{}, Reason: o.Reason, By: []string{}, AskedAt: utc(o.Asked), GivenAt: utc(o.Given), Until: utc(o.Until),
			Counts: o.Counts(s.clock.Now()),
		}
		for _, cause := range o.Causes {
			w.Override.Causes = append(w.Override.Causes, wireCauseOf(cause))
		}
		for _, p := range o.By {
			w.Override.By = append(w.Override.By, p.Name)
		}
	}
	return w
}

func wireCauseOf(c upgrade.Cause) wireCause {
	return wireCause{c.Kind, c.Gate, c.Run, c.Stack, c.Message, c.Hint}
}

func wireEventOf(e upgrade.Event) wireEvent {
	return wireEvent{ID: e.ID, Seq: e.Seq, At: utc(e.At), Kind: e.Kind, Who: e.Who, Text: e.Text, Data: e.Data}
}

func wireResultOf(r upgrade.Result, back bool, now time.Time) wireResult {
	w := wireResult{
		Gate: r.Gate, Kind: r.Kind, Stage: r.Stage, Environment: r.Environment, Round: r.Round, Required: r.Required, Early: r.Early,
		Apply: r.Apply, WayBack: back, Agreeable: r.Agreeable,
		Outcome: r.Outcome, Expired: r.Expired(now), Message: r.Message, Warnings: r.Warnings, StartedAt: utc(r.StartedAt),
		Took: r.Took.Seconds(), GoodFor: r.GoodFor.Seconds(),
	}
	e := &w.Evidence
	for _, f := range r.Evidence.Facts {
		e.Facts = append(e.Facts, wireFact(f))
	}
	for _, t := range r.Evidence.Tables {
		e.Tables = append(e.Tables, wireTable(t))
	}
	for _, q := range r.Evidence.Quotes {
		e.Quotes = append(e.Quotes, wireQuote{q.Source, q.Text, utc(q.At)})
	}
	for _, sp := range r.Evidence.Spans {
		e.Spans = append(e.Spans, wireSpan{sp.Name, utc(sp.From), utc(sp.To), sp.Failed})
	}
	for _, m := range r.Evidence.Marks {
		e.Steps = append(e.Steps, wireMark{m.Address, m.Action, utc(m.From), utc(m.To), m.Failed})
	}
	e.About, e.Watch = r.Evidence.About, wireWatchOf(r.Run, r)
	for _, l := range r.Evidence.Log {
		e.Log = append(e.Log, wireLine{utc(l.At), l.Text})
	}
	return w
}

func wireDeliveryOf(d upgrade.Delivery) wireDelivery {
	w := wireDelivery{
		Number: d.Number, ID: d.ID, Event: d.Event, Kind: d.Hint.Kind, ReceivedAt: utc(d.ReceivedAt),
		ProjectID: d.Hint.ProjectID, Project: d.Hint.Project, About: about(d.Hint), Fate: d.Fate, Reason: d.Reason, Runs: d.Runs,
	}
	if w.Runs == nil {
		w.Runs = []upgrade.RunID{}
	}
	return w
}

// about says in a few words what a delivery is about.
func about(h upgrade.Hint) string {
	switch h.Kind {
	case upgrade.HintPush:
		if h.After.Zero() {
			return h.Ref + " deleted"
		}
		return h.Ref + " → " + h.After.Short()
	case upgrade.HintMergeRequest:
		return fmt.Sprintf("!%d %s", h.MergeRequest, h.Action)
	case upgrade.HintPipeline:
		return fmt.Sprintf("pipeline %d %s", h.Pipeline, h.Status)
	case upgrade.HintJob:
		return fmt.Sprintf("%s %s", h.JobName, h.Status)
	case upgrade.HintDeployment:
		return fmt.Sprintf("deployment to %s %s", h.Environment, h.Status)
	case upgrade.HintNote:
		return fmt.Sprintf("note on !%d", h.MergeRequest)
	case upgrade.HintReconcile:
		return h.Ref + " → " + h.After.Short()
	case upgrade.HintRetry:
		return fmt.Sprintf("run %d from the plan, for %s", h.Run, h.By)
	case upgrade.HintRehearse:
		return fmt.Sprintf("run %d rehearsed, for %s", h.Run, h.By)
	case upgrade.HintOther:
	}
	return ""
}

// utc keeps the zero time zero, so that it is left out.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

func runPath(id upgrade.RunID) string { return "/runs/" + id.String() }
