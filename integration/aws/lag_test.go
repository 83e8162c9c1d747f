package aws_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// lag is how long reads of the simulator may miss what was written.
const lag = 4 * time.Second

func lagging(cfg *awssim.Config) { cfg.Timing.Lag = lag }

// TestTrialNotShownYet: a trial that AWS does not show yet is not gone.
func TestTrialNotShownYet(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault awssim.Fault // of the call that makes it
	}{{"answered", ""}, {"answer_lost", awssim.FaultLost}} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, lagging)
			w.grant(t)
			w.pass(time.Minute)
			c := w.client(t, nil)
			ctx := t.Context()
			like, err := c.Group(ctx, w.group)
			if err != nil {
				t.Fatal(err)
			}
			if tc.fault != "" {
				w.sim.Inject("autoscaling:CreateAutoScalingGroup", tc.fault, 1)
			}
			one := trial(like)
			if err := c.StartTrial(ctx, one); err != nil && !upgrade.Transient(err) {
				t.Fatal(err)
			}
			for what, ask := range map[string]func() error{
				"Group":      func() error { _, err := c.Group(ctx, one.Name); return err },
				"Activities": func() error { _, err := c.Activities(ctx, one.Name); return err },
				"SetDesired": func() error { return c.SetDesired(ctx, one.Name, 0) },
				"EndTrial":   func() error { return c.EndTrial(ctx, one.Name) },
				"Gone":       func() error { _, err := c.Gone(ctx, one.Name); return err },
			} {
				if err := ask(); code(err) != upgrade.CodeUnavailable || upgrade.RetryAfterOf(err) == 0 {
					t.Errorf("%s: %v, want code %s", what, err, upgrade.CodeUnavailable)
				}
			}
			w.pass(lag)
			if err := c.EndTrial(ctx, one.Name); err != nil {
				t.Fatal(err)
			}
			w.pass(5 * time.Minute)
			if gone, err := c.Gone(ctx, one.Name); err != nil || !gone {
				t.Errorf("gone: %t, %v", gone, err)
			}
			for _, i := range w.sim.Instances() {
				if i.State != "terminated" {
					t.Errorf("left: %+v", i)
				}
			}
		})
	}
}

// TestTrialRefusedIsNotThere: what AWS refused to make need not be waited for.
func TestTrialRefusedIsNotThere(t *testing.T) {
	w := newWorld(t, nil)
	w.sim.Deny(gateRole, "autoscaling:CreateAutoScalingGroup")
	c := w.client(t, nil)
	if err := startOne(t.Context(), c, w); code(err) != upgrade.CodeForbidden {
		t.Fatal(err)
	}
	if gone, err := c.Gone(t.Context(), trial(cloud.Group{}).Name); err != nil || !gone {
		t.Errorf("gone: %t, %v", gone, err)
	}
}

// TestOneMoreWithLag: whatever reads miss, one instance is added, and that one taken back.
func TestOneMoreWithLag(t *testing.T) {
	for wait := range 24 {
		lost := wait%2 == 1
		t.Run(fmt.Sprintf("after_%d_s_lost_%t", wait/2, lost), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lagging)
			w.grant(t)
			w.resize(t, &autoscaling.UpdateAutoScalingGroupInput{DesiredCapacity: awssdk.Int32(2)})
			w.pass(5 * time.Minute)
			before := w.members(t)
			c := w.client(t, nil)
			ctx := t.Context()
			for range 2 {
				if err := c.AddOne(ctx, w.group, of("481")); err != nil {
					t.Fatal(err)
				}
			}
			w.pass(time.Duration(wait/2) * time.Second)
			if lost {
				w.sim.Inject("autoscaling:TerminateInstanceInAutoScalingGroup", awssim.FaultLost, 1)
			}
			for range 2 {
				w.take(t, c, cloud.Added{Group: w.group, Run: "481"})
			}
			if err := c.AddOne(ctx, w.group, of("482")); code(err) != upgrade.CodeUnavailable {
				t.Errorf("at once again: %v, want code %s", err, upgrade.CodeUnavailable)
			}
			w.pass(5 * time.Minute)
			w.untouched(t, before)
		})
	}
}

