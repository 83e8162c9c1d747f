package aws_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/integration/aws"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// of are the tags of a run.
func of(run string) map[string]string {
	return map[string]string{"gate:probe": "true", "gate:run": run, "gate:expires": "2025-06-13T16:00:00Z"}
}

// populated returns a world whose group has two instances that run.
func populated(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, nil)
	w.grant(t)
	w.resize(t, &autoscaling.UpdateAutoScalingGroupInput{DesiredCapacity: awssdk.Int32(2)})
	w.pass(5 * time.Minute)
	if got := w.members(t); len(got) != 2 {
		t.Fatalf("got %v", got)
	}
	return w
}

func (w *world) resize(t *testing.T, in *autoscaling.UpdateAutoScalingGroupInput) {
	t.Helper()
	in.AutoScalingGroupName = awssdk.String(w.group)
	if _, err := w.scaling.UpdateAutoScalingGroup(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// look returns the real group, not through the adapter.
func (w *world) look(t *testing.T) scalingtypes.AutoScalingGroup {
	t.Helper()
	got, err := w.scaling.DescribeAutoScalingGroups(t.Context(), &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{w.group}})
	if err != nil || len(got.AutoScalingGroups) != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	return got.AutoScalingGroups[0]
}

// members returns the ids of the real group's instances, sorted.
func (w *world) members(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, i := range w.look(t).Instances {
		out = append(out, awssdk.ToString(i.InstanceId))
	}
	slices.Sort(out)
	return out
}

// tags returns the real group's tags.
func (w *world) tags(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, tag := range w.look(t).Tags {
		out[awssdk.ToString(tag.Key)] = awssdk.ToString(tag.Value)
	}
	return out
}

// take takes back as the gate does: it asks again while that may help.
func (w *world) take(t *testing.T, c *aws.Client, one cloud.Added) {
	t.Helper()
	for range 60 {
		err := c.TakeOne(t.Context(), one)
		if err == nil {
			return
		}
		if !upgrade.Transient(err) {
			t.Fatal(err)
		}
		w.pass(time.Second)
	}
	t.Fatal("a minute was not enough")
}

// untouched fails unless the group is as it was.
func (w *world) untouched(t *testing.T, members []string) {
	t.Helper()
	g := w.look(t)
	if n := int(awssdk.ToInt32(g.DesiredCapacity)); n != len(members) {
		t.Errorf("the group wants %d instances, want %d", n, len(members))
	}
	if diff := cmp.Diff(members, w.members(t)); diff != "" {
		t.Errorf("members: -want +got:\n%s", diff)
	}
	if v, there := w.tags(t)["gate:added"]; there {
		t.Errorf("the tag is still there: %s", v)
	}
}

func TestOneMoreAndBack(t *testing.T) {
	w := populated(t)
	before := w.members(t)
	c := w.client(t, nil)
	ctx := t.Context()
	for range 2 { // the second finds what the first did
		if err := c.AddOne(ctx, w.group, of("481")); err != nil {
			t.Fatal(err)
		}
	}
	want := cloud.Added{Group: w.group, Run: "481", Expires: time.Date(2025, 6, 13, 16, 0, 0, 0, time.UTC), Desired: 2}
	if got, err := c.Added(ctx); err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("at once: %+v, %v", got, err)
	}
	w.pass(10 * time.Second)
	got, err := c.Added(ctx)
	if err != nil || len(got) != 1 || got[0].InstanceID == "" || slices.Contains(before, got[0].InstanceID) {
		t.Fatalf("after a while: %+v, %v", got, err)
	}
	if n := len(w.members(t)); n != 3 {
		t.Errorf("the group has %d members", n)
	}
	instances, err := c.Instances(ctx, []string{got[0].InstanceID})
	if err != nil || len(instances) != 1 {
		t.Fatal(instances, err)
	}
	if trials, err := c.Trials(ctx); err != nil || len(trials) != 0 {
		t.Errorf("a real group counts as a trial: %+v, %v", trials, err)
	}
	for range 2 {
		if err := c.TakeOne(ctx, got[0]); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(5 * time.Minute)
	w.untouched(t, before)
}

// TestOneMoreRefused: what cannot be had, or could not be taken back, is not asked for.
func TestOneMoreRefused(t *testing.T) {
	for _, tc := range []struct {
		name    string
		arrange func(*testing.T, *world)
		tags    map[string]string
		want    upgrade.Code
		words   string
	}{
		{"full", func(t *testing.T, w *world) {
			t.Helper()
			w.resize(t, &autoscaling.UpdateAutoScalingGroupInput{MaxSize: awssdk.Int32(2)})
		}, of("481"), upgrade.CodeConflict, "wants 2 instances of at most 2"},
		{"suspended", func(t *testing.T, w *world) {
			t.Helper()
			_, err := w.scaling.SuspendProcesses(t.Context(), &autoscaling.SuspendProcessesInput{
				AutoScalingGroupName: awssdk.String(w.group), ScalingProcesses: []string{"Launch"},
			})
			if err != nil {
				t.Fatal(err)
			}
		}, of("481"), upgrade.CodeConflict, "Launch is suspended"},
		{"weighted", func(t *testing.T, w *world) {
			t.Helper()
			w.resize(t, &autoscaling.UpdateAutoScalingGroupInput{MixedInstancesPolicy: &scalingtypes.MixedInstancesPolicy{
				LaunchTemplate: &scalingtypes.LaunchTemplate{
					LaunchTemplateSpecification: &scalingtypes.LaunchTemplateSpecification{LaunchTemplateId: awssdk.String(w.tmpl)},
					Overrides:                   []scalingtypes.LaunchTemplateOverrides{{InstanceType: awssdk.String("m5.large"), WeightedCapacity: awssdk.String("2")}},
				},
			}})
		}, of("481"), upgrade.CodeConflict, "not in instances"},
		{"another_run", func(t *testing.T, w *world) {
			t.Helper()
			if err := w.client(t, nil).AddOne(t.Context(), w.group, of("480")); err != nil {
				t.Fatal(err)
			}
		}, of("481"), upgrade.CodeConflict, "for run 480 until 2025-06-13T16:00:00Z"},
		{"written_over", func(t *testing.T, w *world) {
			t.Helper()
			w.tag(t, "gate:added", "by hand")
		}, of("481"), upgrade.CodeConflict, `cannot be read: "by hand"`},
		{"no_run", nil, map[string]string{"gate:expires": "2025-06-13T16:00:00Z"}, upgrade.CodeInvalid, "gate:run"},
		{"no_expiry", nil, map[string]string{"gate:run": "481", "gate:expires": "tomorrow"}, upgrade.CodeInvalid, "gate:expires"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := populated(t)
			if tc.arrange != nil {
				tc.arrange(t, w)
			}
			tags, desired := w.tags(t), awssdk.ToInt32(w.look(t).DesiredCapacity)
			err := w.client(t, nil).AddOne(t.Context(), w.group, tc.tags)
			if code(err) != tc.want || !strings.Contains(upgrade.Public(err), tc.words) {
				t.Errorf("got %v, want code %s and %q", err, tc.want, tc.words)
			}
			if diff := cmp.Diff(tags, w.tags(t)); diff != "" || awssdk.ToInt32(w.look(t).DesiredCapacity) != desired {
				t.Errorf("the group was changed: %s", diff)
			}
		})
	}
	t.Run("unknown", func(t *testing.T) {
		if err := newWorld(t, nil).client(t, nil).AddOne(t.Context(), "none", of("481")); code(err) != upgrade.CodeNotFound {
			t.Errorf("got %v, want code %s", err, upgrade.CodeNotFound)
		}
	})
}

