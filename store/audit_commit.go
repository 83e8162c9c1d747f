package store

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/upgradegate/upgradegate/upgrade"
)

// auditRequest tells the audit log what came of what a person asked of a run.
func (c *commit) auditRequest(id upgrade.RequestID) error {
	r, err := scanRequest(c.row(c.ctx, `SELECT id, run_id, kind, asked_at, doc FROM requests WHERE id = $1`, int64(id)).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // said below, as of any request that does not exist
	}
	if err != nil {
		return fmt.Errorf("read request %d: %w", id, err)
	}
	if r.Kind == upgrade.RequestSupersede { // by rule: its phase is told
		return nil
	}
	e := upgrade.AuditEntry{Act: upgrade.ActOfRequest(r.Kind), Who: r.By.Name, User: r.By.GitLabUser, Why: r.Reason, Result: upgrade.AuditDone}
	for _, event := range c.step.Events {
		if event.Run == r.Run && event.Kind == upgrade.EventRequest && event.Who == r.By.Name && event.Data["kind"] == string(r.Kind) && event.Data["refused"] != "" {
			e.Result, e.Detail = upgrade.AuditRefused, event.Data["refused"]
		}
	}
	return c.auditRun(r.Run, e)
}

// auditPhases tells the audit log of what changes a real environment, or what may go there.
func (c *commit) auditPhases() error {
	for _, event := range c.journal {
		if event.Kind != upgrade.EventPhase {
			continue
		}
		told := []upgrade.Phase{upgrade.PhaseApplying, upgrade.PhaseUnlocked, upgrade.PhaseRelocked, upgrade.PhasePromoted, upgrade.PhaseSuperseded}
		if !slices.Contains(told, upgrade.Phase(event.Data["to"])) {
			continue
		}
		who := event.Who
		if who == "" {
			who = upgrade.ByRule().Name
		}
		act := upgrade.ActByRule + "." + upgrade.Act(event.Data["to"])
		if err := c.auditRun(event.Run, upgrade.AuditEntry{Act: act, Who: who, Why: event.Data["why"], Detail: event.Text, Result: upgrade.AuditDone}); err != nil {
			return err
		}
	}
	return nil
}

// auditRun keeps an entry about a run.
func (c *commit) auditRun(id upgrade.RunID, e upgrade.AuditEntry) error {
	var text string
	if err := c.row(c.ctx, `SELECT stack, doc FROM runs WHERE id = $1`, int64(id)).Scan(&e.Stack, &text); err != nil {
		return fmt.Errorf("read run %d: %w", id, err)
	}
	var doc runDoc
	if err := decode(text, &doc); err != nil {
		return err
	}
	e.At, e.Run, e.On, e.Project = c.now, id, "run "+id.String(), doc.Project
	return appendAudit(c.ctx, c.tx, &e)
}
