package server

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// confirmView is the page that asks before something is done: the question, what would change, and the form.
type confirmView struct {
	Path, Number, Stack, Version string
	Action                       string // address that the form is sent to
	Title                        string
	Effect                       []string
	Lists                        []seenList // what exactly is agreed to
	Safe, Risky                  string
	Seen                         string // the run as it was when the form was made
	Digest                       string // of what the person sees
	Key                          string // makes a second sending of the same form have no second effect
	Reason                       string // as typed so far
	NeedsReason                  bool
	Shortest                     int    // characters of the reason; 0: any
	Box                          string // what has to be ticked; empty: nothing
	Hours                        int    // asks for how many hours it counts; 0: does not ask
	Problem, ProblemHint         string // why the last try had no effect
	Off                          string // why it cannot be done; then there is no form
	Headline                     string
	Chip                         chip
}

// seenList is lines that are read before they are agreed to.
type seenList struct {
	Title string
	Lines []seenLine
	More  int // lines beyond those shown
}

type seenLine struct {
	Text, Beside string
	Mono         bool // Text is an address
}

// asking is what a question is about.
type asking struct {
	run     upgrade.Run
	results []upgrade.Result // the newest of each gate
	next    upgrade.RunID    // the first in the queue behind it; 0: nobody waits
	person  upgrade.Person
	words   words
}

// seen names the state of a run that a question is about. It changes with each phase and each step of an
// override, and not with each resource that Terraform gets done.
func seen(r upgrade.Run) string {
	s := string(r.Phase) + "." + strconv.FormatInt(r.Since.UnixNano(), 36) + "." + strconv.Itoa(r.Round)
	if o := r.Override; o != nil {
		s += "." + strconv.FormatInt(o.Asked.UnixNano(), 36) + "." + strconv.Itoa(len(o.By))
	}
	return s
}

func (s *Server) question(a act, in asking) confirmView {
	r := in.run
	told := upgrade.Tell(r)
	v := confirmView{
		Path: runPath(r.ID), Number: r.ID.String(), Stack: string(r.Stack), Version: r.Version, Action: runPath(r.ID) + "/" + a.page,
		Seen: seen(r), Key: rand.Text(), Headline: told.Headline, Chip: chipOf(told.Look, told.Key),
	}
	v.ask(a, in)
	switch needs := a.needs(); {
	case !in.person.RoleIn(r.Project).Includes(needs):
		v.Off = fmt.Sprintf("You can see this run, but not do this. It needs the role %s; yours is %s.", roleTitle(needs), roleTitle(in.person.RoleIn(r.Project)))
	case a.kind == upgrade.RequestOverride && asksAlready(r, in.person, in.words.now):
		v.Off = fmt.Sprintf("You asked for it at %s. It takes a second release manager, by %s.", in.words.stamp(r.Override.Asked).Text, in.words.stamp(r.Override.Asked.Add(secondWithin)).Text)
	case !a.allowed(r):
		v.Off = "This is not possible in the state that the run is in now."
	}
	return v
}

func (s *Server) confirmPage(a act) func(c *gin.Context) error {
	return func(c *gin.Context) error {
		run, err := s.run(c)
		if err != nil {
			return err
		}
		return s.showQuestion(c, http.StatusOK, a, run, func(*confirmView) {})
	}
}

// showQuestion shows the page that asks, with the run as it is; as changes it for what was typed before.
func (s *Server) showQuestion(c *gin.Context, code int, a act, run upgrade.Run, as func(*confirmView)) error {
	ctx := c.Request.Context()
	in := asking{run: run, person: person(c), words: s.words()}
	if a.kind == upgrade.RequestApprove || a.kind == upgrade.RequestRefuse {
		all, err := s.evidence.Results(ctx, run.ID)
		if err != nil {
			return fmt.Errorf("read results of run %d: %w", run.ID, err)
		}
		in.results = newestPlan(all)
	}
	if a.kind == upgrade.RequestRelock {
		var err error
		if in.next, err = s.nextInLine(ctx, run); err != nil {
			return err
		}
	}
	v := s.question(a, in)
	as(&v)
	return s.show(c, code, "confirm", s.layout(c, v.Title, v))
}

// confirm does what the form asks. Whatever stands against it brings the same page back, with what was
// typed and with the state as it is now.
func (s *Server) confirm(a act) func(c *gin.Context) error {
	return func(c *gin.Context) error {
		id, err := runID(c)
		if err != nil {
			return err
		}
		if err := c.Request.ParseForm(); err != nil {
			return badBody(err)
		}
		run, err := s.askOnce(c, a, id)
		if err == nil {
			c.Redirect(http.StatusSeeOther, runPath(id)+"?done="+a.page)
			return nil
		}
		switch code := upgrade.CodeOf(err); {
		case run.ID == 0: // there is no run to show
			return err
		case code == upgrade.CodeStale, code == upgrade.CodeConflict, code == upgrade.CodeInvalid, code == upgrade.CodeForbidden:
			refusedBy(c.Request.Context(), err)
			p := problemOf(err, requestID(c))
			return s.showQuestion(c, p.Status, a, run, func(v *confirmView) {
				v.Problem, v.ProblemHint, v.Reason = stop(p.Detail), stop(p.Hint), c.PostForm("reason")
				if hours, err := strconv.Atoi(c.PostForm("hours")); err == nil && v.Hours > 0 {
					v.Hours = hours
				}
			})
		}
		return err
	}
}

// askOnce asks, unless the same form was sent and granted before.
func (s *Server) askOnce(c *gin.Context, a act, id upgrade.RunID) (upgrade.Run, error) {
	var run upgrade.Run
	_, _, err := s.onceForm(c, func() (answer any, err error) {
		run, err = s.askForm(c, a, id)
		return nil, err
	})
	return run, err
}

// askForm asks what the form says.
func (s *Server) askForm(c *gin.Context, a act, id upgrade.RunID) (upgrade.Run, error) {
	r := upgrade.Request{Run: id, Reason: c.PostForm("reason"), Digest: c.PostForm("digest")}
	same := func(r upgrade.Run) bool { return c.PostForm("seen") == seen(r) }
	if a.kind == upgrade.RequestOverride {
		hours, err := strconv.Atoi(c.PostForm("hours"))
		if err != nil || hours < 1 || hours > longestHours {
			return s.unasked(c, id, invalid("the override ends after 1 to %d hours", longestHours))
		}
		if c.PostForm("box") == "" {
			return s.unasked(c, id, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the box is not ticked", Hint: "read what production gets, and tick it"})
		}
		r.Until = s.clock.Now().Add(time.Duration(hours) * time.Hour)
	}
	run, _, err := s.ask(c, a, r, same)
	return run, err
}

// unasked returns the run of a form that is not complete, to show it again.
func (s *Server) unasked(c *gin.Context, id upgrade.RunID, why error) (upgrade.Run, error) {
	run, err := s.runs.Run(c.Request.Context(), id)
	if err != nil {
		return upgrade.Run{}, fmt.Errorf("read run %d: %w", id, err)
	}
	return run, why
}
