package gates_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/internal/testkit"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// TestRecordedPlans asks both plan gates about each plan that was recorded of the real AWS provider: once
// with nobody else, once with two states that own its grant and its security group too.
func TestRecordedPlans(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "upgrade", "plan", "testdata", "*.json"))
	if err != nil || len(files) < 11 {
		t.Fatalf("%d plans, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			for _, others := range [][]string{nil, {"aws-accounts", "network"}} {
				summary, s := readPlan(t, file), &states{}
				s.add(t, ours, ownObjects(t, file))
				for _, other := range others {
					s.add(t, upgrade.StateName(other+"/staging"), stateObjects(t, other))
				}
				fmt.Fprintf(&b, "== beside %v\n", others)
				for _, settings := range []gates.Settings{gates.GuardSettings{}, gates.OwnerSettings{}} {
					whole := judgeBoth(t, settings, s, summary)
					write(&b, whole)
					// The gates say the same of a plan of which only the judged values are kept.
					if part := judgeBoth(t, settings, s, judgedPlan(t, file)); !cmp.Equal(part, whole, cmpopts.IgnoreFields(upgrade.Result{}, "StartedAt", "Took")) {
						t.Errorf("of the judged values alone: %s", cmp.Diff(whole, part))
					}
				}
			}
			testkit.Golden(t, filepath.Join("testdata", "plans", name+".txt"), []byte(b.String()))
		})
	}
}

func judgeBoth(t *testing.T, settings gates.Settings, s *states, p plan.Summary) (got upgrade.Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.now = time.Now
		g := bound(t, settings, gates.Deps{States: s, Clock: upgrade.SystemClock{}})
		in := gates.Input{Apply: 1, Plan: p, Run: upgrade.Run{Stack: "ecs-master", Environment: "staging", Plan: upgrade.PlanFacts{ChangeDigest: p.Digest}}}
		got = gates.Runner{Clock: upgrade.SystemClock{}}.Run(t.Context(), []gates.Gate{g}, in, nil)[0]
	})
	return got
}

// write writes a result as text that people can compare.
func write(b *strings.Builder, r upgrade.Result) {
	fmt.Fprintf(b, "\n%s: %s", r.Kind, r.Outcome)
	if r.Agreeable {
		b.WriteString(", a release manager may agree")
	}
	fmt.Fprintf(b, "\n  %s\n", r.Message)
	if r.Brief != "" {
		fmt.Fprintf(b, "  brief: %s\n", r.Brief)
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(b, "  warning: %s\n", warning)
	}
	for _, f := range r.Evidence.Facts {
		fmt.Fprintf(b, "  %s: %s\n", f.Name, strings.ReplaceAll(f.Value, "\n", "\n    "))
	}
	for _, table := range r.Evidence.Tables {
		fmt.Fprintf(b, "  [%s] %s\n", table.Title, strings.Join(table.Columns, " | "))
		for _, row := range table.Rows {
			fmt.Fprintf(b, "    %s\n", strings.TrimRight(strings.Join(row, " | "), " |"))
		}
	}
	for _, line := range r.Evidence.Log {
		fmt.Fprintf(b, "  log: %s\n", line.Text)
	}
}

func readPlan(t *testing.T, file string) plan.Summary {
	t.Helper()
	return readKeeping(t, file, func(c plan.Change) plan.Change { return c })
}

func judgedPlan(t *testing.T, file string) plan.Summary {
	t.Helper()
	return readKeeping(t, file, gates.Judged)
}

func readKeeping(t *testing.T, file string, keep func(plan.Change) plan.Change) plan.Summary {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	summary, err := plan.SummarizeKeeping(in, keep)
	if err != nil {
		t.Fatal(err)
	}
	return summary
}

// ownObjects are what the state holds before the plan: all that the plan lists, at its present address.
func ownObjects(t *testing.T, file string) []plan.Object {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	var objects []plan.Object
	if _, _, err := plan.Stream(in, func(c plan.Change) error {
		o := plan.ObjectOf(c)
		if c.PreviousAddress != "" {
			o.Address = c.PreviousAddress
		}
		if o.Key != "" && c.Mode == "managed" {
			objects = append(objects, o)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return objects
}

// stateObjects reads a state of the tests' own.
func stateObjects(t *testing.T, name string) []plan.Object {
	t.Helper()
	in, err := os.Open(filepath.Join("testdata", "states", name+".tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	var objects []plan.Object
	if _, err := plan.Objects(in, func(o plan.Object) error { objects = append(objects, o); return nil }); err != nil {
		t.Fatal(err)
	}
	return objects
}

// add makes a state known, read a minute ago.
func (s *states) add(t *testing.T, name upgrade.StateName, objects []plan.Object) {
	t.Helper()
	r := reading(name)
	r.Region, r.Objects = "eu-west-1", len(objects)
	s.readings = append(s.readings, r)
	for _, o := range objects {
		s.owned = append(s.owned, upgrade.Owned{State: name, Type: o.Type, Key: o.Key, Account: o.Account, Region: o.Region, Address: o.Address})
	}
}
