package awssim_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
)

// manual is a clock that tests move.
type manual struct {
	mu  sync.Mutex
	now time.Time
}

func (c *manual) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manual) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *manual) Sleep(_ context.Context, d time.Duration) error { c.move(d); return nil }
func (*manual) Begin() (end func())                              { return func() {} }
func (*manual) Idle(wait func())                                 { wait() }

// world is a simulator and the clock that it goes by.
type world struct {
	sim   *awssim.Sim
	clock *manual
	url   string
}

func newWorld(t *testing.T, change func(*awssim.Config)) *world {
	t.Helper()
	w := &world{clock: &manual{now: time.Date(2025, 6, 13, 15, 0, 0, 0, time.UTC)}}
	cfg := awssim.Config{Clock: w.clock, Roles: []awssim.Role{{ARN: "arn:aws:iam::111111111111:role/gate", ExternalID: "secret"}}}
	if change != nil {
		change(&cfg)
	}
	var err error
	if w.sim, err = awssim.New(cfg); err != nil {
		t.Fatal(err)
	}
	addr, err := w.sim.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.url = "http://" + addr
	return w
}

// encrypted adds an image whose snapshot is encrypted, and lets the role of Auto Scaling use the key.
func (w *world) encrypted(t *testing.T) (vars map[string]string) {
	t.Helper()
	key, err := w.sim.AddKey("", "", "of the image", "")
	if err != nil {
		t.Fatal(err)
	}
	operations := []string{"CreateGrant", "Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"}
	if _, err := w.sim.AddGrant(key, "", w.sim.ServiceLinkedRole(""), operations...); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"KEY": key, "AMI": w.sim.AddImage(awssim.Image{Name: "moodle-ecs-2025-06", KeyARN: key})}
}
