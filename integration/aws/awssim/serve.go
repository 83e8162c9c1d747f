package awssim

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The services, by the names that signatures use for them.
const (
	serviceSTS = "sts"
	serviceKMS = "kms"
	serviceEC2 = "ec2"
	serviceASG = "autoscaling"
	serviceIAM = "iam"
	serviceECS = "ecs"
	serviceSSM = "ssm"
	serviceCT  = "cloudtrail"
)

const maxBody = 4 << 20

// service is one of them. It speaks the query protocol and has a namespace and a version, or JSON and has
// a target: what stands before the action in the header X-Amz-Target.
type service struct {
	namespace string
	version   string
	target    string
	actions   map[string]action
}

// speaksJSON reports which of the two protocols a service has.
func speaksJSON(service string) bool {
	switch service {
	case serviceKMS, serviceECS, serviceSSM, serviceCT:
		return true
	}
	return false
}

// action answers one call: []node for the query services, anything that JSON can print for the others.
type action func(*call) (any, error)

// call is one request on its way through the simulator.
type call struct {
	*world

	realm     *realm
	who       identity
	service   string
	action    string
	now       time.Time // world time
	signed    time.Time // by the client's clock
	p         *tree     // parameters of a query service
	body      []byte    // of a JSON service
	requestID string
	agent     string  // User-Agent of the client
	accessKey string  // with which it signed
	key       *kmsKey // that it turned out to be about
	grantID   string  // that it turned out to be about
}

// serve answers one request.
func (s *Sim) serve(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxBody))
	if err != nil {
		http.Error(rw, "cannot read the request: "+err.Error(), http.StatusBadRequest)
		return
	}
	a := s.answer(r, body)
	s.log.DebugContext(r.Context(), "simulated aws call", "service", a.call.service, "action", a.call.action, "status", a.status)
	if a.lost {
		// The client sees the connection end without an answer.
		panic(http.ErrAbortHandler)
	}
	rw.Header().Set("Content-Type", a.kind)
	rw.Header().Set("X-Amzn-Requestid", a.call.requestID)
	rw.WriteHeader(a.status)
	_, _ = rw.Write(a.body) // a client that went away misses its answer, as with the real one
}

// answered is an answer before it is written.
type answered struct {
	call   *call
	status int
	kind   string
	body   []byte
	lost   bool
}

func (s *Sim) answer(r *http.Request, body []byte) answered {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	s.w.advance(now)
	c := &call{world: s.w, now: now, body: body, p: &tree{}}
	c.requestID = c.uuid()
	who, sig, at, authErr := s.w.authenticate(r, body)
	c.who, c.signed, c.service = who, at, sig.service
	c.agent, c.accessKey = r.UserAgent(), sig.key
	target := r.Header.Get("X-Amz-Target")
	if target != "" && c.service == "" {
		c.service = serviceKMS // for the shape of the refusal
	}
	a := answered{call: c}
	result, err := s.run(c, r, target, authErr)
	c.record(result, err)
	a.lost = errors.Is(err, errLost)
	if a.lost {
		err = nil
	}
	var refusal *apiError
	switch {
	case errors.As(err, &refusal):
		a.status, a.kind, a.body = s.refusal(c, refusal)
	case err != nil:
		// Only a mistake in the simulator gets here: everything modelled is an apiError.
		a.status, a.kind, a.body = http.StatusNotImplemented, "text/plain", []byte(err.Error())
	default:
		a.status = http.StatusOK
		a.kind, a.body = s.success(c, result)
	}
	c.remember(a, err)
	return a
}

// run finds the action and runs it.
func (s *Sim) run(c *call, r *http.Request, target string, authErr error) (any, error) {
	if err := c.parse(r, target, s.services[c.service].target); err != nil {
		return nil, err
	}
	if authErr != nil {
		return nil, authErr
	}
	svc, ok := s.services[c.service]
	if !ok {
		return nil, refuse("InvalidAction", "The service %s is not simulated", c.service)
	}
	act, ok := svc.actions[c.action]
	if !ok && speaksJSON(c.service) {
		return nil, refuse("UnknownOperationException", "the simulator has no %s:%s", c.service, c.action)
	}
	if !ok {
		return nil, refuse("InvalidAction", "The action %s is not valid for this web service.", c.action)
	}
	if v := c.p.str("Version"); v != "" && v != svc.version {
		return nil, refuse("InvalidAction", "Could not find operation %s for version %.20s", c.action, v)
	}
	c.realm = c.world.realm(c.who.Account, regionOf(r, c))
	if err := c.fault(before); err != nil {
		return nil, err
	}
	if err := c.may(c.needs()...); err != nil {
		return nil, err
	}
	if c.p.is("DryRun") && c.action != "RunInstances" {
		return nil, dryRun()
	}
	result, err := act(c)
	if err == nil {
		err = c.fault(after)
	}
	return result, err
}

