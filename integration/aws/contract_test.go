package aws_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws"
	"github.com/upgradegate/upgradegate/internal/testkit"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// subject is an AWS, real or simulated, for the suite: a group that can launch, and a way to let time pass.
type subject struct {
	client *aws.Client
	group  string
	pass   func(time.Duration)
}

func TestContractSimulated(t *testing.T) {
	testContract(t, func(t *testing.T) subject {
		t.Helper()
		w := newWorld(t, nil)
		w.grant(t)
		return subject{client: w.client(t, nil), group: w.group, pass: w.pass}
	})
}

// TestContractReal needs UPGRADEGATE_TEST_AWS=REGION/GROUP, and credentials where AWS programs look for
// them. It starts one instance like those of GROUP, for some minutes, in a group of its own.
func TestContractReal(t *testing.T) {
	region, group, ok := strings.Cut(testkit.Target(t, "aws"), "/")
	if !ok {
		t.Fatal("UPGRADEGATE_TEST_AWS must be REGION/GROUP")
	}
	testContract(t, func(t *testing.T) subject {
		t.Helper()
		client, err := aws.New(aws.Config{Region: region})
		if err != nil {
			t.Fatal(err)
		}
		return subject{client: client, group: group, pass: func(d time.Duration) { _ = upgrade.SystemClock{}.Sleep(t.Context(), d) }}
	})
}

// testContract is what the gates rely on, of the real AWS and of the simulated one.
func testContract(t *testing.T, open func(*testing.T) subject) {
	t.Helper()
	t.Run("unknown_group", func(t *testing.T) { testUnknownGroup(t, open(t)) })
	t.Run("group", func(t *testing.T) { testGroup(t, open(t)) })
	t.Run("unknown_instance", func(t *testing.T) { testUnknownInstance(t, open(t)) })
	t.Run("launch", func(t *testing.T) { testLaunch(t, open(t)) })
	t.Run("end_before_launch", func(t *testing.T) { testEndAtOnce(t, open(t)) })
	t.Run("chain", func(t *testing.T) { testChain(t, open(t)) })
	t.Run("unknown_of_chain", func(t *testing.T) { testUnknownOfChain(t, open(t)) })
	t.Run("unknown_of_node", func(t *testing.T) { testUnknownOfNode(t, open(t)) })
	t.Run("events", func(t *testing.T) { testEvents(t, open(t)) })
}

func testUnknownGroup(t *testing.T, s subject) {
	t.Helper()
	ctx := t.Context()
	const name = "gate-probe-none"
	if _, err := s.client.Group(ctx, name); code(err) != upgrade.CodeNotFound {
		t.Errorf("Group: %v, want code %s", err, upgrade.CodeNotFound)
	}
	if _, err := s.client.Activities(ctx, name); code(err) != upgrade.CodeNotFound {
		t.Errorf("Activities: %v, want code %s", err, upgrade.CodeNotFound)
	}
	if err := s.client.SetDesired(ctx, name, 0); code(err) != upgrade.CodeNotFound {
		t.Errorf("SetDesired: %v, want code %s", err, upgrade.CodeNotFound)
	}
	if err := s.client.EndTrial(ctx, name); err != nil {
		t.Errorf("EndTrial of what is not there: %v", err)
	}
	if gone, err := s.client.Gone(ctx, name); err != nil || !gone {
		t.Errorf("Gone: %t, %v", gone, err)
	}
}

func testGroup(t *testing.T, s subject) {
	t.Helper()
	g, err := s.client.Group(t.Context(), s.group)
	if err != nil {
		t.Fatal(err)
	}
	if g.Name != s.group || g.Template.ID == "" || g.Template.Name == "" || len(g.Subnets) == 0 || len(g.Zones) == 0 {
		t.Errorf("got %+v", g)
	}
	if strings.HasPrefix(g.Template.Version, "$") || g.Template.Version == "" {
		t.Errorf("version %q is not resolved", g.Template.Version)
	}
	if !strings.Contains(g.ServiceLinkedRoleARN, ":role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling") {
		t.Errorf("service-linked role: %q", g.ServiceLinkedRoleARN)
	}
	if err := s.client.EndTrial(t.Context(), s.group); code(err) != upgrade.CodeForbidden {
		t.Errorf("EndTrial of a group that is no trial: %v, want code %s", err, upgrade.CodeForbidden)
	}
}

func testUnknownInstance(t *testing.T, s subject) {
	t.Helper()
	got, err := s.client.Instances(t.Context(), []string{"i-00000000000000000"})
	if err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err = s.client.Instances(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("of no ids: %v, %v", got, err)
	}
}

