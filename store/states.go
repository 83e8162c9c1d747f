package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// writtenAtOnce is how many owned things one statement writes: each has six parameters, and there is an
// end to how many a statement may have.
const writtenAtOnce = 100

// SaveReading keeps what came of a try to read a state. Without a problem, owned replaces all that the
// state owned before, in one transaction, and r.Objects is how many those are; what is in both is not
// written again, so that a state in which little changed costs little. With a problem, only TriedAt and
// Problem are kept of r: what was read before stays, with its own age. Two things of one state with the
// same type, key and address are one. CodeInvalid without a name or a time.
func (s *Store) SaveReading(ctx context.Context, r upgrade.Reading, owned []upgrade.Owned) error {
	if r.State == "" || r.TriedAt.IsZero() || r.Problem == "" && r.ReadAt.IsZero() {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "a reading needs the state's name and the time"}
	}
	return s.update(ctx, fmt.Sprintf("keep the reading of %s", r.State), func(t tx) error {
		if r.Problem != "" {
			return tried(ctx, t, r)
		}
		r.Objects = 0
		fresh := make(map[ownedKey]upgrade.Owned, len(owned))
		for _, o := range owned {
			if o.Key == "" {
				continue
			}
			if _, twice := fresh[keyOf(o)]; !twice {
				fresh[keyOf(o)] = o
				r.Objects++
			}
		}
		if err := saveReading(ctx, t, r); err != nil {
			return err
		}
		return replaceOwned(ctx, t, r.State, fresh)
	})
}

// tried keeps a try that failed.
func tried(ctx context.Context, t tx, r upgrade.Reading) error {
	_, err := t.exec(ctx, `INSERT INTO readings (state, stack, environment, account, region, read_at, tried_at, problem, lineage, serial, objects)
		VALUES ($1, $2, $3, '', '', 0, $4, $5, '', 0, 0)
		ON CONFLICT (state) DO UPDATE SET tried_at = excluded.tried_at, problem = excluded.problem`,
		string(r.State), string(r.Stack), string(r.Env), millis(r.TriedAt), r.Problem)
	return err
}

func saveReading(ctx context.Context, t tx, r upgrade.Reading) error {
	_, err := t.exec(ctx, `INSERT INTO readings (state, stack, environment, account, region, read_at, tried_at, problem, lineage, serial, objects)
		VALUES ($1, $2, $3, $4, $5, $6, $7, '', $8, $9, $10)
		ON CONFLICT (state) DO UPDATE SET stack = excluded.stack, environment = excluded.environment, account = excluded.account,
			region = excluded.region, read_at = excluded.read_at, tried_at = excluded.tried_at, problem = '',
			lineage = excluded.lineage, serial = excluded.serial, objects = excluded.objects`,
		string(r.State), string(r.Stack), string(r.Env), r.Account, r.Region, millis(r.ReadAt), millis(r.TriedAt), r.Lineage, r.Serial, r.Objects)
	return err
}

// ownedKey is what tells the things of one state apart.
type ownedKey struct{ kind, key, address string }

func keyOf(o upgrade.Owned) ownedKey { return ownedKey{o.Type, o.Key, o.Address} }

