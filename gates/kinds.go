package gates

import (
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Kind is how a gate asks, with what it does unless the configuration says otherwise.
type Kind struct {
	Name        string
	Stages      []upgrade.Stage
	TouchesLive bool
	Early       bool
	Settle      time.Duration
	GoodFor     time.Duration
	Deadline    time.Duration
}

// Names of the kinds.
const (
	KindLaunch  = "instance-launch"
	KindVarnish = "varnish"
)

// Kinds lists the kinds that exist.
func Kinds() []Kind {
	return []Kind{
		{
			Name: KindLaunch, Stages: []upgrade.Stage{upgrade.StageAfter}, TouchesLive: true, Early: true,
			// A revoked grant may go on working for about five minutes: aws.md §1.
			Settle: 5 * time.Minute, GoodFor: 24 * time.Hour, Deadline: 20 * time.Minute,
		},
		{
			Name: KindVarnish, Stages: []upgrade.Stage{upgrade.StageAfter}, TouchesLive: true,
			Settle: 10 * time.Second, GoodFor: 24 * time.Hour, Deadline: 2 * time.Minute,
		},
	}
}

// KindOf returns the kind of that name.
func KindOf(name string) (Kind, bool) {
	for _, kind := range Kinds() {
		if kind.Name == name {
			return kind, true
		}
	}
	return Kind{}, false
}

// Deps are the outside systems that kinds reach.
type Deps struct {
	Clock  upgrade.Clock
	Cloud  func(upgrade.EnvName) (Cloud, error)
	Prober Prober
}

// Settings are the settings of one gate of one kind.
type Settings interface {
	// Kind returns the name of the kind that the settings are of.
	Kind() string
	// Check returns the check with its settings bound.
	Check(env upgrade.EnvName, deps Deps) (Check, error)
}

var (
	_ Settings = LaunchSettings{}
	_ Settings = VarnishSettings{}
)
