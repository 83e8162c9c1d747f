package gates

import (
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// OwnerSettings are the settings of an ownership gate.
type OwnerSettings struct {
	MaxAge time.Duration // how old a reading of a state may be; default 1 h
}

// Kind returns "ownership".
func (OwnerSettings) Kind() string { return KindOwner }

// Bind is to come.
func (OwnerSettings) Bind(*Gate, Deps) error {
	return &upgrade.Error{Code: upgrade.CodeInternal, Msg: "not built"}
}
