package demo

import (
	"context"
	"fmt"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// early returns what the gate said before settling.
func (p *performance) early(ctx context.Context, run upgrade.Run, gate upgrade.GateName) (upgrade.Result, error) {
	results, err := p.service.Store.Results(ctx, run.ID)
	if err != nil {
		return upgrade.Result{}, fmt.Errorf("read results: %w", err)
	}
	for _, result := range results {
		if result.Gate == gate && result.Early {
			return result, nil
		}
	}
	return upgrade.Result{}, fmt.Errorf("gate %s was not asked before settling", gate)
}

// names demands that a gate's no, or the evidence with it, has each of the words.
func (p *performance) names(ctx context.Context, run upgrade.Run, gate upgrade.GateName, words []string) error {
	results, err := p.service.Store.Results(ctx, run.ID)
	if err != nil {
		return fmt.Errorf("read results: %w", err)
	}
	var said strings.Builder
	for _, result := range results {
		if result.Gate != gate || result.Outcome != upgrade.OutcomeFailed {
			continue
		}
		said.WriteString(result.Message)
		for _, fact := range result.Evidence.Facts {
			said.WriteString("\n" + fact.Value)
		}
		for _, table := range result.Evidence.Tables {
			for _, row := range table.Rows {
				said.WriteString("\n" + strings.Join(row, " "))
			}
		}
	}
	for _, word := range words {
		if !strings.Contains(said.String(), word) {
			return fmt.Errorf("gate %s does not name %s; it says %s", gate, word, said.String())
		}
	}
	return nil
}

// tellPlay writes what people are told of a play: what happened, what to do, and what was said no for.
func (p *performance) tellPlay(ctx context.Context, run upgrade.Run, s *scene, want ending) (ToldPlay, error) {
	words := upgrade.Tell(run)
	told := ToldPlay{Play: s.play, Off: append([]string{}, s.off...), Run: run.ID, Report: []string{words.Headline, words.Next}}
	for _, cause := range run.Causes {
		told.Report = append(told.Report, cause.Message)
	}
	if !strings.Contains(words.Headline, want.headline) || !strings.Contains(words.Next, want.next) {
		return told, fmt.Errorf("the report is %q, want it to say %q and then %q", told.Report[:2], want.headline, want.next)
	}
	results, err := p.service.Store.Results(ctx, run.ID)
	if err != nil {
		return told, fmt.Errorf("read results: %w", err)
	}
	for _, result := range results {
		for _, fact := range result.Evidence.Facts {
			if fact.Name == "Repair" && result.Outcome == upgrade.OutcomeFailed {
				told.Repair = fact.Value
			}
		}
	}
	if told.Repair == "" && want.repair != nil {
		return told, fmt.Errorf("no gate of run %d says how to repair it", run.ID)
	}
	return told, nil
}
