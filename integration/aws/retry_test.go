package aws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// TestRepeats checks that passing troubles are sat out, and that an answer that was lost is not taken for
// a refusal.
func TestRepeats(t *testing.T) {
	for _, fault := range []awssim.Fault{awssim.FaultThrottled, awssim.FaultUnavailable, awssim.FaultLost} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.grant(t)
			c := w.client(t, nil)
			ctx := t.Context()
			for _, action := range []string{
				"sts:AssumeRole", "autoscaling:DescribeAutoScalingGroups", "autoscaling:CreateAutoScalingGroup", "autoscaling:CompleteLifecycleAction",
				"autoscaling:SetDesiredCapacity", "autoscaling:DeleteAutoScalingGroup", "ec2:DescribeInstances",
			} {
				w.sim.Inject(action, fault, 1)
			}
			want := start(t, w, c)
			w.pass(time.Minute)
			g, err := c.Group(ctx, want.Name)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Continue(ctx, want.Name, g.Members[0].InstanceID); err != nil {
				t.Error(err)
			}
			if err := c.SetDesired(ctx, want.Name, 0); err != nil {
				t.Error(err)
			}
			if err := c.EndTrial(ctx, want.Name); err != nil {
				t.Error(err)
			}
			w.pass(2 * time.Minute)
			if gone, err := c.Gone(ctx, want.Name); err != nil || !gone {
				t.Errorf("gone: %t, %v", gone, err)
			}
		})
	}
}

func TestLimited(t *testing.T) {
	w := newWorld(t, nil)
	w.sim.Inject("autoscaling:DescribeAutoScalingGroups", awssim.FaultThrottled, 1000)
	_, err := w.client(t, nil).Group(t.Context(), w.group)
	if code(err) != upgrade.CodeLimited || !upgrade.Transient(err) {
		t.Errorf("got %v, want code %s", err, upgrade.CodeLimited)
	}
}

func TestNoAnswer(t *testing.T) {
	over := make(chan struct{})
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-over:
		}
	}))
	t.Cleanup(hang.Close) // after the parallel ones
	t.Cleanup(func() { close(over) })
	// Nobody listens on port 1; one that was just closed may be another test's by then.
	for name, url := range map[string]string{"hangs": hang.URL, "refuses": "http://127.0.0.1:1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := aws.New(aws.Config{
				Region: region, Endpoint: url, KeyID: awssim.DefaultKeyID, Key: awssim.DefaultSecret, Timeout: 200 * time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Group(t.Context(), "ecs")
			if code(err) != upgrade.CodeUnavailable || !upgrade.Transient(err) {
				t.Errorf("got %v, want code %s", err, upgrade.CodeUnavailable)
			}
			if name == "hangs" && !strings.Contains(err.Error(), "took longer than 200ms") {
				t.Errorf("the error does not say what took too long: %v", err)
			}
		})
	}
	t.Run("caller_gives_up", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("the run was stopped")
		c, err := aws.New(aws.Config{Region: region, Endpoint: hang.URL, KeyID: awssim.DefaultKeyID, Key: awssim.DefaultSecret})
		if err != nil {
			t.Fatal(err)
		}
		go cancel(why)
		if _, err = c.Group(ctx, "ecs"); !errors.Is(err, why) {
			t.Errorf("got %v, want %v", err, why)
		}
	})
}

func TestSmallPages(t *testing.T) {
	w := newWorld(t, func(cfg *awssim.Config) { cfg.PageSize = 1 })
	w.grant(t)
	c := w.client(t, nil)
	ctx := t.Context()
	like, err := c.Group(ctx, w.group)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i := range 3 {
		one := trial(like)
		one.Name = fmt.Sprintf("gate-probe-%d", i)
		one.HookWait = 0
		if err := c.StartTrial(ctx, one); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		g, err := c.Group(ctx, one.Name)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, g.Members[0].InstanceID)
	}
	if trials, err := c.Trials(ctx); err != nil || len(trials) != 3 {
		t.Errorf("trials: %d, %v", len(trials), err)
	}
	slices.Reverse(ids)
	got, err := c.Instances(ctx, append(ids, "i-00000000000000000", ids[0]))
	if err != nil || len(got) != 3 || got[0].ID != ids[0] {
		t.Errorf("instances: %+v, %v", got, err)
	}
	if err := c.SetDesired(ctx, "gate-probe-0", 0); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Minute)
	if got, err := c.Activities(ctx, "gate-probe-0"); err != nil || len(got) != 2 || !strings.HasPrefix(got[0].Description, "Terminating") {
		t.Errorf("activities: %+v, %v", got, err)
	}
}
