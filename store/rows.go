package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// The documents below are what a row holds besides its columns. A value is taken apart into columns
// and document in one function and put together in another; rows_test.go fails when a field of the
// domain is in neither. Small structs of the domain go in as they are, under their Go names.

type runDoc struct {
	Project    string                  `json:"project,omitempty"`
	Version    string                  `json:"version,omitempty"`
	Base       string                  `json:"base,omitempty"`
	Title      string                  `json:"title,omitempty"`
	Author     string                  `json:"author,omitempty"`
	Since      time.Time               `json:"since,omitzero"`
	From       upgrade.Phase           `json:"from,omitempty"`
	Reason     string                  `json:"reason,omitempty"`
	Deadline   time.Time               `json:"deadline,omitzero"`
	Verdict    upgrade.Verdict         `json:"verdict,omitempty"`
	Causes     []upgrade.Cause         `json:"causes,omitempty"`
	Tally      upgrade.Tally           `json:"tally,omitzero"`
	Progress   upgrade.Progress        `json:"progress,omitzero"`
	Plan       upgrade.PlanFacts       `json:"plan,omitzero"`
	Applies    int                     `json:"applies,omitempty"`
	ChangedAt  time.Time               `json:"changed_at,omitzero"`
	Round      int                     `json:"round,omitempty"`
	StoppedBy  string                  `json:"stopped_by,omitempty"`
	PromotedAt time.Time               `json:"promoted_at,omitzero"`
	Production upgrade.ProductionFacts `json:"production,omitzero"`
	CreatedAt  time.Time               `json:"created_at,omitzero"`
	Half       upgrade.Half            `json:"half,omitempty"`
	Agreed     []upgrade.Agreement     `json:"agreed,omitempty"`
	Override   *upgrade.Override       `json:"override,omitempty"`
	Warnings   []string                `json:"warnings,omitempty"`
}

func docOfRun(r *upgrade.Run) runDoc {
	return runDoc{
		Project: r.Project, Version: r.Version, Base: r.Base, Title: r.Title, Author: r.Author,
		Since: r.Since.UTC(), From: r.From, Reason: r.Reason, Deadline: r.Deadline.UTC(),
		Verdict: r.Verdict, Causes: r.Causes, Tally: r.Tally, Progress: r.Progress,
		Plan: r.Plan, Applies: r.Applies, ChangedAt: r.ChangedAt.UTC(), Round: r.Round,
		StoppedBy: r.StoppedBy, PromotedAt: r.PromotedAt.UTC(), Production: r.Production, CreatedAt: r.CreatedAt.UTC(),
		Half: r.Half, Agreed: r.Agreed, Override: r.Override, Warnings: r.Warnings,
	}
}

func (d *runDoc) fill(r *upgrade.Run) {
	r.Project, r.Version, r.Base, r.Title, r.Author = d.Project, d.Version, d.Base, d.Title, d.Author
	r.Since, r.From, r.Reason, r.Deadline = d.Since, d.From, d.Reason, d.Deadline
	r.Verdict, r.Causes, r.Tally, r.Progress = d.Verdict, d.Causes, d.Tally, d.Progress
	r.Plan, r.Applies, r.ChangedAt, r.Round = d.Plan, d.Applies, d.ChangedAt, d.Round
	r.StoppedBy, r.PromotedAt, r.Production, r.CreatedAt = d.StoppedBy, d.PromotedAt, d.Production, d.CreatedAt
	r.Half, r.Agreed, r.Override, r.Warnings = d.Half, d.Agreed, d.Override, d.Warnings
}

type resultDoc struct {
	Kind        string        `json:"kind"`
	Round       int           `json:"round,omitempty"`
	Required    bool          `json:"required,omitempty"`
	TouchesLive bool          `json:"touches_live,omitempty"`
	Early       bool          `json:"early,omitempty"`
	Message     string        `json:"message,omitempty"`
	Brief       string        `json:"brief,omitempty"`
	Hint        string        `json:"hint,omitempty"`
	Warnings    []string      `json:"warnings,omitempty"`
	StartedAt   time.Time     `json:"started_at,omitzero"`
	Took        time.Duration `json:"took_ns,omitempty"`
	GoodFor     time.Duration `json:"good_for_ns,omitempty"`
	Apply       int           `json:"apply,omitempty"`
	Agreeable   bool          `json:"agreeable,omitempty"`
}

