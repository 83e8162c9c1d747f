package aws_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/integration/aws"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

func TestDenied(t *testing.T) {
	for _, tc := range []struct {
		name, deny string
		do         func(context.Context, *aws.Client, *world) error
	}{
		{"read", "autoscaling:DescribeAutoScalingGroups", func(ctx context.Context, c *aws.Client, w *world) error {
			_, err := c.Group(ctx, w.group)
			return err
		}},
		{"create", "autoscaling:CreateAutoScalingGroup", startOne},
		{"suspend", "autoscaling:SuspendProcesses", startOne},
		{"template", "ec2:RunInstances", startOne},
		{"versions", "ec2:DescribeLaunchTemplateVersions", func(ctx context.Context, c *aws.Client, w *world) error {
			_, err := c.Group(ctx, w.group)
			return err
		}},
		{"instances", "ec2:DescribeInstances", func(ctx context.Context, c *aws.Client, _ *world) error {
			_, err := c.Instances(ctx, []string{"i-00000000000000000"})
			return err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.sim.Deny(gateRole, tc.deny)
			err := tc.do(t.Context(), w.client(t, nil), w)
			if code(err) != upgrade.CodeForbidden {
				t.Fatalf("got %v, want code %s", err, upgrade.CodeForbidden)
			}
			var denied *cloud.Denied
			if !errors.As(err, &denied) || denied.Action != tc.deny || denied.Role != gateRole || denied.Message == "" {
				t.Errorf("got %+v", denied)
			}
			if hint := upgrade.HintOf(err); !strings.Contains(hint, tc.deny) {
				t.Errorf("hint: %q", hint)
			}
			if upgrade.Transient(err) {
				t.Error("asking again does not help")
			}
		})
	}
}

// TestRoleWithSuffix checks that a role must be passed only where it is not the account's default one.
func TestRoleWithSuffix(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	c := w.client(t, nil)
	w.sim.Deny(gateRole, "iam:PassRole")
	like, err := c.Group(ctx, w.group)
	if err != nil {
		t.Fatal(err)
	}
	plain := trial(like)
	plain.Name = "gate-probe-default"
	if err := c.StartTrial(ctx, plain); err != nil {
		t.Errorf("with the default role: %v", err)
	}
	like.ServiceLinkedRoleARN = w.sim.AddServiceLinkedRole("", "moodle")
	var denied *cloud.Denied
	if err := c.StartTrial(ctx, trial(like)); !errors.As(err, &denied) || denied.Action != "iam:PassRole" {
		t.Errorf("with a suffix: %v", err)
	}
	w.sim.Allow(gateRole, "iam:PassRole")
	if err := c.StartTrial(ctx, trial(like)); err != nil {
		t.Fatal(err)
	}
	got, err := c.Group(ctx, trial(like).Name)
	if err != nil || got.ServiceLinkedRoleARN != like.ServiceLinkedRoleARN {
		t.Errorf("got %s, %v", got.ServiceLinkedRoleARN, err)
	}
}

func startOne(ctx context.Context, c *aws.Client, w *world) error {
	like, err := c.Group(ctx, w.group)
	if err != nil {
		return err
	}
	return c.StartTrial(ctx, trial(like))
}

func TestAssumeRoleRefused(t *testing.T) {
	w := newWorld(t, nil)
	c := w.client(t, func(cfg *aws.Config) { cfg.ExternalID = "a wrong one" })
	_, err := c.Group(t.Context(), w.group)
	var denied *cloud.Denied
	if code(err) != upgrade.CodeForbidden || !errors.As(err, &denied) || denied.Action != "sts:AssumeRole" {
		t.Fatalf("got %v", err)
	}
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), upgrade.Public(err), upgrade.HintOf(err)} {
		if strings.Contains(text, "a wrong one") || strings.Contains(text, awssim.DefaultSecret) {
			t.Errorf("a secret shows in %q", text)
		}
	}
}

func TestWrongKey(t *testing.T) {
	w := newWorld(t, nil)
	for name, change := range map[string]func(*aws.Config){
		"unknown": func(cfg *aws.Config) { cfg.KeyID = "AKIAUNKNOWNEXAMPLE00" },
		"secret":  func(cfg *aws.Config) { cfg.Key = "not the secret of that key" },
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := w.client(t, change).Group(t.Context(), w.group); code(err) != upgrade.CodeUnauthorized {
				t.Errorf("got %v, want code %s", err, upgrade.CodeUnauthorized)
			}
		})
	}
}

func TestConfigRefused(t *testing.T) {
	for name, cfg := range map[string]aws.Config{
		"no_region": {},
		"region":    {Region: "London"},
		"role":      {Region: region, RoleARN: "upgradegate"},
		"session":   {Region: region, SessionName: "run 481"},
		"no_secret": {Region: region, KeyID: "AKIA"},
		"endpoint":  {Region: region, Endpoint: "localhost:8082"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := aws.New(cfg); code(err) != upgrade.CodeInvalid {
				t.Errorf("got %v, want code %s", err, upgrade.CodeInvalid)
			}
		})
	}
}
