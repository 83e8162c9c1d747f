package aws_test

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/integration/aws"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	clocks "github.com/upgradegate/upgradegate/internal/world"
	"github.com/upgradegate/upgradegate/upgrade"
)

// asked is a world of which gates are asked, by a clock that jumps to whatever is waited for.
type asked struct {
	*world
	flow   *clocks.Clock
	kms    *kms.Client // as user/terraform
	runner gates.Runner
	grants gates.Gate
	launch gates.Gate
	grant  string
}

func newAsked(t *testing.T, settings gates.LaunchSettings) *asked {
	t.Helper()
	a := &asked{flow: clocks.New(time.Date(2025, 6, 13, 15, 0, 0, 0, time.UTC))}
	// With an ECS cluster and all that a node of it has; the clock of the rig stays where it is. Reads lag
	// behind writes, as those of the real one may.
	a.world = node(t, func(cfg *awssim.Config) { cfg.Clock, cfg.Timing.Lag = a.flow, 5*time.Second })
	a.kms = kms.NewFromConfig(awssdk.Config{
		Region: region, BaseEndpoint: awssdk.String(a.url), Credentials: credentials.NewStaticCredentialsProvider(awssim.DefaultKeyID, awssim.DefaultSecret, ""),
	})
	grants, err := a.kms.ListGrants(t.Context(), &kms.ListGrantsInput{KeyId: awssdk.String(a.key)})
	if err != nil || len(grants.Grants) != 1 {
		t.Fatal(grants, err)
	}
	a.grant = awssdk.ToString(grants.Grants[0].GrantId)
	a.runner.Clock = a.flow
	client := a.client(t, func(cfg *aws.Config) { cfg.Clock = a.flow })
	deps := gates.Deps{
		Clock: a.flow,
		Cloud: func(upgrade.EnvName) (gates.Cloud, error) { return client, nil },
		Keys:  func(upgrade.EnvName) (gates.Keys, error) { return client, nil },
	}
	bind := func(kind string, settings gates.Settings) gates.Gate {
		k, _ := gates.KindOf(kind)
		g := gates.Gate{Name: upgrade.GateName(kind), Kind: kind, Stage: upgrade.StageAfter, Environment: "staging", Required: true, Settle: k.Settle, Deadline: k.Deadline}
		if err := settings.Bind(&g, deps); err != nil {
			t.Fatal(err)
		}
		return g
	}
	a.grants = bind(gates.KindGrants, gates.GrantsSettings{Group: a.group})
	settings.Group = a.group
	a.launch = bind(gates.KindLaunch, settings)
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if quiet, _ := a.flow.Quiet(); quiet {
				if next, waits := a.flow.NextDue(); waits {
					a.flow.MoveTo(next)
				}
			}
			runtime.Gosched()
			time.Sleep(20 * time.Microsecond)
		}
	}()
	a.wait(t, time.Hour)
	return a
}