// dryRun is EC2's answer to a question that would have been carried out.
func dryRun() error {
	return &apiError{http.StatusPreconditionFailed, "DryRunOperation", "Request would have succeeded, but DryRun flag is set."}
}

// parse reads action and parameters. Error: the service's word for a request it cannot read.
func (c *call) parse(r *http.Request, target, own string) error {
	if target != "" {
		// Some clients write the service's package before its name.
		dot := strings.LastIndexByte(target, '.')
		if own == "" || dot < 0 || !strings.HasSuffix("."+target[:dot], "."+own) {
			return refuse("UnknownOperationException", "the simulator does not know the target %.80q", target)
		}
		c.action = target[dot+1:]
		if len(c.body) > 0 && !json.Valid(c.body) {
			return refuse("SerializationException", "the body is not JSON")
		}
		return nil
	}
	values := r.URL.Query()
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind == "application/x-www-form-urlencoded" || kind == "" {
		form, err := url.ParseQuery(string(c.body))
		if err != nil {
			return refuse("MalformedQueryString", "the body is not a form: %v", err)
		}
		maps.Copy(values, form)
	}
	p, err := parseTree(values)
	if err != nil {
		return err
	}
	c.p = p
	c.action = p.str("Action")
	if c.action == "" {
		return refuse("MissingAction", "The request must contain the parameter Action")
	}
	return nil
}

// regionOf returns the region that the request is for: that of its signature.
func regionOf(r *http.Request, c *call) string {
	sig, err := parseAuthorization(r.Header.Get("Authorization"))
	if err != nil || c.service == serviceSTS || c.service == serviceIAM {
		return c.cfg.Region
	}
	return sig.region
}

// success prints an answer in the service's protocol.
func (s *Sim) success(c *call, result any) (kind string, body []byte) {
	if speaksJSON(c.service) {
		if result == nil {
			return jsonKind, nil
		}
		body, err := json.Marshal(result)
		if err != nil {
			body = []byte(err.Error())
		}
		return jsonKind, body
	}
	kids, _ := result.([]node)
	name := c.action + "Response xmlns=\"" + s.services[c.service].namespace + "\""
	if c.service == serviceEC2 {
		return "text/xml;charset=UTF-8", nd(name, append([]node{tx("requestId", c.requestID)}, kids...)...).document()
	}
	return "text/xml", nd(name, nd(c.action+"Result", kids...), nd("ResponseMetadata", tx("RequestId", c.requestID))).document()
}

const jsonKind = "application/x-amz-json-1.1"

// refusal prints an error in the service's protocol.
func (s *Sim) refusal(c *call, e *apiError) (status int, kind string, body []byte) {
	switch {
	case speaksJSON(c.service):
		body, err := json.Marshal(map[string]string{"__type": e.code, "message": e.message})
		if err != nil {
			body = []byte("{}")
		}
		return e.status, jsonKind, body
	case c.service == serviceEC2:
		return e.status, "text/xml;charset=UTF-8",
			nd("Response", nd("Errors", nd("Error", tx("Code", e.code), tx("Message", e.message))), tx("RequestID", c.requestID)).document()
	}
	who := "Sender"
	if e.status >= http.StatusInternalServerError {
		who = "Receiver"
	}
	name := "ErrorResponse"
	if svc, ok := s.services[c.service]; ok {
		name += " xmlns=\"" + svc.namespace + "\""
	}
	return e.status, "text/xml",
		nd(name, nd("Error", tx("Type", who), tx("Code", e.code), tx("Message", e.message)), tx("RequestId", c.requestID)).document()
}
