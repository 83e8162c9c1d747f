package server

import (
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
)

// offers returns the one button of the page and the quiet links beside it.
func (s *Server) offers(d runData, p upgrade.Person) (*button, []button) {
	r := d.run
	at, links := map[string]int{}, []button{}
	for _, name := range []string{"approve", "refuse", "resolve", "recheck", "retry", "rehearse", "override", "stop", "relock"} {
		a := actNamed(name)
		// Of content that has a newer attempt, only that one goes on.
		if !a.allowed(r) || d.repeated && (a.again != "" || a.kind == upgrade.RequestRecheck || a.kind == upgrade.RequestOverride) {
			continue
		}
		b := button{Text: offerText(name, d), Href: runPath(r.ID) + "/" + a.page}
		if needs := a.needs(); !p.RoleIn(r.Project).Includes(needs) {
			b.Off = "needs the role " + roleTitle(needs)
		} else if a.kind == upgrade.RequestOverride && asksAlready(r, p, d.words.now) {
			b.Off = "needs a second release manager"
		}
		at[name], links = len(links), append(links, b)
	}
	if r.Phase == upgrade.PhaseUnlocked && r.Production.JobURL != "" {
		return &button{Text: "Open production job", Href: r.Production.JobURL, Outside: true, Filled: true}, links
	}
	if r.Phase == upgrade.PhaseUnlocked && s.gitLabURL != "" && r.Project != "" {
		return &button{Text: "Open pipelines in GitLab", Href: s.gitLabURL + "/" + r.Project + "/-/pipelines", Outside: true, Filled: true}, links
	}
	for _, name := range firstActs(r) {
		if i, offered := at[name]; offered && links[i].Off == "" {
			first := links[i]
			first.Filled = true
			return &first, append(links[:i:i], links[i+1:]...)
		}
	}
	open, ok := s.mergeRequest(r)
	if !ok {
		open = s.commit(r)
	}
	if open.Outside {
		toDo := r.Phase == upgrade.PhaseBlocked || r.Phase == upgrade.PhaseFailed || r.Phase == upgrade.PhaseAwaitingApproval
		return &button{Text: "Open " + open.Text + " in GitLab", Href: open.Href, Outside: true, Filled: toDo}, links
	}
	return nil, links
}

// firstActs are the acts that are the next step of a run in that state, for who may do them.
func firstActs(r upgrade.Run) []string {
	if len(r.Causes) > 0 && r.Causes[0].Run != 0 { // what an earlier run was told stays until it is rehearsed
		return []string{"rehearse"}
	}
	switch upgrade.Tell(r).Key {
	case upgrade.KeyNeedsApproval:
		return []string{"approve"}
	case upgrade.KeyInterrupted:
		return []string{"resolve"}
	case upgrade.KeyNotVerified, upgrade.KeyRelocked:
		return []string{"recheck", "retry"}
	case upgrade.KeyQueued, upgrade.KeyPlanning, upgrade.KeyPlanFailed, upgrade.KeyPolicyDenied, upgrade.KeyApplying, upgrade.KeyApplyFailed,
		upgrade.KeyChecking, upgrade.KeyBlocked, upgrade.KeyUnlocked, upgrade.KeyUnlocking, upgrade.KeyCheckoutFailed, upgrade.KeyFrozen,
		upgrade.KeyInProduction, upgrade.KeyOverridden, upgrade.KeyStopped, upgrade.KeySuperseded:
	}
	return nil
}

// offerText is what leads to the page that asks: an ellipsis means that a question follows.
func offerText(name string, d runData) string {
	switch name {
	case "approve":
		return "Agree to this change…"
	case "refuse":
		return "Say no…"
	case "resolve":
		return "Say what is true…"
	case "recheck":
		return "Run the gates again…"
	case "retry":
		return "Run it from the plan…"
	case "rehearse":
		return "Rehearse it again…"
	case "override":
		if d.asksSecond() {
			return "Agree to the override…"
		}
		return "Override…"
	case "stop":
		return "Stop…"
	case "relock":
		if d.next != 0 {
			return fmt.Sprintf("Lock again, and let run %d in…", d.next)
		}
		return "Lock again…"
	}
	return name
}
