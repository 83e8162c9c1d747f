package gates

import "github.com/upgradegate/upgradegate/upgrade"

// GrantsSettings are the settings of a kms-grants gate.
type GrantsSettings struct {
	Group string // name of the Auto Scaling group whose launches need the keys
}

// Kind returns "kms-grants".
func (GrantsSettings) Kind() string { return KindGrants }

// Bind is to come.
func (GrantsSettings) Bind(*Gate, Deps) error {
	return &upgrade.Error{Code: upgrade.CodeInternal, Msg: "not built"}
}
