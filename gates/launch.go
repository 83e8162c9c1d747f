package gates

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
	"github.com/upgradegate/upgradegate/upgrade/probe"
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
	// Volumes returns the EBS volumes that are attached to the instance, or about to be.
	Volumes(ctx context.Context, instanceID string) ([]cloud.Volume, error)
	// Containers returns which of the instances are registered in the ECS cluster.
	Containers(ctx context.Context, cluster string, instanceIDs []string) ([]cloud.Container, error)
	// Drain keeps tasks off a container instance that a trial launched; CodeUnavailable while it is not
	// active yet.
	Drain(ctx context.Context, cluster, containerARN string) error
	// Ping reports whether the instance answers AWS Systems Manager.
	Ping(ctx context.Context, instanceID string) (online bool, err error)
	// RunScript has AWS Systems Manager run a shell script on an instance, and returns the command's id.
	RunScript(ctx context.Context, instanceID, script string, limit time.Duration) (id string, err error)
	// Command returns how far such a command is.
	Command(ctx context.Context, id, instanceID string) (cloud.Command, error)
	// Console returns what the instance has written to its console so far.
	Console(ctx context.Context, instanceID string) (text string, err error)
	// SetDesired sets the trial's desired capacity.
	SetDesired(ctx context.Context, group string, n int) error
	// EndTrial deletes the group and its instances; a group that is gone is no error.
	EndTrial(ctx context.Context, name string) error
	// Gone reports whether the group and everything that it launched is gone.
	Gone(ctx context.Context, name string) (bool, error)
	// Trials lists the groups that carry the gate's tag.
	Trials(ctx context.Context) ([]cloud.Group, error)
	// AddOne asks one instance more of a real group, and writes that into a tag of the group first.
	AddOne(ctx context.Context, group string, tags map[string]string) error
	// Added lists the real groups that carry that tag, each with its new instance.
	Added(ctx context.Context) ([]cloud.Added, error)
	// TakeOne takes back what AddOne added; it can be asked again until it is done.
	TakeOne(ctx context.Context, added cloud.Added) error
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
	Probe         []probe.Path  // what the instance must reach, told through Systems Manager; empty: nothing
	Reach         []string      // what beyond public addresses these may lead to, such as "10.20.0.0/16:80,443"
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

// Bind gives the gate its check: an instance started through an Auto Scaling group, from the very template
// version and by the very role of the real one, becomes healthy, and is gone afterwards. Without Keys it does
// not look at the keys first, and cannot tell whether grants have settled.
func (s LaunchSettings) Bind(gate *Gate, deps Deps) error {
	if s.HealthyWithin == 0 {
		s.HealthyWithin = 5 * time.Minute
	}
	s.Method = cmp.Or(s.Method, MethodTrial)
	aws, err := deps.Cloud(gate.Environment)
	if err != nil {
		return fmt.Errorf("reach AWS of %s: %w", gate.Environment, err)
	}
	l := launch{LaunchSettings: s, env: gate.Environment, aws: aws, clock: deps.Clock, settle: gate.Settle}
	if deps.Keys != nil {
		if l.keys, err = deps.Keys(gate.Environment); err != nil {
			return fmt.Errorf("reach AWS of %s: %w", gate.Environment, err)
		}
	}
	gate.Check = l.check
	return nil
}

type launch struct {
	LaunchSettings
	env    upgrade.EnvName
	aws    Cloud
	keys   Keys // nil: not looked at
	clock  upgrade.Clock
	settle time.Duration // that a change of grants takes until it counts
}

// check starts instances and watches them. What is seen of the keys beforehand explains a no and keeps a yes
// from being believed too soon; it does not stand for the launch.
func (l launch) check(ctx context.Context, in Input, rec *Recorder) error {
	group, err := l.aws.Group(ctx, l.Group)
	if err != nil {
		return fmt.Errorf("read group %s: %w", l.Group, err)
	}
	rec.Fact("Group", "%s", group.Name)
	rec.Fact("Launch template", "%s", named(group.Template))
	rec.Fact("Role", "%s", group.ServiceLinkedRoleARN)
	if group.Mixed {
		rec.Fact("Mixed instances", "%s; the first, %s, is tried On-Demand", counted(len(group.Overrides), "override"), cmp.Or(group.InstanceType, "of no type"))
	}
	if slices.Contains(group.Suspended, "Launch") {
		rec.Warnf("the process Launch of group %s is suspended: it starts nothing, whatever a test shows", group.Name)
	}
	pre := l.preflight(ctx, rec)
	if !in.Early {
		if err := l.settled(ctx, pre, rec); err != nil {
			return err
		}
	}
	l.earlier(ctx, group.Name, rec)
	took, err := l.launches(ctx, in, group, pre, rec)
	if err != nil {
		return err
	}
	return l.believed(ctx, in, pre, took, rec)
}

