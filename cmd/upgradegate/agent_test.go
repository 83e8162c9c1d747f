package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// agentWatch watches an apply from the agent alone. Its budget is for a machine on which everything else is
// tested at the same time.
const agentWatch = "  - {name: outage, kind: availability, environments: [staging], path: site, from: [staging-a], every: 40ms, baseline: 500ms, settle: 2s, budget: {longest: 700ms, total: 10s}}\n"

// killedWatch is the same with a budget that the start of a process is well within.
const killedWatch = "-" + "  - {name: outage, kind: availability, environments: [staging], path: site, from: [staging-a], every: 40ms, baseline: 500ms, budget: {longest: 4s, total: 20s}}\n"

// enrol makes a token by the command line and starts an agent with it.
func (h *house) enrol(name string) *process {
	h.Helper()
	invited := h.cli("vantage", "enrol", name)
	if invited.code != exitOK || !strings.HasPrefix(invited.out, "uga_") {
		h.Fatalf("enrol: %d %q %q", invited.code, invited.out, invited.err)
	}
	token := h.write("token-"+name, invited.out, 0o600)
	p := h.agent(name, "--token-file", token)
	eventually(h, func() string {
		if list := h.cli("vantage", "list"); !strings.Contains(list.out, name+"  enrolled") {
			return list.out + list.err
		}
		return ""
	})
	check(h, os.Remove(token))
	return p
}

// agent starts an agent, which may be enrolled already.
func (h *house) agent(name string, more ...string) *process {
	h.Helper()
	return h.program(append([]string{"agent", "--gate", h.url, "--data", h.path("agent-" + name), "--allow", fmt.Sprintf("127.0.0.1:%d", h.site.port)}, more...)...)
}

func (h *house) result(commit upgrade.Commit, gate upgrade.GateName, stage upgrade.Stage) (string, upgrade.Outcome) {
	h.Helper()
	run, said := h.runOf(commit)
	if said != "" {
		h.Fatal(said)
	}
	gates, err := h.api().Gates(h.Context(), run.ID)
	check(h, err)
	for _, one := range gates {
		if one.Gate == gate && one.Stage == stage {
			return one.Message, one.Outcome
		}
	}
	return "", ""
}

// TestS5AgentWatchesThroughKill: the service is killed in the middle of an apply, and the site is broken while
// it is dead. The agent saw it, tells it to the next process, and the gate says no.
func TestS5AgentWatchesThroughKill(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]bool{"quiet": false, "outage_while_dead": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, setup{real: true, vantages: true, gates: "-"})
			p := h.start()
			h.enrol("staging-a")
			h.addHook()
			h.hold("provisioner")
			commit := h.push("1")
			h.seen(commit, upgrade.PhaseApplying)
			eventually(h, func() string {
				if len(h.applies()) == 0 {
					return "the provisioner has not begun"
				}
				return ""
			})
			p.kill()
			time.Sleep(300 * time.Millisecond)
			if broken {
				h.site.say("gone")
				time.Sleep(time.Second)
				h.site.say("hello")
			}
			time.Sleep(300 * time.Millisecond)
			h.start()
			h.release("provisioner")
			if !broken {
				h.runIs(commit, upgrade.PhaseUnlocked)
				if message, outcome := h.result(commit, "outage", upgrade.StageDuring); outcome != upgrade.OutcomePassed {
					t.Errorf("got %s: %s", outcome, message)
				}
				return
			}
			h.runIs(commit, upgrade.PhaseBlocked)
			message, outcome := h.result(commit, "outage", upgrade.StageDuring)
			if outcome != upgrade.OutcomeFailed || !regexp.MustCompile(`longest outage (0\.9\d? s|1(\.\d+)? s), limit 0\.7 s`).MatchString(message) {
				t.Errorf("got %s: %s", outcome, message)
			}
		})
	}
}

// TestS5AgentKilled: the agent is killed in the middle of an apply. The next start of it goes on with what it was
// watching: for as long as nobody looked, an outage that is longer than the budget could hide, which is no pass; one
// that is shorter could not, and what the agent saw before and after counts.
func TestS5AgentKilled(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		away    time.Duration
		phase   upgrade.Phase
		outcome upgrade.Outcome
		words   string
	}{
		"longer_than_the_budget": {6 * time.Second, upgrade.PhaseBlocked, upgrade.OutcomeUnknown, `nobody at staging-a could look at the site for [67](\.\d+)? s at a time`},
		"within_the_budget":      {100 * time.Millisecond, upgrade.PhaseUnlocked, upgrade.OutcomePassed, ``},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, setup{real: true, vantages: true, gates: killedWatch})
			h.start()
			agent := h.enrol("staging-a")
			h.addHook()
			h.hold("provisioner")
			commit := h.push("1")
			h.seen(commit, upgrade.PhaseApplying)
			eventually(h, func() string {
				if len(h.applies()) == 0 {
					return "the provisioner has not begun"
				}
				return ""
			})
			time.Sleep(time.Second)
			agent.kill()
			time.Sleep(test.away)
			h.agent("staging-a")
			time.Sleep(2 * time.Second)
			h.release("provisioner")
			h.runIs(commit, test.phase)
			message, outcome := h.result(commit, "outage", upgrade.StageDuring)
			if outcome != test.outcome || !regexp.MustCompile(test.words).MatchString(message) {
				t.Errorf("got %s: %s", outcome, message)
			}
		})
	}
}

// TestVantageCommands: an agent is invited, listed and revoked from the command line.
func TestVantageCommands(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{real: true, vantages: true})
	h.start()
	h.cli("vantage", "list").is(t, exitOK, `VANTAGE +STATE .*\nstaging-a +not enrolled +never .*`, ``)
	h.cli("vantage", "enrol", "staging-b").is(t, exitError, ``, `upgradegate: there is no vantage "staging-b".*\nupgradegate: hint: there are staging-a\n`)
	p := h.enrol("staging-a")
	h.cli("vantage", "list").is(t, exitOK, `VANTAGE .*\nstaging-a +enrolled +20\d\d-.* UTC .*127\.0\.0\.1/32:\d+\n`, ``)
	h.cli("vantage", "revoke", "staging-a").is(t, exitOK, ``, `agent staging-a is revoked\n`)
	h.cli("vantage", "revoke", "staging-a").is(t, exitError, ``, `upgradegate: agent staging-a is not enrolled\nupgradegate: hint: .*\n`)
	h.cli("vantage", "list").is(t, exitOK, `VANTAGE .*\nstaging-a +revoked .*`, ``)
	p.terminate(t)
	h.hides("the log", []byte(h.log.String()))
}
