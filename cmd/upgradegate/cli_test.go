package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/internal/testkit"
	"github.com/upgradegate/upgradegate/upgrade"
)

// said is what the program said and how it ended.
type said struct {
	pid      int
	code     int
	out, err string
}

// cli runs the program to its end.
func cli(t *testing.T, env []string, args ...string) said {
	t.Helper()
	self, err := product()
	check(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir}, env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return said{cmd.Process.Pid, cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// cli runs the program as hugo, against the house's service.
func (h *house) cli(args ...string) said {
	h.Helper()
	env := []string{"UPGRADEGATE_URL=" + h.url, "UPGRADEGATE_TOKEN=" + hugoToken, "TMPDIR=" + h.dir}
	for name, value := range h.secrets {
		env = append(env, name+"="+value)
	}
	return cli(h.T, env, args...)
}

// is demands an exit code, and that what was said matches.
func (s said) is(t *testing.T, code int, out, err string) {
	t.Helper()
	if s.code != code {
		t.Errorf("exit code %d, want %d", s.code, code)
	}
	for _, stream := range []struct{ name, got, want string }{{"stdout", s.out, out}, {"stderr", s.err, err}} {
		if !regexp.MustCompile(`(?s)\A` + stream.want + `\z`).MatchString(stream.got) {
			t.Errorf("%s is %q, want %q", stream.name, stream.got, stream.want)
		}
	}
}

// TestHelp pins what each command says about itself. Help goes to stdout and is no error.
func TestHelp(t *testing.T) {
	t.Setenv("UPGRADEGATE_URL", "")
	var walk func(cmd *cobra.Command, path []string)
	walk = func(cmd *cobra.Command, path []string) {
		name := strings.Join(append([]string{"upgradegate"}, path...), "_")
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			command := root(streams{out: &out, err: &errs})
			command.SetArgs(append(slices.Clone(path), "--help"))
			if code := report(&errs, command.ExecuteContext(t.Context())); code != exitOK || errs.Len() > 0 {
				t.Errorf("exit code %d, stderr %q", code, errs.String())
			}
			testkit.Golden(t, filepath.Join("testdata", "help", name+".txt"), out.Bytes())
		})
		for _, child := range cmd.Commands() {
			if child.IsAvailableCommand() {
				walk(child, append(slices.Clone(path), child.Name()))
			}
		}
	}
	walk(root(streams{out: io.Discard, err: io.Discard}), nil)
}