// launches starts one instance, or one in each subnet, and returns how long the slowest took.
func (l launch) launches(ctx context.Context, in Input, group cloud.Group, pre *preflight, rec *Recorder) (time.Duration, error) {
	if l.Method == MethodScaleOut {
		w := &watch{launch: l, rec: rec, pre: pre, name: group.Name, real: true}
		return w.scaleOut(ctx, in)
	}
	places := l.places(group)
	if len(places) == 1 {
		w := &watch{launch: l, rec: rec, pre: pre, name: l.trialName(in, "")}
		return w.trial(ctx, in, places[0].like)
	}
	return l.each(ctx, in, places, pre, rec)
}

// place is where a trial launches.
type place struct {
	name string // of a subnet or zone
	like cloud.Group
}

// places lists where to launch: one after another if so configured.
func (l launch) places(group cloud.Group) []place {
	var out []place
	if !l.EachZone {
		return []place{{like: group}}
	}
	for _, subnet := range group.Subnets {
		like := group
		like.Subnets, like.Zones = []string{subnet}, nil
		out = append(out, place{subnet, like})
	}
	if len(out) == 0 {
		for _, zone := range group.Zones {
			like := group
			like.Zones = []string{zone}
			out = append(out, place{zone, like})
		}
	}
	if len(out) < 2 {
		return []place{{like: group}}
	}
	return out
}

// each launches in one place after another, in each to the end: a failure in one hides none in another.
func (l launch) each(ctx context.Context, in Input, places []place, pre *preflight, rec *Recorder) (slowest time.Duration, err error) {
	var rows [][]string
	var noes, doubts []error
	for i, p := range places {
		w := &watch{launch: l, rec: rec, pre: pre, name: l.trialName(in, fmt.Sprintf("-%d", i+1)), place: p.name}
		took, err := w.trial(ctx, in, p.like)
		row := []string{p.name, cmp.Or(w.zone, "–"), cmp.Or(w.instance, "–"), "healthy after " + probe.Length(took)}
		slowest = max(slowest, took)
		switch {
		case Failed(err):
			noes = append(noes, err)
			row[3] = err.Error()
		case err != nil:
			doubts = append(doubts, fmt.Errorf("%s: %w", p.name, err))
			row[3] = "could not tell: " + upgrade.Public(err)
		}
		rows = append(rows, row)
		rec.Table("Places", []string{"Subnet", "Zone", "Instance", "Came of it"}, rows)
		if ctx.Err() != nil {
			break
		}
	}
	if len(noes) > 0 {
		words := make([]string, 0, listed)
		for _, no := range noes[:min(len(noes), listed)] {
			words = append(words, no.Error())
		}
		var first *failure
		errors.As(noes[0], &first)
		return slowest, Advise(FailBrief(brief("%s cannot start new instances in %d of %d subnets", l.env, len(noes), len(places)),
			"%s", strings.Join(words, "; ")), "%s", first.hint)
	}
	return slowest, errors.Join(doubts...)
}

// trialName is the same for each try of one asking, so that a second try finds what a first one left.
func (l launch) trialName(in Input, suffix string) string {
	ask := "after"
	if in.Early {
		ask = "early"
	}
	return fmt.Sprintf("%s%d-%s-%s-%d%s", trialPrefix, in.Run.ID, in.Gate, ask, in.Round, suffix)
}

// tags are what everything that the gate makes carries.
func (l launch) tags(in Input) map[string]string {
	expires := l.clock.Now().Add(l.HealthyWithin + cleanupLimit + trialGrace)
	return map[string]string{TagProbe: "true", TagRun: in.Run.ID.String(), TagExpires: expires.UTC().Format(time.RFC3339)}
}

// goneBy is when what carries the tags is to be gone, for people.
func goneBy(tags map[string]string) string {
	at, err := time.Parse(time.RFC3339, tags[TagExpires])
	if err != nil {
		return tags[TagExpires]
	}
	return clockTime(at)
}
