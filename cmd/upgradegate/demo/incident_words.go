package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

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

// trailKnows is when CloudTrail surely knows of a call: 15 minutes later, and gates ask once a minute.
const trailKnows = 17 * time.Minute

// learned lets time pass until CloudTrail knows who took the grant back, and demands that each gate's evidence
// says so then, where it said "not known yet" before.
func (p *performance) learned(ctx context.Context, run upgrade.Run, from []upgrade.GateName) error {
	for _, gate := range from {
		if err := p.names(ctx, run, gate, []string{"not known yet: CloudTrail"}); err != nil {
			return err
		}
	}
	if err := p.travel(ctx, p.clock.Now().Add(trailKnows)); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		said, err := p.saysWho(ctx, run, from)
		if err == nil {
			p.options.say("  %s", said)
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-limited.Done():
			return err
		}
	}
}

// saysWho returns the line of the journal that says who took the grant back, once the evidence does.
func (p *performance) saysWho(ctx context.Context, run upgrade.Run, from []upgrade.GateName) (string, error) {
	const who = "took back ecs-cluster-launches"
	for _, gate := range from {
		if err := p.names(ctx, run, gate, []string{who}); err != nil {
			return "", err
		}
	}
	events, err := p.service.Store.Events(ctx, upgrade.EventFilter{Run: run.ID})
	if err != nil {
		return "", fmt.Errorf("read the journal: %w", err)
	}
	for _, event := range events {
		if strings.Contains(event.Text, who) {
			return event.Text, nil
		}
	}
	return "", fmt.Errorf("the journal of run %d does not say who took the grant back", run.ID)
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
