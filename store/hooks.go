package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

type hookDoc struct {
	URL    string              `json:"url"`
	Events []string            `json:"events,omitempty"`
	Stacks []upgrade.StackName `json:"stacks,omitempty"`
	Why    string              `json:"why,omitempty"`
	By     string              `json:"by,omitempty"`
	At     time.Time           `json:"at,omitzero"`
}

// keyDoc is a secret in the clear: the service has to sign with it.
type keyDoc struct {
	Secret string    `json:"secret"`
	Until  time.Time `json:"until,omitzero"`
}

// SaveHook keeps a subscription and returns it as it was kept. One with Rev 0 is new, and begins with what is
// written to the journal after it; CodeConflict if there is one of that name. Any other must have Rev as it
// was read, else CodeStale; its Cursor stays. Secrets of one in the configuration are not kept.
func (s *Store) SaveHook(ctx context.Context, h upgrade.Hook) (upgrade.Hook, error) {
	if h.Name == "" || h.State == "" {
		return h, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "a subscription needs a name and a state"}
	}
	doc, err := encode(hookDoc{URL: h.URL, Events: h.Events, Stacks: h.Stacks, Why: h.Why, By: h.By, At: h.At.UTC()})
	if err != nil {
		return h, err
	}
	var keys []keyDoc
	for _, k := range h.Keys {
		if !h.File {
			keys = append(keys, keyDoc{k.Secret.Reveal(), k.Until.UTC()})
		}
	}
	secrets := ""
	if len(keys) > 0 {
		if secrets, err = encode(keys); err != nil {
			return h, err
		}
	}
	file := 0
	if h.File {
		file = 1
	}
	err = s.update(ctx, fmt.Sprintf("keep the subscription %s", h.Name), func(t tx) error {
		if h.Rev != 0 {
			err := t.row(ctx, `UPDATE hooks SET state = $1, from_file = $2, rev = rev + 1, doc = $3, signed_with = $4 WHERE name = $5 AND rev = $6 RETURNING rev, last_event`,
				string(h.State), file, doc, secrets, string(h.Name), h.Rev).Scan(&h.Rev, &h.Cursor)
			if errors.Is(err, sql.ErrNoRows) {
				return &upgrade.Error{Code: upgrade.CodeStale, Msg: fmt.Sprintf("the subscription %s was changed or removed meanwhile", h.Name)}
			}
			return err
		}
		last, err := t.lock(ctx, "event") // nothing is written to a journal meanwhile
		if err != nil {
			return err
		}
		n, err := t.exec(ctx, `INSERT INTO hooks (name, state, from_file, last_event, rev, doc, signed_with) VALUES ($1, $2, $3, $4, 1, $5, $6) ON CONFLICT (name) DO NOTHING`,
			string(h.Name), string(h.State), file, last, doc, secrets)
		if err == nil && n == 0 {
			return &upgrade.Error{Code: upgrade.CodeConflict, Msg: fmt.Sprintf("there is a subscription %s already", h.Name), Hint: "choose another name, or remove that one first"}
		}
		h.Rev, h.Cursor = 1, last
		return err
	})
	return h, err
}

// RemoveHook removes a subscription and all that was on its way to it. CodeNotFound.
func (s *Store) RemoveHook(ctx context.Context, name upgrade.HookName) error {
	return s.update(ctx, fmt.Sprintf("remove the subscription %s", name), func(t tx) error {
		if _, err := t.exec(ctx, `DELETE FROM hook_messages WHERE hook = $1`, string(name)); err != nil {
			return err
		}
		n, err := t.exec(ctx, `DELETE FROM hooks WHERE name = $1`, string(name))
		if err == nil && n == 0 {
			return notFound("the subscription %s", name)
		}
		return err
	})
}

// Hooks returns every subscription, by name.
func (s *Store) Hooks(ctx context.Context) (hooks []upgrade.Hook, err error) {
	err = s.view(ctx, "read the subscriptions", func(t tx) error {
		hooks, err = list(ctx, t, scanHook, `SELECT name, state, from_file, last_event, rev, doc, signed_with,
			(SELECT count(*) FROM hook_messages m WHERE m.hook = hooks.name AND m.state = 'pending'),
			(SELECT count(*) FROM hook_messages m WHERE m.hook = hooks.name AND m.state = 'dead')
			FROM hooks ORDER BY name`)
		return err
	})
	return hooks, err
}

func scanHook(scan func(...any) error) (h upgrade.Hook, err error) {
	var file int
	var text, secrets string
	if err := scan(&h.Name, &h.State, &file, &h.Cursor, &h.Rev, &text, &secrets, &h.Pending, &h.Dead); err != nil {
		return h, err
	}
	var doc hookDoc
	if err := decode(text, &doc); err != nil {
		return h, err
	}
	h.URL, h.Events, h.Stacks, h.File, h.Why, h.By, h.At = doc.URL, doc.Events, doc.Stacks, file == 1, doc.Why, doc.By, doc.At
	if secrets == "" {
		return h, nil
	}
	var keys []keyDoc
	if err := decode(secrets, &keys); err != nil {
		return h, err
	}
	for _, k := range keys {
		h.Keys = append(h.Keys, upgrade.HookKey{Secret: upgrade.Secret(k.Secret), Until: k.Until})
	}
	return h, nil
}
