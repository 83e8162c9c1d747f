package config

import (
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// The raw types mirror the file, value by value; what was not written, or was wrong, is zero.

type rawFile struct {
	server       rawServer
	database     string
	data         string
	gitlab       rawGitLab
	terraform    Terraform
	network      struct{ allow []Allow }
	vantages     []rawVantage
	environments []pair[rawEnvironment]
	stacks       []rawStack
	states       []rawState
	gates        []rawGate
	hooks        []rawHook
	signIn       rawSignIn
	roles        rawRoles
	retention    Retention
}

type rawVantage struct {
	name probe.Vantage
	kind string
}

type rawServer struct {
	listen    string
	publicURL string
	tokens    []rawToken
	pace      Pace
}

type rawToken struct {
	name   string
	role   upgrade.Role
	user   int64
	secret upgrade.Secret
}

type rawGitLab struct {
	url     string
	token   upgrade.Secret
	webhook struct{ secretToken, signingToken upgrade.Secret }
}

type rawEnvironment struct{ aws *AWS }

type rawStack struct {
	name       upgrade.StackName
	project    string
	dir        string
	paths      []string
	after      []upgrade.StackName
	trigger    rawTrigger
	staging    rawSite
	production rawProduction
	holds      []upgrade.Hold
}

// rawState is a state of somebody else's Terraform.
type rawState struct {
	name      upgrade.StateName
	backend   string
	config    []pair[string]
	workspace string
	env       []pair[upgrade.Secret]
}

type rawTrigger struct {
	push         string
	mergeRequest *rawMergeRequest
}

type rawMergeRequest struct {
	to   string
	when []upgrade.Condition
}

type rawSite struct {
	workspace        string
	varFiles         []string
	backendConfig    []pair[string]
	env              []pair[upgrade.Secret]
	approvalDeadline time.Duration
}

type rawProduction struct {
	rawSite
	branch      string
	environment string
	job         string
}

type rawGate struct {
	name         upgrade.GateName
	kind         string
	stage        upgrade.Stage
	environments []upgrade.EnvName
	stacks       []upgrade.StackName
	required     bool
	settle       *time.Duration
	goodFor      *time.Duration
	deadline     *time.Duration
	again        *time.Duration // every, of the stage standing
	skip         *rawSkip
	guard        rawGuard
	owner        rawOwner
	grants       rawGrants
	outage       rawOutage
	launch       rawLaunch
	varnish      rawVarnish
}

type rawSkip struct {
	reason string
	until  time.Time
}

type rawGuard struct {
	types, also, addresses, refuse []string
	allow                          []rawAllowance
}

type rawAllowance struct {
	match  string
	reason string
	until  time.Time
}

type rawOwner struct{ maxAge time.Duration }

type rawGrants struct{ group string }

type rawLaunch struct {
	group         string
	healthyWithin time.Duration
	statusChecks  bool
	eachZone      bool
	method        gates.LaunchMethod
	cluster       string
	ssm           bool
	console       string
	probe         rawProbe
}

// rawProbe is what a test instance must reach.
type rawProbe struct{ gate upgrade.GateName }
