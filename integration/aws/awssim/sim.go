package awssim

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Config says what a simulator is like. Only Clock is needed.
type Config struct {
	Clock   upgrade.Clock // world time
	Account string        // twelve digits, of the default key; default 111111111111
	Region  string        // of what New seeds; default eu-west-2
	Keys    []AccessKey   // that may sign; default: DefaultKeyID, user/terraform of Account
	Roles   []Role        // that may be assumed; more by AddRole
	Timing  Timing
	// Denial is how a launch dies when the group's role lacks permissions on a key. Default: Cancelled,
	// "Client.InternalError: Client error on launch".
	Denial Failure
	// LookupLimit is how many cloudtrail:LookupEvents an account may ask in a second of the clients' time;
	// AWS allows 2. 0: as many as it likes.
	LookupLimit int
	// GrantNameAlone makes CreateGrant return an existing grant of the same name on the key whatever the
	// other parameters are. guess: by default a name with other parameters makes a new grant.
	GrantNameAlone bool
	// PageSize makes answers in pages smaller than the real service's; 0: as large as those.
	PageSize int
	Shell    Shell        // runs what Systems Manager runs on instances; default: nothing runs, with success
	Log      *slog.Logger // one line per call, at debug; default: none
}

// Timing says how long things take, in world time. Zero fields take the default that is named, negative
// ones mean: at once.
type Timing struct {
	GrantDelay    time.Duration // until a new grant or statement of a key policy is enforced: 5 min
	RevokeDelay   time.Duration // until one that was taken away is no longer: 5 min
	Reconcile     time.Duration // until a group notices that it has too few or too many: 5 s
	Pending       time.Duration // from the launch of an instance until it runs: 20 s
	Checks        time.Duration // from running until the status checks are ok: 2 min
	Die           time.Duration // from the launch until a doomed instance is terminated: 8 s
	Notice        time.Duration // from there until the group notices: 30 s
	Relaunch      time.Duration // from a failed launch to the next try: 30 s
	Register      time.Duration // from running until the cluster has it ACTIVE; REGISTERING from half of it on: 1 min
	Place         time.Duration // from there until it runs the cluster's tasks, and from DRAINING until none: 15 s
	Ping          time.Duration // from running until Systems Manager calls it Online: 45 s
	Invocation    time.Duration // until GetCommandInvocation knows a command: 1 s
	Console       time.Duration // from running until the console shows what user data printed: 40 s
	Trail         time.Duration // until CloudTrail tells of a call: 5 min
	Terminate     time.Duration // from the order until an instance is terminated: 30 s
	Lag           time.Duration // until reads see what was written to a group, or that an instance is there: at once
	Forget        time.Duration // after which a terminated instance is no longer listed: 1 h
	ActivityStays time.Duration // of deleted groups: six weeks
}

// Sim is a simulated AWS. All methods may be called at any time from anywhere.
type Sim struct {
	log      *slog.Logger
	clock    upgrade.Clock
	services map[string]service
	serving  sync.WaitGroup

	mu sync.Mutex // guards w
	w  *world
}