func docOfResult(r *upgrade.Result) resultDoc {
	return resultDoc{
		Kind: r.Kind, Round: r.Round, Required: r.Required, TouchesLive: r.TouchesLive, Early: r.Early,
		Message: r.Message, Brief: r.Brief, Hint: r.Hint, Warnings: r.Warnings, StartedAt: r.StartedAt.UTC(), Took: r.Took, GoodFor: r.GoodFor,
		Apply: r.Apply, Agreeable: r.Agreeable,
	}
}

func (d *resultDoc) fill(r *upgrade.Result) {
	r.Kind, r.Round, r.Required, r.TouchesLive, r.Early = d.Kind, d.Round, d.Required, d.TouchesLive, d.Early
	r.Message, r.Brief, r.Hint, r.Warnings = d.Message, d.Brief, d.Hint, d.Warnings
	r.StartedAt, r.Took, r.GoodFor = d.StartedAt, d.Took, d.GoodFor
	r.Apply, r.Agreeable = d.Apply, d.Agreeable
}

type applyDoc struct {
	Tree    upgrade.Tree `json:"tree"`
	Host    string       `json:"host,omitempty"`
	BootID  string       `json:"boot_id,omitempty"`
	Dir     string       `json:"dir,omitempty"`
	OK      bool         `json:"ok,omitempty"`
	Back    bool         `json:"back,omitempty"`
	BegunAt time.Time    `json:"begun_at,omitzero"`
	EndedAt time.Time    `json:"ended_at,omitzero"`
}

func docOfApply(a *upgrade.Apply) applyDoc {
	return applyDoc{
		Tree: a.Tree, Host: a.Host, BootID: a.BootID, Dir: a.Dir, OK: a.OK, Back: a.Back,
		BegunAt: a.BegunAt.UTC(), EndedAt: a.EndedAt.UTC(),
	}
}

func (d *applyDoc) fill(a *upgrade.Apply) {
	a.Tree, a.Host, a.BootID, a.Dir, a.OK = d.Tree, d.Host, d.BootID, d.Dir, d.OK
	a.Back, a.BegunAt, a.EndedAt = d.Back, d.BegunAt, d.EndedAt
}

type orderDoc struct {
	Hold     upgrade.Hold `json:"hold"`
	Target   string       `json:"target,omitempty"`
	Result   string       `json:"result,omitempty"`
	Attempts int          `json:"attempts,omitempty"`
	At       time.Time    `json:"at,omitzero"`
}

func docOfOrder(o *upgrade.Order) orderDoc {
	return orderDoc{Hold: o.Hold, Target: o.Target, Result: o.Result, Attempts: o.Attempts, At: o.At.UTC()}
}

func (d *orderDoc) fill(o *upgrade.Order) {
	o.Hold, o.Target, o.Result, o.Attempts, o.At = d.Hold, d.Target, d.Result, d.Attempts, d.At
}

type requestDoc struct {
	By     upgrade.Person `json:"by"`
	Reason string         `json:"reason,omitempty"`
	Other  upgrade.RunID  `json:"other,omitempty"`
	Digest string         `json:"digest,omitempty"`
	Until  time.Time      `json:"until,omitzero"`
}

func docOfRequest(r *upgrade.Request) requestDoc {
	return requestDoc{By: r.By, Reason: r.Reason, Other: r.Other, Digest: r.Digest, Until: r.Until.UTC()}
}

func (d *requestDoc) fill(r *upgrade.Request) {
	r.By, r.Reason, r.Other, r.Digest, r.Until = d.By, d.Reason, d.Other, d.Digest, d.Until
}

// encode returns v as a document.
func encode(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode %T: %w", v, err)
	}
	return string(text), nil
}

// decode reads a document into v.
func decode(text string, v any) error {
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	return nil
}
