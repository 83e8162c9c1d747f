package config

import (
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

func (r *reader) checkGates(raw *rawFile) []Gate {
	var list []Gate
	names := map[string]string{}
	for i := range raw.gates {
		one, at := &raw.gates[i], nth("gates", i)
		r.uniqueName(names, string(one.name), under(at, "name"), "the name "+quoted(string(one.name))+" is taken", "")
		r.checkReserved(one, at)
		r.checkReferences(raw, one, at)
		kind, known := gates.KindOf(one.kind)
		if !known {
			continue
		}
		gate := one.checked(kind)
		r.checkStage(&gate, kind, at)
		settings := r.checkSettings(raw, one, &gate, at)
		for _, env := range one.environments {
			gate.Environment = env
			list = append(list, Gate{Gate: gate, Settings: settings})
		}
	}
	r.aim(raw, list)
	r.aimLaunches(raw, list)
	return append(list, unwritten(raw, list)...)
}

// checked returns the gate with the defaults of its kind, without an environment.
func (g *rawGate) checked(kind gates.Kind) gates.Gate {
	gate := gates.Gate{
		Name: g.name, Kind: g.kind, Stage: g.stage, Stacks: g.stacks, Required: g.required,
		TouchesLive: kind.TouchesLive, Early: kind.Early,
		Settle: kind.Settle, GoodFor: kind.GoodFor, Deadline: kind.Deadline,
	}
	if gate.Stage == "" && len(kind.Stages) > 0 {
		gate.Stage = kind.Stages[0]
	}
	if gate.Stage == upgrade.StageStanding {
		gate.Early, gate.Settle, gate.Every, gate.PerStack = false, 0, kind.Every, kind.PerStack
		if g.again != nil {
			gate.Every = *g.again
		}
		gate.GoodFor = max(2*gate.Every, time.Minute) // dashboard.md §4.3
	}
	for _, set := range []struct {
		written *time.Duration
		into    *time.Duration
	}{{g.settle, &gate.Settle}, {g.goodFor, &gate.GoodFor}, {g.deadline, &gate.Deadline}} {
		if set.written != nil {
			*set.into = *set.written
		}
	}
	if g.skip != nil {
		gate.Skip = &gates.Skip{Reason: g.skip.reason, Until: g.skip.until}
	}
	return gate
}

func (r *reader) checkReferences(raw *rawFile, g *rawGate, at string) {
	var envs, stacks []string
	for _, env := range raw.environments {
		envs = append(envs, env.key)
	}
	for _, stack := range raw.stacks {
		stacks = append(stacks, string(stack.name))
	}
	for i, env := range g.environments {
		below := nth(under(at, "environments"), i)
		always := env == staging || env == production // that they are missing is said where they are
		if env != "" && !always && !slices.Contains(envs, string(env)) && !r.broken(below) {
			r.unknownName(below, "environment", string(env), envs)
		}
	}
	for i, stack := range g.stacks {
		below := nth(under(at, "stacks"), i)
		if stack != "" && !slices.Contains(stacks, string(stack)) && !r.broken(below) {
			r.unknownName(below, "stack", string(stack), plain(stacks))
		}
	}
}

func (r *reader) checkStage(gate *gates.Gate, kind gates.Kind, at string) {
	if !slices.Contains(kind.Stages, gate.Stage) && !r.broken(under(at, "stage")) {
		r.problem(under(at, "stage"), "it has "+joined(kind.Stages), "kind %s has no stage %s", kind.Name, gate.Stage)
	}
	every := under(at, "every")
	switch standing := gate.Stage == upgrade.StageStanding; {
	case r.broken(under(at, "stage")):
	case !standing && kind.Every > 0 && r.has(every):
		r.problem(every, "write stage: standing, or leave it out", "a gate of stage %s is asked by runs, not every so often", gate.Stage)
	case standing && r.has(under(at, "settle")):
		r.problem(under(at, "settle"), "leave it out", "a standing gate waits for no change to settle")
	case standing && gate.GoodFor < gate.Every:
		r.problem(under(at, "good_for"), "set it to twice as long as every, or leave it out",
			"an answer counts for %s and is asked for every %s, so that it would be too old again and again", span(gate.GoodFor), span(gate.Every))
	}
}

func (r *reader) checkSettings(raw *rawFile, g *rawGate, gate *gates.Gate, at string) gates.Settings {
	switch g.kind {
	case gates.KindGuard:
		r.checkStagingOnly(g, at)
		return r.checkGuard(g, at)
	case gates.KindOwner:
		r.checkStagingOnly(g, at)
		return gates.OwnerSettings{MaxAge: g.owner.maxAge}
	case gates.KindGrants:
		r.checkReachesAWS(raw, g, at)
		return gates.GrantsSettings{Group: g.grants.group}
	case gates.KindOutage:
		return r.checkOutage(raw, g, gate, at)
	case gates.KindSettled:
		r.checkStagingOnly(g, at)
		r.checkPlannable(raw, g, at)
		return gates.SettledSettings{}
	case gates.KindVarnish:
		return r.checkVarnish(raw, g, at)
	case gates.KindHTTP:
		return r.checkHTTP(raw, g, at)
	}
	return r.checkLaunch(raw, g, gate, at)
}

func (r *reader) checkLaunch(raw *rawFile, g *rawGate, gate *gates.Gate, at string) gates.LaunchSettings {
	if within := g.launch.healthyWithin; within >= gate.Deadline && within > 0 {
		r.problem(under(at, "healthy_within"), "set deadline to more, or this to less",
			"%s leaves no time within the deadline of %s", span(within), span(gate.Deadline))
	}
	r.checkReachesAWS(raw, g, at)
	r.checkMethod(g, at)
	return gates.LaunchSettings{
		Group: g.launch.group, HealthyWithin: g.launch.healthyWithin, StatusChecks: g.launch.statusChecks,
		EachZone: g.launch.eachZone, Method: g.launch.method, Cluster: g.launch.cluster, SSM: g.launch.ssm, Console: g.launch.console,
	}
}

// checkMethod refuses to scale out anything but staging (S10), and what the method cannot do.
func (r *reader) checkMethod(g *rawGate, at string) {
	if g.launch.method != gates.MethodScaleOut {
		return
	}
	for i, env := range g.environments {
		if below := nth(under(at, "environments"), i); env != staging && env != "" && !r.broken(below) {
			r.problem(below, "write environments: [staging], or method: "+string(gates.MethodTrial),
				"method %s changes the real group, which is for staging alone, not for %s", g.launch.method, env)
		}
	}
	if r.has(under(at, "probe")) {
		r.problem(under(at, "probe"), "leave it out, or write method: "+string(gates.MethodTrial),
			"method %s starts an instance of the real group, on which the gates may run nothing", g.launch.method)
	}
	if g.launch.eachZone {
		r.problem(under(at, "each_zone"), "leave it out, or write method: "+string(gates.MethodTrial),
			"method %s cannot choose the zone: the real group does", g.launch.method)
	}
}

// checkReachesAWS refuses environments of which gates do not reach the AWS.
func (r *reader) checkReachesAWS(raw *rawFile, g *rawGate, at string) {
	for i, name := range g.environments {
		for _, env := range raw.environments {
			if env.key == string(name) && env.value.aws == nil && !r.has(under(under("environments", env.key), "aws")) {
				r.problem(nth(under(at, "environments"), i), "set environments."+env.key+".aws", "kind %s needs AWS, which %s does not have", g.kind, env.key)
			}
		}
	}
}

func (r *reader) checkGuard(g *rawGate, at string) gates.GuardSettings {
	r.checkStagingOnly(g, at)
	settings := gates.GuardSettings{Types: g.guard.types, Also: g.guard.also, Addresses: g.guard.addresses, Refuse: g.guard.refuse}
	seen := map[string]string{}
	for i, one := range g.guard.allow {
		below := under(nth(under(at, "allow"), i), "match")
		r.uniqueName(seen, one.match, below, quoted(one.match)+" is allowed already", "keep one of the two")
		if slices.Contains(g.guard.refuse, one.match) && one.match != "" {
			r.problem(below, "take it out of one of the two", "%s is under refuse too, so it can never be allowed", quoted(one.match))
		}
		settings.Allow = append(settings.Allow, gates.Allowance{Match: one.match, Reason: one.reason, Until: one.until})
	}
	return settings
}

// checkStagingOnly refuses to ask about another environment what is asked of the plan and the state of
// staging.
func (r *reader) checkStagingOnly(g *rawGate, at string) {
	for i, env := range g.environments {
		below := nth(under(at, "environments"), i)
		switch {
		case env == staging || env == "" || r.broken(below):
		case g.kind == gates.KindSettled && env == production && g.stage == upgrade.StageStanding:
		case g.kind == gates.KindSettled && env == production && !r.broken(under(at, "stage")):
			r.problem(below, "write environments: [staging], or stage: standing", "a run changes staging, so it can be settled there alone; drift of production is asked for again and again")
		default:
			r.problem(below, "write environments: [staging]", "kind %s looks at what a run does to staging, not at %s", g.kind, env)
		}
	}
}

// checkPlannable refuses drift of a production of which nobody says where its state is.
func (r *reader) checkPlannable(raw *rawFile, g *rawGate, at string) {
	here := slices.Index(g.environments, production)
	if here < 0 || g.stage != upgrade.StageStanding || r.broken("stacks") {
		return
	}
	for _, stack := range raw.stacks {
		site := stack.production.rawSite
		if stack.name == "" || len(g.stacks) > 0 && !slices.Contains(g.stacks, stack.name) || site.workspace != "" || len(site.backendConfig) > 0 {
			continue
		}
		r.problem(nth(under(at, "environments"), here), "set production.workspace or production.backend_config of the stack, or leave it out of stacks",
			"where the state of %s in production is, is not said, so it cannot be planned", stack.name)
	}
}

// checkTouched refuses a stack whose changes nothing would try out: an empty list of gates, or one in
// which none touches the running staging, never opens (S5), and is better known now than at midnight.
func (r *reader) checkTouched(raw *rawFile, cfg *Config) {
	if r.broken("gates") {
		return // which gates are meant is not known
	}
	for i, stack := range raw.stacks {
		touches := func(g Gate) bool {
			return g.Required && g.TouchesLive && g.Stage == upgrade.StageAfter && g.Environment == staging && g.AppliesTo(stack.name)
		}
		if stack.name != "" && !slices.ContainsFunc(cfg.Gates, touches) {
			r.problem(nth("stacks", i), "add a required gate of kind "+strings.Join(touchingKinds(), " or ")+" with environments: [staging]",
				"no gate touches the running staging for stack %s, so it could never go to production", stack.name)
		}
	}
}

// touchingKinds lists the kinds of which a stack needs one.
func touchingKinds() []string {
	var kinds []string
	for _, name := range builtKinds() {
		if kind, _ := gates.KindOf(name); kind.TouchesLive {
			kinds = append(kinds, name)
		}
	}
	return kinds
}
