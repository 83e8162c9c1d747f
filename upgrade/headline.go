package upgrade

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxHeadline is the length of a headline in characters: dashboard.md §17, test 3.
const maxHeadline = 140

// Telling is what people read of a run. Page, commit status, API and chat use the same strings.
type Telling struct {
	Key      Key
	Look     Look
	Headline string // one sentence, at most 140 characters; changes with the phase only
	Next     string // who does what next
	Live     string // counters, for pages only; may be empty
}

// Tell puts a run into words. It is the one function that does.
func Tell(r Run) Telling {
	key := keyOf(r)
	return Telling{
		Key: key, Look: key.Look(),
		Headline: clip(headline(key, r), maxHeadline),
		Next:     nextStep(key, r),
		Live:     live(key, r),
	}
}

// keyOf maps phase and cause to the key of the sentence: product.md §2.
func keyOf(r Run) Key {
	switch r.Phase {
	case PhaseQueued:
		return KeyQueued
	case PhasePreparing, PhasePlanning, PhaseJudging:
		return KeyPlanning
	case PhaseSettling, PhaseChecking:
		return KeyChecking
	case PhaseAwaitingApproval:
		return KeyNeedsApproval
	case PhaseApplying:
		return KeyApplying
	case PhaseUnlocking:
		return r.openKey(KeyUnlocking)
	case PhaseUnlocked:
		return r.openKey(KeyUnlocked)
	case PhasePromoted:
		return KeyInProduction
	case PhaseBlocked:
		return blockedKey(r)
	case PhaseRelocked:
		return KeyRelocked
	case PhaseFailed:
		return failedKey(r)
	case PhaseInterrupted:
		return KeyInterrupted
	case PhaseStopped:
		return KeyStopped
	case PhaseSuperseded:
		return KeySuperseded
	}
	return KeyNotVerified
}

// openKey returns key for a run that passed; an override is never told as a pass (S6).
func (r Run) openKey(key Key) Key {
	if r.Verdict != VerdictOpen && r.Override != nil {
		return KeyOverridden
	}
	return key
}

func blockedKey(r Run) Key {
	onlyUnknown := len(r.Causes) > 0
	for _, c := range r.Causes {
		onlyUnknown = onlyUnknown && (c.Kind == CauseGateUnknown || c.Kind == CauseNoGates)
	}
	switch {
	case onlyUnknown:
		return KeyNotVerified
	case r.From == PhaseJudging || r.From == PhaseAwaitingApproval:
		return KeyPolicyDenied
	}
	return KeyBlocked
}

func failedKey(r Run) Key {
	for _, c := range r.Causes {
		switch c.Kind {
		case CauseCheckout:
			return KeyCheckoutFailed
		case CausePlan:
			return KeyPlanFailed
		case CauseApply, CauseInterrupted:
			return KeyApplyFailed
		case CauseGateFailed, CauseGateUnknown, CauseNoGates, CauseAfter, CauseRelocked, CauseStopped, CauseSuperseded, CauseApproval, CauseSibling:
		}
	}
	if r.From == PhasePreparing {
		return KeyCheckoutFailed
	}
	if r.From == PhasePlanning {
		return KeyPlanFailed
	}
	return KeyApplyFailed
}

func headline(key Key, r Run) string {
	switch key {
	case KeyQueued:
		return sentence("Waiting for its turn. ", r.Reason)
	case KeyPlanning:
		return "Terraform is planning " + r.what() + "."
	case KeyPlanFailed:
		return sentence("Terraform cannot plan this change: ", r.firstCause())
	case KeyPolicyDenied:
		return sentence("Policy does not allow this: ", r.firstEffect())
	case KeyNeedsApproval:
		return sentence("A person must agree: ", r.Reason)
	case KeyApplying:
		return fmt.Sprintf("Staging is being changed: %s.", count(r.Plan.Changes(), "resource"))
	case KeyApplyFailed:
		if r.Progress.Total > 0 {
			return fmt.Sprintf("Terraform stopped at resource %d of %d: staging is half changed.", min(r.Progress.Done+1, r.Progress.Total), r.Progress.Total)
		}
		return sentence("Terraform stopped: ", r.firstCause())
	case KeyChecking:
		return "Nothing has failed so far."
	case KeyBlocked:
		return sentence("Not ready for production: ", r.effects())
	case KeyNotVerified:
		return sentence(count(len(r.Causes), "gate")+" could not run: ", r.firstCause())
	case KeyUnlocked:
		return fmt.Sprintf("Ready for production: all %s passed on %s.", count(r.Tally.Passed, "gate"), r.Environment)
	case KeyUnlocking:
		return "Passed. GitLab is being told."
	case KeyCheckoutFailed:
		return sentence("The commit could not be checked out: ", r.firstCause())
	case KeyInterrupted:
		return "The apply was cut off: nobody knows whether staging is whole. A person must look."
	case KeyFrozen:
		return sentence(fmt.Sprintf("All %s passed, but production is frozen. ", count(r.Tally.Passed, "gate")), r.Reason)
	case KeyRelocked:
		return fmt.Sprintf("%s, so the result no longer counts.", upperFirst(orElse(r.firstCause(), "something changed")))
	case KeyInProduction:
		return fmt.Sprintf("Went to production at %s, being checked.", r.PromotedAt.Format("15:04"))
	case KeyOverridden:
		return r.overridden()
	case KeyStopped:
		return fmt.Sprintf("Stopped by %s. Staging was %s.", orElse(r.StoppedBy, "a person"), touched(r))
	case KeySuperseded:
		return sentence("", orElse(r.firstCause(), "a newer run tests a newer commit"))
	}
	return "The state of this run is not known."
}

