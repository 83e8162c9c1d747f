package awssim

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"
)

// Call is one request that the simulator was asked.
type Call struct {
	At      time.Time // world time
	Service string    // sts, iam, kms, ec2, autoscaling, ecs, ssm or cloudtrail
	Action  string
	Who     string // ARN of the user, or of the role's session
	Account string
	Region  string
	Params  map[string]string // top level of the request; secrets are left out
	Status  int               // HTTP
	Code    string            // of the refusal; empty: it was done
	Message string            // of the refusal
	Lost    bool              // it was done, but the answer never sent
	// Unread names parameters that the simulator does not model. It did what it does without them.
	Unread []string
}

// maxCalls bounds the log; the oldest go first.
const maxCalls = 50_000

// remember writes the call into the log.
func (c *call) remember(a answered, err error) {
	entry := Call{
		At: c.now, Service: c.service, Action: c.action, Who: c.who.ARN, Account: c.who.Account,
		Status: a.status, Lost: a.lost, Params: c.params(),
	}
	if c.realm != nil {
		entry.Region = c.realm.region
	}
	if refusal, ok := errors.AsType[*apiError](err); ok {
		entry.Code, entry.Message = refusal.code, refusal.message
	} else {
		entry.Unread = c.p.unread()
	}
	c.calls = append(c.calls, entry)
	if len(c.calls) > maxCalls {
		c.calls = slices.Delete(c.calls, 0, maxCalls/10)
	}
}

// params returns the top level of the request, without what is secret.
func (c *call) params() map[string]string {
	out := map[string]string{}
	if speaksJSON(c.service) {
		var fields map[string]any
		if json.Unmarshal(c.body, &fields) == nil {
			for name, v := range fields {
				if text, ok := v.(string); ok {
					out[name] = text
				}
			}
		}
		return out
	}
	for name, kid := range c.p.kids {
		if kid.set && name != "Action" && name != "Version" && name != "ExternalId" && name != "TokenCode" {
			out[name] = kid.value
		}
	}
	return out
}

// Calls returns what the simulator was asked so far, oldest first.
func (s *Sim) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.w.calls)
}

// Fault is a way in which a call goes wrong that is nobody's mistake.
type Fault string

// The faults.
const (
	FaultThrottled   Fault = "throttled"   // refused with the service's word for "slower", nothing done
	FaultUnavailable Fault = "unavailable" // 503 without a body that means anything, nothing done
	FaultLost        Fault = "lost"        // done, but the connection ends before the answer
)

type fault struct {
	action string // "kms:ListGrants"; "*" is each
	kind   Fault
	left   int
}

// Inject makes the next times calls of an action ("autoscaling:CreateAutoScalingGroup", "*" for all) go
// wrong.
func (s *Sim) Inject(action string, kind Fault, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w.faults = append(s.w.faults, &fault{action, kind, times})
}

type moment int

const (
	before moment = iota
	after
)

var errLost = errors.New("the answer is lost")

// fault returns how this call goes wrong before or after its work, if it does.
func (c *call) fault(when moment) error {
	for _, f := range c.faults {
		if f.left <= 0 || f.action != "*" && f.action != permission(c.service, c.action) || (f.kind == FaultLost) != (when == after) {
			continue
		}
		f.left--
		switch f.kind {
		case FaultThrottled:
			return throttled(c.service)
		case FaultUnavailable:
			return &apiError{http.StatusServiceUnavailable, "ServiceUnavailable", "Service is unable to handle request."}
		case FaultLost:
			return errLost
		}
	}
	return nil
}
