package server

import (
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
)

// noLog says why a stage of a run has no log, and what to do about it. CodeNotFound.
func noLog(r upgrade.Run, stage string, cause error) error {
	why, hint := whyNoLog(r, stage)
	return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: why, Hint: hint, Cause: cause}
}

func whyNoLog(r upgrade.Run, stage string) (why, hint string) {
	live, name := r.Phase.Live(), stageName(stage)
	writing := map[string]upgrade.Phase{"prepare": upgrade.PhasePreparing, "plan": upgrade.PhasePlanning, "apply": upgrade.PhaseApplying}
	switch begun := stageBegun(r, stage); {
	case begun && r.Phase == writing[stage]:
		return fmt.Sprintf("%s has begun and has written nothing yet", name), "look again in a moment"
	case begun:
		return fmt.Sprintf("the log of %s is not on this server", name),
			"it lies in the work folder of the server that worked on the run, and only a person removes it there; the plan, the journal and what the gates found are kept in the database"
	case live && r.Phase == upgrade.PhaseAwaitingApproval:
		return name + " has not begun: a person has to agree to the plan first", "read the plan and decide"
	case live:
		return fmt.Sprintf("%s has not begun: the run is %s", name, phaseDoing(r.Phase)), "the log is here as soon as it begins"
	case stage == "apply":
		return fmt.Sprintf("the run ended before %s, so there is no log of it: staging was not touched by this run", name), "the log of plan says how far it came"
	case stage == "plan":
		return fmt.Sprintf("the run ended before %s, so there is no log of it", name), "the log of prepare says how far it came"
	}
	return fmt.Sprintf("the run ended before %s, so there is no log of it", name), "the journal of the run says why it ended"
}

// stageBegun reports whether a run came as far as a stage that writes a log.
func stageBegun(r upgrade.Run, stage string) bool {
	at := r.Phase
	if at.Rail() == "" { // it ended: what counts is where
		at = r.From
	}
	switch stage {
	case "apply":
		return r.Applies > 0
	case "plan":
		return r.Applies > 0 || at != "" && at != upgrade.PhaseQueued && at != upgrade.PhasePreparing
	}
	return r.Applies > 0 || at != "" && at != upgrade.PhaseQueued
}

// stageName is what happens in a stage, as a noun.
func stageName(stage string) string {
	switch stage {
	case "apply":
		return "the apply"
	case "plan":
		return "the planning"
	}
	return "the checkout"
}

// phaseDoing is what a run does that has not come to its apply, behind "the run is".
func phaseDoing(p upgrade.Phase) string {
	switch p { //nolint:exhaustive // the others begin with an apply
	case upgrade.PhaseQueued:
		return "waiting for its turn"
	case upgrade.PhasePreparing:
		return "being checked out"
	case upgrade.PhasePlanning:
		return "being planned"
	case upgrade.PhaseJudging:
		return "being judged by policy"
	}
	return "about to begin it"
}

// nothingWritten stands for the lines of a log that has none.
func nothingWritten(r upgrade.Run) string {
	if r.Phase.Live() {
		return "Nothing was written yet."
	}
	return "Terraform wrote nothing here."
}

// told is an error as sentences: what is the matter, and what to do.
func told(err error) string {
	said := stop(upperFirst(upgrade.Public(err)))
	if hint := upgrade.HintOf(err); hint != "" {
		said += " " + stop(upperFirst(hint))
	}
	return said
}
