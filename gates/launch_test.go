package gates_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// launch asks an instance-launch gate of the cloud.
func launch(t *testing.T, set func(*fakeCloud)) (upgrade.Result, *fakeCloud) {
	t.Helper()
	return launchAs(t, gates.LaunchSettings{}, nil, gates.Input{}, set)
}

// launchAs asks one with settings and a way to look at the keys.
func launchAs(t *testing.T, settings gates.LaunchSettings, keys func(time.Time) *fakeKeys, in gates.Input, set func(*fakeCloud)) (result upgrade.Result, aws *fakeCloud) {
	t.Helper()
	settings.Group, settings.HealthyWithin = "web", 5*time.Minute
	in.Run, in.Round = upgrade.Run{ID: 481, Environment: "staging"}, 2
	synctest.Test(t, func(t *testing.T) {
		clock := upgrade.SystemClock{}
		aws = newCloud(clock)
		set(aws)
		deps := gates.Deps{Clock: clock, Cloud: func(upgrade.EnvName) (gates.Cloud, error) { return aws, nil }}
		if keys != nil {
			seen := keys(clock.Now())
			deps.Keys = func(upgrade.EnvName) (gates.Keys, error) { return seen, nil }
		}
		g := gates.Gate{Name: "launch", Kind: gates.KindLaunch, Environment: "staging", Settle: 5 * time.Minute, Deadline: 20 * time.Minute}
		if err := settings.Bind(&g, deps); err != nil {
			t.Fatal(err)
		}
		result = gates.Runner{Clock: clock}.Run(t.Context(), []gates.Gate{g}, in, nil)[0]
	})
	if len([]rune(result.Brief)) > 80 {
		t.Errorf("the brief has more than 80 characters: %s", result.Brief)
	}
	return result, aws
}

func TestLaunch(t *testing.T) {
	kms := "Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state"
	tests := []struct {
		name string
		set  func(*fakeCloud)
		want upgrade.Outcome
		says string
	}{
		{"healthy", func(*fakeCloud) {}, upgrade.OutcomePassed, "was healthy after"},
		{"kms", func(f *fakeCloud) { f.fails = cloud.Activity{Status: "Cancelled", StatusMessage: kms, End: noon()} }, upgrade.OutcomeFailed, kms},
		{"failed", func(f *fakeCloud) { f.fails = cloud.Activity{Status: "Failed", StatusMessage: "quota"} }, upgrade.OutcomeFailed, "“quota”"},
		{"never_healthy", func(f *fakeCloud) { f.never = true }, upgrade.OutcomeFailed, "within 5 min"},
		{"may_not_look", func(f *fakeCloud) { f.deny = "autoscaling:DescribeAutoScalingGroups" }, upgrade.OutcomeUnknown, "autoscaling:DescribeAutoScalingGroups"},
		{"may_not_create", func(f *fakeCloud) { f.deny = "autoscaling:CreateAutoScalingGroup" }, upgrade.OutcomeUnknown, "autoscaling:CreateAutoScalingGroup"},
		{"may_not_watch", func(f *fakeCloud) { f.deny = "autoscaling:DescribeScalingActivities" }, upgrade.OutcomeUnknown, "autoscaling:DescribeScalingActivities"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, aws := launch(t, test.set)
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %s %q, want %s that says %q", got.Outcome, got.Message, test.want, test.says)
			}
			for name, trial := range aws.trials {
				if !trial.ended {
					t.Errorf("%s was left behind", name)
				}
			}
		})
	}
}

// TestS4Tagged: what the gate creates carries run and expiry, under a name that the run gives (S4).
func TestS4Tagged(t *testing.T) {
	_, aws := launch(t, func(*fakeCloud) {})
	trial, ok := aws.trials["gate-probe-481-launch-after-2"]
	if !ok || trial.Tags[gates.TagRun] != "481" || trial.Tags[gates.TagProbe] != "true" {
		t.Fatalf("trials are %v", aws.trials)
	}
	if expires, err := time.Parse(time.RFC3339, trial.Tags[gates.TagExpires]); err != nil || !expires.After(noon().Add(5*time.Minute)) {
		t.Errorf("expires %v (%v)", expires, err)
	}
}

