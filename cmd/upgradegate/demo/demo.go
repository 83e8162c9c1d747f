// Package demo replays stories on one machine, with nothing to set up: real Terraform, a simulated
// GitLab that sends deliveries over HTTP and serves git, a simulated AWS, and a real Varnish where one
// is installed. Between them runs the very service that operators run.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Options say what is played and where. Self, Err and Log must be set.
type Options struct {
	Stories []string // names; empty: all
	Once    bool     // end after the stories instead of serving until ctx ends
	Listen  string   // of the dashboard; empty: any port of loopback
	Self    string   // this very binary, absolute
	Version string
	Tool    string // Terraform's binary; empty: found
	Environ []string
	Err     io.Writer // progress, for people
	Log     *slog.Logger
	// Pause is called with a page's address whenever there is something to see there, and at the end of each story. The
	// story goes on when it returns; world time flows as real time does meanwhile. It may be nil.
	Pause func(ctx context.Context, address string) error
}

// Run plays the stories and returns what came of them. The error is about the stage itself: a story
// that did not end as it should is in the report.
func Run(ctx context.Context, o Options) (report Report, err error) {
	chosen, err := choose(o.Stories)
	if err != nil {
		return report, err
	}
	dir, err := os.MkdirTemp("", "ug")
	if err != nil {
		return report, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, removeAll(dir)) }()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", orDefault(o.Listen, "127.0.0.1:0"))
	if err != nil {
		return report, fmt.Errorf("listen: %w", err)
	}
	st, err := build(ctx, o, dir, listener, chosen)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	o.say("%s, %s", st.tool, st.varnishKind())
	o.say("the dashboard: %s", st.signIn())
	for _, other := range others() {
		o.say("  as %s: %s", other.is, st.signInAs(other.token))
	}
	for _, s := range chosen {
		told, err := st.play(ctx, s)
		if err != nil {
			return report, fmt.Errorf("play %s: %w", s.name, err)
		}
		report.Stories = append(report.Stories, told)
	}
	if !o.Once {
		o.say("all stories are told. The dashboard stays up until Ctrl-C: %s", st.signIn())
		<-ctx.Done()
	}
	return report, nil
}

// say prints one line for people.
func (o Options) say(format string, args ...any) {
	_, _ = fmt.Fprintf(o.Err, format+"\n", args...) // a closed terminal is no reason to stop
}

func choose(names []string) ([]story, error) {
	if len(names) == 0 {
		return stories(), nil
	}
	var chosen []story
	for _, name := range names {
		at := slices.IndexFunc(stories(), func(s story) bool { return s.name == name })
		if at < 0 {
			return nil, &upgrade.Error{
				Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("there is no story %q", name), Hint: "there are " + strings.Join(Names(), ", "),
			}
		}
		chosen = append(chosen, stories()[at])
	}
	return chosen, nil
}

// Names lists the stories in the order in which they are played.
func Names() []string {
	var names []string
	for _, s := range stories() {
		names = append(names, s.name)
	}
	return names
}

// removeAll removes the folder, whose checkouts may hold read-only files.
func removeAll(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove %s: %w", filepath.Base(dir), err)
	}
	return nil
}

func orDefault(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// patience bounds what a story waits for, in real time.
const patience = 60 * time.Second
