package aws_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"sync"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/integration/aws"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	roleARN    = "arn:aws:iam::" + account + ":role/upgradegate-staging"
	serviceARN = "arn:aws:iam::333333333333:role/upgradegate"
	serviceKey = "AKIASERVICEOFTHEGATES"
	secretKey  = "of nobody"
	groupName  = "ecs-cluster"
	marker     = "gate: user data has ended"
)

// hurried is a clock of which short sleeps are over at once. Long ones are deadlines: they are over when the
// short ones together have taken as long.
type hurried struct {
	mu    sync.Mutex // guards the fields below
	now   time.Time
	after map[chan struct{}]time.Time
}

// deadline is the shortest sleep that is taken for one.
const deadline = 9 * time.Minute

func (c *hurried) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *hurried) Sleep(ctx context.Context, d time.Duration) error {
	if d < deadline {
		c.pass(d)
		return context.Cause(ctx)
	}
	c.mu.Lock()
	over := make(chan struct{})
	c.after[over] = c.now.Add(d)
	c.mu.Unlock()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *hurried) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for over, at := range c.after {
		if !c.now.Before(at) {
			close(over)
			delete(c.after, over)
		}
	}
}

func (*hurried) Begin() (end func()) { return func() {} }
func (*hurried) Idle(wait func())    { wait() }

// world is a simulated AWS in which a group launches by a role of its own, with all that policies are about:
// a key, an image by parameter, an instance profile, tags, a cluster.
type world struct {
	sim     *awssim.Sim
	clock   *hurried
	url     string
	key     string
	ami     string
	tmpl    string
	scaling *autoscaling.Client // as somebody who may do everything
	ec2     *ec2.Client
}

