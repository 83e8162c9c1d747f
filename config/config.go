package config

import (
	"net/netip"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// Config is a file that was found to be right, with every default filled in.
type Config struct {
	Server       Server
	Database     string // sqlite:///absolute/path.db
	Data         string // absolute folder for runs, mirrors and locks; it may not exist yet
	GitLab       GitLab
	Terraform    Terraform
	Network      []Allow // what probes may reach beyond public addresses
	Vantages     []Vantage
	Environments []Environment
	Stacks       []upgrade.Stack
	States       []State // of other Terraforms, in file order
	Gates        []Gate  // in file order, one for each environment that a gate lists; then those that need not be written
	Hooks        []Hook
	SignIn       SignIn
	Roles        []Role
	Members      []Member // the lowest level first
	Retention    Retention

	// Secrets are all that the file refers to, for masking: no output of ours or of Terraform's may
	// hold any of them (S9). With several lines, each line of more than a few characters is one too.
	Secrets []upgrade.Secret
}

// Server is where the dashboard and the API are, and who may use them.
type Server struct {
	Listen    string // host:port; beyond loopback only if PublicURL is https
	PublicURL string // without a slash at its end; empty: Listen picks its own port and nobody said otherwise
	Tokens    []Token
	Pace      Pace
}

// Pace is how fast one caller of the API may ask: Burst at once, and PerSecond in the long run.
type Pace struct {
	PerSecond int
	Burst     int
}

// Token is what one person or program signs in with.
type Token struct {
	Person upgrade.Person
	Secret upgrade.Secret // at least 16 characters
}

// GitLab is the GitLab that sends deliveries. At least one of SecretToken and SigningToken is set.
type GitLab struct {
	URL          string // https, or http on loopback; without a slash at its end
	Token        upgrade.Secret
	SecretToken  upgrade.Secret // of the webhook
	SigningToken upgrade.Secret // of the webhook: whsec_ and a key in base64
}

// Terraform says which Terraform is used and as whom.
type Terraform struct {
	Binary       string // a path or a name; empty: terraform 1.5 or later, else tofu
	User         string // empty: who the service runs as
	CLIConfig    string // absolute path for TF_CLI_CONFIG_FILE; empty: none
	ParallelRuns int    // at least 1
}

// Hook is a receiver that events are posted to.
type Hook struct {
	Name      upgrade.HookName
	URL       string // https, or http on loopback; may have a query
	Secret    upgrade.Secret
	OldSecret upgrade.Secret      // may be empty; else deliveries are signed with both
	Events    []string            // of upgrade.HookTypes; empty: all
	Stacks    []upgrade.StackName // empty: all
}

// Retention is how long things are kept.
type Retention struct {
	Deliveries time.Duration // at least a day
}

// Allow is one range of addresses with the TCP ports that probes may reach there.
type Allow struct {
	Prefix netip.Prefix // masked, never IPv4 in IPv6
	Ports  []uint16     // ascending, at least one
}

// Vantage is a place besides this host from which gates probe.
type Vantage struct {
	Name probe.Vantage // never one that the product uses itself
	Kind string        // KindAgent
}

// KindAgent is a vantage at which `upgradegate agent` runs, under the same name.
const KindAgent = "agent"

// Environment is one of the environments, "staging" and "production" among them.
type Environment struct {
	Name upgrade.EnvName
	AWS  *AWS // nil: gates do not reach AWS there
}

// AWS is how gates reach AWS in one environment.
type AWS struct {
	Region     string
	RoleARN    string         // assumed for everything
	ExternalID upgrade.Secret // may be empty
	Endpoint   string         // of something that speaks as AWS does, https or on loopback; empty: AWS
	AccessKey  upgrade.Secret // whose role assumes RoleARN; empty: found as AWS's own tools find it
	SecretKey  upgrade.Secret // set if and only if AccessKey is
}

// State is a Terraform state that is nobody's here: what it owns, a plan must not destroy. It is only
// ever read, as `terraform state pull` reads it.
type State struct {
	Name      upgrade.StateName         // without a slash: those with one are states of stacks
	Backend   string                    // one of Terraform's, such as s3
	Config    map[string]string         // of the backend, as -backend-config takes it; without secrets
	Workspace string                    // empty: the one named default
	Env       map[string]upgrade.Secret // for Terraform's environment: the credentials
}

// Gate is one gate in one environment. Its parts are nil: Settings binds them once their systems exist.
type Gate struct {
	gates.Gate
	Settings gates.Settings
}
