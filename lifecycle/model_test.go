package lifecycle_test

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

// model is a second, naive account of a history. It knows no runs, phases or results: only what was
// pushed and agreed to, what Terraform did to each staging, what gates saw there, and what GitLab was
// asked to do. Each time production is opened, or staging is changed, it says which rule that breaks.
type model struct {
	stacks []upgrade.Stack
	now    func() time.Time

	mu         sync.Mutex // guards the fields below
	wrong      []string
	reviewed   map[string]bool      // contents that somebody reviewed, ever: on a protected branch, or approved
	mainHeads  map[string]bool      // contents that were head of production's branch
	production map[string]string    // by workspace: the part that production has; absent: not known
	staging    map[string]stagingOf // by workspace
	agreed     map[string]bool      // "workspace from>to" that a release manager agreed to
	overridden map[string]time.Time // by content: until when
	judged     map[string]bool      // plan files that a plan gate was asked about
	applying   map[string]int
	applied    map[string]bool // plan files
	invariant  *answered       // of production's standing gate; nil: there is none
}

// answered is what a standing gate was seen to say. What it said at this very moment may not be written down
// yet.
type answered struct {
	no   bool
	at   time.Time // of the newest answer
	held time.Time // of the newest pass
}

// stood is told of each answer of the standing gate.
func (m *model) stood(err error) {
	m.do(func() {
		a := m.invariant
		switch {
		case err == nil:
			a.no, a.at, a.held = false, m.now(), m.now()
		case gates.Failed(err):
			a.no, a.at = true, m.now()
		default: // an answer that is none takes nothing back but a no
			a.no, a.at = false, m.now()
		}
	})
}

// openedInSpite says what is wrong with opening production while its standing gate does not hold.
func (m *model) openedInSpite(content string) {
	a := m.invariant
	if a == nil || m.now().Before(m.overridden[content]) {
		return
	}
	switch now := m.now(); {
	case a.no && a.at.Before(now):
		m.breaks("S1", "production was opened for %q, and its invariant has been broken since %s", content, a.at.Format("15:04:05"))
	case a.held.IsZero():
		m.breaks("S1", "production was opened for %q, and nobody saw its invariant hold", content)
	case now.Sub(a.held) > invariantGoodFor:
		m.breaks("S1", "production was opened for %q, and its invariant was last seen to hold %s ago", content, now.Sub(a.held))
	}
}

// stagingOf is what the model knows of one stack's staging.
type stagingOf struct {
	content string // the whole content that was applied last
	part    string
	ok      bool      // that apply ended well
	healthy time.Time // when an instance was last seen to start on it; zero: not since, or it did not
	unclean bool      // the site was interrupted since staging was last what production is
}

func newModel(h *house) *model {
	return &model{
		stacks: h.stacks, now: h.clock.Now,
		reviewed: map[string]bool{"base": true}, mainHeads: map[string]bool{}, production: map[string]string{}, staging: map[string]stagingOf{},
		agreed: map[string]bool{}, judged: map[string]bool{}, overridden: map[string]time.Time{}, applying: map[string]int{}, applied: map[string]bool{},
	}
}

func (m *model) breaks(rule, format string, args ...any) {
	m.wrong = append(m.wrong, rule+": "+fmt.Sprintf(format, args...))
}

func (m *model) do(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// begins is told of each apply before it changes anything.
func (m *model) begins(digest string, to plannedTo) {
	m.do(func() {
		if m.applying[to.workspace]++; m.applying[to.workspace] > 1 {
			m.breaks("S3", "two applies on %s at once", to.workspace)
		}
		if m.applied[digest] {
			m.breaks("S3", "a plan file was applied twice")
		}
		m.applied[digest] = true
		s := m.staging[to.workspace]
		s.content, s.ok, s.healthy = to.content, false, time.Time{} // until it has ended well
		m.staging[to.workspace] = s
		if !m.judged[digest] {
			m.breaks("S2", "what was applied to %s is not what was judged", to.workspace)
		}
		if !m.reviewed[to.content] && to.content != "" {
			m.breaks("S13", "%q was applied to %s, and nobody had reviewed it", to.content, to.workspace)
		}
		guarded := to.from != to.to && strings.Contains(to.to, signGuarded)
		if guarded && !m.agreed[to.workspace+" "+to.from+">"+to.to] && !m.now().Before(m.overridden[to.content]) {
			m.breaks("S12", "something guarded was destroyed by %s>%s on %s, and nobody had agreed to that", to.from, to.to, to.workspace)
		}
	})
}

// ended is told of each apply that ended; ok is false when it stopped in the middle.
func (m *model) ended(to plannedTo, ok bool) {
	m.do(func() {
		m.applying[to.workspace]--
		s := m.staging[to.workspace]
		s.content, s.part, s.ok, s.healthy = to.content, to.to, ok, time.Time{}
		production, known := m.production[to.workspace]
		switch {
		case ok && to.from != to.to && strings.Contains(to.to, signOutage):
			s.unclean = true
		case ok && known && to.to == production:
			s.unclean = false
		}
		m.staging[to.workspace] = s
	})
}

// lost is told when every apply that was going on was cut off.
func (m *model) lost() { m.do(func() { clear(m.applying) }) }

// saw is told of each answer of the gate that starts an instance.
func (m *model) saw(workspace string, passed bool) {
	m.do(func() {
		s := m.staging[workspace]
		s.healthy = time.Time{}
		if passed {
			s.healthy = m.now()
		}
		m.staging[workspace] = s
	})
}

// opened is told when production is opened for a content.
func (m *model) opened(content string) {
	m.do(func() {
		if !m.mainHeads[content] {
			m.breaks("S13", "production was opened for %q, which was never on its branch", content)
		}
		m.openedInSpite(content)
		override := m.now().Before(m.overridden[content])
		for _, stack := range m.stacks {
			m.openedOn(content, stack, override)
		}
	})
}

func (m *model) openedOn(content string, stack upgrade.Stack, override bool) {
	workspace := stack.Staging.Workspace
	s, part := m.staging[workspace], part(content, stack.Dir)
	production, known := m.production[workspace]
	if known && part == production && s.part == part {
		return // not touched
	}
	switch {
	case s.content != content || !s.ok:
		m.breaks("S1", "production was opened for %q, and what was last applied to %s is %q (whole: %v)", content, workspace, s.content, s.ok)
	case override:
	case s.healthy.IsZero():
		m.breaks("S5", "production was opened for %q, and nobody saw an instance start on %s since", content, workspace)
	case m.now().Sub(s.healthy) > 20*time.Minute:
		m.breaks("S1", "production was opened for %q on an answer from %s ago", content, m.now().Sub(s.healthy))
	case s.unclean:
		m.breaks("S12", "production was opened for %q, and the site was interrupted on the way there", content)
	}
}

// deployed is told when production has a content.
func (m *model) deployed(content string) {
	m.do(func() {
		for _, stack := range m.stacks {
			workspace := stack.Staging.Workspace
			m.production[workspace] = part(content, stack.Dir)
			s := m.staging[workspace]
			s.unclean = s.unclean && s.part != m.production[workspace]
			m.staging[workspace] = s
		}
	})
}
