package config

import (
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// rawVarnish is of the kinds varnish and http.
type rawVarnish struct {
	paths  []rawPath
	tries  int
	from   []probe.Vantage
	closed []rawClosed
	node   *rawNode
}

type rawClosed struct {
	ports []int
	at    []string
	from  []probe.Vantage
}

type rawNode struct {
	command []string
	name    string
}

type rawPath struct {
	url           string
	viaVarnish    bool
	varnishHeader string
	expect        rawExpect
	dns           rawDNS
	tls           *rawTLS
	large         *rawLarge
	proxy         string
	resolve       []pair[string]
	bypass        *rawBypass
	caFile        string
}

type rawExpect struct {
	status       []int
	bodyContains string
	bodySHA256   string
	headers      []pair[string]
	maxAge       time.Duration
}

type rawDNS struct{ expect []string }

type rawTLS struct {
	minDays    int
	names      []string
	minVersion string
}

type rawLarge struct {
	page     string
	minBytes int
}

type rawBypass struct {
	header string
	value  upgrade.Secret
	cookie string
	query  string
}