// staging is what the role of this world's staging is for.
func (w *world) staging() wishes {
	s := smallest()
	s.Trusted = []string{serviceARN}
	s.Keys, s.Parameters = []string{w.key}, []string{"/golden/ami"}
	s.Probe = true
	s.Launch, s.ScaleOut = true, []string{groupName}
	s.Clusters, s.Templates = []string{"main"}, []string{w.tmpl}
	s.InstanceRoles = []string{"arn:aws:iam::" + account + ":role/ecs-instance"}
	s.GroupRoles = []string{w.sim.ServiceLinkedRole("") + "_ecs"}
	return s
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{clock: &hurried{now: time.Date(2025, 6, 13, 15, 0, 0, 0, time.UTC), after: map[chan struct{}]time.Time{}}}
	var err error
	w.sim, err = awssim.New(awssim.Config{
		Shell: func(string, string) (string, string, int) {
			return "curl\n0 yes 200 10.20.0.5 80 0.001 0.002 0.000 0.010 0.012\n\n--\nHTTP/1.1 200 OK\r\nX-Varnish: 7\r\n", "", 0
		},
		Clock: w.clock, Account: account, Region: region, Roles: []awssim.Role{{ARN: roleARN, ExternalID: upgrade.Secret(smallest().ExternalID)}},
		Keys: []awssim.AccessKey{
			{ID: awssim.DefaultKeyID, Secret: awssim.DefaultSecret, ARN: "arn:aws:iam::" + account + ":user/terraform"},
			{ID: serviceKey, Secret: secretKey, ARN: serviceARN},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := w.sim.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.url = "http://" + addr
	sdk := w.as(awssim.DefaultKeyID, awssim.DefaultSecret)
	w.scaling, w.ec2 = autoscaling.NewFromConfig(sdk), ec2.NewFromConfig(sdk)
	if w.key, err = w.sim.AddKey("", "", "of the cluster's volumes", ""); err != nil {
		t.Fatal(err)
	}
	launcher := w.sim.AddServiceLinkedRole("", "ecs")
	operations := []string{
		"CreateGrant", "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo",
	}
	if _, err := w.sim.AddGrant(w.key, "asg-ebs", launcher, operations...); err != nil {
		t.Fatal(err)
	}
	w.ami = w.sim.AddImage(awssim.Image{Name: "ecs-2025-06", KeyARN: w.key})
	w.sim.SetParameter("", "", "/golden/ami", w.ami)
	w.sim.DefaultKey("", "", w.key, true)
	w.sim.AddCluster("", "", "main", 3, nil)
	w.group(t, launcher)
	w.clock.pass(10 * time.Minute) // the group's first instance has long been started
	return w
}

// as returns the settings of AWS's own SDK for an access key.
func (w *world) as(id, secret string) awssdk.Config {
	return awssdk.Config{Region: region, BaseEndpoint: awssdk.String(w.url), Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")}
}

// group makes the launch template and the real group.
func (w *world) group(t *testing.T, launcher string) {
	t.Helper()
	userData := "#!/bin/sh\necho ECS_CLUSTER=main >> /etc/ecs/ecs.config\necho '" + marker + "'\n"
	made, err := w.ec2.CreateLaunchTemplate(t.Context(), &ec2.CreateLaunchTemplateInput{
		LaunchTemplateName: awssdk.String("ecs"),
		LaunchTemplateData: &ec2types.RequestLaunchTemplateData{
			ImageId: awssdk.String("resolve:ssm:/golden/ami"), InstanceType: ec2types.InstanceTypeT3Small,
			BlockDeviceMappings: []ec2types.LaunchTemplateBlockDeviceMappingRequest{{ // by the account's default key
				DeviceName: awssdk.String("/dev/xvdb"), Ebs: &ec2types.LaunchTemplateEbsBlockDeviceRequest{Encrypted: awssdk.Bool(true), VolumeSize: awssdk.Int32(8)},
			}},
			UserData:           awssdk.String(base64.StdEncoding.EncodeToString([]byte(userData))),
			IamInstanceProfile: &ec2types.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: awssdk.String("ecs-instance")},
			TagSpecifications: []ec2types.LaunchTemplateTagSpecificationRequest{{
				ResourceType: ec2types.ResourceTypeInstance, Tags: []ec2types.Tag{{Key: awssdk.String("team"), Value: awssdk.String("moodle")}},
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.tmpl = awssdk.ToString(made.LaunchTemplate.LaunchTemplateId)
	net := w.sim.Network("", "")
	_, err = w.scaling.CreateAutoScalingGroup(t.Context(), &autoscaling.CreateAutoScalingGroupInput{
		AutoScalingGroupName: awssdk.String(groupName), MinSize: awssdk.Int32(1), MaxSize: awssdk.Int32(4), DesiredCapacity: awssdk.Int32(1),
		VPCZoneIdentifier: awssdk.String(net.Subnets[0] + "," + net.Subnets[1]), ServiceLinkedRoleARN: awssdk.String(launcher),
		LaunchTemplate: &scalingtypes.LaunchTemplateSpecification{LaunchTemplateId: awssdk.String(w.tmpl), Version: awssdk.String("$Latest")},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// attach gives a principal a policy.
func (w *world) attach(t *testing.T, principal string, p policy) {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.sim.AddPolicy(principal, string(text)); err != nil {
		t.Fatal(err)
	}
}

// attachAll gives the gates' role all that the wishes come to, as change leaves it.
func (w *world) attachAll(t *testing.T, s wishes, change func(name string, p *policy)) {
	t.Helper()
	for _, name := range s.names() {
		p := s.render(t, name)
		change(name, &p)
		if len(p.Statement) > 0 {
			w.attach(t, roleARN, p)
		}
	}
}

// client is the adapter as the service has it: with a key that may do nothing but become the gates.
func (w *world) client(t *testing.T) *aws.Client {
	t.Helper()
	client, err := aws.New(aws.Config{
		Region: region, RoleARN: roleARN, ExternalID: upgrade.Secret(smallest().ExternalID), Endpoint: w.url,
		KeyID: serviceKey, Key: secretKey, Clock: w.clock, Backoff: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// ask binds a gate and asks it, with its look before a change where it has one.
func (w *world) ask(t *testing.T, client *aws.Client, settings gates.Settings, l *tale) {
	t.Helper()
	kind, known := gates.KindOf(settings.Kind())
	if !known {
		t.Fatalf("there is no kind %s", settings.Kind())
	}
	gate := gates.Gate{Name: upgrade.GateName(kind.Name), Kind: kind.Name, Stage: upgrade.StageAfter, Environment: "staging", Required: true, Deadline: 20 * time.Minute}
	deps := gates.Deps{
		Clock: w.clock,
		Cloud: func(upgrade.EnvName) (gates.Cloud, error) { return client, nil },
		Keys:  func(upgrade.EnvName) (gates.Keys, error) { return client, nil },
	}
	if err := settings.Bind(&gate, deps); err != nil {
		t.Fatal(err)
	}
	runner := gates.Runner{Clock: w.clock}
	in := gates.Input{Run: upgrade.Run{ID: 481}, Round: 1}
	in.Befores = runner.Before(t.Context(), []gates.Gate{gate}, in)
	for _, r := range append(in.Befores, runner.Ask(t.Context(), gate, in)) {
		l.result(r)
	}
}