// replaceOwned makes the state own what fresh has and nothing else. It empties fresh.
func replaceOwned(ctx context.Context, t tx, state upgrade.StateName, fresh map[ownedKey]upgrade.Owned) error {
	before, err := list(ctx, t, scanOwned, `SELECT state, type, key, account, region, address FROM owned WHERE state = $1`, string(state))
	if err != nil {
		return err
	}
	for _, old := range before {
		now, stays := fresh[keyOf(old)]
		if stays && now.Account == old.Account && now.Region == old.Region {
			delete(fresh, keyOf(old))
			continue
		}
		if _, err := t.exec(ctx, `DELETE FROM owned WHERE type = $1 AND key = $2 AND state = $3 AND address = $4`,
			old.Type, old.Key, string(state), old.Address); err != nil {
			return err
		}
	}
	var rows []string
	var args []any
	write := func() error {
		if len(rows) == 0 {
			return nil
		}
		// Asked as text: one for each number of rows would fill the pool of statements.
		_, err := t.q.ExecContext(ctx, t.d.sql(`INSERT INTO owned (type, key, state, address, account, region) VALUES `+strings.Join(rows, ", ")), args...)
		rows, args = rows[:0], args[:0]
		return err
	}
	for _, o := range slices.SortedFunc(maps.Values(fresh), byPlace) { // in order, pages fill one after the other
		n := len(args)
		rows = append(rows, fmt.Sprintf("($%d, $%d, $%d, $%d, $%d, $%d)", n+1, n+2, n+3, n+4, n+5, n+6))
		args = append(args, o.Type, o.Key, string(state), o.Address, o.Account, o.Region)
		if len(rows) < writtenAtOnce {
			continue
		}
		if err := write(); err != nil {
			return err
		}
	}
	return write()
}

// Readings returns the newest reading of every state that was ever tried, by name.
func (s *Store) Readings(ctx context.Context) (readings []upgrade.Reading, err error) {
	err = s.view(ctx, "read what is known of states", func(t tx) (err error) {
		readings, err = list(ctx, t, func(scan func(...any) error) (r upgrade.Reading, err error) {
			var readAt, triedAt int64
			err = scan(&r.State, &r.Stack, &r.Env, &r.Account, &r.Region, &readAt, &triedAt, &r.Problem, &r.Lineage, &r.Serial, &r.Objects)
			r.ReadAt, r.TriedAt = timeOf(readAt), timeOf(triedAt)
			return r, err
		}, `SELECT state, stack, environment, account, region, read_at, tried_at, problem, lineage, serial, objects FROM readings ORDER BY state`)
		return err
	})
	return readings, err
}

// Owners returns every place in every state in which one of the objects is, by state, type, key and
// address: where type and key are equal and neither account nor region tells them apart.
func (s *Store) Owners(ctx context.Context, objects []plan.Object) (owners []upgrade.Owned, err error) {
	err = s.view(ctx, "look for owners", func(t tx) error {
		asked, found := map[plan.Object]bool{}, map[upgrade.Owned]bool{}
		for _, object := range objects {
			object.Address = ""
			if object.Key == "" || asked[object] {
				continue
			}
			asked[object] = true
			all, err := list(ctx, t, scanOwned, `SELECT state, type, key, account, region, address FROM owned WHERE type = $1 AND key = $2`, object.Type, object.Key)
			if err != nil {
				return err
			}
			for _, owner := range all {
				here := plan.Object{Type: owner.Type, Key: owner.Key, Account: owner.Account, Region: owner.Region}
				if here.Same(object) && !found[owner] {
					found[owner] = true
					owners = append(owners, owner)
				}
			}
		}
		return nil
	})
	slices.SortFunc(owners, byPlace)
	return owners, err
}

func byPlace(a, b upgrade.Owned) int {
	return cmp.Or(cmp.Compare(a.State, b.State), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Address, b.Address))
}

func scanOwned(scan func(...any) error) (o upgrade.Owned, err error) {
	err = scan(&o.State, &o.Type, &o.Key, &o.Account, &o.Region, &o.Address)
	return o, err
}

// ForgetStates removes the readings of states that are not configured any more, or are others under an
// old name, and all that they own. A name that is not known is fine.
func (s *Store) ForgetStates(ctx context.Context, names ...upgrade.StateName) error {
	if len(names) == 0 {
		return nil
	}
	return s.update(ctx, "forget states", func(t tx) error {
		for _, name := range names {
			if _, err := t.exec(ctx, `DELETE FROM owned WHERE state = $1`, string(name)); err != nil {
				return err
			}
			if _, err := t.exec(ctx, `DELETE FROM readings WHERE state = $1`, string(name)); err != nil {
				return err
			}
		}
		return nil
	})
}