func nextStep(key Key, r Run) string {
	author := orElse(r.Author, "The author")
	switch key {
	case KeyQueued:
		return "Nothing to do. Starts by itself."
	case KeyPlanning, KeyUnlocking:
		return "Nothing to do."
	case KeyPlanFailed, KeyPolicyDenied:
		return orElse(r.firstHint(), author+" fixes "+r.what()+" and pushes.")
	case KeyNeedsApproval:
		return "A release manager must agree before staging is touched."
	case KeyApplying:
		return "Do not stop unless it hangs."
	case KeyApplyFailed:
		return orElse(r.firstHint(), "Fix and push, or run the apply again.")
	case KeyChecking:
		return "Nothing. You can close this page."
	case KeyBlocked:
		return orElse(r.firstHint(), author+" fixes "+r.what()+". The gates then run again by themselves.")
	case KeyNotVerified:
		return orElse(r.firstHint(), "Counts as not passed. Run the gates again.")
	case KeyUnlocked:
		return unlockedNext(r)
	case KeyCheckoutFailed:
		return orElse(r.firstHint(), "Push again, or run it again.")
	case KeyInterrupted:
		return "A release manager looks at staging and says what is true."
	case KeyFrozen:
		return "Unlocks by itself when the freeze ends, if staging is still the same."
	case KeyRelocked:
		return orElse(r.firstHint(), "Run the gates again.")
	case KeyInProduction:
		return "Nothing to do."
	case KeyOverridden:
		return sentence("Reason: ", r.Override.Reason)
	case KeyStopped:
		return "Push again or run it again."
	case KeySuperseded:
		return "Look at the newer run."
	}
	return "Look at the log."
}

func unlockedNext(r Run) string {
	switch {
	case r.Production.Failed:
		return "The production job failed: look at it in GitLab."
	case r.Production.Started:
		return "Nothing: production is being deployed."
	}
	return orElse(r.Reason, "Start the production job in GitLab.")
}

func live(key Key, r Run) string {
	switch {
	case key == KeyApplying && r.Progress.Total > 0:
		return fmt.Sprintf("%d of %s done", r.Progress.Done, count(r.Progress.Total, "resource"))
	case key == KeyChecking && r.Tally.Failed > 0:
		return fmt.Sprintf("%d of %s failed already. The rest still runs.", r.Tally.Failed, count(r.Tally.Gates, "gate"))
	case key == KeyChecking && r.Phase == PhaseChecking && r.Tally.Gates > 0:
		return fmt.Sprintf("%d of %s passed", r.Tally.Passed, count(r.Tally.Gates, "gate"))
	case r.Phase == PhaseSettling:
		return r.Reason
	}
	return ""
}

// what names the change the way its people do: the merge request, else the commit.
func (r Run) what() string {
	for _, a := range r.Answers {
		if a.MergeRequest > 0 {
			return fmt.Sprintf("!%d", a.MergeRequest)
		}
	}
	return orElse(r.Commit.Short(), "the change")
}

func (r Run) firstCause() string {
	if len(r.Causes) == 0 {
		return ""
	}
	return r.Causes[0].Message
}

// firstEffect is the first cause in the few words of a headline, if it has them.
func (r Run) firstEffect() string {
	if len(r.Causes) == 0 {
		return ""
	}
	return orElse(r.Causes[0].Brief, r.Causes[0].Message)
}

func (r Run) firstHint() string {
	if len(r.Causes) == 0 || r.Causes[0].Hint == "" {
		return ""
	}
	return sentence("", r.Causes[0].Hint)
}

// effects joins the two worst effects; the rest are causes on the page.
func (r Run) effects() string {
	var said []string
	for _, c := range r.Causes {
		text := orElse(c.Brief, c.Message)
		if len(said) < 2 && text != "" {
			said = append(said, text)
		}
	}
	return strings.Join(said, " and ")
}

// overridden names the people of an override and how much they overrode.
func (r Run) overridden() string {
	names := make([]string, 0, len(r.Override.By))
	for _, person := range r.Override.By {
		names = append(names, person.Name)
	}
	failed := count(len(r.Override.Causes), "gate") + " failed"
	return fmt.Sprintf("Unlocked by %s although %s.", strings.Join(names, " and "), failed)
}

func touched(r Run) string {
	if r.Applies > 0 {
		return "touched"
	}
	return "not touched"
}

// sentence puts intro before text and a full stop behind it. Without text the intro stands alone.
func sentence(intro, text string) string {
	text = strings.TrimRight(strings.TrimSpace(text), ".")
	if text == "" {
		return strings.TrimRight(strings.TrimSpace(intro), ":.") + "."
	}
	if intro == "" || strings.HasSuffix(intro, ". ") {
		text = upperFirst(text)
	}
	return intro + text + "."
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func upperFirst(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 || strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") {
		return s // an address stays as it is written
	}
	return strings.ToUpper(string(r)) + s[size:]
}

// clip shortens s to at most limit characters and folds white space, so that it fits one line.
func clip(s string, limit int) string {
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	short := string([]rune(s)[:limit-1])
	if word := strings.LastIndexByte(short, ' '); word > len(short)*3/4 { // a word that is cut says something else
		short = short[:word]
	}
	return strings.TrimRight(short, " ,.:;(") + "…"
}
