package aws_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/integration/aws"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// tale is what people are told of all that gates do: a line for each answer that is no plain yes.
type tale []string

func (l *tale) result(r upgrade.Result) {
	if r.Outcome != upgrade.OutcomePassed {
		*l = append(*l, fmt.Sprintf("%s, %s: %s: %s (%s)", r.Kind, r.Stage, r.Outcome, r.Message, r.Hint))
	}
	for _, warning := range r.Warnings {
		*l = append(*l, fmt.Sprintf("%s, %s: warning: %s", r.Kind, r.Stage, warning))
	}
}

func (l *tale) err(what string, err error) {
	if err != nil {
		*l = append(*l, fmt.Sprintf("%s: %s (%s)", what, upgrade.Public(err), upgrade.HintOf(err)))
	}
}

func (l tale) String() string { return strings.Join(l, "\n") }

// part is something that gates do.
type part func(t *testing.T, w *world, client *aws.Client, l *tale)

// reading is all that gates do that need no more than to read.
func reading() []part {
	return []part{
		func(t *testing.T, w *world, client *aws.Client, l *tale) {
			t.Helper()
			w.ask(t, client, gates.GrantsSettings{Group: groupName}, l)
		},
		func(t *testing.T, w *world, client *aws.Client, l *tale) {
			t.Helper()
			_, err := client.KeyEvents(t.Context(), w.clock.Now().Add(-time.Hour))
			l.err("who changed keys", err)
		},
		func(t *testing.T, w *world, client *aws.Client, l *tale) {
			t.Helper()
			w.reap(t, client, l)
		},
	}
}

// everything is all that gates do in AWS, and the reaper after a process that died.
func everything() []part {
	launch := func(settings gates.LaunchSettings) part {
		settings.Group, settings.HealthyWithin = groupName, 8*time.Minute
		return func(t *testing.T, w *world, client *aws.Client, l *tale) {
			t.Helper()
			w.ask(t, client, settings, l)
		}
	}
	return append(
		reading(),
		launch(gates.LaunchSettings{
			StatusChecks: true, EachZone: true, Cluster: "main", SSM: true, Console: marker,
			Probe: []probe.Path{{URL: "http://www.example.org/", ViaVarnish: true}},
		}),
		launch(gates.LaunchSettings{StatusChecks: true, Method: gates.MethodScaleOut, Cluster: "main", SSM: true, Console: marker}),
		failing,
		func(t *testing.T, w *world, client *aws.Client, l *tale) {
			t.Helper()
			w.leave(t, client, l)
			w.clock.pass(2 * time.Hour)
			for range 3 { // what is on its way is taken at the next look
				w.reap(t, client, l)
				w.clock.pass(5 * time.Minute)
			}
		},
	)
}

// failing is a launch that fails, as it should: what else is said counts.
func failing(t *testing.T, w *world, client *aws.Client, l *tale) {
	t.Helper()
	w.sim.FailImage(w.ami, awssim.Failure{Code: "Client.InternalError", Message: "Client error on launch"})
	defer w.sim.FailImage(w.ami, awssim.Failure{})
	var said tale
	w.ask(t, client, gates.LaunchSettings{Group: groupName}, &said)
	for _, line := range said {
		if !strings.Contains(line, string(upgrade.OutcomeFailed)+": ") {
			*l = append(*l, line)
		}
	}
}

// play lets gates do parts of their work until enough is told.
func (w *world) play(t *testing.T, parts []part, enough func(tale) bool) tale {
	t.Helper()
	var l tale
	client := w.client(t)
	for _, one := range parts {
		if one(t, w, client, &l); enough(l) {
			break
		}
	}
	return l
}

func never(tale) bool { return false }

func (w *world) reap(t *testing.T, client *aws.Client, l *tale) {
	t.Helper()
	_, err := gates.Reap(t.Context(), client, w.clock.Now())
	l.err("reap", err)
}

