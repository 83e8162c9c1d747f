package server

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// question is an act that is confirmed on a page of its own.
type question struct {
	kind upgrade.RequestKind
	path string
}

func questions() []question {
	return []question{{upgrade.RequestStop, "stop"}, {upgrade.RequestRecheck, "rerun"}, {upgrade.RequestRelock, "lock"}}
}

// confirmView is such a page: the question, what would change, and the form.
type confirmView struct {
	Path, Number, Stack, Version string
	Action                       string // address that the form is sent to
	Title                        string
	Effect                       []string
	Safe, Risky                  string
	Seen                         string // the run as it was when the form was made
	Key                          string // makes a second sending of the same form have no second effect
	Reason                       string // as typed so far
	NeedsReason                  bool
	Problem, ProblemHint         string // why the last try had no effect
	Off                          string // why it cannot be done; then there is no form
	Headline                     string
	Chip                         chip
}

// seen names the state of a run that a question is about. It changes with each phase, and not with
// each resource that Terraform gets done.
func seen(r upgrade.Run) string {
	return string(r.Phase) + "." + strconv.FormatInt(r.Since.UnixNano(), 36) + "." + strconv.Itoa(r.Round)
}

func (s *Server) question(q question, r upgrade.Run, p upgrade.Person) confirmView {
	told := upgrade.Tell(r)
	v := confirmView{
		Path: runPath(r.ID), Number: r.ID.String(), Stack: string(r.Stack), Version: r.Version, Action: runPath(r.ID) + "/" + q.path,
		Seen: seen(r), Key: rand.Text(), Headline: told.Headline, Chip: chipOf(told.Look, told.Key),
	}
	name := fmt.Sprintf("%s %s", r.Stack, r.Version)
	switch q.kind {
	case upgrade.RequestStop:
		v.Title, v.Safe, v.Risky = "Stop "+name+"?", "Let it go on", "Stop the run"
		v.Effect = stopEffect(r)
		v.NeedsReason = r.Phase == upgrade.PhaseApplying
	case upgrade.RequestRecheck:
		v.Title, v.Safe, v.Risky = "Run the gates of "+name+" again?", "Leave it as it is", "Run the gates again"
		v.Effect = []string{
			"Nothing is applied again: " + string(r.Environment) + " stays as it is, and all gates ask once more.",
			"A gate that tries a launch starts one test instance in " + string(r.Environment) + " and removes it.",
		}
	case upgrade.RequestRelock:
		v.Title, v.Safe, v.Risky = "Lock "+name+" again?", "Keep it unlocked", "Lock it again"
		v.Effect = []string{"Production can no longer be started for this run. What has been started already goes on.", "The status in GitLab turns to failed."}
		v.NeedsReason = true
	case upgrade.RequestSupersede:
	}
	switch needs := neededRole(q.kind); {
	case !p.Role.Includes(needs):
		v.Off = fmt.Sprintf("You can see this run, but not do this. It needs the role %s; yours is %s.", roleTitle(needs), roleTitle(p.Role))
	case !allowed(r.Phase, q.kind):
		v.Off = "This is not possible in the state that the run is in now."
	}
	return v
}

func stopEffect(r upgrade.Run) []string {
	switch {
	case r.Phase == upgrade.PhaseApplying:
		return []string{
			"Terraform is asked to end after what is in flight. It is never killed.",
			fmt.Sprintf("%d of %d resources are changed already and stay changed: %s is left half changed.", r.Progress.Done, r.Progress.Total, r.Environment),
		}
	case r.Applies > 0:
		return []string{fmt.Sprintf("The apply is done and stays: %s keeps the change, untested.", r.Environment), "Production stays locked."}
	}
	return []string{fmt.Sprintf("%s has not been touched.", upperFirst(string(r.Environment))), "Production stays locked."}
}

func (s *Server) confirmPage(q question) func(c *gin.Context) error {
	return func(c *gin.Context) error {
		run, err := s.run(c)
		if err != nil {
			return err
		}
		return s.showQuestion(c, http.StatusOK, s.question(q, run, person(c)))
	}
}

func (s *Server) showQuestion(c *gin.Context, code int, v confirmView) error {
	return s.show(c, code, "confirm", s.layout(c, v.Title, v))
}

// confirm does what the form asks. Whatever stands against it brings the same page back, with what was
// typed and with the state as it is now.
func (s *Server) confirm(q question) func(c *gin.Context) error {
	return func(c *gin.Context) error {
		id, err := runID(c)
		if err != nil {
			return err
		}
		if err := c.Request.ParseForm(); err != nil {
			return badBody(err)
		}
		reason := c.PostForm("reason")
		run, err := s.askOnce(c, c.PostForm("key"), upgrade.Request{Run: id, Kind: q.kind, Reason: reason}, func(r upgrade.Run) bool {
			return c.PostForm("seen") == seen(r)
		})
		if err == nil {
			c.Redirect(http.StatusSeeOther, runPath(id)+"?done="+q.path)
			return nil
		}
		switch code := upgrade.CodeOf(err); {
		case run.ID == 0: // there is no run to show
			return err
		case code == upgrade.CodeStale, code == upgrade.CodeConflict, code == upgrade.CodeInvalid, code == upgrade.CodeForbidden:
			v := s.question(q, run, person(c))
			p := problemOf(err, requestID(c))
			v.Problem, v.ProblemHint, v.Reason = stop(p.Detail), stop(p.Hint), reason
			return s.showQuestion(c, p.Status, v)
		}
		return err
	}
}

// askOnce asks, unless the same form was sent and granted before.
func (s *Server) askOnce(c *gin.Context, key string, r upgrade.Request, same func(upgrade.Run) bool) (upgrade.Run, error) {
	k := memoryKey{who: person(c).Name, key: "form/" + c.Request.URL.Path + "/" + key}
	old, err := s.memory.begin(k, [32]byte{})
	if err != nil {
		return upgrade.Run{}, err
	}
	if old != nil {
		return upgrade.Run{}, nil
	}
	err = errPanicked
	defer func() { s.memory.end(k, http.StatusSeeOther, nil, err) }()
	var run upgrade.Run
	run, err = s.ask(c, r, same)
	return run, err
}

// flash is what the run's page says after an act.
func flash(done string) string {
	switch done {
	case "stop":
		return "Asked to stop. The run ends as soon as it can."
	case "rerun":
		return "Asked to run the gates again."
	case "lock":
		return "Asked to lock it again."
	}
	return ""
}
