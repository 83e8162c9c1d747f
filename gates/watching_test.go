package gates_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/internal/world"
	"github.com/upgradegate/upgradegate/upgrade"
)

// fakeWatch ends as it is told.
type fakeWatch func(ctx context.Context, rec *gates.Recorder) error

func (w fakeWatch) End(ctx context.Context, rec *gates.Recorder) error { return w(ctx, rec) }

func during(name upgrade.GateName, w gates.During) gates.Gate {
	return gates.Gate{Name: name, Kind: "k", Stage: upgrade.StageDuring, Environment: "staging", Required: true, Deadline: time.Minute, During: w}
}

func TestWatch(t *testing.T) {
	ends := func(end fakeWatch) gates.During {
		return func(context.Context, gates.Input) (gates.Watch, error) { return end, nil }
	}
	asked := []gates.Gate{
		during("slow", func(outer context.Context, _ gates.Input) (gates.Watch, error) {
			return fakeWatch(func(ctx context.Context, rec *gates.Recorder) error {
				if err := outer.Err(); err != nil {
					return err // the watch was cut off
				}
				if err := (upgrade.SystemClock{}).Sleep(ctx, 10*time.Second); err != nil {
					return err
				}
				rec.Passed("up all the time")
				return nil
			}), nil
		}),
		during("down", ends(func(_ context.Context, rec *gates.Recorder) error {
			rec.Fact("secret", "hunter2")
			return gates.FailBrief("down", "hunter2 was down")
		})),
		during("cannot_begin", func(context.Context, gates.Input) (gates.Watch, error) {
			return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "no such place"}
		}),
		during("crashes_at_once", func(context.Context, gates.Input) (gates.Watch, error) { panic("boom") }),
		during("crashes_late", ends(func(context.Context, *gates.Recorder) error { panic("boom") })),
		during("no_watch", func(context.Context, gates.Input) (gates.Watch, error) { return nil, nil }),
		during("none", nil),
		during("hangs", ends(func(ctx context.Context, _ *gates.Recorder) error { <-ctx.Done(); return ctx.Err() })),
		during("skipped", func(context.Context, gates.Input) (gates.Watch, error) { t.Error("was asked"); return nil, nil }),
		during("not_sure", ends(func(context.Context, *gates.Recorder) error { return errors.New("EOF") })),
	}
	asked[8].Skip = &gates.Skip{Reason: "a rebuild", Until: noon().Add(time.Hour)}
	want := []struct {
		outcome upgrade.Outcome
		says    string
	}{
		{upgrade.OutcomePassed, "up all the time"},
		{upgrade.OutcomeFailed, "*** was down"},
		{upgrade.OutcomeUnknown, "no such place"},
		{upgrade.OutcomeUnknown, "crashed"},
		{upgrade.OutcomeUnknown, "crashed"},
		{upgrade.OutcomeUnknown, "does not watch"},
		{upgrade.OutcomeUnknown, "crashed"},
		{upgrade.OutcomeUnknown, "no answer within 31 min"},
		{upgrade.OutcomeSkipped, "a rebuild"},
		{upgrade.OutcomeUnknown, "something went wrong"},
	}
	synctest.Test(t, func(t *testing.T) { // which also fails on goroutines that are left
		runner := gates.Runner{Clock: upgrade.SystemClock{}, Mask: func(s string) string { return strings.ReplaceAll(s, "hunter2", "***") }}
		ctx, cancel := context.WithCancel(t.Context())
		watching := runner.Watch(ctx, asked, gates.Input{Run: upgrade.Run{ID: 481}, Round: 1, Apply: 2})
		cancel() // of no consequence: the watch goes on
		time.Sleep(30 * time.Minute)
		results := watching.End(t.Context())
		for i, got := range results {
			if got.Gate != asked[i].Name || got.Stage != upgrade.StageDuring || got.Run != 481 || got.Apply != 2 || !got.StartedAt.Equal(noon()) {
				t.Errorf("result %d is of %+v", i, got)
			}
			if got.Outcome != want[i].outcome || !strings.Contains(got.Message, want[i].says) {
				t.Errorf("%s: got %s %q, want %s that says %q", got.Gate, got.Outcome, got.Message, want[i].outcome, want[i].says)
			}
		}
		if len(results) != len(asked) || results[0].Took != 30*time.Minute+10*time.Second || results[1].Brief != "down" || results[1].Evidence.Facts[0].Value != "***" {
			t.Errorf("got %d results, the first after %s, the second with %+v", len(results), results[0].Took, results[1].Evidence)
		}
	})
}

