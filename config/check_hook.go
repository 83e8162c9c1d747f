package config

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// longestKey is the longest signing key that Standard Webhooks allows, in bytes.
const longestKey = 64

type rawHook struct {
	name        upgrade.HookName
	url         string
	secret, old upgrade.Secret
	events      []string
	stacks      []upgrade.StackName
}

func hookShape() shape[rawHook] {
	return object(
		required("name", "Name of the subscription.", name[upgrade.HookName]("a subscription"), func(h *rawHook) *upgrade.HookName { return &h.name }),
		required("url", "Address that events are posted to: https, or http on this machine.", hookURL(), func(h *rawHook) *string { return &h.url }),
		required("secret", "What deliveries are signed with (Standard Webhooks): whsec_ and 24 to 64 bytes in base64.", line(), func(h *rawHook) *upgrade.Secret { return &h.secret }),
		optional("old_secret", "The secret before, while receivers change over: deliveries are signed with both.", line(), func(h *rawHook) *upgrade.Secret { return &h.old }),
		optional("events", "Types of events; default: all. run.phase is every change of phase.", list(choice("type of event", upgrade.HookTypes(), nil), 1), func(h *rawHook) *[]string { return &h.events }),
		optional("stacks", "Stacks whose runs are told of; default: all.", list(word[upgrade.StackName](), 1), func(h *rawHook) *[]upgrade.StackName { return &h.stacks }),
	)
}

// hookURL is httpURL with a query, by which some receivers tell their senders apart.
func hookURL() shape[string] {
	const example = "https://hooks.example.org/upgradegate"
	one := word[string](func(s string) (string, string) { return checkURL(s, example) }, func(s string) (string, string) {
		if u, err := url.Parse(s); err == nil && u.Scheme == "http" && !loopbackHost(u.Hostname()) {
			return "must be https: what is sent is not for everybody", "http is for this machine alone"
		}
		return "", ""
	})
	one.schema.Format = "uri"
	return one
}

func (r *reader) checkHooks(raw *rawFile) []Hook {
	var hooks []Hook
	seen := map[string]string{}
	var stacks []string
	for _, one := range raw.stacks {
		if one.name != "" {
			stacks = append(stacks, string(one.name))
		}
	}
	for i, one := range raw.hooks {
		at := nth("hooks", i)
		r.uniqueName(seen, string(one.name), under(at, "name"), "the name "+quoted(string(one.name))+" is taken", "")
		r.signingKey(under(at, "secret"), one.secret)
		r.signingKey(under(at, "old_secret"), one.old)
		if one.old.Set() && one.old == one.secret {
			r.problem(under(at, "old_secret"), "leave it out", "is the same as secret")
		}
		for n, stack := range one.stacks {
			if below := nth(under(at, "stacks"), n); stack != "" && !slices.Contains(stacks, string(stack)) && !r.broken(below) && !r.broken("stacks") {
				r.unknownName(below, "stack", string(stack), stacks)
			}
		}
		hooks = append(hooks, Hook{Name: one.name, URL: one.url, Secret: one.secret, OldSecret: one.old, Events: one.events, Stacks: one.stacks})
	}
	return hooks
}

// signingKey refuses what Standard Webhooks does not sign with; what is not set is passed over.
func (r *reader) signingKey(at string, secret upgrade.Secret) {
	if !secret.Set() {
		return
	}
	rest, prefixed := strings.CutPrefix(secret.Reveal(), "whsec_")
	key, err := base64.StdEncoding.DecodeString(rest)
	if !prefixed || err != nil || len(key) < minKey || len(key) > longestKey { // err quotes nothing of the secret, and is left out all the same
		r.problem(at, `make one with: echo "whsec_$(openssl rand -base64 32)"`, "the secret is not whsec_ and %d to %d bytes in base64", minKey, longestKey)
	}
}
