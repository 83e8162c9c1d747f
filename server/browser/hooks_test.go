package browser

import (
	"context"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/webhooks/sender"
)

// hooks are two subscriptions; to one of them something did not arrive. Nothing is changed through it.
type hooks struct {
	*sender.Room

	now func() time.Time
}

func (h hooks) Hooks(context.Context, upgrade.Person) ([]upgrade.Hook, error) {
	return []upgrade.Hook{
		{Name: "chat", URL: "https://chat.example.org", Events: []string{"run.unlocked", "run.blocked"}, State: upgrade.HookActive, By: "configuration", At: h.now(), File: true, Pending: 1, Dead: 2},
		{Name: "inventory", URL: "https://inventory.example.org", Stacks: []upgrade.StackName{"ecs-master"}, State: upgrade.HookGone, Why: "its receiver answered 410 Gone", By: "by rule", At: h.now()},
	}, nil
}

func (h hooks) Messages(_ context.Context, f upgrade.MessageFilter) ([]upgrade.HookMessage, error) {
	if f.Hook != "chat" {
		return nil, nil
	}
	at := h.now().Add(-73 * time.Hour)
	return []upgrade.HookMessage{
		{ID: 218, Hook: "chat", Run: 481, Type: "run.blocked", State: upgrade.MessageDead, Tries: 34, MadeAt: at, TriedAt: at.Add(72 * time.Hour), Answer: "no answer within 10 s"},
		{ID: 207, Hook: "chat", Run: 480, Type: "run.unlocked", State: upgrade.MessageDead, Tries: 34, MadeAt: at, TriedAt: at.Add(72 * time.Hour), Answer: "answered 500 Internal Server Error"},
	}, nil
}
