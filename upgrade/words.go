package upgrade

// Key names a state of a run as people read it; dashboard.md §6 lists them with their words.
type Key string

// The keys.
const (
	KeyQueued         Key = "queued"
	KeyPlanning       Key = "planning"
	KeyPlanFailed     Key = "plan_failed"
	KeyPolicyDenied   Key = "policy_denied"
	KeyNeedsApproval  Key = "needs_approval"
	KeyApplying       Key = "applying"
	KeyApplyFailed    Key = "apply_failed"
	KeyChecking       Key = "checking"
	KeyBlocked        Key = "blocked"
	KeyNotVerified    Key = "not_verified"
	KeyUnlocked       Key = "unlocked"
	KeyUnlocking      Key = "unlocking"
	KeyCheckoutFailed Key = "checkout_failed"
	KeyInterrupted    Key = "interrupted"
	KeyFrozen         Key = "frozen"
	KeyRelocked       Key = "relocked"
	KeyInProduction   Key = "in_production"
	KeyOverridden     Key = "overridden"
	KeyStopped        Key = "stopped"
	KeySuperseded     Key = "superseded"
)

// Keys returns every key, in the order of dashboard.md §6.
func Keys() []Key {
	return []Key{
		KeyQueued, KeyPlanning, KeyPlanFailed, KeyPolicyDenied, KeyNeedsApproval, KeyApplying, KeyApplyFailed,
		KeyChecking, KeyBlocked, KeyNotVerified, KeyUnlocked, KeyUnlocking, KeyCheckoutFailed, KeyInterrupted,
		KeyFrozen, KeyRelocked, KeyInProduction, KeyOverridden, KeyStopped, KeySuperseded,
	}
}

// Icon names a shape of the sprite.
type Icon string

// The shapes; they differ in outline, not only in colour.
const (
	IconOK   Icon = "ok"   // circle with a tick
	IconBad  Icon = "bad"  // solid octagon with a cross
	IconRun  Icon = "run"  // open ring
	IconWait Icon = "wait" // clock
	IconWarn Icon = "warn" // triangle
	IconUnk  Icon = "unk"  // dashed circle with a question mark
	IconLock Icon = "lock" // padlock
	IconOpen Icon = "open" // open padlock
	IconSkip Icon = "skip" // circle with a dash
	IconHand Icon = "hand" // person
	IconSnow Icon = "snow" // snowflake
)

// Tone names a colour group of the tokens in dashboard.md §11.
type Tone string

// The tones.
const (
	ToneOK   Tone = "ok"
	ToneBad  Tone = "bad"
	ToneRun  Tone = "run"
	ToneWarn Tone = "warn"
	ToneIdle Tone = "idle"
	ToneOver Tone = "over"
)

// Look is how a key or an outcome is shown.
type Look struct {
	Word string // on the chip
	Icon Icon
	Tone Tone
}

// Look returns the chip of a key.
func (k Key) Look() Look {
	switch k {
	case KeyQueued:
		return Look{"Waiting", IconWait, ToneIdle}
	case KeyPlanning:
		return Look{"Planning", IconRun, ToneRun}
	case KeyPlanFailed:
		return Look{"Plan failed", IconBad, ToneBad}
	case KeyPolicyDenied:
		return Look{"Not allowed", IconBad, ToneBad}
	case KeyNeedsApproval:
		return Look{"Needs a yes", IconHand, ToneOver}
	case KeyApplying:
		return Look{"Applying", IconRun, ToneRun}
	case KeyApplyFailed:
		return Look{"Apply failed", IconBad, ToneBad}
	case KeyChecking:
		return Look{"Being checked", IconRun, ToneRun}
	case KeyBlocked:
		return Look{"Blocked", IconBad, ToneBad}
	case KeyNotVerified:
		return Look{"Not verified", IconUnk, ToneWarn}
	case KeyUnlocked:
		return Look{"May go to production", IconOpen, ToneOK}
	case KeyUnlocking:
		return Look{"Passed", IconOpen, ToneOK}
	case KeyCheckoutFailed:
		return Look{"Checkout failed", IconBad, ToneBad}
	case KeyInterrupted:
		return Look{"Interrupted", IconBad, ToneBad}
	case KeyFrozen:
		return Look{"Frozen", IconSnow, ToneIdle}
	case KeyRelocked:
		return Look{"Locked again", IconLock, ToneIdle}
	case KeyInProduction:
		return Look{"In production", IconOK, ToneOK}
	case KeyOverridden:
		return Look{"Overridden", IconHand, ToneOver}
	case KeyStopped:
		return Look{"Stopped", IconSkip, ToneIdle}
	case KeySuperseded:
		return Look{"Replaced by a newer run", IconSkip, ToneIdle}
	}
	return Look{"Not verified", IconUnk, ToneWarn}
}

// Look returns how an outcome is shown; pages soften "unknown" to "Not complete".
func (o Outcome) Look() Look {
	switch o {
	case OutcomePassed:
		return Look{"Passed", IconOK, ToneOK}
	case OutcomeFailed:
		return Look{"Failed", IconBad, ToneBad}
	case OutcomeUnknown:
		return Look{"Not complete", IconUnk, ToneWarn}
	case OutcomeSkipped:
		return Look{"Skipped by configuration", IconSkip, ToneIdle}
	case OutcomeWaiting:
		return Look{"Waiting", IconWait, ToneIdle}
	case OutcomeRunning:
		return Look{"Running", IconRun, ToneRun}
	}
	return Look{"Not complete", IconUnk, ToneWarn}
}