// wait lets world time pass.
func (a *asked) wait(t *testing.T, d time.Duration) {
	t.Helper()
	defer a.flow.Begin()()
	if err := a.flow.Sleep(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// ask asks a gate, and fails unless its answer is as wanted.
func (a *asked) ask(t *testing.T, gate gates.Gate, in gates.Input, want upgrade.Outcome, says string) upgrade.Result {
	t.Helper()
	defer a.flow.Begin()()
	in.Run.ID, in.Run.Environment, in.Run.Applies = 481, "staging", 1
	got := a.runner.Ask(t.Context(), gate, in)
	if got.Outcome != want || !strings.Contains(got.Message, says) {
		t.Errorf("%s: got %s %q, want %s that says %q", gate.Name, got.Outcome, got.Message, want, says)
	}
	for _, warning := range got.Warnings {
		t.Logf("%s warns: %s", gate.Name, warning)
	}
	return got
}

func fact(r upgrade.Result, name string) string {
	for _, f := range r.Evidence.Facts {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// TestGatesSeeTheIncident plays what happened: a grant is revoked, what runs goes on, a launch at once still
// works, and one after five minutes does not. Then the repair that the gate gave is carried out.
func TestGatesSeeTheIncident(t *testing.T) {
	a := newAsked(t, gates.LaunchSettings{StatusChecks: true})
	end := a.flow.Begin()
	before := a.runner.Before(t.Context(), []gates.Gate{a.grants}, gates.Input{Run: upgrade.Run{ID: 481}, Apply: 1})
	end()
	if before[0].Outcome != upgrade.OutcomePassed {
		t.Fatalf("before: %s", before[0].Message)
	}
	in := gates.Input{Befores: before, Round: 1}
	a.ask(t, a.grants, in, upgrade.OutcomePassed, "may use the 1 key")
	a.ask(t, a.launch, in, upgrade.OutcomePassed, "was healthy after")

	a.wait(t, time.Hour)
	if _, err := a.kms.RevokeGrant(t.Context(), &kms.RevokeGrantInput{KeyId: awssdk.String(a.key), GrantId: awssdk.String(a.grant)}); err != nil {
		t.Fatal(err)
	}
	a.ask(t, a.grants, in, upgrade.OutcomeFailed, "the grant asg-ebs")
	early := in
	early.Early = true
	a.ask(t, a.launch, early, upgrade.OutcomePassed, "this counts for nothing yet")
	in.Round = 2
	no := a.ask(t, a.launch, in, upgrade.OutcomeFailed, "ended cancelled")
	if !strings.Contains(fact(no, "Cause"), "lacks CreateGrant") {
		t.Errorf("cause %q, likely %q", fact(no, "Cause"), fact(no, "Likely cause"))
	}
	a.wait(t, 20*time.Minute)
	lost := a.ask(t, a.grants, in, upgrade.OutcomeFailed, "the grant asg-ebs")
	if !strings.Contains(fact(lost, "Done by"), "user/terraform") {
		t.Errorf("done by %q", fact(lost, "Done by"))
	}

	if _, err := a.kms.CreateGrant(t.Context(), created(t, fact(lost, "Repair"))); err != nil {
		t.Fatal(err)
	}
	in.Round = 3
	a.ask(t, a.grants, in, upgrade.OutcomePassed, "nothing is lost")
	a.ask(t, a.launch, in, upgrade.OutcomePassed, "was healthy after")
}

// TestGateOfWholeNodes asks for all that a node of a cluster should be, in each zone and in the real group.
func TestGateOfWholeNodes(t *testing.T) {
	whole := gates.LaunchSettings{StatusChecks: true, Cluster: "moodle", SSM: true, Console: "node-ready", HealthyWithin: 8 * time.Minute}
	each, oneMore := whole, whole
	each.EachZone, oneMore.Method = true, gates.MethodScaleOut
	for _, test := range []struct {
		name     string
		settings gates.LaunchSettings
		spoil    awssim.Spoil
		want     upgrade.Outcome
		says     string
	}{
		{"whole", whole, awssim.Spoil{}, upgrade.OutcomePassed, "was healthy after"},
		{"each_zone", each, awssim.Spoil{}, upgrade.OutcomePassed, "was healthy after"},
		{"scale_out", oneMore, awssim.Spoil{}, upgrade.OutcomePassed, "was healthy after"},
		{"no_cluster", whole, awssim.Spoil{NoCluster: true}, upgrade.OutcomeFailed, "it registers in ECS cluster moodle"},
		{"no_agent", each, awssim.Spoil{NoAgent: true}, upgrade.OutcomeFailed, "its agent is connected to ECS cluster moodle"},
		{"no_ping", whole, awssim.Spoil{NoPing: true}, upgrade.OutcomeFailed, "it answers AWS Systems Manager"},
		{"no_console", oneMore, awssim.Spoil{NoConsole: true}, upgrade.OutcomeFailed, `its console says "node-ready"`},
		{"impaired", whole, awssim.Spoil{Impaired: true}, upgrade.OutcomeFailed, `"impaired"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAsked(t, test.settings)
			a.sim.SpoilImage(a.ami, test.spoil)
			got := a.ask(t, a.launch, gates.Input{Round: 1}, test.want, test.says)
			if len(got.Warnings) > 0 {
				t.Errorf("warned %q", got.Warnings)
			}
			a.untouched(t, nil)
			if groups := a.members(t); len(groups) != 0 {
				t.Errorf("left: %v", groups)
			}
		})
	}
}

// created has a shell read the command that creates a grant, as the person would to whom it is shown.
func created(t *testing.T, command string) *kms.CreateGrantInput {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `aws() { printf '%s\n' "$@"; }; `+command).Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	in := &kms.CreateGrantInput{}
	flag := ""
	for word := range strings.Lines(string(out)) {
		word = strings.TrimSuffix(word, "\n")
		if strings.HasPrefix(word, "--") {
			flag = word
			continue
		}
		switch flag {
		case "--key-id":
			in.KeyId = awssdk.String(word)
		case "--grantee-principal":
			in.GranteePrincipal = awssdk.String(word)
		case "--name":
			in.Name = awssdk.String(word)
		case "--operations":
			in.Operations = append(in.Operations, kmstypes.GrantOperation(word))
		}
	}
	return in
}
