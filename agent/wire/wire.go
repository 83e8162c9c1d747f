package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// Bounds of calls.
const (
	MaxBody   = 512 << 10        // of a call, in bytes
	MaxAnswer = 4 << 20          // of an answer, in bytes
	MaxWait   = 10 * time.Second // that a poll is held while there is nothing new
	Gone      = 30 * time.Second // without a word, after which an agent counts as gone
	MaxWorks  = 64               // at the same time
)

// Enrolment is the body of the call that enrols; it is not signed, its token proves who sent it.
type Enrolment struct {
	Token   string `json:"token"`
	Key     []byte `json:"key"` // Ed25519, public
	Version string `json:"version"`
	Host    string `json:"host"`
}

// Enrolled answers an enrolment.
type Enrolled struct {
	Name upgrade.AgentName `json:"name"`
	Now  int64             `json:"now_ms"` // the gate's clock, milliseconds since 1970
}

// Poll is the body of a call that asks for orders.
type Poll struct {
	Instance string             `json:"instance"` // of this start of the agent
	N        int64              `json:"n"`        // counts the polls of an instance: an older one that comes late is passed over
	About    upgrade.AgentFacts `json:"about"`
	Wait     time.Duration      `json:"wait_ns"` // that the answer may take if there is nothing new
	Known    int64              `json:"known"`   // revision of the orders that it has
	Epoch    string             `json:"epoch"`   // of the gate that gave them
	Works    []Work             `json:"works"`
}

// States of a work.
const (
	StateRunning = "running"
	StateEnded   = "ended" // as ordered
	StateFailed  = "failed"
)

// Work is how far the agent is with an order.
type Work struct {
	ID string `json:"id"`
	// Origin names the beginning of the work that its samples count from: another one under the same ID is another
	// work, of an agent that lost the first. Empty, of an older agent: its instance.
	Origin  string         `json:"origin,omitempty"`
	State   string         `json:"state"`
	Begun   int64          `json:"begun_ns,omitempty"` // of a stream: when, by the gate's clock, nanoseconds since 1970; 0: not measured yet
	Count   int64          `json:"count,omitempty"`    // of a stream: samples so far
	Failure *Failure       `json:"failure,omitempty"`  // with StateFailed
	Ladders []probe.Ladder `json:"ladders,omitempty"`  // of a climb that ended
}

// Failure is an upgrade.Error on its way.
type Failure struct {
	Code upgrade.Code `json:"code"`
	Msg  string       `json:"msg"`
	Hint string       `json:"hint,omitempty"`
}

// FailureOf returns what may be told of err.
func FailureOf(err error) *Failure {
	return &Failure{Code: upgrade.CodeOf(err), Msg: upgrade.Public(err), Hint: upgrade.HintOf(err)}
}

// Err returns the failure as an error.
func (f *Failure) Err() error {
	code := upgrade.CodeUnavailable
	switch f.Code {
	case upgrade.CodeInvalid, upgrade.CodeForbidden, upgrade.CodeConflict, upgrade.CodeNotFound, upgrade.CodeLimited, upgrade.CodeUnavailable:
		code = f.Code
	case upgrade.CodeUnauthorized, upgrade.CodeStale, upgrade.CodeBusy, upgrade.CodeInternal:
	}
	return &upgrade.Error{Code: code, Msg: Clip(f.Msg), Hint: Clip(f.Hint)}
}

// Orders answers a poll: everything that is wanted now.
type Orders struct {
	Epoch  string  `json:"epoch"` // of this start of the gate
	Rev    int64   `json:"rev"`
	Now    int64   `json:"now_ns"` // the gate's clock, nanoseconds since 1970
	Orders []Order `json:"orders"`
}

// Order asks for one thing. Exactly one of Climb and Stream is set.
type Order struct {
	ID     string        `json:"id"`
	Climb  *probe.Path   `json:"climb,omitempty"`
	Stream *probe.Stream `json:"stream,omitempty"`
	CA     []byte        `json:"ca,omitempty"` // PEM, in place of the path's CAFile, which is a file of the gate's
	Next   int64         `json:"next"`         // the sample that is wanted next
	Stop   bool          `json:"stop"`
}

// OneShot asks a host for one climb, through `upgradegate probe --order`, which answers with a [Work].
type OneShot struct {
	Path  probe.Path `json:"path"`
	CA    []byte     `json:"ca,omitempty"` // PEM, in place of the path's CAFile
	Allow []string   `json:"allow"`        // what beyond public addresses may be reached
}

// Pong answers a ping.
type Pong struct {
	Now int64 `json:"now_ns"` // the gate's clock, nanoseconds since 1970
}

// Wanted answers a delivery of samples.
type Wanted struct {
	Next int64 `json:"next"` // the sample that is wanted next; -1: nobody asks for this stream now
}

// Strict reads orders as an agent does: a field that it does not know is a mistake. CodeInvalid.
func Strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: "the gate asks for something that this agent does not know",
			Hint: "run the same version of upgradegate on both sides", Cause: err,
		}
	}
	return nil
}

// Lenient reads what an agent sent. CodeInvalid.
func Lenient(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(into); err != nil {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the body is not JSON of the documented shape", Cause: err}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the body has more than one value"}
	}
	return nil
}

// Bounds of what one call may say.
const (
	maxText    = 4 << 10 // bytes
	maxLadders = 64
	maxRungs   = 32
	maxDoors   = 1000
)

// Check refuses what no agent of ours sends. CodeInvalid.
func (p *Poll) Check() error {
	if len(p.Instance) == 0 || len(p.Instance) > 64 || len(p.Works) > 4*MaxWorks || len(p.About.Allow) > 1000 {
		return beyond("a poll")
	}
	for i := range p.Works {
		w := &p.Works[i]
		if len(w.ID) == 0 || len(w.ID) > 256 || w.Count < 0 || len(w.Ladders) > maxLadders {
			return beyond("a work")
		}
		for j := range w.Ladders {
			l := &w.Ladders[j]
			if len(l.Rungs) > maxRungs || len(l.Warnings) > maxRungs || len(l.Doors) > maxDoors {
				return beyond("a ladder")
			}
			if err := checkChain(l.Chain); err != nil {
				return err
			}
			l.URL, l.Quote = Clip(l.URL), Clip(l.Quote)
			for k := range l.Rungs {
				r := &l.Rungs[k]
				if !wordForm.MatchString(string(r.Class)) || !wordForm.MatchString(string(r.Layer)) || !wordForm.MatchString(string(r.State)) {
					return beyond("a rung")
				}
				r.Detail = Clip(r.Detail)
			}
			for k := range l.Warnings {
				l.Warnings[k].Detail = Clip(l.Warnings[k].Detail)
			}
			for k := range l.Doors {
				l.Doors[k].Detail = Clip(l.Doors[k].Detail)
			}
		}
	}
	a := &p.About
	a.Version, a.Host = Clip(a.Version), Clip(a.Host)
	for i := range a.Allow {
		a.Allow[i] = Clip(a.Allow[i])
	}
	return nil
}

func beyond(what string) error {
	return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%s is beyond all bounds", what)}
}

// Clip returns text of at most maxText bytes, without what would move the cursor of a terminal or change its colours:
// it is shown to people, and an agent is not one of them.
func Clip(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\r':
			return -1
		case unicode.IsControl(r), r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069: // the last two turn the direction of text
			return '\ufffd'
		}
		return r
	}, s)
}