func (w *world) tag(t *testing.T, key, value string) {
	t.Helper()
	_, err := w.scaling.CreateOrUpdateTags(t.Context(), &autoscaling.CreateOrUpdateTagsInput{Tags: []scalingtypes.Tag{{
		Key: awssdk.String(key), Value: awssdk.String(value), PropagateAtLaunch: awssdk.Bool(false),
		ResourceId: awssdk.String(w.group), ResourceType: awssdk.String("auto-scaling-group"),
	}}})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTakeOnlyWhatWasAdded: without the run's own tag nothing is ended.
func TestTakeOnlyWhatWasAdded(t *testing.T) {
	w := populated(t)
	before := w.members(t)
	c := w.client(t, nil)
	ctx := t.Context()
	if err := c.TakeOne(ctx, cloud.Added{Group: w.group, Run: "481", InstanceID: before[0]}); err != nil {
		t.Errorf("without a tag: %v", err)
	}
	if err := c.TakeOne(ctx, cloud.Added{Group: "none", Run: "481"}); err != nil {
		t.Errorf("of a group that is gone: %v", err)
	}
	w.untouched(t, before)
	if err := c.AddOne(ctx, w.group, of("480")); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Minute)
	if err := c.TakeOne(ctx, cloud.Added{Group: w.group, Run: "481"}); code(err) != upgrade.CodeConflict {
		t.Errorf("of another run: %v, want code %s", err, upgrade.CodeConflict)
	}
	if n := len(w.members(t)); n != 3 {
		t.Errorf("the group has %d members", n)
	}
	// Who names an old member ends the new one all the same.
	if err := c.TakeOne(ctx, cloud.Added{Group: w.group, Run: "480", InstanceID: before[0]}); err != nil {
		t.Fatal(err)
	}
	w.pass(5 * time.Minute)
	w.untouched(t, before)
}

