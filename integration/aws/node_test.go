package aws_test

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/upgradegate/upgradegate/integration/aws"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// node returns a world with an ECS cluster, whose group launches instances that join it, answer Systems
// Manager and write to their console.
func node(t *testing.T, change func(*awssim.Config)) *world {
	t.Helper()
	w := newWorld(t, change)
	w.grant(t)
	w.sim.AddCluster("", "", "moodle", 2, nil)
	_, err := w.ec2.CreateLaunchTemplateVersion(t.Context(), &ec2.CreateLaunchTemplateVersionInput{
		LaunchTemplateId: awssdk.String(w.tmpl),
		LaunchTemplateData: &ec2types.RequestLaunchTemplateData{
			ImageId: awssdk.String(w.ami), InstanceType: ec2types.InstanceTypeT3Micro,
			IamInstanceProfile: &ec2types.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: awssdk.String("ecs-node")},
			UserData:           awssdk.String(base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\necho ECS_CLUSTER=moodle >> /etc/ecs/ecs.config\necho node-ready\n"))),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// launched starts a trial without a hook, lets time pass and returns the instance.
func (w *world) launched(t *testing.T, c *aws.Client, after time.Duration) string {
	t.Helper()
	like, err := c.Group(t.Context(), w.group)
	if err != nil {
		t.Fatal(err)
	}
	one := trial(like)
	one.HookWait = 0
	if err := c.StartTrial(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	w.pass(after)
	g, err := c.Group(t.Context(), one.Name)
	if err != nil || len(g.Members) != 1 {
		t.Fatalf("%+v, %v", g, err)
	}
	return g.Members[0].InstanceID
}

func TestNodeOfCluster(t *testing.T) {
	w := node(t, func(cfg *awssim.Config) { cfg.PageSize = 1 })
	c := w.client(t, nil)
	ctx := t.Context()
	id := w.launched(t, c, 45*time.Second)
	if got, err := c.Containers(ctx, "moodle", []string{id}); err != nil || len(got) > 1 || len(got) == 1 && got[0].Status == "ACTIVE" {
		t.Errorf("early: %+v, %v", got, err)
	}
	w.pass(15 * time.Second)
	registering, err := c.Containers(ctx, "moodle", []string{id})
	if err != nil || len(registering) != 1 || registering[0].Status != "REGISTERING" {
		t.Fatalf("got %+v, %v", registering, err)
	}
	arn := registering[0].ARN
	if err := c.Drain(ctx, "moodle", arn); code(err) != upgrade.CodeUnavailable || upgrade.RetryAfterOf(err) == 0 {
		t.Errorf("drained while it registers: %v", err)
	}
	w.pass(time.Minute)
	got, err := c.Containers(ctx, "moodle", []string{"i-0123456789abcdef0", id, id})
	if want := (cloud.Container{ARN: arn, InstanceID: id, Status: "ACTIVE", Connected: true, Running: 2}); err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for range 2 {
		if err := c.Drain(ctx, "moodle", arn); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(time.Minute)
	if got, err = c.Containers(ctx, "moodle", []string{id}); err != nil || len(got) != 1 || got[0].Status != "DRAINING" || got[0].Running != 0 {
		t.Errorf("afterwards: %+v, %v", got, err)
	}
}

// TestDrainOnlyProbes: an instance that no gate started goes on working, whatever the caller may.
func TestDrainOnlyProbes(t *testing.T) {
	w := node(t, nil)
	c := w.client(t, nil)
	ctx := t.Context()
	w.resize(t, &autoscaling.UpdateAutoScalingGroupInput{DesiredCapacity: awssdk.Int32(1)})
	w.pass(5 * time.Minute)
	got, err := c.Containers(ctx, "moodle", w.members(t))
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	if err := c.Drain(ctx, "moodle", got[0].ARN); code(err) != upgrade.CodeForbidden || !strings.Contains(upgrade.Public(err), "gate:probe") {
		t.Errorf("got %v, want code %s", err, upgrade.CodeForbidden)
	}
	for _, call := range w.sim.Calls() {
		if call.Action == "UpdateContainerInstancesState" {
			t.Error("ECS was asked all the same")
		}
	}
}

func TestUnknownOfCluster(t *testing.T) {
	w := node(t, nil)
	c := w.client(t, nil)
	ctx := t.Context()
	const none = "arn:aws:ecs:eu-west-2:111111111111:container-instance/moodle/00000000000000000000000000000000"
	if err := c.Drain(ctx, "moodle", none); code(err) != upgrade.CodeNotFound {
		t.Errorf("container instance: %v", err)
	}
	if err := c.Drain(ctx, "none", none); code(err) != upgrade.CodeNotFound {
		t.Errorf("cluster: %v", err)
	}
	if _, err := c.Containers(ctx, "none", []string{"i-0123456789abcdef0"}); code(err) != upgrade.CodeNotFound {
		t.Errorf("cluster: %v", err)
	}
	before := len(w.sim.Calls())
	if _, err := c.Containers(ctx, "moodle", []string{"i-0] or ec2InstanceId in [i-1"}); code(err) != upgrade.CodeInvalid || len(w.sim.Calls()) != before {
		t.Errorf("an expression as an id: %v", err)
	}
	if got, err := c.Containers(ctx, "moodle", nil); err != nil || len(got) != 0 || len(w.sim.Calls()) != before {
		t.Errorf("of no instances: %+v, %v", got, err)
	}
}

func TestLookAtNode(t *testing.T) {
	w := node(t, func(cfg *awssim.Config) { cfg.PageSize = 1 })
	c := w.client(t, nil)
	ctx := t.Context()
	id := w.launched(t, c, 30*time.Second)
	if online, err := c.Ping(ctx, id); err != nil || online {
		t.Errorf("at once: %t, %v", online, err)
	}
	if text, err := c.Console(ctx, id); err != nil || strings.Contains(text, "node-ready") {
		t.Errorf("at once: %q, %v", text, err)
	}
	w.pass(5 * time.Minute)
	if online, err := c.Ping(ctx, id); err != nil || !online {
		t.Errorf("later: %t, %v", online, err)
	}
	if text, err := c.Console(ctx, id); err != nil || !strings.Contains(text, "node-ready") {
		t.Errorf("later: %q, %v", text, err)
	}
	volumes, err := c.Volumes(ctx, id)
	if err != nil || len(volumes) != 1 {
		t.Fatal(volumes, err)
	}
	v := volumes[0]
	if v.ID == "" || v.Device != "/dev/xvda" || v.State != "in-use" || v.Attachment != "attached" || !v.Encrypted || v.KeyID != w.key || v.SnapshotID == "" {
		t.Errorf("volume: %+v", v)
	}
	if got, err := c.Volumes(ctx, "i-00000000000000000"); err != nil || len(got) != 0 {
		t.Errorf("of an unknown instance: %+v, %v", got, err)
	}
	if online, err := c.Ping(ctx, "i-00000000000000000"); err != nil || online {
		t.Errorf("of an unknown instance: %t, %v", online, err)
	}
	if _, err := c.Console(ctx, "i-00000000000000000"); code(err) != upgrade.CodeNotFound {
		t.Errorf("of an unknown instance: %v, want code %s", err, upgrade.CodeNotFound)
	}
}

// TestTrialInOneSubnet checks that a launch can be tried in each zone in turn.
func TestTrialInOneSubnet(t *testing.T) {
	w := newWorld(t, nil)
	w.grant(t)
	c := w.client(t, nil)
	ctx := t.Context()
	like, err := c.Group(ctx, w.group)
	if err != nil || len(like.Subnets) != 2 {
		t.Fatal(like, err)
	}
	net := w.sim.Network("", "")
	for n, subnet := range like.Subnets {
		one := trial(like)
		one.Like.Subnets = []string{subnet}
		one.HookWait = 0
		one.Name += "-" + string(rune('a'+n))
		if err := c.StartTrial(ctx, one); err != nil {
			t.Fatal(err)
		}
		if err := c.StartTrial(ctx, one); err != nil {
			t.Errorf("the second finds the first: %v", err)
		}
		w.pass(time.Minute)
		g, err := c.Group(ctx, one.Name)
		if err != nil || len(g.Members) != 1 {
			t.Fatal(g, err)
		}
		if want := net.Zones[slices.Index(net.Subnets, subnet)]; g.Members[0].Zone != want || !slices.Equal(g.Subnets, one.Like.Subnets) {
			t.Errorf("in %s: got %+v in %v", want, g.Members[0], g.Subnets)
		}
		elsewhere := one
		elsewhere.Like.Subnets = like.Subnets
		if err := c.StartTrial(ctx, elsewhere); code(err) != upgrade.CodeUnavailable {
			t.Errorf("a trial elsewhere takes this one's answer: %v", err)
		}
	}
}

func TestImageOfParameter(t *testing.T) {
	w := newWorld(t, nil)
	w.sim.SetParameter("", "", "/moodle/ami", w.ami)
	w.sim.SetParameter("", "", "/moodle/release", "4.5")
	c := w.client(t, nil)
	ctx := t.Context()
	if got, err := c.Image(ctx, "resolve:ssm:/moodle/ami"); err != nil || got.ID != w.ami {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := c.Image(ctx, "resolve:ssm:/moodle/none"); code(err) != upgrade.CodeNotFound || !strings.Contains(upgrade.Public(err), "parameter /moodle/none") {
		t.Errorf("unknown: %v", err)
	}
	if _, err := c.Image(ctx, "resolve:ssm:/moodle/release"); code(err) != upgrade.CodeInvalid {
		t.Errorf("no image: %v", err)
	}
	w.sim.Deny(gateRole, "ssm:GetParameter")
	var denied *cloud.Denied
	if _, err := c.Image(ctx, "resolve:ssm:/moodle/ami"); !errors.As(err, &denied) || denied.Action != "ssm:GetParameter" {
		t.Errorf("denied: %v", err)
	}
}

func TestDeniedOfNode(t *testing.T) {
	w := node(t, nil)
	c := w.client(t, nil)
	id := w.launched(t, c, 10*time.Minute)
	containers, err := c.Containers(t.Context(), "moodle", []string{id})
	if err != nil || len(containers) != 1 {
		t.Fatal(containers, err)
	}
	read := func(ctx context.Context) error {
		_, err := c.Containers(ctx, "moodle", []string{id})
		return err
	}
	for deny, ask := range map[string]func(context.Context) error{
		"ecs:ListContainerInstances":        read,
		"ecs:DescribeContainerInstances":    read,
		"ecs:UpdateContainerInstancesState": func(ctx context.Context) error { return c.Drain(ctx, "moodle", containers[0].ARN) },
		"ssm:DescribeInstanceInformation":   func(ctx context.Context) error { _, err := c.Ping(ctx, id); return err },
		"ssm:SendCommand":                   func(ctx context.Context) error { _, err := c.RunScript(ctx, id, "true", time.Minute); return err },
		"ssm:GetCommandInvocation":          func(ctx context.Context) error { _, err := c.Command(ctx, "any", id); return err },
		"cloudtrail:LookupEvents":           func(ctx context.Context) error { _, err := c.KeyEvents(ctx, w.clock.Now()); return err },
	} {
		w.sim.Deny(gateRole, deny)
		err := ask(t.Context())
		w.sim.Allow(gateRole, deny)
		var denied *cloud.Denied
		if code(err) != upgrade.CodeForbidden || !errors.As(err, &denied) || denied.Action != deny {
			t.Errorf("%s: got %v", deny, err)
		}
	}
}
