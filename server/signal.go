package server

import (
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// runParts says which parts of a run's page an event of its journal changes.
func runParts(e upgrade.Event) []string {
	switch e.Kind {
	case upgrade.EventPhase:
		return []string{"verdict", "rail", "gates", "plan", "log", "facts", "audit"}
	case upgrade.EventGate:
		return []string{"verdict", "rail", "gates", "log"}
	case upgrade.EventResource:
		return []string{"verdict", "rail", "plan", "log"}
	case upgrade.EventApply:
		return []string{"verdict", "rail", "plan", "log", "audit"}
	case upgrade.EventCreated, upgrade.EventAnswer:
		return []string{"verdict", "facts", "audit"}
	case upgrade.EventWaiting, upgrade.EventOrder, upgrade.EventRequest, upgrade.EventRetry, upgrade.EventStatus, upgrade.EventNote:
		return []string{"verdict", "rail", "audit"}
	}
	return []string{"verdict", "audit"}
}

// boardParts says which parts of the board it changes.
func boardParts(e upgrade.Event) []string {
	switch e.Kind {
	case upgrade.EventCreated:
		return []string{"lead", "progress", "recent"}
	case upgrade.EventPhase:
		return []string{"lead", "attention", "ready", "progress", "step", "recent"}
	case upgrade.EventGate, upgrade.EventResource, upgrade.EventApply, upgrade.EventWaiting:
		return []string{"progress"}
	case upgrade.EventOrder, upgrade.EventRequest:
		return []string{"ready", "attention", "progress"}
	case upgrade.EventStatus, upgrade.EventRetry: // GitLab answers, or something may not
		return []string{"lead"}
	case upgrade.EventAnswer, upgrade.EventNote:
	}
	return nil
}

// rows says which runs a signal of the board is about, so that a reader who waits knows how many.
func (st *stream) rows(events []upgrade.Event, part string) string {
	if st.run != 0 {
		return ""
	}
	var runs []string
	for _, e := range events {
		if id := e.Run.String(); slices.Contains(boardParts(e), part) && !slices.Contains(runs, id) {
			runs = append(runs, id)
		}
	}
	if len(runs) == 0 {
		return ""
	}
	return `,"runs":[` + strings.Join(runs, ",") + "]"
}

// changed returns the parts that events change, each once, in order of first mention.
func changed(events []upgrade.Event, partsOf func(upgrade.Event) []string) []string {
	var parts []string
	for _, e := range events {
		for _, p := range partsOf(e) {
			if !slices.Contains(parts, p) {
				parts = append(parts, p)
			}
		}
	}
	return parts
}
