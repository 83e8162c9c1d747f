package gates

import (
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

// The pieces of a launch's timeline.
const (
	pieceRequest = "Request"
	pieceCreated = "Instance created"
	pieceRunning = "Pending to running"
	pieceHealthy = "In service"
)

// watch follows one test launch.
type watch struct {
	launch
	rec      *Recorder
	pre      *preflight
	name     string          // of the group that launches
	real     bool            // it is the real group, which goes on without us
	place    string          // subnet or zone, where several are tried; else ""
	known    map[string]bool // activities that were there before; of the real group
	run      string          // whose instance it is, in the real group
	template cloud.Template  // of which it launches

	started  time.Time
	piece    string // that goes on
	since    time.Time
	instance string
	zone     string
	drained  bool
	probing  probing
	waits    []string // what was not met at the last look
	console  string   // the end of what the instance wrote there
	blind    error    // why the last look saw nothing
}

// trial launches through a temporary group, and removes it.
func (w *watch) trial(ctx context.Context, in Input, like cloud.Group) (took time.Duration, err error) {
	trial := cloud.Trial{Name: w.name, Like: like, Tags: w.tags(in), HookWait: min(max(w.HealthyWithin, 30*time.Second), 2*time.Hour)}
	w.fact("Test group", "%s", trial.Name)
	w.template = launched(like)[0]
	if err := in.intend(ctx, "the test group %s is about to be made; it is to be gone by %s", w.name, goneBy(trial.Tags)); err != nil {
		return 0, err
	}
	w.begin()
	defer func() { err = errors.Join(err, w.cleanUp(ctx, "the test group "+w.name, w.end)) }()
	if err := w.aws.StartTrial(ctx, trial); err != nil {
		return 0, fmt.Errorf("start a test launch like %s: %w", like.Name, err)
	}
	w.rec.Logf("started %s with desired 1", trial.Name)
	w.reach(pieceCreated)
	return w.untilHealthy(ctx)
}

// begin starts the timeline.
func (w *watch) begin() {
	w.started = w.clock.Now()
	w.piece, w.since = pieceRequest, w.started
	for _, piece := range []string{pieceRequest, pieceCreated, pieceRunning, pieceHealthy} {
		w.rec.Span(upgrade.Span{Name: w.label(piece)}) // not reached
	}
}

// label tells the evidence of several places apart.
func (w *watch) label(name string) string {
	if w.place == "" {
		return name
	}
	return w.place + ": " + name
}

func (w *watch) fact(name, format string, args ...any) { w.rec.Fact(w.label(name), format, args...) }

// reach ends the piece of the timeline that goes on and begins another; "" begins none.
func (w *watch) reach(piece string) {
	if w.piece == piece {
		return
	}
	now := w.clock.Now()
	w.rec.Span(upgrade.Span{Name: w.label(w.piece), From: w.since, To: now})
	w.piece, w.since = piece, now
	if piece != "" {
		w.rec.Span(upgrade.Span{Name: w.label(piece), From: now})
	}
}

// fail marks the piece that goes on as the one in which it failed.
func (w *watch) fail() {
	w.rec.Span(upgrade.Span{Name: w.label(w.piece), From: w.since, To: w.clock.Now(), Failed: true})
}

// untilHealthy looks until the instance is healthy or the time is over. A look that fails for a reason that
// may pass is made again.
func (w *watch) untilHealthy(ctx context.Context) (took time.Duration, err error) {
	deadline := w.started.Add(w.HealthyWithin)
	for {
		healthy, err := w.look(ctx)
		w.blind = nil
		if err != nil && !Failed(err) && upgrade.Transient(err) && ctx.Err() == nil {
			w.blind, err = err, nil
			w.rec.Logf("could not look: %v", w.blind)
		}
		switch {
		case err != nil:
			w.fail()
			return 0, err
		case healthy:
			w.reach("")
			return w.clock.Now().Sub(w.started).Round(time.Second), nil
		case !w.clock.Now().Before(deadline):
			w.fail()
			return 0, w.late()
		}
		pause := launchPoll
		if w.clock.Now().Sub(w.started) > time.Minute {
			pause = slowPoll
		}
		if err := w.clock.Sleep(ctx, pause); err != nil {
			w.fail()
			return 0, fmt.Errorf("wait for the test launch: %w", err)
		}
	}
}

// late says no when the time is over, and what was missing.
func (w *watch) late() error {
	if w.blind != nil {
		return w.blind
	}
	waits := "no instance came"
	if len(w.waits) > 0 {
		waits = w.instance + " waits until " + strings.Join(w.waits, " and ")
	}
	if w.console != "" {
		w.rec.Quote("Console of "+w.instance, w.console, w.clock.Now())
	}
	return Advise(FailBrief(brief("%s cannot start new instances in time", w.env),
		"no healthy instance within %s through %s: %s", probe.Length(w.HealthyWithin), w.through(), waits),
		"look why the instance does not become healthy, or allow more time")
}

// through names the group that launches, for a sentence.
func (w *watch) through() string {
	words := "a copy of " + w.Group
	if w.real {
		words = w.Group
	}
	if w.place != "" {
		words += " in " + w.place
	}
	return words
}

// look reads the state of the launch once and reports whether the instance is healthy.
func (w *watch) look(ctx context.Context) (healthy bool, err error) {
	activities, err := w.aws.Activities(ctx, w.name)
	if err != nil {
		return false, fmt.Errorf("read the scaling activities of %s: %w", w.name, err)
	}
	for _, activity := range activities {
		if w.known[activity.ID] || w.real && strings.HasPrefix(activity.Description, "Terminating") {
			continue
		}
		if activity.Status == "Failed" || activity.Status == "Cancelled" {
			return false, w.failed(ctx, activity)
		}
	}
	group, err := w.aws.Group(ctx, w.name)
	if err != nil {
		return false, fmt.Errorf("read group %s: %w", w.name, err)
	}
	if !w.real && slices.Contains(group.Suspended, "Launch") {
		return false, &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: "somebody suspended the launches of the test group " + w.name, Hint: "run the gates again",
		}
	}
	member, found, err := w.member(ctx, group)
	if err != nil || !found {
		return false, err
	}
	if w.instance != member.InstanceID {
		w.instance = member.InstanceID
		w.reach(pieceRunning)
	}
	instances, err := w.aws.Instances(ctx, []string{member.InstanceID})
	if err != nil || len(instances) == 0 {
		return false, err
	}
	return w.advance(ctx, member, instances[0])
}

