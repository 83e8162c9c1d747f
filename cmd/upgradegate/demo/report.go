package demo

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Report is what came of the stories, as `--json` prints it.
type Report struct {
	Stories []Told `json:"stories"`
}

// OK reports whether each story ended as it should.
func (r Report) OK() bool {
	for _, told := range r.Stories {
		if !told.OK {
			return false
		}
	}
	return true
}

// Told is one story as it went. Durations are milliseconds of real time, except those of gates, which
// are of world time: a gate that settles for minutes takes them.
type Told struct {
	Name   string    `json:"name"`
	OK     bool      `json:"ok"`
	Why    string    `json:"why"` // what was expected and seen
	TookMS int64     `json:"took_ms"`
	Runs   []ToldRun `json:"runs"`
	// Plays are the times that a story is played, each under other circumstances.
	Plays []ToldPlay `json:"plays,omitempty"`
}

// ToldPlay is one time that the story was played.
type ToldPlay struct {
	Play   int           `json:"play"`
	Off    []string      `json:"off"` // kinds of gates that were switched off
	Run    upgrade.RunID `json:"run"`
	Report []string      `json:"report"`           // what happened, what to do, and what each gate said that said no
	Repair string        `json:"repair,omitempty"` // what the gate told people to do, and they did
	Monday string        `json:"monday"`           // what came of production's scale-out
}

// ToldRun is one run of a story.
type ToldRun struct {
	Run      upgrade.RunID     `json:"run"`
	Stack    upgrade.StackName `json:"stack"`
	Commit   upgrade.Commit    `json:"commit"`
	Tree     upgrade.Tree      `json:"tree"`
	Phase    upgrade.Phase     `json:"phase"`
	Verdict  upgrade.Verdict   `json:"verdict"`
	Headline string            `json:"headline"`
	Next     string            `json:"next"`
	Causes   []string          `json:"causes"`
	Gates    []Gate            `json:"gates"`
	GitLab   []Act             `json:"gitlab"`
}

// Gate is one answer of one gate.
type Gate struct {
	Name        upgrade.GateName `json:"name"`
	Kind        string           `json:"kind"`
	Stage       upgrade.Stage    `json:"stage"`
	Environment upgrade.EnvName  `json:"environment"`
	Outcome     upgrade.Outcome  `json:"outcome"`
	Message     string           `json:"message"`
	TookMS      int64            `json:"took_ms"`
}

// Act is one thing that the service did in GitLab.
type Act struct {
	Act    string `json:"act"`
	Target string `json:"target"`
	Result string `json:"result"`
}

// report gathers what the service has of the story's stacks, and what it did in GitLab since its act
// number from.
func (st *stage) report(ctx context.Context, s story, from int) ([]ToldRun, error) {
	var all []upgrade.Run
	for _, repository := range s.repositories() {
		runs, err := st.service.Store.Runs(ctx, upgrade.RunFilter{ProjectID: st.projects[repository.path].ID})
		if err != nil {
			return nil, fmt.Errorf("read runs: %w", err)
		}
		all = append(all, runs...)
	}
	slices.SortFunc(all, func(a, b upgrade.Run) int { return cmp.Compare(a.ID, b.ID) })
	told := make([]ToldRun, 0, len(all))
	for _, one := range all {
		run, err := st.reportRun(ctx, one, from)
		if err != nil {
			return nil, err
		}
		told = append(told, run)
	}
	return told, nil
}

func (st *stage) reportRun(ctx context.Context, run upgrade.Run, from int) (ToldRun, error) {
	results, err := st.service.Store.Results(ctx, run.ID)
	if err != nil {
		return ToldRun{}, fmt.Errorf("read results: %w", err)
	}
	words := upgrade.Tell(run)
	out := ToldRun{
		Run: run.ID, Stack: run.Stack, Commit: run.Commit, Tree: run.Tree, Phase: run.Phase, Verdict: run.Verdict,
		Headline: words.Headline, Next: words.Next, Causes: []string{}, Gates: []Gate{}, GitLab: st.acts(from),
	}
	for _, cause := range run.Causes {
		out.Causes = append(out.Causes, cause.Message)
	}
	for _, result := range results {
		out.Gates = append(out.Gates, Gate{
			Name: result.Gate, Kind: result.Kind, Stage: result.Stage, Environment: result.Environment,
			Outcome: result.Outcome, Message: result.Message, TookMS: result.Took.Milliseconds(),
		})
	}
	return out, nil
}
