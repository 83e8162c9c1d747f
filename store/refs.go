package store

import (
	"context"
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
)

// writeRefs moves watched refs, each only if nobody moved it since it was read.
func (c *commit) writeRefs() error {
	for _, r := range c.step.Refs {
		args := []any{string(r.Tree), string(r.Commit), r.Why, millis(or(r.At, c.now)), r.Key.ProjectID, r.Key.Ref}
		query := `INSERT INTO refs (tree, commit_name, why, at, project_id, ref, rev) VALUES ($1, $2, $3, $4, $5, $6, 1)
			ON CONFLICT (project_id, ref) DO NOTHING`
		if r.Rev != 0 {
			query = `UPDATE refs SET tree = $1, commit_name = $2, why = $3, at = $4, rev = rev + 1 WHERE project_id = $5 AND ref = $6 AND rev = $7`
			args = append(args, r.Rev)
		}
		n, err := c.exec(c.ctx, query, args...)
		if err != nil {
			return fmt.Errorf("move ref %s of project %d: %w", r.Key.Ref, r.Key.ProjectID, err)
		}
		if n == 0 {
			return stale("ref %s of project %d was moved since", r.Key.Ref, r.Key.ProjectID)
		}
	}
	return nil
}

const refColumns = `project_id, ref, tree, commit_name, why, rev, at`

func scanRef(scan func(...any) error) (r upgrade.RefState, err error) {
	var at int64
	err = scan(&r.Key.ProjectID, &r.Key.Ref, &r.Tree, &r.Commit, &r.Why, &r.Rev, &at)
	r.At = timeOf(at)
	return r, err
}

// Ref returns where a watched ref leads. ok is false when it is not known.
func (s *Store) Ref(ctx context.Context, key upgrade.RefKey) (ref upgrade.RefState, ok bool, err error) {
	var refs []upgrade.RefState
	err = s.view(ctx, fmt.Sprintf("read ref %s of project %d", key.Ref, key.ProjectID), func(t tx) (err error) {
		refs, err = list(ctx, t, scanRef, `SELECT `+refColumns+` FROM refs WHERE project_id = $1 AND ref = $2`, key.ProjectID, key.Ref)
		return err
	})
	if err != nil || len(refs) == 0 {
		return upgrade.RefState{Key: key}, false, err
	}
	return refs[0], true, nil
}

// Refs returns every watched ref of a project, by name.
func (s *Store) Refs(ctx context.Context, projectID int64) ([]upgrade.RefState, error) {
	var refs []upgrade.RefState
	err := s.view(ctx, fmt.Sprintf("read the refs of project %d", projectID), func(t tx) (err error) {
		refs, err = list(ctx, t, scanRef, `SELECT `+refColumns+` FROM refs WHERE project_id = $1 ORDER BY ref`, projectID)
		return err
	})
	return refs, err
}
