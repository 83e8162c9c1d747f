package gitlabsim

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Fault makes requests go wrong, one after another.
type Fault struct {
	Method string // GET, POST …; empty: any
	Path   string // regular expression that the escaped path matches somewhere; empty: any
	Times  int    // how many requests; 0: one
	Kind   FaultKind
	Status int // of FaultStatus
	// RetryAfter is sent as Retry-After with a FaultStatus, in seconds rounded up, if not 0.
	RetryAfter time.Duration
	// Reset is sent as RateLimit-Reset with a FaultStatus: so long after now, if not 0.
	Reset time.Duration
	Body  string // of a FaultStatus; default {"message":"…"}
	// After lets GitLab do what is asked before the answer goes wrong.
	After bool
}

// FaultKind is how a request goes wrong.
type FaultKind string

// The kinds of faults.
const (
	FaultStatus FaultKind = "status" // answered with Status
	FaultHang   FaultKind = "hang"   // never answered; the connection stays open until the client leaves
	FaultCut    FaultKind = "cut"    // the connection is closed
	FaultHalf   FaultKind = "half"   // the answer breaks off in its middle
)

// Fail makes requests to the API and to git go wrong. It panics on a bad regular expression.
func (s *Server) Fail(f Fault) {
	regexp.MustCompile(f.Path)
	f.Times = max(f.Times, 1)
	if f.Kind == "" {
		f.Kind = FaultStatus
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Heal takes away all faults, mishaps and latency that are left.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.mishaps, s.latency = nil, nil, 0
}

// SetLatency makes every request take so much longer, in real time.
func (s *Server) SetLatency(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency = d
}

// fault returns the fault that strikes a request, if one does, and uses it up.
func (s *Server) fault(r *http.Request) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.Method != "" && f.Method != r.Method || !regexp.MustCompile(f.Path).MatchString(r.URL.EscapedPath()) {
			continue
		}
		f.Times--
		if f.Times == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		return *f, true
	}
	return Fault{}, false
}

// strike answers a request in the way of the fault.
func (s *Server) strike(w http.ResponseWriter, r *http.Request, f Fault) {
	switch f.Kind {
	case FaultStatus:
	case FaultHang:
		select {
		case <-r.Context().Done():
		case <-s.life.Done():
		}
		panic(http.ErrAbortHandler)
	case FaultCut:
		panic(http.ErrAbortHandler)
	case FaultHalf:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "4096")
		_, _ = w.Write([]byte(`[{"id": 1, "na`)) // the client may be gone
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
	}
	if f.Reset > 0 {
		w.Header().Set("RateLimit-Reset", strconv.FormatInt(s.clock.Now().Add(f.Reset).Unix(), 10))
	}
	if f.Body != "" {
		w.WriteHeader(f.Status)
		_, _ = w.Write([]byte(f.Body)) // the client may be gone
		return
	}
	switch f.Status {
	case http.StatusTooManyRequests:
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(f.Status)
		_, _ = w.Write([]byte("Retry later\n")) // the client may be gone
	case http.StatusConflict:
		answer(w, f.Status, message("Another update to this commit status is in progress"))
	default:
		answer(w, f.Status, message(strconv.Itoa(f.Status)+" "+http.StatusText(f.Status)))
	}
}

// MishapKind is what happens to deliveries of webhooks on their way.
type MishapKind string

// The kinds of mishaps.
const (
	MishapDrop      MishapKind = "drop"      // never sent
	MishapDuplicate MishapKind = "duplicate" // sent twice
	MishapHold      MishapKind = "hold"      // kept until ReleaseDeliveries, which sends the newest first
)

type mishap struct {
	kind  MishapKind
	event string
	times int
}

// Mishap lets something happen to the next deliveries of an event, such as "push"; empty: of any.
func (s *Server) Mishap(kind MishapKind, event string, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mishaps = append(s.mishaps, &mishap{kind, event, times})
}

// mishapFor returns what happens to a delivery. mu is held.
func (s *Server) mishapFor(event string) MishapKind {
	for i, m := range s.mishaps {
		if m.event != "" && m.event != event {
			continue
		}
		m.times--
		if m.times <= 0 {
			s.mishaps = slices.Delete(s.mishaps, i, i+1)
		}
		return m.kind
	}
	return ""
}

// ReleaseDeliveries sends what was held, the newest first, and holds nothing more.
func (s *Server) ReleaseDeliveries() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mishaps = slices.DeleteFunc(s.mishaps, func(m *mishap) bool { return m.kind == MishapHold })
	for _, d := range slices.Backward(s.deliveries) {
		if d.State == DeliveryQueued && d.end == nil {
			s.send(d)
		}
	}
}