// member returns the instance that the group launched for us.
func (w *watch) member(ctx context.Context, group cloud.Group) (member cloud.Member, found bool, err error) {
	if !w.real {
		if len(group.Members) == 0 {
			return member, false, nil
		}
		return group.Members[0], true, nil
	}
	id := w.instance
	if id == "" {
		added, err := w.aws.Added(ctx)
		if err != nil {
			return member, false, fmt.Errorf("look which instance %s has more: %w", w.name, err)
		}
		for _, one := range added {
			if one.Group == w.name && one.Run == w.run {
				id = one.InstanceID
			}
		}
	}
	at := slices.IndexFunc(group.Members, func(m cloud.Member) bool { return id != "" && m.InstanceID == id })
	if at < 0 {
		return member, false, nil
	}
	return group.Members[at], true, nil
}

// advance lets an instance that meets everything out of its launch hook, and reports whether it is in
// service.
func (w *watch) advance(ctx context.Context, member cloud.Member, instance cloud.Instance) (healthy bool, err error) {
	w.fact("Instance", "%s (%s in %s)", instance.ID, instance.Type, instance.Zone)
	w.fact("AMI", "%s", instance.ImageID)
	w.zone = instance.Zone
	if instance.State == "running" {
		w.reach(pieceHealthy)
	}
	if w.waits, err = w.unmet(ctx, instance); err != nil || len(w.waits) > 0 {
		return false, err
	}
	if member.Lifecycle == "Pending:Wait" && !w.real {
		if err := w.aws.Continue(ctx, w.name, member.InstanceID); err != nil {
			return false, fmt.Errorf("let %s go into service: %w", member.InstanceID, err)
		}
	}
	if member.Lifecycle != "InService" || member.Health != "Healthy" {
		w.waits = []string{fmt.Sprintf("its group has it in service: it is %s and %s", member.Lifecycle, member.Health)}
		return false, nil
	}
	return true, nil
}
