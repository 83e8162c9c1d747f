package gates_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// seen is a way to look at keys, changed by set.
func seen(set func(*fakeKeys, time.Time)) func(time.Time) *fakeKeys {
	return func(now time.Time) *fakeKeys {
		f := newKeys()
		set(f, now)
		return f
	}
}

// TestLaunchDiagnosis: both misleading messages of AWS are told for what they are, as a cause only where the
// keys prove it, and the keys' own trouble does not stand for the launch.
func TestLaunchDiagnosis(t *testing.T) {
	const (
		id      = "Launching a new EC2 instance: i-0123456789abcdef0"
		prefix  = "Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: "
		invalid = prefix + "Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state"
		other   = prefix + "Client.InternalError: Client error on launch"
	)
	well := func(*fakeKeys, time.Time) {}
	lost := func(f *fakeKeys, _ time.Time) { f.grants[key1] = nil }
	tests := []struct {
		name   string
		words  string
		about  string
		keys   func(*fakeKeys, time.Time) // nil: not looked at
		fact   string
		says   string
		hint   string
		repair bool
	}{
		{"proven", invalid, id, lost, "Cause", "the role AWSServiceRoleForAutoScaling lacks CreateGrant, Decrypt", "with the command under Repair", true},
		{"proven_by_the_other_message", other, id, lost, "Cause", "lacks CreateGrant", "with the command under Repair", true},
		{"disabled", invalid, id, func(f *fakeKeys, _ time.Time) { k := f.keys[key1]; k.State = "Disabled"; f.keys[key1] = k }, "Cause", "is disabled", "with the command under Repair", true},
		{"denied", invalid, id, func(f *fakeKeys, _ time.Time) {
			f.policies[key1] = `{"Statement":[{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*"}]}`
		}, "Cause", "lacks Decrypt", "look at the key policy, which denies it", false},
		{"keys_are_well", invalid, id, well, "Likely cause", "although 1 key's grants and policies give it all", "in a few minutes", false},
		{"not_looked_at", other, id, nil, "Likely cause", "compare its grants and the key policy", "look at the grants", false},
		{"may_not_look", other, id, func(f *fakeKeys, _ time.Time) { f.deny = "kms:ListGrants" }, "Likely cause", "compare its grants and the key policy", "look at the grants", false},
		{"something_else_though_lost", "You have requested more vCPU capacity than your current vCPU limit of 32 allows. Launching EC2 instance failed.", "Launching a new EC2 instance", lost, "Likely cause", "no more instances of this type", "ask AWS for more", false},
		{"no_image", "The image id '[ami-1]' does not exist. Launching EC2 instance failed.", "Launching a new EC2 instance", nil, "Likely cause", "names an image that does not exist", "let the launch template", false},
		{"unheard_of", "Something new", id, lost, "", "", "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var keys func(time.Time) *fakeKeys
			if test.keys != nil {
				keys = seen(test.keys)
			}
			got, aws := launchAs(t, gates.LaunchSettings{}, keys, gates.Input{}, func(f *fakeCloud) {
				f.fails = cloud.Activity{Status: "Cancelled", StatusMessage: test.words, Description: test.about}
			})
			if got.Outcome != upgrade.OutcomeFailed || aws.started != 1 || got.Evidence.Quotes[0].Text != test.words {
				t.Fatalf("got %s %q after %d launches, quoted %v", got.Outcome, got.Message, aws.started, got.Evidence.Quotes)
			}
			for _, name := range []string{"Cause", "Likely cause"} {
				if value := fact(got, name); (name == test.fact) != (value != "") || name == test.fact && !strings.Contains(value, test.says) {
					t.Errorf("%s: %q, want %s: %q", name, value, test.fact, test.says)
				}
			}
			if about := got.Evidence.About; test.fact == "Cause" != slices.Equal(about, []string{key1}) || test.fact != "Cause" && len(about) > 0 {
				t.Errorf("it is about %q", about)
			}
			if !strings.Contains(got.Hint, test.hint) || (fact(got, "Repair") != "") != test.repair {
				t.Errorf("hint %q, repair %q", got.Hint, fact(got, "Repair"))
			}
			if refused := strings.Contains(fact(got, "Instance"), "refused at once"); refused != !strings.Contains(test.about, "i-0") {
				t.Errorf("instance: %s", fact(got, "Instance"))
			}
		})
	}
}

