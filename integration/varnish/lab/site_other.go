//go:build !linux

package lab

import (
	"context"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Available says why there can be no lab on this machine.
func Available() error {
	return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "the lab needs Linux"}
}

// OpenSite needs Linux.
func OpenSite(context.Context, SiteConfig) (*Site, error) { return nil, Available() }