const (
	shownTag      = `<Tags><member><Key>gate:added</Key><Value>481 2025-06-13T16:00:00Z 2 -</Value></member></Tags>`
	shownInstance = `<Instances><member><InstanceId>i-0123456789abcdef0</InstanceId><LifecycleState>InService</LifecycleState></member></Instances>`
)

// shown is a group as AWS shows it.
func shown(desired, more string) answer {
	return answer{body: `<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups><member>
		<AutoScalingGroupName>ecs</AutoScalingGroupName><MinSize>0</MinSize><MaxSize>4</MaxSize><DesiredCapacity>` + desired + `</DesiredCapacity>` + more + `
		</member></AutoScalingGroups></DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>`}
}

// TestOneMoreShownInPart: the tag is shown before the capacity, and the instance last. To take back less than
// was added, and forget that it was, would be the worst.
func TestOneMoreShownInPart(t *testing.T) {
	done := []answer{{}}
	c, asked := documented(t, map[string][]answer{
		"DescribeAutoScalingGroups": {shown("2", ""), shown("2", ""), shown("2", shownTag), shown("3", shownTag), shown("3", shownTag+shownInstance), shown("3", shownTag+shownInstance)},
		"CreateOrUpdateTags":        done, "SetDesiredCapacity": done, "TerminateInstanceInAutoScalingGroup": done,
		"DeleteTags": {{503, ""}, {503, ""}, {503, ""}, {503, ""}, {}},
	}, nil)
	ctx := t.Context()
	if err := c.AddOne(ctx, "ecs", of("481")); err != nil {
		t.Fatal(err)
	}
	one := cloud.Added{Group: "ecs", Run: "481"}
	for _, what := range []string{"no tag", "the old capacity", "no instance", "all, but the tag cannot be removed"} {
		if err := c.TakeOne(ctx, one); code(err) != upgrade.CodeUnavailable {
			t.Errorf("shown %s: %v, want code %s", what, err, upgrade.CodeUnavailable)
		}
	}
	for range 2 { // AWS still shows all, the instance too, which is not to be ended twice
		if err := c.TakeOne(ctx, one); err != nil {
			t.Error(err)
		}
	}
	var calls []string
	for _, body := range asked() {
		for _, name := range []string{"TerminateInstanceInAutoScalingGroup", "SetDesiredCapacity", "DeleteTags"} {
			if strings.Contains(body, "Action="+name+"&") {
				calls = append(calls, name)
			}
		}
	}
	want := "SetDesiredCapacity TerminateInstanceInAutoScalingGroup DeleteTags DeleteTags DeleteTags DeleteTags DeleteTags"
	if got := strings.Join(calls, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestEndIsNotRepeated: what became of the instance is not known, and AWS shows it as before. To end it again
// could lower the capacity again.
func TestEndIsNotRepeated(t *testing.T) {
	c, asked := documented(t, map[string][]answer{
		"DescribeAutoScalingGroups":           {shown("3", shownTag+shownInstance)},
		"TerminateInstanceInAutoScalingGroup": {{503, ""}},
	}, nil)
	for range 3 {
		if err := c.TakeOne(t.Context(), cloud.Added{Group: "ecs", Run: "481"}); code(err) != upgrade.CodeUnavailable {
			t.Errorf("got %v, want code %s", err, upgrade.CodeUnavailable)
		}
	}
	ends := 0
	for _, body := range asked() {
		if strings.Contains(body, "Action=TerminateInstanceInAutoScalingGroup&") {
			ends++
		}
	}
	if ends != 1 {
		t.Errorf("the instance was ended %d times", ends)
	}
}
