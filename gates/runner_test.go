package gates_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

// noon is when each bubble begins.
func noon() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

func gate(check gates.Check) gates.Gate {
	return gates.Gate{
		Name: "g", Kind: gates.KindVarnish, Stage: upgrade.StageAfter, Environment: "staging", Required: true,
		TouchesLive: true, GoodFor: time.Hour, Deadline: time.Minute, Check: check,
	}
}

// bound returns a gate of the kind of the settings, with the parts that it has.
func bound(t *testing.T, settings gates.Settings, deps gates.Deps) gates.Gate {
	t.Helper()
	kind, known := gates.KindOf(settings.Kind())
	if !known {
		t.Fatalf("there is no kind %s", settings.Kind())
	}
	g := gates.Gate{
		Name: "g", Kind: kind.Name, Stage: kind.Stages[0], Environment: "staging", Required: true,
		TouchesLive: kind.TouchesLive, GoodFor: kind.GoodFor, Deadline: kind.Deadline,
	}
	if err := settings.Bind(&g, deps); err != nil {
		t.Fatal(err)
	}
	return g
}

// ask runs one gate in a bubble, where waiting is free.
func ask(t *testing.T, g gates.Gate) upgrade.Result {
	t.Helper()
	var result upgrade.Result
	synctest.Test(t, func(t *testing.T) {
		clock := upgrade.SystemClock{}
		runner := gates.Runner{Clock: clock, Mask: func(s string) string { return strings.ReplaceAll(s, "hunter2", "***") }}
		results := runner.Run(t.Context(), []gates.Gate{g}, gates.Input{Round: 1}, nil)
		result = results[0]
	})
	return result
}

// TestS5Outcomes: right, wrong and could not tell are three things, and a crash is the last (S5).
func TestS5Outcomes(t *testing.T) {
	tests := []struct {
		name  string
		check gates.Check
		want  upgrade.Outcome
		says  string
	}{
		{"passed", func(_ context.Context, _ gates.Input, rec *gates.Recorder) error { rec.Passed("all well"); return nil }, upgrade.OutcomePassed, "all well"},
		{"failed", func(context.Context, gates.Input, *gates.Recorder) error { return gates.Failf("age is %d, want 0", 9) }, upgrade.OutcomeFailed, "age is 9"},
		{"failed_wrapped", func(context.Context, gates.Input, *gates.Recorder) error {
			return errors.Join(gates.Failf("no"), errors.New("and clean-up too"))
		}, upgrade.OutcomeFailed, "no"},
		{"denied", func(context.Context, gates.Input, *gates.Recorder) error {
			return &upgrade.Error{Code: upgrade.CodeForbidden, Msg: "AWS refuses it"}
		}, upgrade.OutcomeUnknown, "AWS refuses it"},
		{"panics", func(context.Context, gates.Input, *gates.Recorder) error { panic("boom") }, upgrade.OutcomeUnknown, "crashed"},
		{"never_answers", func(ctx context.Context, _ gates.Input, _ *gates.Recorder) error { <-ctx.Done(); return ctx.Err() }, upgrade.OutcomeUnknown, "no answer within 1 min"},
		{"never_sure", func(context.Context, gates.Input, *gates.Recorder) error {
			return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "AWS does not answer"}
		}, upgrade.OutcomeUnknown, "AWS does not answer"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := ask(t, gate(test.check))
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %s %q, want %s that says %q", got.Outcome, got.Message, test.want, test.says)
			}
		})
	}
}

// TestTriesAgain: what may pass is asked again, a no is not.
func TestTriesAgain(t *testing.T) {
	var asked atomic.Int32
	got := ask(t, gate(func(context.Context, gates.Input, *gates.Recorder) error {
		if asked.Add(1) < 3 {
			return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "not now"}
		}
		return nil
	}))
	if got.Outcome != upgrade.OutcomePassed || asked.Load() != 3 || got.Took != 15*time.Second {
		t.Errorf("%s after %d tries and %s, want a pass after 3 and 15 s", got.Outcome, asked.Load(), got.Took)
	}
	asked.Store(0)
	got = ask(t, gate(func(context.Context, gates.Input, *gates.Recorder) error { asked.Add(1); return gates.Failf("no") }))
	if asked.Load() != 1 || got.Outcome != upgrade.OutcomeFailed {
		t.Errorf("a no was asked %d times", asked.Load())
	}
}