// TestS5LaunchTooSoon: a launch proves nothing while a change of the keys may not count yet, so the gate
// waits for it to settle; an early yes says that it counts for nothing (S5).
func TestS5LaunchTooSoon(t *testing.T) {
	revoked := func(by string, ago time.Duration) func(*fakeKeys, time.Time) {
		return func(f *fakeKeys, now time.Time) {
			f.events = []cloud.KeyEvent{{Name: "RevokeGrant", At: now.Add(-ago), By: by, KeyID: key1, GrantID: "x"}}
		}
	}
	person := "arn:aws:iam::111111111111:user/ada"
	tests := []struct {
		name  string
		early bool
		keys  func(*fakeKeys, time.Time)
		want  upgrade.Outcome
		says  string
		waits time.Duration
	}{
		{"quiet", false, func(*fakeKeys, time.Time) {}, upgrade.OutcomePassed, "was healthy after", 0},
		{"revoked_just_now", false, revoked(person, time.Minute), upgrade.OutcomePassed, "was healthy after", 4 * time.Minute},
		{"revoked_long_ago", false, revoked(person, 6*time.Minute), upgrade.OutcomePassed, "was healthy after", 0},
		{"made_just_now", false, func(f *fakeKeys, now time.Time) { f.grants[key1][0].CreatedAt = now.Add(-2 * time.Minute) }, upgrade.OutcomePassed, "was healthy after", 3 * time.Minute},
		{"volume_of_an_instance", false, revoked("arn:aws:sts::111111111111:assumed-role/AWSServiceRoleForAutoScaling/AutoScaling", time.Minute), upgrade.OutcomePassed, "was healthy after", 0},
		{"by_a_service", false, revoked("", time.Minute), upgrade.OutcomePassed, "was healthy after", 0},
		{"another_key", false, func(f *fakeKeys, now time.Time) {
			revoked(person, time.Minute)(f, now)
			f.events[0].KeyID = key2
		}, upgrade.OutcomePassed, "was healthy after", 0},
		{"early", true, revoked(person, time.Minute), upgrade.OutcomePassed, "this counts for nothing yet", 0},
		{"lacking_all_the_same", false, func(f *fakeKeys, _ time.Time) { f.grants[key1] = nil }, upgrade.OutcomeUnknown, "although the role AWSServiceRoleForAutoScaling lacks", 15*time.Minute + 45*time.Second},
		{"early_and_lacking", true, func(f *fakeKeys, _ time.Time) { f.grants[key1] = nil }, upgrade.OutcomePassed, "this counts for nothing yet", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, aws := launchAs(t, gates.LaunchSettings{}, seen(test.keys), gates.Input{Early: test.early}, func(f *fakeCloud) {
				f.volumes = []cloud.Volume{{Device: "/dev/xvda", State: "in-use", Attachment: "attached", Encrypted: true, KeyID: key1}}
			})
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %s %q, want %s that says %q", got.Outcome, got.Message, test.want, test.says)
			}
			for _, trial := range aws.trials {
				if began := trial.since.Sub(noon()); began != test.waits {
					t.Errorf("launched after %s, want %s", began, test.waits)
				}
			}
			if len(got.Warnings) > 0 {
				t.Errorf("warned %q", got.Warnings)
			}
		})
	}
}

// TestLaunchVolumes: the volumes are encrypted with the keys that were looked at.
func TestLaunchVolumes(t *testing.T) {
	volume := cloud.Volume{Device: "/dev/xvda", ID: "vol-1", State: "in-use", Attachment: "attached", Encrypted: true, KeyID: key1}
	plain, another := volume, volume
	plain.Encrypted, plain.KeyID = false, ""
	another.KeyID = key2
	for _, test := range []struct {
		name   string
		volume []cloud.Volume
		want   upgrade.Outcome
		says   string
		warns  string
	}{
		{"as_expected", []cloud.Volume{volume}, upgrade.OutcomePassed, "healthy after", ""},
		{"not_encrypted", []cloud.Volume{plain}, upgrade.OutcomeFailed, "the volume /dev/xvda of i-1 is not encrypted, with key " + key1 + " expected", ""},
		{"another_key", []cloud.Volume{another}, upgrade.OutcomePassed, "healthy after", "is encrypted with " + key2},
		{"none", nil, upgrade.OutcomeFailed, "until its volume /dev/xvda is attached", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, _ := launchAs(t, gates.LaunchSettings{}, seen(func(*fakeKeys, time.Time) {}), gates.Input{}, func(f *fakeCloud) { f.volumes = test.volume })
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) || !strings.Contains(strings.Join(got.Warnings, "\n"), test.warns) {
				t.Errorf("got %s %q, warned %q", got.Outcome, got.Message, got.Warnings)
			}
		})
	}
}

// TestLaunchSuspended: a group that launches nothing is warned of, and a test group of which somebody
// stopped the launches is no answer.
func TestLaunchSuspended(t *testing.T) {
	got, _ := launch(t, func(f *fakeCloud) { f.real.Suspended = []string{"Launch"} })
	if got.Outcome != upgrade.OutcomePassed || !strings.Contains(strings.Join(got.Warnings, ""), "the process Launch of group web is suspended") {
		t.Errorf("got %s with warnings %q", got.Outcome, got.Warnings)
	}
	got, aws := launch(t, func(f *fakeCloud) { f.halted = true })
	if got.Outcome != upgrade.OutcomeUnknown || !strings.Contains(got.Message, "somebody suspended the launches of the test group") || !aws.trials["gate-probe-481-launch-after-2"].ended {
		t.Errorf("got %s %q", got.Outcome, got.Message)
	}
}
