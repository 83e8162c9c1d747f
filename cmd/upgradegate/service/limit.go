package service

import (
	"context"
	"fmt"
	"io"

	"github.com/upgradegate/upgradegate/lifecycle"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// limited lets a number of Terraforms run at once; the others wait. Whatever belongs to an apply that
// goes on anyway (Adopt, Stop) waits for nobody.
type limited struct {
	lifecycle.Terraform
	places chan struct{}
}

func limit(tf lifecycle.Terraform, n int) lifecycle.Terraform {
	return &limited{Terraform: tf, places: make(chan struct{}, max(n, 1))}
}

func (l *limited) take(ctx context.Context) (give func(), err error) {
	select {
	case l.places <- struct{}{}:
		return func() { <-l.places }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for another Terraform: %w", context.Cause(ctx))
	}
}

// Init initialises when there is a place.
func (l *limited) Init(ctx context.Context, root plan.Root, log io.Writer) error {
	give, err := l.take(ctx)
	if err != nil {
		return err
	}
	defer give()
	return l.Terraform.Init(ctx, root, log)
}

// Plan plans when there is a place.
func (l *limited) Plan(ctx context.Context, root plan.Root, log io.Writer) (plan.Planned, error) {
	give, err := l.take(ctx)
	if err != nil {
		return plan.Planned{}, err
	}
	defer give()
	return l.Terraform.Plan(ctx, root, log)
}

// Apply applies when there is a place.
func (l *limited) Apply(ctx context.Context, root plan.Root, attempt plan.Attempt, tick func(plan.Tick)) (plan.Ended, error) {
	give, err := l.take(ctx)
	if err != nil {
		return plan.Ended{}, err
	}
	defer give()
	return l.Terraform.Apply(ctx, root, attempt, tick)
}
