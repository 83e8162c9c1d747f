package gates

import (
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
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
	Every       time.Duration // of the stage standing
	PerStack    bool          // of the stage standing: asked of each stack by itself
}

// Names of the kinds.
const (
	KindGuard   = "destroy-guard"
	KindOwner   = "ownership"
	KindGrants  = "kms-grants"
	KindOutage  = "availability"
	KindSettled = "settled"
	KindLaunch  = "instance-launch"
	KindVarnish = "varnish"
	KindHTTP    = "http"
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
			Name: KindVarnish, Stages: []upgrade.Stage{upgrade.StageAfter, upgrade.StageStanding}, TouchesLive: true,
			Settle: 10 * time.Second, GoodFor: 24 * time.Hour, Deadline: 2 * time.Minute, Every: time.Minute,
		},
		{
			Name: KindHTTP, Stages: []upgrade.Stage{upgrade.StageAfter, upgrade.StageStanding}, TouchesLive: true,
			Settle: 10 * time.Second, GoodFor: 24 * time.Hour, Deadline: 2 * time.Minute, Every: time.Minute,
		},
		// An outage may come when the apply has ended: routes and health checks follow behind.
		{Name: KindOutage, Stages: []upgrade.Stage{upgrade.StageDuring}, Settle: 10 * time.Second, Deadline: 10 * time.Minute},
		// What a plan destroys, and whether it was carried out, stays so as long as nothing changes.
		{Name: KindGuard, Stages: []upgrade.Stage{upgrade.StagePlan}, Deadline: 5 * time.Minute},
		// Grants and revocations are listed at once, whenever they take effect: aws.md §1. It reads, and
		// touches nothing that runs.
		{Name: KindGrants, Stages: []upgrade.Stage{upgrade.StageAfter, upgrade.StageStanding}, Early: true, GoodFor: 24 * time.Hour, Deadline: 5 * time.Minute, Every: 5 * time.Minute},
		// What other states own is asked of states that may have to be read for it.
		{Name: KindOwner, Stages: []upgrade.Stage{upgrade.StagePlan}, Deadline: 10 * time.Minute},
		{Name: KindSettled, Stages: []upgrade.Stage{upgrade.StageAfter, upgrade.StageStanding}, Deadline: 30 * time.Minute, Every: time.Hour, PerStack: true},
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
	Keys   func(upgrade.EnvName) (Keys, error)
	States States // nil: no state is known
	Prober Prober // on this very host
	// Vantage returns the prober of another place. CodeNotFound for one that is not configured; whether it can
	// be reached is told when it is asked. nil: there is none but Prober.
	Vantage func(probe.Vantage) (Prober, error)
	Varnish Inspector // asks Varnish itself, where there is access; nil: nobody does
	Targets *Targets  // nil: sites may be watched by several at once
}

// Settings are the settings of one gate of one kind.
type Settings interface {
	// Kind returns the name of the kind that the settings are of.
	Kind() string
	// Bind gives the gate, which is complete otherwise, the parts that its kind has: Before, During, Check.
	Bind(gate *Gate, deps Deps) error
}

var (
	_ Settings = OutageSettings{}
	_ Settings = GuardSettings{}
	_ Settings = OwnerSettings{}
	_ Settings = GrantsSettings{}
	_ Settings = LaunchSettings{}
	_ Settings = SettledSettings{}
	_ Settings = VarnishSettings{}
	_ Settings = HTTPSettings{}
)