// TestAllToTheEnd: one failure never hides another, and a gate that hangs holds nobody up.
func TestAllToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := upgrade.SystemClock{}
		no := gate(func(context.Context, gates.Input, *gates.Recorder) error { return gates.Failf("no") })
		hangs := gate(func(ctx context.Context, _ gates.Input, _ *gates.Recorder) error { <-ctx.Done(); return ctx.Err() })
		yes := gate(func(context.Context, gates.Input, *gates.Recorder) error { return nil })
		var order []upgrade.Outcome
		results := gates.Runner{Clock: clock}.Run(t.Context(), []gates.Gate{hangs, no, yes}, gates.Input{}, func(r upgrade.Result) {
			order = append(order, r.Outcome)
		})
		for i, want := range []upgrade.Outcome{upgrade.OutcomeUnknown, upgrade.OutcomeFailed, upgrade.OutcomePassed} {
			if results[i].Outcome != want {
				t.Errorf("result %d is %s, want %s", i, results[i].Outcome, want)
			}
		}
		if len(order) != 3 || order[2] != upgrade.OutcomeUnknown {
			t.Errorf("answers came as %v, want the one that hung last", order)
		}
	})
}

// TestS9Masked: no secret reaches a message, a fact, a table, a quote or a log line (S9).
func TestS9Masked(t *testing.T) {
	got := ask(t, gate(func(_ context.Context, _ gates.Input, rec *gates.Recorder) error {
		rec.Fact("header", "X: %s", "hunter2")
		rec.Table("t", []string{"a"}, [][]string{{"hunter2"}})
		rec.Quote("site", "the token is hunter2", noon())
		rec.Logf("sent %s", "hunter2")
		rec.Warnf("hunter2 leaked")
		return gates.Advise(gates.FailBrief("hunter2", "got %s back", "hunter2"), "change %s", "hunter2")
	}))
	if text := strings.Join([]string{
		got.Message, got.Brief, got.Hint, got.Warnings[0], got.Evidence.Facts[0].Value, got.Evidence.Tables[0].Rows[0][0],
		got.Evidence.Quotes[0].Text, got.Evidence.Log[0].Text,
	}, "\n"); strings.Contains(text, "hunter2") {
		t.Errorf("the secret is in the result:\n%s", text)
	}
}

// TestHint: what to do about a no comes through to the run's next step, and so does that of not knowing.
func TestHint(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"no", gates.Advise(gates.AskYes("brief", "it is gone"), "bring it back with %s", "create-grant"), "bring it back with create-grant"},
		{"could_not_tell", gates.Advise(&upgrade.Error{Code: upgrade.CodeForbidden, Msg: "not allowed", Hint: "allow it"}, "never said"), "allow it"},
		{"bare_no", gates.Failf("no"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ask(t, gate(func(context.Context, gates.Input, *gates.Recorder) error { return test.err }))
			got.Required = true
			if causes := upgrade.Against([]upgrade.Result{got}); len(causes) != 1 || causes[0].Hint != test.want {
				t.Errorf("causes %+v, want the hint %q", causes, test.want)
			}
		})
	}
}

func TestSkip(t *testing.T) {
	asked := false
	g := gate(func(context.Context, gates.Input, *gates.Recorder) error { asked = true; return nil })
	g.Skip = &gates.Skip{Reason: "the group is being rebuilt", Until: noon().Add(time.Hour)}
	if got := ask(t, g); got.Outcome != upgrade.OutcomeSkipped || asked || !strings.Contains(got.Message, "being rebuilt") {
		t.Errorf("got %s %q, asked %v", got.Outcome, got.Message, asked)
	}
	g.Skip.Until = noon()
	if got := ask(t, g); got.Outcome != upgrade.OutcomePassed {
		t.Errorf("a skip that has ended still skips: %s", got.Outcome)
	}
}

func TestEvidenceIsBounded(t *testing.T) {
	got := ask(t, gate(func(_ context.Context, _ gates.Input, rec *gates.Recorder) error {
		for range 1000 {
			rec.Logf("line")
		}
		rec.Quote("x", strings.Repeat("y", 10<<10), noon())
		rec.Table("t", []string{"a"}, make([][]string, 2000))
		return nil
	}))
	if n := len(got.Evidence.Log); n != 501 || !strings.Contains(got.Evidence.Log[500].Text, "500 more") {
		t.Errorf("%d log lines, the last %q", n, got.Evidence.Log[n-1].Text)
	}
	if n := len(got.Evidence.Quotes[0].Text); n > 5<<10 {
		t.Errorf("quote of %d bytes", n)
	}
	if n := len(got.Evidence.Tables[0].Rows); n != 500 {
		t.Errorf("%d rows", n)
	}
}
