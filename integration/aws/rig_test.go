package aws_test

import (
	"context"
	"encoding/base64"
	"sync"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/upgradegate/upgradegate/integration/aws"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

const (
	account  = "111111111111"
	region   = "eu-west-2"
	gateRole = "arn:aws:iam::" + account + ":role/upgradegate-staging"
	external = upgrade.Secret("only the two of us know")
)

// manual is a clock that tests move.
type manual struct {
	mu  sync.Mutex
	now time.Time
}

func (c *manual) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manual) Sleep(_ context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return nil
}
func (*manual) Begin() (end func()) { return func() {} }
func (*manual) Idle(wait func())    { wait() }

// world is a simulated AWS with a group like the one that broke: an encrypted image, its key, a grant for
// the role that launches, a launch template of two versions.
type world struct {
	sim     *awssim.Sim
	clock   *manual
	url     string
	key     string // ARN
	ami     string
	tmpl    string // id
	group   string
	scaling *autoscaling.Client // as user/terraform, not through the adapter
	ec2     *ec2.Client
}

// ebsOperations is what EBS needs of a key.
func ebsOperations() []string {
	return []string{"CreateGrant", "Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"}
}

func newWorld(t *testing.T, change func(*awssim.Config)) *world {
	t.Helper()
	w := &world{clock: &manual{now: time.Date(2025, 6, 13, 15, 0, 0, 0, time.UTC)}, group: "ecs-cluster"}
	cfg := awssim.Config{
		Clock: w.clock, Account: account, Region: region, Roles: []awssim.Role{{ARN: gateRole, ExternalID: external}},
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if w.sim, err = awssim.New(cfg); err != nil {
		t.Fatal(err)
	}
	addr, err := w.sim.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.url = "http://" + addr
	sdk := awssdk.Config{
		Region: region, BaseEndpoint: awssdk.String(w.url),
		Credentials: credentials.NewStaticCredentialsProvider(awssim.DefaultKeyID, awssim.DefaultSecret, ""),
	}
	w.scaling, w.ec2 = autoscaling.NewFromConfig(sdk), ec2.NewFromConfig(sdk)
	if w.key, err = w.sim.AddKey("", "", "ebs of the cluster", ""); err != nil {
		t.Fatal(err)
	}
	w.ami = w.sim.AddImage(awssim.Image{Name: "moodle-ecs-2025-06", KeyARN: w.key})
	w.template(t)
	return w
}

// grant lets the group's role use the key, at once, and returns what takes it back.
func (w *world) grant(t *testing.T) string {
	t.Helper()
	id, err := w.sim.AddGrant(w.key, "asg-ebs", w.sim.ServiceLinkedRole(""), ebsOperations()...)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// template makes the launch template and the group.
func (w *world) template(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	data := &ec2types.RequestLaunchTemplateData{
		ImageId: awssdk.String(w.ami), InstanceType: ec2types.InstanceTypeT3Small,
		UserData: awssdk.String(base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\n"))),
	}
	made, err := w.ec2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: awssdk.String("ecs"), LaunchTemplateData: data})
	if err != nil {
		t.Fatal(err)
	}
	w.tmpl = awssdk.ToString(made.LaunchTemplate.LaunchTemplateId)
	data.InstanceType = ec2types.InstanceTypeT3Medium
	_, err = w.ec2.CreateLaunchTemplateVersion(ctx, &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateId: made.LaunchTemplate.LaunchTemplateId, LaunchTemplateData: data})
	if err != nil {
		t.Fatal(err)
	}
	net := w.sim.Network("", "")
	_, err = w.scaling.CreateAutoScalingGroup(ctx, &autoscaling.CreateAutoScalingGroupInput{
		AutoScalingGroupName: awssdk.String(w.group), MinSize: awssdk.Int32(0), MaxSize: awssdk.Int32(4), DesiredCapacity: awssdk.Int32(0),
		VPCZoneIdentifier: awssdk.String(net.Subnets[0] + "," + net.Subnets[1]), HealthCheckGracePeriod: awssdk.Int32(90),
		LaunchTemplate: &scalingtypes.LaunchTemplateSpecification{LaunchTemplateId: awssdk.String(w.tmpl), Version: awssdk.String("$Latest")},
		Tags:           []scalingtypes.Tag{{Key: awssdk.String("Name"), Value: awssdk.String("ecs"), PropagateAtLaunch: awssdk.Bool(true)}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// client returns an adapter that works as the gate's role.
func (w *world) client(t *testing.T, change func(*aws.Config)) *aws.Client {
	t.Helper()
	cfg := aws.Config{
		Region: region, RoleARN: gateRole, ExternalID: external, SessionName: "run-481", Endpoint: w.url,
		KeyID: awssim.DefaultKeyID, Key: awssim.DefaultSecret, Clock: w.clock, Backoff: time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	c, err := aws.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// trial is what the launch gate asks for.
func trial(like cloud.Group) cloud.Trial {
	return cloud.Trial{
		Name: "gate-probe-481-launch-after-1", Like: like, HookWait: 5 * time.Minute,
		Tags: map[string]string{"gate:probe": "true", "gate:run": "481", "gate:expires": "2025-06-13T16:00:00Z"},
	}
}

// pass moves the world's clock.
func (w *world) pass(d time.Duration) { _ = w.clock.Sleep(context.Background(), d) }
