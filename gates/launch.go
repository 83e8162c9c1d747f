package gates

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// Cloud is what the launch gate needs of AWS in one environment.
type Cloud interface {
	// Group returns the group with its template version resolved to a number.
	Group(ctx context.Context, name string) (cloud.Group, error)
	// StartTrial creates the temporary group with desired 1.
	StartTrial(ctx context.Context, trial cloud.Trial) error
	// Continue lets an instance that waits in the trial's launch hook go into service.
	Continue(ctx context.Context, group, instanceID string) error
	// Activities returns the group's scaling activities, newest first.
	Activities(ctx context.Context, group string) ([]cloud.Activity, error)
	// Instances returns the instances that exist of those named.
	Instances(ctx context.Context, ids []string) ([]cloud.Instance, error)
	// SetDesired sets the group's desired capacity.
	SetDesired(ctx context.Context, group string, n int) error
	// EndTrial deletes the group and its instances; a group that is gone is no error.
	EndTrial(ctx context.Context, name string) error
	// Gone reports whether the group and everything that it launched is gone.
	Gone(ctx context.Context, name string) (bool, error)
	// Trials lists the groups that carry the gate's tag.
	Trials(ctx context.Context) ([]cloud.Group, error)
}

// LaunchSettings are the settings of an instance-launch gate.
type LaunchSettings struct {
	Group         string        // name of the Auto Scaling group whose launch is tried
	HealthyWithin time.Duration // default 5 min
	StatusChecks  bool          // wait for EC2's system and instance checks too
	EachZone      bool          // one subnet after another, instead of wherever AWS likes
	Method        LaunchMethod  // default MethodTrial
	Cluster       string        // ECS cluster in which the instance must register; "": none
	SSM           bool          // the instance must answer AWS Systems Manager
	Console       string        // text that must stand in the instance's console output; "": none
}

// LaunchMethod is how an instance is launched.
type LaunchMethod string

// The methods.
const (
	MethodTrial    LaunchMethod = "temporary-group" // a group of its own, from the same template and by the same role
	MethodScaleOut LaunchMethod = "scale-out"       // one more in the real group, and gone again; for staging
)

// The tags by which everything that the gate creates can be found again (S4).
const (
	TagProbe   = "gate:probe"   // "true"
	TagRun     = "gate:run"     // run id
	TagExpires = "gate:expires" // RFC 3339: after it the reaper may end the trial
)

const (
	launchPoll   = 5 * time.Second
	slowPoll     = 15 * time.Second // once a launch has taken a minute: status checks take minutes
	cleanupLimit = 10 * time.Minute
	trialGrace   = 15 * time.Minute // on top of the limits, before the reaper may come
	trialPrefix  = "gate-probe-"
)

// Kind returns "instance-launch".
func (LaunchSettings) Kind() string { return KindLaunch }

// Bind gives the gate its check: an instance started through a temporary Auto Scaling group, from the very
// template version and by the very role of the real one, becomes healthy, and is gone afterwards.
func (s LaunchSettings) Bind(gate *Gate, deps Deps) error {
	if s.HealthyWithin == 0 {
		s.HealthyWithin = 5 * time.Minute
	}
	aws, err := deps.Cloud(gate.Environment)
	if err != nil {
		return fmt.Errorf("reach AWS of %s: %w", gate.Environment, err)
	}
	l := launch{LaunchSettings: s, env: gate.Environment, aws: aws, clock: deps.Clock}
	gate.Check = l.check
	return nil
}

type launch struct {
	LaunchSettings
	env   upgrade.EnvName
	aws   Cloud
	clock upgrade.Clock
}

func (l launch) check(ctx context.Context, in Input, rec *Recorder) (err error) {
	group, err := l.aws.Group(ctx, l.Group)
	if err != nil {
		return fmt.Errorf("read group %s: %w", l.Group, err)
	}
	rec.Fact("Group", "%s", group.Name)
	rec.Fact("Launch template", "%s version %s", group.Template.Name, group.Template.Version)
	rec.Fact("Role", "%s", group.ServiceLinkedRoleARN)
	trial := l.trial(in, group)
	rec.Fact("Test group", "%s", trial.Name)

	started := l.clock.Now()
	defer func() { err = errors.Join(err, l.cleanUp(ctx, trial.Name, rec)) }()
	if err := l.aws.StartTrial(ctx, trial); err != nil {
		return fmt.Errorf("start a test launch like %s: %w", group.Name, err)
	}
	rec.Logf("started %s with desired 1", trial.Name)
	watch := &watch{launch: l, name: trial.Name, rec: rec, started: started}
	return watch.untilHealthy(ctx)
}

// trial describes the temporary group. Its name is the same for each try of one asking, so that a
// second try finds what a first one left.
func (l launch) trial(in Input, like cloud.Group) cloud.Trial {
	ask := "after"
	if in.Early {
		ask = "early"
	}
	expires := l.clock.Now().Add(l.HealthyWithin + cleanupLimit + trialGrace)
	return cloud.Trial{
		Name: fmt.Sprintf("%s%d-%s-%s-%d", trialPrefix, in.Run.ID, in.Gate, ask, in.Round),
		Like: like,
		Tags: map[string]string{
			TagProbe: "true", TagRun: in.Run.ID.String(), TagExpires: expires.UTC().Format(time.RFC3339),
		},
		HookWait: min(max(l.HealthyWithin, 30*time.Second), 2*time.Hour),
	}
}