// leave begins launches and does not end them.
func (w *world) leave(t *testing.T, client *aws.Client, l *tale) {
	t.Helper()
	tags := map[string]string{gates.TagProbe: "true", gates.TagRun: "480", gates.TagExpires: w.clock.Now().Add(time.Hour).UTC().Format(time.RFC3339)}
	like, err := client.Group(t.Context(), groupName)
	if err != nil {
		l.err("read the group", err)
		return
	}
	l.err("leave a test group", client.StartTrial(t.Context(), cloud.Trial{Name: "gate-probe-480-left", Like: like, Tags: tags, HookWait: time.Hour}))
	l.err("leave one more", client.AddOne(t.Context(), groupName, tags))
	w.clock.pass(time.Minute)
}

// checkGone looks whether there is nothing that gates made.
func (w *world) checkGone(t *testing.T) {
	t.Helper()
	client := w.client(t)
	trials, err := client.Trials(t.Context())
	if err != nil || len(trials) != 0 {
		t.Errorf("test groups are left: %v, %v", trials, err)
	}
	added, err := client.Added(t.Context())
	if err != nil || len(added) != 0 {
		t.Errorf("instances are left in real groups: %v, %v", added, err)
	}
	group, err := client.Group(t.Context(), groupName)
	if err != nil || group.Desired != 1 {
		t.Errorf("the real group wants %d instances, want 1: %v", group.Desired, err)
	}
}

// TestGatesRunWithThePolicies: with exactly these policies every gate gives its answer, and everything that
// was made is gone.
func TestGatesRunWithThePolicies(t *testing.T) {
	t.Parallel()
	t.Run("staging", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.attachAll(t, w.staging(), func(string, *policy) {})
		if l := w.play(t, everything(), never); len(l) > 0 {
			t.Errorf("not every answer is a plain yes:\n%s", l)
		}
		w.checkGone(t)
	})
	t.Run("production", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		production := smallest()
		production.Parameters = []string{"/golden/ami"}
		w.attachAll(t, production, func(string, *policy) {})
		if l := w.play(t, reading(), never); len(l) > 0 {
			t.Errorf("not every answer is a plain yes:\n%s", l)
		}
		var l tale
		if w.ask(t, w.client(t), gates.LaunchSettings{Group: groupName}, &l); !strings.Contains(l.String(), "unknown: "+roleARN+" may not ") {
			t.Errorf("a role that reads could launch:\n%s", l)
		}
		w.checkGone(t)
	})
}

// TestEachActionIsNeeded takes each action out of each statement. Each time somebody is told which one is
// missing, so that nothing is allowed that is not needed.
func TestEachActionIsNeeded(t *testing.T) {
	t.Parallel()
	staging := newWorld(t).staging() // ids are made up the same way each time
	for _, name := range staging.names() {
		if name == "deny" {
			continue
		}
		for _, s := range staging.render(t, name).Statement {
			sid, _ := s["Sid"].(string)
			for _, action := range strs(s["Action"]) {
				t.Run(name+"/"+sid+"/"+action, func(t *testing.T) {
					t.Parallel()
					w := newWorld(t)
					w.attachAll(t, w.staging(), func(from string, p *policy) { p.without(from == name, sid, action) })
					named := func(l tale) bool { return strings.Contains(l.String(), action) }
					if l := w.play(t, everything(), named); !named(l) {
						t.Errorf("nobody says that %s is missing:\n%s", action, l)
					}
				})
			}
		}
	}
}

// without takes an action out of a statement, and the statement if it was the only one.
func (p *policy) without(here bool, sid, action string) {
	if !here {
		return
	}
	p.Statement = slices.DeleteFunc(p.Statement, func(s map[string]any) bool {
		if s["Sid"] != sid {
			return false
		}
		var rest []any
		for _, one := range strs(s["Action"]) {
			if one != action {
				rest = append(rest, one)
			}
		}
		s["Action"] = rest
		return len(rest) == 0
	})
}
