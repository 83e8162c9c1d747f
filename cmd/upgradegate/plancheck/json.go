package plancheck

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/upgradegate/upgradegate/upgrade"
)

type (
	wireReport struct {
		Plan          string          `json:"plan"`
		Stack         string          `json:"stack,omitempty"`
		FormatVersion string          `json:"format_version"`
		Tool          string          `json:"tool"`
		ChangeDigest  string          `json:"change_digest"`
		Outcome       upgrade.Outcome `json:"outcome"`
		Changes       wireCounts      `json:"changes"`
		Gates         []wireGate      `json:"gates"`
		Hints         []string        `json:"hints"`
	}
	wireCounts struct {
		Destroy int `json:"destroy"`
		Replace int `json:"replace"`
		Update  int `json:"update"`
		Create  int `json:"create"`
		Forget  int `json:"forget"`
		Move    int `json:"move"`
	}
	wireGate struct {
		Name      string          `json:"name"`
		Kind      string          `json:"kind"`
		Required  bool            `json:"required"`
		Outcome   upgrade.Outcome `json:"outcome"`
		Agreeable bool            `json:"agreeable"` // a release manager may agree to it, in a run
		Message   string          `json:"message"`
		Brief     string          `json:"brief,omitempty"`
		Warnings  []string        `json:"warnings"`
		Facts     []wireFact      `json:"facts"`
		Tables    []wireTable     `json:"tables"`
	}
	wireFact struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	wireTable struct {
		Title   string     `json:"title"`
		Columns []string   `json:"columns"`
		Rows    [][]string `json:"rows"`
	}
)

// JSON writes the report for programs.
func (r Report) JSON(w io.Writer) error {
	wire := wireReport{
		Plan: r.Name, Stack: string(r.Stack), FormatVersion: r.Header.FormatVersion, Tool: r.Header.Tool,
		ChangeDigest: r.Digest, Outcome: r.Outcome(), Changes: wireCounts(r.Counts),
		Gates: []wireGate{}, Hints: append([]string{}, r.Hints...),
	}
	for _, result := range r.Results {
		gate := wireGate{
			Name: string(result.Gate), Kind: result.Kind, Required: result.Required, Outcome: result.Outcome, Agreeable: result.Agreeable,
			Message: result.Message, Brief: result.Brief, Warnings: append([]string{}, result.Warnings...), Facts: []wireFact{}, Tables: []wireTable{},
		}
		for _, fact := range result.Evidence.Facts {
			gate.Facts = append(gate.Facts, wireFact(fact))
		}
		for _, table := range result.Evidence.Tables {
			gate.Tables = append(gate.Tables, wireTable(table))
		}
		wire.Gates = append(wire.Gates, gate)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(wire); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
