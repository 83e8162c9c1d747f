package service

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/server"
	"github.com/upgradegate/upgradegate/upgrade"
)

// settingsOf returns what pages are told of the configuration: what is in force, and on each call whether the
// file still says so. nil if it is from no file.
func settingsOf(o Options) func() server.Settings {
	if o.File == "" {
		return nil
	}
	data, err := os.ReadFile(o.File)
	if err != nil {
		o.Log.Warn("the configuration cannot be shown", "file", o.File, "err", err)
		return nil
	}
	loaded := server.Settings{File: o.File, LoadedAt: o.Clock.Now(), Digest: digestOf(data), Warnings: warningsOf(o.Config, o.Clock.Now())}
	for _, s := range config.Explain(o.File, data) {
		loaded.Values = append(loaded.Values, server.Setting(s))
	}
	return func() server.Settings {
		s := loaded
		now, err := os.ReadFile(o.File)
		switch {
		case err != nil:
			s.Rejected = []server.Problem{{Message: "the file cannot be read any more", Hint: "put it back before the service is started again"}}
		case digestOf(now) != s.Digest:
			s.Changed = true
			_, err := config.Parse(o.File, now, o.Source)
			if problems, ok := errors.AsType[config.Problems](err); ok {
				for _, p := range problems {
					s.Rejected = append(s.Rejected, server.Problem{Line: p.Line, Path: p.Path, Message: p.Message, Hint: p.Hint})
				}
			}
		}
		return s
	}
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// warningsOf says what is right by the rules and should be known all the same.
func warningsOf(c *config.Config, now time.Time) []string {
	var list []string
	warn := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if c.SignIn.BreakGlass != nil {
		warn("The local account %s may sign in without a provider: each use is in the audit log.", c.SignIn.BreakGlass.Name)
	}
	if strings.HasPrefix(c.Server.PublicURL, "http://") {
		warn("People reach the service without TLS, at %s: whoever is on the way reads their tokens.", c.Server.PublicURL)
	}
	standing := map[upgrade.EnvName]bool{}
	for _, g := range c.Gates {
		standing[g.Environment] = standing[g.Environment] || g.Stage == upgrade.StageStanding
		if g.Skip != nil && now.Before(g.Skip.Until) {
			warn("Gate %s of %s is skipped until %s: %s.", g.Name, g.Environment, g.Skip.Until.Format("2 Jan 2006"), strings.TrimRight(g.Skip.Reason, "."))
		}
	}
	if !standing["production"] {
		warn("Nothing is checked of production continuously: no gate with stage: standing lists it.")
	}
	for _, stack := range c.Stacks {
		if len(stack.Holds) == 0 {
			warn("Stack %s has no holds: its production is not kept shut, only told.", stack.Name)
		}
	}
	return list
}
