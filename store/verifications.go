package store

import (
	"context"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

type verificationDoc struct {
	Project   string         `json:"project,omitempty"`
	Commit    upgrade.Commit `json:"commit"`
	Ref       string         `json:"ref,omitempty"`
	RefType   string         `json:"ref_type,omitempty"`
	Protected bool           `json:"protected,omitempty"`
	Pipeline  int64          `json:"pipeline,omitempty"`
	Job       int64          `json:"job,omitempty"`
	Until     time.Time      `json:"until,omitzero"`
	Run       upgrade.RunID  `json:"run,omitempty"`
	Sentence  string         `json:"sentence,omitempty"`
	Told      int            `json:"told,omitempty"`
}

func docOfVerification(v *upgrade.Verification) verificationDoc {
	return verificationDoc{
		Project: v.Project, Commit: v.Commit, Ref: v.Ref, RefType: v.RefType, Protected: v.Protected, Pipeline: v.Pipeline, Job: v.Job,
		Until: v.Until.UTC(), Run: v.Run, Sentence: v.Sentence, Told: v.Told,
	}
}

func (d *verificationDoc) fill(v *upgrade.Verification) {
	v.Project, v.Commit, v.Ref, v.RefType, v.Protected = d.Project, d.Commit, d.Ref, d.RefType, d.Protected
	v.Pipeline, v.Job, v.Until = d.Pipeline, d.Job, d.Until
	v.Run, v.Sentence, v.Told = d.Run, d.Sentence, d.Told
}

// Verify keeps a production pipeline's question and makes the job that answers it. AskedAt must be set.
// Errors: CodeConflict when its token was used before, CodeInvalid without an id, token or time.
func (s *Store) Verify(ctx context.Context, v upgrade.Verification) error {
	if v.ID == "" || v.Token == "" || v.AskedAt.IsZero() {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "a question needs an id, a token and a time"}
	}
	doc, err := encode(docOfVerification(&v))
	if err != nil {
		return err
	}
	err = s.update(ctx, "keep a question of production", func(t tx) error {
		number, err := t.take(ctx, "verification", 1)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `INSERT INTO verifications (number, id, token, project_id, state, rev, asked_at, doc)
			VALUES ($1, $2, $3, $4, $5, 1, $6, $7)`,
			number, string(v.ID), v.Token, v.ProjectID, string(upgrade.VerifyWaiting), millis(v.AskedAt), doc)
		if err != nil && t.d.unique(err) {
			return &upgrade.Error{
				Code: upgrade.CodeConflict, Msg: "this ID token was used before", Hint: "each job asks once, with a token of its own", Cause: err,
			}
		}
		if err != nil {
			return err
		}
		return makeJob(ctx, t, upgrade.JobFor(upgrade.JobVerify, string(v.ID)), 0)
	})
	if err == nil {
		s.signal()
	}
	return err
}

const verificationColumns = `id, token, project_id, state, rev, asked_at, doc`

func scanVerification(scan func(...any) error) (v upgrade.Verification, err error) {
	var asked int64
	var text string
	if err := scan(&v.ID, &v.Token, &v.ProjectID, &v.State, &v.Rev, &asked, &text); err != nil {
		return upgrade.Verification{}, err
	}
	v.AskedAt = timeOf(asked)
	var doc verificationDoc
	if err := decode(text, &doc); err != nil {
		return upgrade.Verification{}, err
	}
	doc.fill(&v)
	return v, nil
}

// Verification returns one question. Error: CodeNotFound.
func (s *Store) Verification(ctx context.Context, id upgrade.VerificationID) (v upgrade.Verification, err error) {
	err = s.view(ctx, "read a question of production", func(t tx) error {
		found, err := list(ctx, t, scanVerification, `SELECT `+verificationColumns+` FROM verifications WHERE id = $1`, string(id))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "nobody asked that"}
		}
		v = found[0]
		return nil
	})
	return v, err
}

// Waiting returns the questions of a project that wait for their answer, the oldest first; of all
// projects for 0.
func (s *Store) Waiting(ctx context.Context, projectID int64) (all []upgrade.Verification, err error) {
	err = s.view(ctx, "read the questions of production", func(t tx) (err error) {
		all, err = list(ctx, t, scanVerification, `SELECT `+verificationColumns+` FROM verifications
			WHERE state = $1 AND (project_id = $2 OR $2 = 0) ORDER BY number`, string(upgrade.VerifyWaiting), projectID)
		return err
	})
	return all, err
}

// writeVerifications writes answers over.
func (c *commit) writeVerifications() error {
	for i := range c.step.Verifications {
		v := &c.step.Verifications[i]
		doc, err := encode(docOfVerification(v))
		if err != nil {
			return err
		}
		n, err := c.exec(c.ctx, `UPDATE verifications SET state = $1, doc = $2, rev = rev + 1 WHERE id = $3 AND rev = $4 AND state = $5`,
			string(v.State), doc, string(v.ID), v.Rev, string(upgrade.VerifyWaiting))
		if err != nil {
			return fmt.Errorf("answer production: %w", err)
		}
		if n == 0 {
			return stale("the answer to production was written since")
		}
	}
	return nil
}

// PurgeVerifications removes the questions of production that were asked before the time and have their
// answer, and returns how many. Their ID tokens have ended long before. Error: CodeInvalid for a zero time.
func (s *Store) PurgeVerifications(ctx context.Context, before time.Time) (int, error) {
	if before.IsZero() {
		return 0, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "old questions are removed up to a time"}
	}
	var n int64
	err := s.update(ctx, "remove old questions of production", func(t tx) error {
		const old = `FROM verifications WHERE asked_at < $1 AND state <> $2`
		_, err := t.exec(ctx, `DELETE FROM jobs WHERE ended = 1 AND kind = $3 AND subject IN (SELECT id `+old+`)`,
			millis(before), string(upgrade.VerifyWaiting), string(upgrade.JobVerify))
		if err != nil {
			return fmt.Errorf("remove their jobs: %w", err)
		}
		n, err = t.exec(ctx, `DELETE `+old, millis(before), string(upgrade.VerifyWaiting))
		return err
	})
	return int(n), err
}
