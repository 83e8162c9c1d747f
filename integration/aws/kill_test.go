package aws_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/integration/aws"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	clocks "github.com/upgradegate/upgradegate/internal/world"
	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	childEnv  = "UPGRADEGATE_TEST_LAUNCH" // what the process that is killed is to do, as JSON
	worldTime = "X-World-Time"            // of each request: the child's clock, Unix nanoseconds
)

// order is what the process that is killed is to do.
type order struct {
	URL      string
	Start    time.Time
	Settings gates.LaunchSettings
}

// TestS4KilledLaunch kills the process that asks a launch gate, with SIGKILL, before each of its calls to AWS
// in turn. Whatever it had made by then, a reaper that comes after the expiry and knows nothing but AWS leaves
// nothing of it, and the real group is as it was (S4).
func TestS4KilledLaunch(t *testing.T) {
	for _, test := range []struct {
		name     string
		settings gates.LaunchSettings
		grant    bool
		want     upgrade.Outcome
	}{
		{"healthy", gates.LaunchSettings{StatusChecks: true}, true, upgrade.OutcomePassed},
		{"relaunching", gates.LaunchSettings{}, false, upgrade.OutcomeFailed},
		{"each_zone", gates.LaunchSettings{EachZone: true}, true, upgrade.OutcomePassed},
		{"scale_out", gates.LaunchSettings{Method: gates.MethodScaleOut}, true, upgrade.OutcomePassed},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			calls, outcome := launchAndKill(t, test.settings, test.grant, 0)
			if outcome != test.want || calls < 20 {
				t.Fatalf("without a kill: %s after %d calls, want %s", outcome, calls, test.want)
			}
			for n := 1; n <= calls; n++ {
				if reached, outcome := launchAndKill(t, test.settings, test.grant, n); reached != n || outcome != "" {
					t.Errorf("killed before call %d: it made %d, and answered %q", n, reached, outcome)
				}
				if t.Failed() {
					t.Fatalf("after a kill before call %d of %d", n, calls)
				}
			}
			t.Logf("%d calls, killed before each", calls)
		})
	}
}

// launchAndKill has another process ask the gate in a new world, kills it before its nth call (0: never), reaps
// and looks whether anything is left. It returns how many calls came and the answer, if any.
func launchAndKill(t *testing.T, settings gates.LaunchSettings, granted bool, n int) (calls int, outcome upgrade.Outcome) {
	t.Helper()
	w := newWorld(t, func(cfg *awssim.Config) { // fast, so that a launch is made of few looks
		cfg.Timing.Pending, cfg.Timing.Checks, cfg.Timing.Die, cfg.Timing.Notice = 4*time.Second, 4*time.Second, 2*time.Second, 2*time.Second
		cfg.Timing.Reconcile, cfg.Timing.Terminate, cfg.Timing.Lag = time.Second, 4*time.Second, 2*time.Second
	})
	if granted {
		w.grant(t)
	}
	w.resize(t, &autoscaling.UpdateAutoScalingGroupInput{DesiredCapacity: awssdk.Int32(0)})
	w.pass(time.Hour) // the grant counts, and is old
	settings.Group, settings.HealthyWithin = w.group, 10*time.Minute

	ctx, kill := context.WithCancel(t.Context()) // exec kills with SIGKILL
	defer kill()
	var mu sync.Mutex // guards calls and the clock
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		calls++
		if n > 0 && calls >= n {
			calls = n
			kill()
			panic(http.ErrAbortHandler) // it gets no answer
		}
		if at, err := strconv.ParseInt(r.Header.Get(worldTime), 10, 64); err == nil {
			w.clock.to(time.Unix(0, at))
		}
		w.sim.Handler().ServeHTTP(rw, r)
	}))
	defer server.Close()
	text, err := json.Marshal(order{server.URL, w.clock.Now(), settings})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestLaunchInAProcess$", "-test.count=1")
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	out, err := cmd.Output()
	if n == 0 && err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if at := slices.IndexFunc([]upgrade.Outcome{upgrade.OutcomePassed, upgrade.OutcomeFailed, upgrade.OutcomeUnknown}, func(o upgrade.Outcome) bool {
		return len(out) > 0 && string(o) == firstWord(out)
	}); at >= 0 {
		outcome = upgrade.Outcome(firstWord(out))
	}
	mu.Lock()
	defer mu.Unlock()
	w.reaped(t, settings)
	return calls, outcome
}

