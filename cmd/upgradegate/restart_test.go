package main

import (
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// process is the program in a process of its own.
type process struct {
	*exec.Cmd
	ended chan struct{}
}

// start starts `serve` and waits until it is ready.
func (h *house) start() *process {
	h.Helper()
	p := h.program("serve", "--config", h.file)
	eventually(h, func() string {
		select {
		case <-p.ended:
			h.Fatalf("serve ended: %v", p.ProcessState)
		default:
		}
		resp, err := http.Get(h.url + "/readyz")
		if err != nil {
			return err.Error()
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return resp.Status
		}
		return ""
	})
	return p
}

// program starts the program with these arguments.
func (h *house) program(args ...string) *process {
	h.Helper()
	self, err := os.Executable()
	check(h, err)
	p := &process{Cmd: exec.Command(self, args...), ended: make(chan struct{})}
	p.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.dir, "TMPDIR=" + h.dir, asProgram + "=1"}
	for name, value := range h.secrets {
		p.Env = append(p.Env, name+"="+value)
	}
	p.Stdout, p.Stderr = h.log, h.log
	check(h, p.Start())
	go func() { _ = p.Wait(); close(p.ended) }() // how it ended is in ProcessState
	h.Cleanup(p.kill)
	return p
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.Process.Kill() // it may be over
	<-p.ended
}

// terminate asks the process to end, and waits.
func (p *process) terminate(tb testing.TB) {
	tb.Helper()
	check(tb, p.Process.Signal(syscall.SIGTERM))
	eventually(tb, func() string {
		select {
		case <-p.ended:
			return ""
		default:
			return "it has not ended on SIGTERM"
		}
	})
}

// seen waits until the run of the commit is in the phase, without anything else.
func (h *house) seen(commit upgrade.Commit, phase upgrade.Phase) {
	h.Helper()
	eventually(h, func() string {
		run, said := h.runOf(commit)
		if said == "" && run.Phase != phase {
			said = "the run is " + string(run.Phase) + ", want " + string(phase)
		}
		return said
	})
}

// moment is where a service is cut off.
type moment struct {
	settle  string                      // of the gate of the site
	reach   func(*house) upgrade.Commit // brings the run there
	resume  func(*house)                // takes away what held it
	applied []string                    // what is applied in the end
}

func moments() map[string]moment {
	at := func(point string, phase upgrade.Phase) moment {
		return moment{
			reach: func(h *house) upgrade.Commit {
				h.hold(point)
				commit := h.push("1")
				h.seen(commit, phase)
				calls := func() bool { return len(h.applies()) > 0 }
				if point != "provisioner" {
					calls = func() bool { return slices.Contains(h.lines("terraform.calls"), point) }
				}
				eventually(h, func() string {
					if !calls() {
						return point + " has not begun"
					}
					return ""
				})
				return commit
			},
			resume: func(h *house) { h.release(point) }, applied: []string{"1"},
		}
	}
	return map[string]moment{
		"delivered": {
			reach: func(h *house) upgrade.Commit { // answered 2xx, and nothing is known of it yet
				h.gitlab.Fail(gitlabsim.Fault{Path: `/api/v4/projects/`, Kind: gitlabsim.FaultCut, Times: 1 << 20})
				commit := h.push("1")
				eventually(h, func() string {
					for _, d := range h.gitlab.Deliveries() {
						if d.Event == "Push Hook" && d.Status == http.StatusOK {
							return ""
						}
					}
					return "the push was not delivered"
				})
				h.gitlab.RemoveHook(1) // from here on nobody says it again
				return commit
			},
			resume: func(h *house) { h.gitlab.Heal(); h.addHook() }, applied: []string{"1"},
		},
		"queued": {
			reach: func(h *house) upgrade.Commit {
				h.hold("provisioner")
				first := h.push("1")
				h.seen(first, upgrade.PhaseApplying)
				second := h.push("2")
				h.seen(second, upgrade.PhaseQueued)
				return second
			},
			resume: func(h *house) { h.release("provisioner") }, applied: []string{"1", "2"},
		},
		"preparing": at("init", upgrade.PhasePreparing),
		"planning":  at("plan", upgrade.PhasePlanning),
		"applying":  at("provisioner", upgrade.PhaseApplying),
		"settling": {
			settle: "3s",
			reach: func(h *house) upgrade.Commit {
				commit := h.push("1")
				h.seen(commit, upgrade.PhaseSettling)
				return commit
			},
			resume: func(*house) {}, applied: []string{"1"},
		},
		"checking": {
			reach: func(h *house) upgrade.Commit {
				h.site.hold()
				commit := h.push("1")
				<-h.site.came
				h.seen(commit, upgrade.PhaseChecking)
				return commit
			},
			resume: func(h *house) { h.site.release() }, applied: []string{"1"},
		},
		"unlocking": {
			reach: func(h *house) upgrade.Commit { // GitLab has played the job, and its answer never comes
				h.hold("provisioner")
				commit := h.push("1")
				h.seen(commit, upgrade.PhaseApplying)
				h.merge(commit)
				h.gitlab.Fail(gitlabsim.Fault{Method: http.MethodPost, Path: `/play$`, Kind: gitlabsim.FaultHang, After: true})
				h.release("provisioner")
				eventually(h, func() string {
					if len(h.plays()) == 0 {
						return "nobody has played the job"
					}
					return ""
				})
				h.seen(commit, upgrade.PhaseUnlocking)
				return commit
			},
			resume: func(*house) {}, applied: []string{"1"},
		},
	}
}