// TestWatchLetsTimePass: a clock that is moved by hand may move while gates watch, but not while they end.
func TestWatchLetsTimePass(t *testing.T) {
	clock := world.New(noon())
	runner := gates.Runner{Clock: clock}
	end := clock.Begin()
	watching := runner.Watch(t.Context(), []gates.Gate{during("g", func(context.Context, gates.Input) (gates.Watch, error) {
		return fakeWatch(func(context.Context, *gates.Recorder) error {
			if clock.MoveTo(noon().Add(2 * time.Hour)) {
				t.Error("the clock moved while a gate ended")
			}
			return nil
		}), nil
	})}, gates.Input{})
	end()
	if !clock.MoveTo(noon().Add(time.Hour)) {
		t.Error("the clock does not move while a gate watches")
	}
	defer clock.Begin()()
	if got := watching.End(t.Context())[0]; got.Outcome != upgrade.OutcomePassed || got.Took != time.Hour {
		t.Errorf("got %s after %s", got.Outcome, got.Took)
	}
}

// TestBefore: only gates with a look before an apply are asked, and what they keep comes back to them.
func TestBefore(t *testing.T) {
	keeps := func(name upgrade.GateName, env upgrade.EnvName, memo string, err error) gates.Gate {
		return gates.Gate{
			Name: name, Environment: env, Stage: upgrade.StageAfter, Deadline: time.Minute, GoodFor: time.Hour,
			Before: func(_ context.Context, in gates.Input, rec *gates.Recorder) (string, error) {
				rec.Passed("looked at %s", in.Gate)
				return memo, err
			},
			Check: func(_ context.Context, in gates.Input, rec *gates.Recorder) error {
				rec.Passed("kept %q", in.Memo)
				return nil
			},
		}
	}
	plain := gate(func(context.Context, gates.Input, *gates.Recorder) error { return nil })
	broken := keeps("b", "staging", "half", &upgrade.Error{Code: upgrade.CodeConflict, Msg: "broken already"})
	asked := []gates.Gate{keeps("a", "staging", "one hunter2", nil), plain, broken, keeps("a", "production", "two", nil)}
	synctest.Test(t, func(t *testing.T) {
		runner := gates.Runner{Clock: upgrade.SystemClock{}, Mask: func(s string) string { return strings.ReplaceAll(s, "hunter2", "***") }}
		in := gates.Input{Run: upgrade.Run{ID: 481}, Round: 3, Apply: 2}
		befores := runner.Before(t.Context(), asked, in)
		if len(befores) != 3 {
			t.Fatalf("got %d results", len(befores))
		}
		for i, want := range []struct {
			outcome       upgrade.Outcome
			message, memo string
		}{
			{upgrade.OutcomePassed, "looked at a", "one ***"},
			{upgrade.OutcomeUnknown, "broken already", ""},
			{upgrade.OutcomePassed, "looked at a", "two"},
		} {
			got := befores[i]
			if got.Outcome != want.outcome || got.Message != want.message || got.Memo != want.memo || got.Stage != upgrade.StageBefore || got.Apply != 2 {
				t.Errorf("result %d is %+v, want %+v", i, got, want)
			}
		}
		in.Befores = befores
		var says []string
		for _, result := range runner.Run(t.Context(), []gates.Gate{asked[0], asked[2], asked[3]}, in, nil) {
			says = append(says, result.Message)
			if result.Apply != 0 || result.Memo != "" {
				t.Errorf("a result of the stage after has apply %d and memo %q", result.Apply, result.Memo)
			}
		}
		if got := strings.Join(says, ", "); got != `kept "one ***", kept "", kept "two"` {
			t.Errorf("got %s", got)
		}
	})
}