func firstWord(out []byte) string {
	var word string
	_, _ = fmt.Sscan(string(out), &word) // nothing is no word
	return word
}

// to moves the clock forward to now.
func (c *manual) to(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.After(c.now) {
		c.now = now
	}
}

// reaped lets the expiry pass, reaps, and fails if anything is left.
func (w *world) reaped(t *testing.T, settings gates.LaunchSettings) {
	t.Helper()
	ctx := t.Context()
	w.pass(settings.HealthyWithin + time.Hour)
	c := w.client(t, nil)
	if _, err := gates.Reap(ctx, c, w.clock.Now()); err != nil {
		t.Errorf("reap: %v", err)
	}
	w.pass(10 * time.Minute)
	w.untouched(t, nil)
	groups, err := w.scaling.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{})
	if err != nil || len(groups.AutoScalingGroups) != 1 {
		t.Errorf("groups that are left: %d, %v", len(groups.AutoScalingGroups), err)
	}
	instances, err := w.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: []ec2types.Filter{
		{Name: awssdk.String("instance-state-name"), Values: []string{"pending", "running", "shutting-down", "stopping", "stopped"}},
	}})
	if err != nil || len(instances.Reservations) != 0 {
		t.Errorf("instances that are left: %d, %v", len(instances.Reservations), err)
	}
}

// stamped tells the simulator the clock of this process.
type stamped struct{ clock upgrade.Clock }

// RoundTrip sends a request with the time.
func (s stamped) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(worldTime, strconv.FormatInt(s.clock.Now().UnixNano(), 10))
	return http.DefaultTransport.RoundTrip(r)
}

// TestLaunchInAProcess is the process that TestS4KilledLaunch kills. It prints the gate's answer.
func TestLaunchInAProcess(t *testing.T) {
	var do order
	if os.Getenv(childEnv) == "" {
		t.Skip("it is run by TestS4KilledLaunch")
	}
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &do); err != nil {
		t.Fatal(err)
	}
	clock := clocks.New(do.Start)
	client, err := aws.New(aws.Config{
		Region: region, RoleARN: gateRole, ExternalID: external, SessionName: "run-481", Endpoint: do.URL,
		KeyID: awssim.DefaultKeyID, Key: awssim.DefaultSecret, Clock: clock, HTTP: &http.Client{Transport: stamped{clock}},
	})
	if err != nil {
		t.Fatal(err)
	}
	gate := gates.Gate{Name: "launch", Kind: gates.KindLaunch, Environment: "staging", Settle: 5 * time.Minute, Deadline: time.Hour}
	err = do.Settings.Bind(&gate, gates.Deps{
		Clock: clock,
		Cloud: func(upgrade.EnvName) (gates.Cloud, error) { return client, nil },
		Keys:  func(upgrade.EnvName) (gates.Keys, error) { return client, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	end := clock.Begin()
	go func() { // jumps to whatever is waited for next, for as long as the process lives
		for {
			if quiet, _ := clock.Quiet(); quiet {
				if next, waits := clock.NextDue(); waits {
					clock.MoveTo(next)
				}
			}
			runtime.Gosched()
			time.Sleep(20 * time.Microsecond)
		}
	}()
	result := gates.Runner{Clock: clock}.Run(t.Context(), []gates.Gate{gate}, gates.Input{Run: upgrade.Run{ID: 481, Environment: "staging"}, Round: 1}, nil)[0]
	end()
	fmt.Println(result.Outcome, result.Message)
	for _, warning := range result.Warnings {
		fmt.Println("warning:", warning)
	}
}
