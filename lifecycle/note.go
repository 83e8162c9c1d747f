package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/upgrade"
)

// noteMarker is the name by which our note on a merge request is found again: there is one, and it is
// written over. It is hidden in the note as an HTML comment.
const noteMarker = "upgradegate"

// note keeps our note on one merge request true: what became of its newest content, or why that is not
// tested (S13).
func (l *Lifecycle) note(ctx context.Context, w *engine.Work) (upgrade.Step, error) {
	var projectID, iid int64
	if _, err := fmt.Sscanf(w.Job.Subject, "%d/%d", &projectID, &iid); err != nil {
		return upgrade.Step{Next: upgrade.End()}, nil //nolint:nilerr // of a version that named it otherwise
	}
	ref, known, err := l.Store.Ref(ctx, upgrade.RefKey{ProjectID: projectID, Ref: mergeRef(iid)})
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read ref of !%d: %w", iid, err)
	}
	rest := upgrade.Step{Next: upgrade.ParkUntilWoken()}
	if !known {
		return rest, nil
	}
	runs, err := l.Store.Runs(ctx, upgrade.RunFilter{ProjectID: projectID, Limit: 200})
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read runs of !%d: %w", iid, err)
	}
	body := l.noteBody(ref, iid, runs)
	if body == "" {
		return rest, nil
	}
	if err := l.Forge.UpsertNote(ctx, projectID, iid, noteMarker, body); err != nil {
		return upgrade.Step{}, fmt.Errorf("write the note on !%d: %w", iid, err)
	}
	return rest, nil
}

// noteBody is the note in Markdown; empty when there is nothing to say.
func (l *Lifecycle) noteBody(ref upgrade.RefState, iid int64, runs []upgrade.Run) string {
	var lines []string
	if ref.Why != "" {
		lines = append(lines, fmt.Sprintf("**Not tested:** %s.", ref.Why), "",
			"No run is started for this merge request until that has changed; nothing else is needed then.")
	}
	told := map[upgrade.StackName]bool{}
	var rows []string
	for _, run := range runs { // newest first
		ours := slices.ContainsFunc(run.Answers, func(a upgrade.Answer) bool { return a.MergeRequest == iid })
		if !ours || told[run.Stack] {
			continue
		}
		told[run.Stack] = true
		telling := upgrade.Tell(run)
		old := ""
		if ref.Tree != run.Tree {
			old = " *(an older state of this merge request)*"
		}
		rows = append(rows, fmt.Sprintf("| %s | [run %d](%s/runs/%d) | **%s** %s%s | %s |",
			cell(string(run.Stack)), run.ID, l.PublicURL, run.ID, telling.Look.Word, cell(telling.Headline), old, cell(telling.Next)))
	}
	if len(rows) > 0 {
		if len(lines) > 0 {
			lines = append(lines, "")
		}
		slices.Sort(rows)
		lines = append(lines, "| stack | run | state | next |", "| --- | --- | --- | --- |")
		lines = append(lines, rows...)
	}
	return strings.Join(lines, "\n")
}

// cell returns text that cannot end a cell of a Markdown table, nor mention anybody.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;", "@", "@\u200b").Replace(text)
}
