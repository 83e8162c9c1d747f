package awssim_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
)

// cli is the AWS command line: a client that nobody wrote with this simulator in mind.
type cli struct {
	run func(t *testing.T, args []string) (out, errs string, code int)
	url string
}

const debianCLI = "/usr/bin/aws"

// newCLI finds the AWS command line: UPGRADEGATE_TEST_AWSCLI, or Debian's package awscli.
func newCLI(t *testing.T, url string) cli {
	t.Helper()
	env := append(os.Environ(), "AWS_ACCESS_KEY_ID="+awssim.DefaultKeyID, "AWS_SECRET_ACCESS_KEY="+awssim.DefaultSecret,
		"AWS_MAX_ATTEMPTS=1", "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
	if program := os.Getenv("UPGRADEGATE_TEST_AWSCLI"); program != "" {
		return cli{url: url, run: func(t *testing.T, args []string) (string, string, int) {
			t.Helper()
			return runCLI(t, program, env, args)
		}}
	}
	if _, err := os.Stat(debianCLI); err != nil {
		if slices.Contains(strings.Split(os.Getenv("UPGRADEGATE_TEST_NEED"), ","), "awscli") {
			t.Fatalf("UPGRADEGATE_TEST_NEED lists awscli but there is no %s", debianCLI)
		}
		t.Skipf("no AWS command line: install Debian's package awscli, or set UPGRADEGATE_TEST_AWSCLI")
	}
	return cli{url: url, run: oneProcess(t, env)}
}

func runCLI(t *testing.T, program string, env, args []string) (out, errs string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = env
	var o, e strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// oneProcess starts Debian's command line once for all commands.
func oneProcess(t *testing.T, env []string) func(*testing.T, []string) (string, string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "testdata/many_commands.py")
	cmd.Env, cmd.Stderr = env, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // its loop ends, and it with it
		if err := cmd.Wait(); err != nil && t.Context().Err() == nil {
			t.Errorf("the command line's process ended badly: %v", err)
		}
	})
	answers := bufio.NewReader(stdout)
	return func(t *testing.T, args []string) (string, string, int) {
		t.Helper()
		if err := json.NewEncoder(in).Encode(args); err != nil {
			t.Fatal(err)
		}
		line, err := answers.ReadBytes('\n')
		if err != nil {
			t.Fatalf("the command line's process ended: %v", err)
		}
		var answer struct {
			Code     int
			Out, Err string
		}
		if err := json.Unmarshal(line, &answer); err != nil {
			t.Fatalf("read %s: %v", line, err)
		}
		return answer.Out, answer.Err, answer.Code
	}
}

// command runs one command and returns what it printed, with single spaces, and the code of a refusal.
func (c cli) command(t *testing.T, words []string) (out, refusal string) {
	t.Helper()
	args := append([]string{"--endpoint-url", c.url, "--region", "eu-west-2", "--output", "text"}, words...)
	out, errs, code := c.run(t, args)
	if code == 0 {
		return strings.Join(strings.Fields(out), " "), ""
	}
	if _, rest, ok := strings.Cut(errs, "An error occurred ("); ok {
		refusal, _, _ = strings.Cut(rest, ")")
		return "", refusal
	}
	return "", fmt.Sprintf("exit %d: %s", code, strings.TrimSpace(errs))
}

// TestAWSCommandLine plays testdata/awscli.txt, and checks that it calls everything there is, and that
// every answer has the shape that the command line's own description of the service gives it.
func TestAWSCommandLine(t *testing.T) {
	w := newWorld(t, nil)
	shapes := watchShapes(t, w)
	c := newCLI(t, shapes.url)
	// An image of an account that shares it, with the key that encrypts it.
	vars := w.encrypted(t)
	w.sim.AddCluster("", "", "web", 2, nil)
	w.sim.JoinCluster("ecs", "web")
	w.sim.SetParameter("", "", "/web/ami", vars["AMI"])
	script, err := os.ReadFile("testdata/awscli.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(script), "\n") {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			w.play(t, c, fmt.Sprintf("line %d", i+1), line, vars)
		}
	}
	done := map[string]bool{}
	for _, call := range w.sim.Calls() {
		if call.Code == "" {
			done[call.Service+":"+call.Action] = true
		}
		if len(call.Unread) > 0 {
			t.Errorf("%s:%s does not model %v", call.Service, call.Action, call.Unread)
		}
	}
	for _, name := range w.sim.ActionNames() {
		if !done[name] && name != "autoscaling:LaunchInstances" { // which is younger than Debian's command line
			t.Errorf("the script never does %s", name)
		}
	}
}

// play runs one line of the script.
func (w *world) play(t *testing.T, c cli, where, line string, vars map[string]string) {
	t.Helper()
	if d, ok := strings.CutPrefix(line, "pass "); ok {
		span, err := time.ParseDuration(d)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		w.clock.move(span)
		return
	}
	fill := func(s string) string {
		return os.Expand(s, func(name string) string {
			if v, ok := vars[name]; ok {
				return v
			}
			return "$" + name // $Latest
		})
	}
	refused := ""
	keep, command, keeps := strings.Cut(line, " = ")
	if keeps = keeps && !strings.Contains(keep, " "); !keeps {
		command = line
	}
	command, want, prints := strings.Cut(command, " => ")
	if rest, ok := strings.CutPrefix(command, "! "); ok {
		refused, command, _ = strings.Cut(rest, ": ")
	}
	out, refusal := c.command(t, words(fill(command)))
	switch {
	case refusal != refused:
		t.Errorf("%s: %s\nrefused with %q, want %q", where, command, refusal, refused)
	case prints && out != fill(want):
		t.Errorf("%s: %s\ngot %s, want %s", where, command, out, fill(want))
	case keeps && (out == "" || strings.Contains(out, " ")):
		t.Fatalf("%s: %s\nprinted %q, want one word", where, command, out)
	}
	if keeps {
		vars[keep] = out
	}
}

// words splits a command as a shell would, with both kinds of quotes and nothing else.
func words(s string) []string {
	var out []string
	var word strings.Builder
	quote, open := rune(0), false
	for _, r := range s {
		switch {
		case quote == 0 && (r == '"' || r == '\''):
			quote, open = r, true
		case r == quote:
			quote = 0
		case quote == 0 && r == ' ':
			if open {
				out = append(out, word.String())
			}
			word.Reset()
			open = false
		default:
			word.WriteRune(r)
			open = true
		}
	}
	if open {
		out = append(out, word.String())
	}
	return out
}
