package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/internal/testkit/chrome"
)

// theatre is the demo with people before it, each at a browser of their own. It stops whenever there is something
// to see.
type theatre struct {
	t        *testing.T
	chromium chrome.Browser
	enter    io.Writer
	links    map[string]string      // to sign in with, by name
	tabs     map[string]*chrome.Tab // by name, and of the board that Hugo has open all the time
	took     time.Duration          // to look

	url   string
	story string
	nth   int             // time that the story stopped
	seen  map[string]bool // sights of the story
	ended []string        // addresses of the story's runs that production stays shut for
}

// watchDemo plays every story, and has people look on if there is a browser.
func watchDemo(t *testing.T, env ...string) said {
	t.Helper()
	if !chrome.Have(t) {
		return cli(t, env, "demo", "--once", "--json")
	}
	self, err := product()
	check(t, err)
	cmd := exec.CommandContext(t.Context(), self, "demo", "--once", "--json", "--pause")
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir}, env...)
	var out, errs bytes.Buffer
	cmd.Stdout = &out
	th := &theatre{t: t, links: map[string]string{}, tabs: map[string]*chrome.Tab{}}
	t.Cleanup(func() { check(t, th.chromium.Close()) })
	enter, err := cmd.StdinPipe()
	check(t, err)
	th.enter = enter
	lines, err := cmd.StderrPipe()
	check(t, err)
	check(t, cmd.Start())
	for scan := bufio.NewScanner(lines); scan.Scan(); {
		_, _ = errs.WriteString(scan.Text() + "\n")
		th.hear(scan.Text())
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	t.Logf("people looked for %.1f s", th.took.Seconds())
	return said{cmd.Process.Pid, cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

var (
	signInLine = regexp.MustCompile(`^(?:the dashboard|  as .*): (http://.*)/login\?token=demo-([a-z]+)-`)
	storyLine  = regexp.MustCompile(`^story ([a-z-]+): `)
	lookLine   = regexp.MustCompile(`^  look: (http://[^/]+)(/\S*) \(Enter goes on\)$`)
)

// hear takes in a line that the demo says.
func (th *theatre) hear(line string) {
	if m := signInLine.FindStringSubmatch(line); m != nil {
		_, link, _ := strings.Cut(line, ": ")
		th.url, th.links[m[2]] = m[1], link
	}
	if m := storyLine.FindStringSubmatch(line); m != nil {
		th.story, th.nth, th.seen, th.ended = m[1], 0, map[string]bool{}, nil
	}
	m := lookLine.FindStringSubmatch(line)
	if m == nil {
		return
	}
	began := time.Now()
	th.nth++
	name := th.story + "_" + strconv.Itoa(th.nth)
	if m[2] == "/" {
		name = th.story + "_ended"
	}
	th.t.Run(name, func(t *testing.T) {
		if m[2] == "/" {
			th.afterwards(t)
		} else {
			th.look(t, m[2])
		}
	})
	th.took += time.Since(began)
	_, err := io.WriteString(th.enter, "\n")
	check(th.t, err)
}

// tab is the tab of somebody who is signed in. Its pages have the demo's own address.
func (th *theatre) tab(t *testing.T, who string) *chrome.Tab {
	t.Helper()
	p := th.tabs[who]
	if p == nil {
		name, _, _ := strings.Cut(who, " ")
		link, err := url.Parse(th.links[name])
		if err != nil || link.Host == "" {
			t.Fatalf("the demo names no way to sign in as %s", name)
		}
		p = th.chromium.Open(th.t, th.url)
		p.Open(link.RequestURI())
		th.tabs[who] = p
	}
	return p.In(t)
}