// cleanUp removes the trial, whatever became of the asking. What could not be removed is a warning of
// its own, and the reaper's business (S4).
func (l launch) cleanUp(ctx context.Context, name string, rec *Recorder) error {
	ctx, cancel := Runner{Clock: l.clock}.within(context.WithoutCancel(ctx), cleanupLimit)
	defer cancel()
	err := l.end(ctx, name)
	if err != nil {
		rec.Warnf("the test group %s could not be removed and may still cost money: %s", name, upgrade.Public(err))
		rec.Logf("clean up %s: %v", name, err)
		return nil
	}
	rec.Logf("%s and its instance are gone", name)
	rec.Fact("Clean-up", "the test group and its instance are gone")
	return nil
}

func (l launch) end(ctx context.Context, name string) error {
	for {
		err := l.aws.EndTrial(ctx, name)
		if err != nil && !upgrade.Transient(err) {
			return err
		}
		gone := false
		if err == nil {
			gone, err = l.aws.Gone(ctx, name)
		}
		if gone && err == nil {
			return nil
		}
		if wait := l.clock.Sleep(ctx, launchPoll); wait != nil {
			return errors.Join(err, fmt.Errorf("it was still there after %s: %w", cleanupLimit, wait))
		}
	}
}

// watch follows one test launch.
type watch struct {
	launch
	name    string
	rec     *Recorder
	started time.Time
}

func (w *watch) untilHealthy(ctx context.Context) error {
	deadline := w.started.Add(w.HealthyWithin)
	for {
		healthy, err := w.look(ctx)
		switch {
		case err != nil:
			return err
		case healthy:
			took := w.clock.Now().Sub(w.started).Round(time.Second)
			w.rec.Passed("an instance started through %s was healthy after %s, %s allowed", w.Group, took, w.HealthyWithin)
			return nil
		case !w.clock.Now().Before(deadline):
			return FailBrief(fmt.Sprintf("%s cannot start new instances in time", w.env),
				"no healthy instance within %s through a copy of %s", w.HealthyWithin, w.Group)
		}
		pause := launchPoll
		if w.clock.Now().Sub(w.started) > time.Minute {
			pause = slowPoll
		}
		if err := w.clock.Sleep(ctx, pause); err != nil {
			return fmt.Errorf("wait for the test launch: %w", err)
		}
	}
}

// look reads the state of the launch once and reports whether the instance is healthy.
func (w *watch) look(ctx context.Context) (healthy bool, err error) {
	activities, err := w.aws.Activities(ctx, w.name)
	if err != nil {
		return false, fmt.Errorf("read the scaling activities of %s: %w", w.name, err)
	}
	for _, activity := range activities {
		if activity.Status == "Failed" || activity.Status == "Cancelled" {
			return false, w.failed(ctx, activity)
		}
	}
	group, err := w.aws.Group(ctx, w.name)
	if err != nil {
		return false, fmt.Errorf("read the test group: %w", err)
	}
	if len(group.Members) == 0 {
		return false, nil
	}
	member := group.Members[0]
	instances, err := w.aws.Instances(ctx, []string{member.InstanceID})
	if err != nil || len(instances) == 0 {
		return false, err
	}
	return w.advance(ctx, member, instances[0])
}

// advance lets a running instance out of its launch hook and reports whether all that is asked is met.
func (w *watch) advance(ctx context.Context, member cloud.Member, instance cloud.Instance) (healthy bool, err error) {
	now := w.clock.Now()
	w.rec.Fact("Instance", "%s (%s in %s)", instance.ID, instance.Type, instance.Zone)
	w.rec.Fact("AMI", "%s", instance.ImageID)
	w.rec.Span(upgrade.Span{Name: "Pending to running", From: w.started, To: now})
	if instance.State != "running" {
		return false, nil
	}
	if w.StatusChecks && (instance.SystemStatus != "ok" || instance.InstanceStatus != "ok") {
		return false, nil
	}
	if member.Lifecycle == "Pending:Wait" {
		if err := w.aws.Continue(ctx, w.name, member.InstanceID); err != nil {
			return false, fmt.Errorf("let %s go into service: %w", member.InstanceID, err)
		}
		return false, nil
	}
	if member.Lifecycle != "InService" || member.Health != "Healthy" {
		return false, nil
	}
	w.rec.Span(upgrade.Span{Name: "In service", From: w.started, To: now})
	return true, nil
}

// failed stops the relaunching at once and says no in AWS's own words.
func (w *watch) failed(ctx context.Context, activity cloud.Activity) error {
	if err := w.aws.SetDesired(ctx, w.name, 0); err != nil {
		w.rec.Logf("set desired 0: %v", err)
	}
	words := strings.TrimSpace(activity.StatusMessage)
	if words == "" {
		words = activity.Description
	}
	w.rec.Quote("EC2 Auto Scaling", words, activity.End)
	w.rec.Span(upgrade.Span{Name: "Launch", From: activity.Start, To: activity.End, Failed: true})
	if cause := likelyCause(words); cause != "" {
		w.rec.Fact("Likely cause", "%s", cause)
	}
	return FailBrief(fmt.Sprintf("%s cannot start new instances", w.env),
		"a test launch through a copy of %s ended %s: “%s”", w.Group, strings.ToLower(activity.Status), words)
}

// likelyCause reads the two misleading messages and the common refusals of aws.md §2.
func likelyCause(words string) string {
	switch {
	case strings.Contains(words, "Client.InvalidKMSKey.InvalidState"), strings.Contains(words, "Client.InternalError"):
		return "the service-linked role may not use the KMS key of the image: compare its grants and the key policy"
	case strings.Contains(words, "InvalidAMIID"), strings.Contains(words, "image id"):
		return "the launch template names an image that does not exist or is not shared with this account"
	case strings.Contains(words, "not authorized"):
		return "a permission is missing for who launches"
	case strings.Contains(words, "capacity"), strings.Contains(words, "Capacity"):
		return "AWS had no capacity of this type in the zone: ask again later"
	}
	return ""
}