// TestTakeWhatNeverCame: the launches fail, again and again; taking back ends that too.
func TestTakeWhatNeverCame(t *testing.T) {
	for wait := range 60 {
		if wait%7 != 0 && wait > 4 {
			continue
		}
		t.Run(fmt.Sprintf("after_%d_s", wait), func(t *testing.T) {
			t.Parallel()
			w := populated(t)
			before := w.members(t)
			w.sim.FailImage(w.ami, awssim.Failure{Code: "Client.InternalError", Message: "Client error on launch", Status: "Cancelled"})
			c := w.client(t, nil)
			ctx := t.Context()
			if err := c.AddOne(ctx, w.group, of("481")); err != nil {
				t.Fatal(err)
			}
			w.pass(time.Duration(wait) * time.Second)
			w.take(t, c, cloud.Added{Group: w.group, Run: "481"})
			w.pass(5 * time.Minute)
			w.untouched(t, before)
			done, err := c.Activities(ctx, w.group)
			if err != nil {
				t.Fatal(err)
			}
			w.pass(time.Hour)
			if later, err := c.Activities(ctx, w.group); err != nil || len(later) != len(done) {
				t.Errorf("it goes on: %d activities, then %d, %v", len(done), len(later), err)
			}
		})
	}
}

// TestTakeWhatIsWantedNow: somebody else has changed the group meanwhile.
func TestTakeWhatIsWantedNow(t *testing.T) {
	for _, tc := range []struct {
		name           string
		min, desired   int32
		left, wantLeft int
	}{
		{"scaled_in", 0, 2, 2, 2},
		{"minimum_raised", 3, 3, 3, 3},
		{"scaled_out_too", 0, 4, 4, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := populated(t)
			c := w.client(t, nil)
			ctx := t.Context()
			if err := c.AddOne(ctx, w.group, of("481")); err != nil {
				t.Fatal(err)
			}
			w.pass(5 * time.Minute)
			added, err := c.Added(ctx)
			if err != nil || len(added) != 1 {
				t.Fatal(added, err)
			}
			w.resize(t, &autoscaling.UpdateAutoScalingGroupInput{MinSize: awssdk.Int32(tc.min), DesiredCapacity: awssdk.Int32(tc.desired)})
			w.pass(5 * time.Minute)
			if again, err := c.Added(ctx); err != nil || len(w.members(t)) != tc.left || tc.name == "scaled_out_too" && again[0] != added[0] {
				t.Errorf("%+v, then %+v, %v", added, again, err)
			}
			if err := c.TakeOne(ctx, added[0]); err != nil {
				t.Fatal(err)
			}
			w.pass(5 * time.Minute)
			if got := w.members(t); len(got) != tc.wantLeft || tc.name == "scaled_out_too" && slices.Contains(got, added[0].InstanceID) {
				t.Errorf("left: %v, want %d", got, tc.wantLeft)
			}
			if v, there := w.tags(t)["gate:added"]; there {
				t.Errorf("the tag is still there: %s", v)
			}
		})
	}
}