// New returns a simulator with a default VPC in its account and region: three subnets, a default
// security group, the service-linked role of Auto Scaling and two public images. Any other account or
// region that is used gets the same at its first use. Error: CodeInvalid.
func New(cfg Config) (*Sim, error) {
	if cfg.Clock == nil {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the simulated AWS needs a clock"}
	}
	cfg.setDefaults()
	if !regexp.MustCompile(`^\d{12}$`).MatchString(cfg.Account) {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "an AWS account has twelve digits, not " + cfg.Account}
	}
	w := &world{
		cfg: cfg, realms: map[realmKey]*realm{}, roles: map[string]*Role{}, sessions: map[string]*session{},
		denials: map[denial]bool{}, policies: map[string][]identityPolicy{}, profiles: map[string]string{}, failing: map[string]Failure{}, spoiled: map[string]Spoil{}, joins: map[string]string{}, changed: make(chan struct{}),
	}
	for _, role := range cfg.Roles {
		w.roles[role.ARN] = &role
	}
	w.seedPublicImages()
	w.realm(cfg.Account, cfg.Region)
	s := &Sim{
		log: cfg.Log, clock: cfg.Clock, w: w,
		services: map[string]service{
			serviceSTS: {"https://sts.amazonaws.com/doc/2011-06-15/", "2011-06-15", "", stsActions()},
			serviceKMS: {"", "", "TrentService", kmsActions()},
			serviceEC2: {"http://ec2.amazonaws.com/doc/2016-11-15/", "2016-11-15", "", ec2Actions()},
			serviceIAM: {"https://iam.amazonaws.com/doc/2010-05-08/", "2010-05-08", "", iamActions()},
			serviceASG: {"http://autoscaling.amazonaws.com/doc/2011-01-01/", "2011-01-01", "", autoscalingActions()},
			serviceECS: {"", "", "AmazonEC2ContainerServiceV20141113", ecsActions()},
			serviceSSM: {"", "", "AmazonSSM", ssmActions()},
			serviceCT:  {"", "", "CloudTrail_20131101", trailActions()},
		},
	}
	w.beside = s.beside
	return s, nil
}

// beside does something that takes real time, without holding the lock, and what follows of it with the lock.
// The world's clock stands still meanwhile.
func (s *Sim) beside(do func() (then func())) {
	end := s.clock.Begin()
	s.serving.Go(func() {
		defer end()
		then := do()
		s.mu.Lock()
		defer s.mu.Unlock()
		then()
	})
}

func (cfg *Config) setDefaults() {
	if cfg.Account == "" {
		cfg.Account = "111111111111"
	}
	if cfg.Region == "" {
		cfg.Region = "eu-west-2"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if len(cfg.Keys) == 0 {
		cfg.Keys = []AccessKey{{ID: DefaultKeyID, Secret: DefaultSecret, ARN: "arn:aws:iam::" + cfg.Account + ":user/terraform"}}
	}
	if cfg.Denial.Code == "" {
		cfg.Denial.Code, cfg.Denial.Message = "Client.InternalError", "Client error on launch"
	}
	if cfg.Denial.Status == "" {
		cfg.Denial.Status = "Cancelled"
	}
	cfg.Timing.setDefaults()
}

func (t *Timing) setDefaults() {
	for _, d := range []struct {
		field *time.Duration
		def   time.Duration
	}{
		{&t.GrantDelay, 5 * time.Minute},
		{&t.RevokeDelay, 5 * time.Minute},
		{&t.Reconcile, 5 * time.Second},
		{&t.Pending, 20 * time.Second},
		{&t.Checks, 2 * time.Minute},
		{&t.Die, 8 * time.Second},
		{&t.Notice, 30 * time.Second},
		{&t.Relaunch, 30 * time.Second},
		{&t.Register, time.Minute},
		{&t.Place, 15 * time.Second},
		{&t.Ping, 45 * time.Second},
		{&t.Invocation, time.Second},
		{&t.Console, 40 * time.Second},
		{&t.Trail, 5 * time.Minute},
		{&t.Terminate, 30 * time.Second},
		{&t.Forget, time.Hour},
		{&t.ActivityStays, 6 * 7 * 24 * time.Hour},
	} {
		switch {
		case *d.field == 0:
			*d.field = d.def
		case *d.field < 0:
			*d.field = 0
		}
	}
}

// Handler returns the simulator as a handler of all its services, told apart by the credential scope of
// each request's signature.
func (s *Sim) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Start serves on addr ("127.0.0.1:0" picks a port) until ctx ends, and returns the address (host:port)
// that it listens on. Wait waits for the end.
func (s *Sim) Start(ctx context.Context, addr string) (listening string, err error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return "", &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "the simulated AWS cannot listen on " + addr, Cause: err}
	}
	srv := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute}
	s.serving.Go(func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("simulated aws stopped", "err", err)
		}
	})
	s.serving.Go(func() {
		<-ctx.Done()
		_ = srv.Close() // what is under way belongs to clients that go away too
	})
	return ln.Addr().String(), nil
}

// Wait returns when everything that Start began has ended.
func (s *Sim) Wait() { s.serving.Wait() }