// testLaunch is one trial from start to end.
func testLaunch(t *testing.T, s subject) {
	t.Helper()
	ctx := t.Context()
	like, err := s.client.Group(ctx, s.group)
	if err != nil {
		t.Fatal(err)
	}
	want := trial(like)
	want.Name = fmt.Sprintf("gate-probe-contract-%d", time.Now().UnixNano())
	defer s.remove(t, want.Name)
	for range 2 { // the second finds the first
		if err := s.client.StartTrial(ctx, want); err != nil {
			t.Fatal(err)
		}
	}
	id := s.healthy(t, want)
	s.testNode(t, id)
	group, err := s.client.Group(ctx, want.Name)
	if err != nil {
		t.Fatal(err)
	}
	if group.Template != like.Template || group.ServiceLinkedRoleARN != like.ServiceLinkedRoleARN || group.Max != 1 || group.Tags["gate:run"] != "481" {
		t.Errorf("the trial is not like the group: %+v", group)
	}
	activities, err := s.client.Activities(ctx, want.Name)
	if err != nil {
		t.Fatal(err)
	}
	if len(activities) != 1 || activities[0].Status != "Successful" || !strings.Contains(activities[0].Description, id) {
		t.Errorf("activities: %+v", activities)
	}
	if trials, err := s.client.Trials(ctx); err != nil || !contains(trials, want.Name) || contains(trials, s.group) {
		t.Errorf("trials: %+v, %v", trials, err)
	}
	if gone, err := s.client.Gone(ctx, want.Name); err != nil || gone {
		t.Errorf("gone before the end: %t, %v", gone, err)
	}
	if err := s.client.EndTrial(ctx, want.Name); err != nil {
		t.Fatal(err)
	}
	if gone, err := s.client.Gone(ctx, want.Name); err != nil || gone {
		t.Errorf("gone at once: %t, %v", gone, err)
	}
	s.until(t, "the trial is gone", func() bool {
		gone, err := s.client.Gone(ctx, want.Name)
		return check(t, err) && gone
	})
	if activities, err = s.client.Activities(ctx, want.Name); err != nil || len(activities) == 0 {
		t.Errorf("activities of a deleted group: %+v, %v", activities, err)
	}
	if got, err := s.client.Instances(ctx, []string{id}); err != nil || len(got) != 1 || got[0].State != "terminated" {
		t.Errorf("afterwards: %+v, %v", got, err)
	}
}

// healthy follows a launch as the gate does and returns the instance.
func (s subject) healthy(t *testing.T, trial cloud.Trial) (id string) {
	t.Helper()
	ctx := t.Context()
	held := false
	s.until(t, "an instance is in service", func() bool {
		group, err := s.client.Group(ctx, trial.Name)
		if !check(t, err) || len(group.Members) == 0 {
			return false
		}
		m := group.Members[0]
		id = m.InstanceID
		if m.Lifecycle == "Pending:Wait" {
			held = true
			return check(t, s.client.Continue(ctx, trial.Name, id)) && false
		}
		return m.Lifecycle == "InService" && m.Health == "Healthy"
	})
	if !held {
		t.Error("the launch hook held nothing")
	}
	if err := s.client.Continue(ctx, trial.Name, id); err != nil {
		t.Errorf("Continue of what no longer waits: %v", err)
	}
	s.until(t, "its status checks are ok", func() bool {
		got, err := s.client.Instances(ctx, []string{id})
		return check(t, err) && len(got) == 1 && got[0].State == "running" && got[0].SystemStatus == "ok" && got[0].InstanceStatus == "ok"
	})
	return id
}

func testEndAtOnce(t *testing.T, s subject) {
	t.Helper()
	ctx := t.Context()
	like, err := s.client.Group(ctx, s.group)
	if err != nil {
		t.Fatal(err)
	}
	want := trial(like)
	want.Name = fmt.Sprintf("gate-probe-contract-%d", time.Now().UnixNano())
	defer s.remove(t, want.Name)
	if err := s.client.StartTrial(ctx, want); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.client.EndTrial(ctx, want.Name); err != nil {
			t.Fatal(err)
		}
	}
	s.until(t, "the trial is gone", func() bool {
		gone, err := s.client.Gone(ctx, want.Name)
		return check(t, err) && gone
	})
}

// until lets time pass until ok, at most twenty minutes.
func (s subject) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 120 {
		if ok() {
			return
		}
		s.pass(10 * time.Second)
	}
	t.Fatalf("after 20 minutes: not yet that %s", what)
}

// remove leaves nothing behind, whatever happened.
func (s subject) remove(t *testing.T, name string) {
	t.Helper()
	if err := s.client.EndTrial(t.Context(), name); err != nil {
		t.Errorf("remove %s by hand: %v", name, err)
	}
}

func check(t *testing.T, err error) bool {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return true
}

func code(err error) upgrade.Code {
	if err == nil {
		return ""
	}
	return upgrade.CodeOf(err)
}

func contains(groups []cloud.Group, name string) bool {
	for _, g := range groups {
		if g.Name == name {
			return true
		}
	}
	return false
}