// mortal lets some requests through and dies then, as the process would: nothing more is sent.
type mortal struct {
	left atomic.Int64
}

func (m *mortal) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.left.Add(-1) < 0 {
		return nil, errors.New("killed")
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestS4OneMoreSurvivesDeath: wherever between two calls the process dies, what it added is found by the tag
// alone and taken back, and no other instance goes.
func TestS4OneMoreSurvivesDeath(t *testing.T) {
	steps := func(t *testing.T, w *world, c *aws.Client) error {
		t.Helper()
		ctx := t.Context()
		if err := c.AddOne(ctx, w.group, of("481")); err != nil {
			return err
		}
		w.pass(time.Minute)
		added, err := c.Added(ctx)
		if err != nil {
			return err
		}
		return c.TakeOne(ctx, added[0])
	}
	for n := range 100 {
		finished := false
		t.Run(fmt.Sprintf("after_%d_calls", n), func(t *testing.T) {
			w := populated(t)
			before := w.members(t)
			life := &mortal{}
			life.left.Store(int64(n))
			dying := w.client(t, func(cfg *aws.Config) { cfg.HTTP = &http.Client{Transport: life} })
			finished = steps(t, w, dying) == nil
			w.pass(time.Minute)

			c := w.client(t, nil)
			left, err := c.Added(t.Context())
			if err != nil || finished && len(left) > 0 {
				t.Fatalf("left: %+v, %v", left, err)
			}
			for _, one := range left {
				if err := c.TakeOne(t.Context(), one); err != nil {
					t.Error(err)
				}
			}
			w.pass(5 * time.Minute)
			w.untouched(t, before)
		})
		if finished {
			if n < 6 {
				t.Errorf("only %d calls were made", n)
			}
			return
		}
	}
	t.Error("100 calls were not enough")
}

// TestOneMoreRepeats: an answer that is lost costs no second instance.
func TestOneMoreRepeats(t *testing.T) {
	for _, fault := range []awssim.Fault{awssim.FaultThrottled, awssim.FaultUnavailable, awssim.FaultLost} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			w := populated(t)
			before := w.members(t)
			c := w.client(t, nil)
			ctx := t.Context()
			for _, action := range []string{
				"autoscaling:CreateOrUpdateTags", "autoscaling:SetDesiredCapacity", "autoscaling:DescribeAutoScalingGroups",
				"autoscaling:TerminateInstanceInAutoScalingGroup", "autoscaling:DeleteTags",
			} {
				w.sim.Inject(action, fault, 1)
			}
			if err := c.AddOne(ctx, w.group, of("481")); err != nil {
				t.Fatal(err)
			}
			w.pass(5 * time.Minute)
			if n := len(w.members(t)); n != 3 {
				t.Fatalf("the group has %d members", n)
			}
			one := cloud.Added{Group: w.group, Run: "481"}
			// The call that ends the instance is made once: who asks again looks first.
			if err := c.TakeOne(ctx, one); err == nil || !upgrade.Transient(err) {
				t.Errorf("got %v, want an error that may pass", err)
			}
			w.take(t, c, one)
			w.pass(5 * time.Minute)
			w.untouched(t, before)
		})
	}
}

func TestDeniedOneMore(t *testing.T) {
	for _, deny := range []string{
		"autoscaling:CreateOrUpdateTags", "autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup", "autoscaling:DeleteTags",
	} {
		t.Run(strings.ReplaceAll(deny, ":", "_"), func(t *testing.T) {
			w := populated(t)
			before := w.members(t)
			w.sim.Deny(gateRole, deny)
			c := w.client(t, nil)
			err := c.AddOne(t.Context(), w.group, of("481"))
			w.pass(time.Minute)
			one := cloud.Added{Group: w.group, Run: "481"}
			if err == nil {
				err = c.TakeOne(t.Context(), one)
			}
			var denied *cloud.Denied
			if code(err) != upgrade.CodeForbidden || !errors.As(err, &denied) || denied.Action != deny {
				t.Errorf("got %v, want it to name %s", err, deny)
			}
			w.sim.Allow(gateRole, deny)
			w.take(t, c, one)
			w.pass(5 * time.Minute)
			w.untouched(t, before)
		})
	}
}
