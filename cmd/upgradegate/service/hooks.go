package service

import (
	"context"

	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/webhooks/sender"
)

// hooksOf opens the room that posts events to those who subscribed.
func hooksOf(ctx context.Context, o Options, db *store.Store, mask func(string) string) (*sender.Room, error) {
	stacks := make([]upgrade.StackName, 0, len(o.Config.Stacks))
	for _, stack := range o.Config.Stacks {
		stacks = append(stacks, stack.Name)
	}
	return sender.New(ctx, sender.Config{
		Journals: db, Shelf: db, Queue: db, Configured: subscriptions(o.Config), Stacks: stacks, PublicURL: o.Config.Server.PublicURL,
		Guard: guard(o.Config).Control, Mask: mask, Clock: o.Clock, Log: o.Log,
	})
}

func subscriptions(c *config.Config) []upgrade.Hook {
	hooks := make([]upgrade.Hook, 0, len(c.Hooks))
	for _, h := range c.Hooks {
		keys := []upgrade.HookKey{{Secret: h.Secret}}
		if h.OldSecret.Set() {
			keys = append(keys, upgrade.HookKey{Secret: h.OldSecret})
		}
		hooks = append(hooks, upgrade.Hook{Name: h.Name, URL: h.URL, Events: h.Events, Stacks: h.Stacks, Keys: keys})
	}
	return hooks
}