// TestS11Killed kills the whole service in each phase. The next one brings the run to its end: one apply,
// one play of the held job, and a status that says what the run says (S3, S8, S11).
func TestS11Killed(t *testing.T) {
	t.Parallel()
	for name, moment := range moments() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, setup{real: true, settle: moment.settle})
			p := h.start()
			h.addHook()
			commit := moment.reach(h)
			p.kill()
			moment.resume(h)
			h.start()
			h.brings(commit, moment.applied...)
		})
	}
}

// TestS11Terminated ends the service in order, in each phase, with the same demand.
func TestS11Terminated(t *testing.T) {
	t.Parallel()
	for name, moment := range moments() {
		if !soak() && !slices.Contains([]string{"planning", "applying"}, name) {
			continue // these have Terraform under way
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, setup{real: true, settle: moment.settle})
			p := h.start()
			h.addHook()
			commit := moment.reach(h)
			p.terminate(t)
			if !p.ProcessState.Success() {
				t.Errorf("ended with %v", p.ProcessState)
			}
			moment.resume(h)
			h.start()
			h.brings(commit, moment.applied...)
		})
	}
}

// brings demands that the commit is brought to production's door by one apply and one play.
func (h *house) brings(commit upgrade.Commit, applied ...string) {
	h.Helper()
	h.runIs(commit, upgrade.PhaseUnlocked)
	if at, _ := h.gitlab.Branch(h.project.ID, "main"); at != commit {
		h.merge(commit)
	}
	h.heldJobIs(commit, "success")
	h.shows(commit, "success")
	h.appliedOnce(applied...)
	if plays := h.plays(); len(plays) != 1 {
		h.Errorf("plays: %v, want one", plays)
	}
}

// TestS11LostApply kills the service and what applies for it. Nobody knows how far it came: the run is
// interrupted, and nothing is applied again.
func TestS11LostApply(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{real: true})
	p := h.start()
	h.addHook()
	h.hold("provisioner")
	commit := h.push("1")
	h.seen(commit, upgrade.PhaseApplying)
	eventually(t, func() string {
		if len(h.applies()) == 0 {
			return "nothing is applied"
		}
		return ""
	})
	p.kill()
	pids := h.processes()
	if len(pids) == 0 {
		t.Fatal("the apply did not outlive the service")
	}
	for _, pid := range pids {
		check(t, syscall.Kill(pid, syscall.SIGKILL))
	}
	h.release("provisioner")
	h.start()
	run := h.runIs(commit, upgrade.PhaseInterrupted)
	if len(run.Causes) == 0 || run.Told.Next == "" {
		t.Errorf("nobody is told why, or what to do: %+v", run)
	}
	h.shows(commit, "failed")
	h.appliedOnce("1")
}

// processes returns the processes whose command line names the house: all of them were started by it.
func (h *house) processes() []int {
	h.Helper()
	return processesOf(h, h.dir)
}

func soak() bool { return os.Getenv("UPGRADEGATE_SOAK") != "" }

func processesOf(tb testing.TB, dir string) []int {
	tb.Helper()
	entries, err := os.ReadDir("/proc")
	check(tb, err)
	var pids []int
	for _, entry := range entries {
		line, err := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
		if err != nil || !strings.Contains(string(line), dir+"/") {
			continue
		}
		pid := 0
		for _, digit := range entry.Name() {
			pid = pid*10 + int(digit-'0')
		}
		pids = append(pids, pid)
	}
	return pids
}