// TestS4Intended: what is about to be made is written down first, and not made when that cannot be (S4).
func TestS4Intended(t *testing.T) {
	for _, method := range []gates.LaunchMethod{gates.MethodTrial, gates.MethodScaleOut} {
		t.Run(string(method), func(t *testing.T) {
			var written []string
			kept := gates.Input{Intend: func(_ context.Context, what string) error { written = append(written, what); return nil }}
			if got, _ := launchAs(t, gates.LaunchSettings{Method: method}, nil, kept, func(*fakeCloud) {}); got.Outcome != upgrade.OutcomePassed || len(written) != 1 {
				t.Errorf("got %s %q, written down: %q", got.Outcome, got.Message, written)
			}
			lost := gates.Input{Intend: func(context.Context, string) error {
				return &upgrade.Error{Code: upgrade.CodeStale, Msg: "another worker has the run"}
			}}
			got, aws := launchAs(t, gates.LaunchSettings{Method: method}, nil, lost, func(*fakeCloud) {})
			if got.Outcome != upgrade.OutcomeUnknown || aws.started != 0 || len(aws.added) != 0 {
				t.Errorf("got %s, %d groups and %v more although it could not be written down", got.Outcome, aws.started, aws.added)
			}
		})
	}
}

// TestS4LeftBehindIsTold: what could not be removed is a warning, and never turns a result around (S4).
func TestS4LeftBehindIsTold(t *testing.T) {
	got, _ := launch(t, func(f *fakeCloud) { f.stuck = true })
	if got.Outcome != upgrade.OutcomePassed || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "could not be removed") {
		t.Errorf("got %s with warnings %q", got.Outcome, got.Warnings)
	}
}

func TestStopsRelaunching(t *testing.T) {
	got, aws := launch(t, func(f *fakeCloud) {
		f.fails = cloud.Activity{Status: "Failed", StatusMessage: "Client.InternalError: Client error on launch"}
	})
	if len(aws.desired) == 0 || aws.desired[0] != 0 {
		t.Errorf("desired was set to %v, want 0 at once", aws.desired)
	}
	var cause string
	for _, fact := range got.Evidence.Facts {
		if fact.Name == "Likely cause" {
			cause = fact.Value
		}
	}
	if !strings.Contains(cause, "KMS key") || len(got.Evidence.Quotes) != 1 {
		t.Errorf("likely cause %q, quotes %v", cause, got.Evidence.Quotes)
	}
}

// TestS4Reap: the reaper needs nothing but the tags, and leaves alone what is not over (S4).
func TestS4Reap(t *testing.T) {
	clock := upgrade.SystemClock{}
	trial := func(expires string) *fakeTrial {
		return &fakeTrial{Trial: cloud.Trial{Tags: map[string]string{gates.TagProbe: "true", gates.TagExpires: expires}}}
	}
	aws := newCloud(clock)
	aws.trials = map[string]*fakeTrial{
		"over": trial(noon().Add(-time.Minute).Format(time.RFC3339)), "going_on": trial(noon().Add(time.Minute).Format(time.RFC3339)), "unreadable": trial("soon"),
	}
	ended, err := gates.Reap(t.Context(), aws, noon())
	if err != nil || len(ended) != 2 || aws.trials["going_on"].ended || !aws.trials["over"].ended || !aws.trials["unreadable"].ended {
		t.Errorf("ended %v (%v)", ended, err)
	}
	aws.trials["over"].ended, aws.stuck = false, true
	if _, err := gates.Reap(t.Context(), aws, noon()); err == nil || !strings.Contains(upgrade.HintOf(err), "aws autoscaling delete") {
		t.Errorf("what cannot be removed: %v, want an error that says how", err)
	}
}

// TestS4ReapsTheRest: an instance more of a real group is taken back when its time is over, what has been
// going for too long is told, and one thing that cannot be removed hides no other (S4).
func TestS4ReapsTheRest(t *testing.T) {
	aws := newCloud(upgrade.SystemClock{})
	aws.added["web"] = noon().Add(-2 * time.Hour) // expires an hour after
	aws.added["other"] = noon()
	expired := map[string]string{gates.TagExpires: noon().Add(-2 * time.Hour).Format(time.RFC3339)}
	ended, err := gates.Reap(t.Context(), stuckGroup{aws, cloud.Group{Name: "gone's", Status: "Delete in progress", Tags: expired}}, noon())
	if len(ended) != 1 || ended[0] != "web (one instance more)" || len(aws.added) != 1 {
		t.Errorf("ended %q, left %v", ended, aws.added)
	}
	if err == nil || !strings.Contains(err.Error(), `"Delete in progress" since more than 1h0m0s`) || !strings.Contains(upgrade.HintOf(err), `'gone'\''s'`) {
		t.Errorf("what is stuck: %v, hint %q", err, upgrade.HintOf(err))
	}
	aws.added["web"], aws.stuck = noon().Add(-2*time.Hour), true
	if _, err := gates.Reap(t.Context(), aws, noon()); err == nil || !strings.Contains(err.Error(), "the group web has one instance more than it should") {
		t.Errorf("what cannot be taken back: %v", err)
	}
}

// stuckGroup is a cloud with one test group.
type stuckGroup struct {
	*fakeCloud
	group cloud.Group
}

func (s stuckGroup) Trials(context.Context) ([]cloud.Group, error) {
	return []cloud.Group{s.group}, nil
}