// TestWrongUsage: an error is one line, at most one hint follows, and exit 2 says that nothing was tried.
func TestWrongUsage(t *testing.T) {
	t.Parallel()
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	check(t, os.WriteFile(wrong, []byte("server: {listne: x}\nstacks: 3\n"), 0o600))
	for _, test := range []struct {
		name string
		args []string
		code int
		err  string
	}{
		{"unknown_command", []string{"serv"}, exitUsage, `upgradegate: there is no command "upgradegate serv"\nupgradegate: hint: did you mean .upgradegate serve.\?\n`},
		{"unknown_subcommand", []string{"run", "lst"}, exitUsage, `upgradegate: there is no command "upgradegate run lst"\nupgradegate: hint: did you mean .upgradegate run list.\?\n`},
		{"unknown_flag", []string{"serve", "--confg", "x"}, exitUsage, `upgradegate: unknown flag: --confg .*--help.*\n`},
		{"too_many", []string{"version", "x"}, exitUsage, `upgradegate: .*"x"\n`},
		{"too_few", []string{"run", "show"}, exitUsage, `upgradegate: .*RUN.*\n`},
		{"no_number", []string{"run", "show", "x"}, exitUsage, `upgradegate: "x" is not the number of a run\n`},
		{"no_address", []string{"run", "list"}, exitUsage, `upgradegate: .*not the address.*\nupgradegate: hint: .*UPGRADEGATE_URL.*\n`},
		{"no_stack_commit", []string{"stack", "base", "web", "8f2c1ab", "--reason", "r"}, exitUsage, `upgradegate: "8f2c1ab" is not a commit\nupgradegate: hint: .*\n`},
		{"until_nonsense", []string{"run", "override", "1", "--until", "soon", "--url", "http://127.0.0.1:1"}, exitUsage, `upgradegate: "soon" is neither.*\nupgradegate: hint: .*\n`},
		{"no_recording", []string{"replay", "missing.json"}, exitUsage, `upgradegate: .*missing\.json.*\n`},
		{"no_event", []string{"replay", wrong}, exitUsage, `upgradegate: .*nothing says which event this is\nupgradegate: hint: .*--event.*\n`},
		{"not_json", []string{"replay", wrong, "--event", "Push Hook"}, exitUsage, `upgradegate: .*the body is not JSON\nupgradegate: hint: .*\n`},
		{"no_token", []string{"run", "list", "--url", "http://127.0.0.1:1"}, exitUsage, `upgradegate: .*token.*\nupgradegate: hint: .*UPGRADEGATE_TOKEN.*\n`},
		{"no_file", []string{"serve", "--config", "missing.yaml"}, exitUsage, `upgradegate: .*missing\.yaml.*`},
		{"no_file_to_check", []string{"config", "check", "missing.yaml"}, exitUsage, `upgradegate: missing\.yaml has 1 mistake\n`},
		{"wrong_file", []string{"config", "check", wrong}, exitUsage, `upgradegate: .*wrong\.yaml has \d+ mistakes\n`},
		{"wrong_file_served", []string{"serve", "--config", wrong}, exitUsage, `upgradegate: .*`},
		{"no_story", []string{"demo", "--once", "--story", "saga"}, exitError, `upgradegate: there is no story "saga"\nupgradegate: hint: .*clean.*\n`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := cli(t, nil, test.args...)
			out := ""
			switch test.name { // mistakes are the result of a check
			case "wrong_file":
				out = `.*wrong\.yaml:1.*listen.*`
			case "no_file_to_check":
				out = `missing\.yaml: .*no such file.*\n`
			}
			got.is(t, test.code, out, test.err)
			hints := 0
			for line := range strings.Lines(got.err) {
				if strings.Contains(line, "hint: ") {
					hints++
				}
			}
			if hints > 1 {
				t.Errorf("%d hints: %s", hints, got.err)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	cli(t, nil, "version").is(t, exitOK, `upgradegate \S+\n`, "")
}

// TestConfig checks the file that the other tests run with, and prints the schema.
func TestConfig(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.cli("config", "check", h.file).is(t, exitOK, `.*upgradegate\.yaml is good: 1 stacks?, 4 gates, 2 environments\n`, "")
	schema := h.cli("config", "schema")
	if schema.code != exitOK || !json.Valid([]byte(schema.out)) {
		t.Errorf("the schema is no JSON: %d %s", schema.code, schema.err)
	}
}

// TestRunCommands does over the command line what the pages can do.
func TestRunCommands(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.serve()
	h.cli("run", "list").is(t, exitOK, "", "No run yet: .*\n")
	h.cli("run", "show", "1").is(t, exitError, "", `upgradegate: .*run 1.*\n(upgradegate: hint: .*\n)?`)

	h.site.say("somebody else's page")
	commit := h.push("1")
	h.runIs(commit, upgrade.PhaseBlocked)
	h.cli("run", "list").is(t, exitOK, `RUN +STACK +COMMIT +STATE +HEADLINE\n1 +web +`+commit.Short()+` +Blocked +Not ready for production.*\n`, "")
	h.cli("run", "show", "1").is(t, exitOK, `run 1 of web, commit `+commit.Short()+`: Blocked\n.*\n1\. .*site +staging +Failed .*next: .*/runs/1\n`, "")
	show := h.cli("run", "show", "1", "--json")
	var run struct{ ID int }
	if err := json.Unmarshal([]byte(show.out), &run); err != nil || run.ID != 1 {
		t.Errorf("show --json: %v %s", err, show.out)
	}
	h.site.say("hello")
	h.cli("run", "recheck", "1").is(t, exitOK, "", `asked run 1 to recheck.*\n`)
	h.runIs(commit, upgrade.PhaseUnlocked)

	h.hold("provisioner")
	second := h.push("2")
	h.cli("run", "retry", "99").is(t, exitError, "", `upgradegate: .*99.*\n(upgradegate: hint: .*\n)?`)
	h.runIs(second, upgrade.PhaseApplying)
	h.cli("run", "stop", "2").is(t, exitError, "", `upgradegate: a reason is missing\nupgradegate: hint: .*\n`)
	h.cli("run", "stop", "2", "--reason", "it takes too long").is(t, exitOK, "", `asked run 2 to stop.*\n`)
	h.release("provisioner")
	h.runIs(second, upgrade.PhaseStopped)
	cli(t, []string{"UPGRADEGATE_URL=" + h.url, "UPGRADEGATE_TOKEN=not-the-token-of-hugo"}, "run", "list").is(t, exitError, "", `upgradegate: .*\n(upgradegate: hint: .*\n)?`)
	cli(t, []string{"UPGRADEGATE_URL=http://127.0.0.1:1", "UPGRADEGATE_TOKEN=" + hugoToken}, "run", "list").is(t, exitError, "", `upgradegate: 127\.0\.0\.1:1 does not answer: .*\nupgradegate: hint: .*\n`)
}

// TestGateRun: its exit code tells a pipeline yes, no and "could not tell" apart.
func TestGateRun(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.gates = h.siteGate() + launchGate
	h.writeFile(h.path("bin/terraform"))
	ask := func(name string) said { return h.cli("gate", "run", name, "--config", h.file) }
	ask("site").is(t, exitOK, `site of staging: Passed\. .*\n`, "")
	h.site.say("something else")
	ask("site").is(t, exitClosed, `site of staging: Failed\. .*\n`, `.*upgradegate: the gate did not pass\n`)
	h.aws.Deny("*", "sts:AssumeRole")
	ask("launch").is(t, exitError, `launch of staging: .*sts:AssumeRole.*\n`, `.*upgradegate: the gate did not pass\n`)
	ask("nothing").is(t, exitError, "", `upgradegate: no gate is called nothing\nupgradegate: hint: there are site, launch, settled, destroy-guard, ownership\n`)
	h.site.say("hello")
	printed := h.cli("gate", "run", "site", "--json", "--config", h.file)
	var results []map[string]any
	if err := json.Unmarshal([]byte(printed.out), &results); err != nil || len(results) != 1 || printed.code != exitOK {
		t.Errorf("--json: %v, exit code %d, %s%s", err, printed.code, printed.out, printed.err)
	}
}

// TestGateRunWithAgents: a gate that only the service can ask says so at once, and is not asked again and again.
func TestGateRunWithAgents(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.vantages, h.gates = true, strings.Replace(h.siteGate(), "    tries: 1\n", "    tries: 1\n    from: [staging-a]\n", 1)+agentWatch
	h.writeFile(h.path("bin/terraform"))
	for _, name := range []string{"site", "outage"} {
		h.cli("gate", "run", name, "--config", h.file).is(t, exitError, name+` of staging: .*agent staging-a talks to the running service alone.*\n`, `.*upgradegate: the gate did not pass\n`)
	}
}

// TestSim starts each simulator alone. It says how to reach it, answers, and ends on SIGTERM.
func TestSim(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		key string
		ask func(t *testing.T, vars map[string]string) *http.Request
	}{
		"aws": {"AWS_ENDPOINT_URL", func(t *testing.T, vars map[string]string) *http.Request {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, vars["AWS_ENDPOINT_URL"], strings.NewReader("Action=GetCallerIdentity&Version=2011-06-15"))
			check(t, err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return req
		}},
		"gitlab": {"GITLAB_URL", func(t *testing.T, vars map[string]string) *http.Request {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, vars["GITLAB_URL"]+"/api/v4/projects/"+strings.ReplaceAll(vars["GITLAB_PROJECT"], "/", "%2F"), nil)
			check(t, err)
			req.Header.Set("Private-Token", vars["GITLAB_TOKEN"])
			return req
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			self, err := product()
			check(t, err)
			out := &logBuffer{}
			p := &process{Cmd: exec.Command(self, "sim", name), ended: make(chan struct{})}
			p.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir()}
			p.Stdout, p.Stderr = out, io.Discard
			check(t, p.Start())
			go func() { _ = p.Wait(); close(p.ended) }()
			t.Cleanup(p.kill)
			vars := map[string]string{}
			eventually(t, func() string {
				for line := range strings.Lines(out.String()) {
					if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
						vars[key] = value
					}
				}
				if len(vars) < 3 {
					return fmt.Sprintf("it said only %q", out)
				}
				return ""
			})
			resp, err := http.DefaultClient.Do(test.ask(t, vars))
			check(t, err)
			body, err := io.ReadAll(resp.Body)
			check(t, err)
			_ = resp.Body.Close()
			switch {
			case name == "aws" && (resp.StatusCode != http.StatusForbidden || !bytes.Contains(body, []byte("MissingAuthenticationToken"))): // it was not signed
				t.Errorf("%s: %s", resp.Status, body)
			case name == "gitlab" && (resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(vars["GITLAB_PROJECT"]))):
				t.Errorf("%s: %s", resp.Status, body)
			}
			if name == "aws" && vars["AWS_ACCESS_KEY_ID"] != awssim.DefaultKeyID {
				t.Errorf("said %v", vars)
			}
			p.terminate(t)
			if !p.ProcessState.Success() {
				t.Errorf("ended with %v", p.ProcessState)
			}
		})
	}
}
