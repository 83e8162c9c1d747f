package config

import (
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

// Defaults and bounds of gates.
const (
	defaultHealthy = 5 * time.Minute
	defaultTries   = 3

	longestSettle   = 2 * time.Hour
	longestGood     = 30 * 24 * time.Hour
	longestDeadline = 24 * time.Hour
	longestHealthy  = 2 * time.Hour // as long as a launch hook is held: gates/launch.go

	shortestAgain = 30 * time.Second
	longestAgain  = 24 * time.Hour

	defaultAge  = time.Hour
	shortestAge = 5 * time.Minute // a reading is not taken anew before that
	longestAge  = 7 * 24 * time.Hour
)

// gateForms lists the keys of each kind of gate besides those that all have. A kind without an entry
// here cannot be configured yet.
func gateForms() []variant[rawGate] {
	return []variant[rawGate]{
		{word: gates.KindGuard, fields: guardFields()},
		{word: gates.KindOwner, fields: []field[rawGate]{
			lasting("max_age", "How old what is known of a state may be that could hold the same thing.", shortestAge, longestAge, defaultAge, func(g *rawGate) *time.Duration { return &g.owner.maxAge }),
		}},
		{word: gates.KindOutage, fields: outageFields()},
		{word: gates.KindSettled, fields: []field[rawGate]{againField()}},
		{word: gates.KindGrants, fields: []field[rawGate]{
			required("asg", "The Auto Scaling group whose role must be able to use the keys of what it launches.", word[string](groupRule), func(g *rawGate) *string { return &g.grants.group }),
			againField(),
		}},
		{word: gates.KindLaunch, fields: launchFields()},
		{word: gates.KindVarnish, fields: append(climbFields(pathShape()),
			given("varnish", "How Varnish itself is asked, for evidence.", nodeShape(), func(g *rawGate) **rawNode { return &g.varnish.node }),
		)},
		{word: gates.KindHTTP, fields: climbFields(plainPathShape())},
	}
}

// againField is the key of kinds that can be asked again and again.
func againField() field[rawGate] {
	return given("every", "How often it is asked with stage: standing; default: its kind's.", duration(shortestAgain, longestAgain), func(g *rawGate) **time.Duration { return &g.again })
}

// builtKinds lists the kinds of gates that exist and can be configured.
func builtKinds() []string {
	var kinds []string
	for _, form := range gateForms() {
		if _, exists := gates.KindOf(form.word); exists {
			kinds = append(kinds, form.word)
		}
	}
	return kinds
}

// laterKinds lists the kinds that are designed and do not exist yet.
func laterKinds() []string {
	return slices.DeleteFunc([]string{gates.KindOwner, gates.KindGrants, "command"}, func(name string) bool {
		_, exists := gates.KindOf(name)
		return exists
	})
}

func guardFields() []field[rawGate] {
	allowance := object(
		required("match", "Glob over types or addresses of resources.", resourceGlob(), func(a *rawAllowance) *string { return &a.match }),
		required("reason", "Why they may be destroyed without a yes.", word[string](), func(a *rawAllowance) *string { return &a.reason }),
		required("until", "Day from whose beginning (UTC) they are under guard again.", date(), func(a *rawAllowance) *time.Time { return &a.until }),
	)
	return []field[rawGate]{
		optional("types", "Types of resources under guard, globs such as aws_kms_*, instead of those that are built in.", set(typeGlob(), 1), func(g *rawGate) *[]string { return &g.guard.types }),
		optional("also", "Types of resources under guard on top of the others, globs.", set(typeGlob(), 1), func(g *rawGate) *[]string { return &g.guard.also }),
		optional("addresses", "Addresses of resources under guard whatever their type, globs such as module.network.*.", set(addressGlob(), 1), func(g *rawGate) *[]string { return &g.guard.addresses }),
		optional("refuse", "Globs over types or addresses of which nothing may be destroyed: nobody is asked for a yes.", set(resourceGlob(), 1), func(g *rawGate) *[]string { return &g.guard.refuse }),
		optional("allow", "What may be destroyed without a yes, why, and until when.", list(allowance, 1), func(g *rawGate) *[]rawAllowance { return &g.guard.allow }),
	}
}

func launchFields() []field[rawGate] {
	methods := []gates.LaunchMethod{gates.MethodTrial, gates.MethodScaleOut}
	return []field[rawGate]{
		required("asg", "The Auto Scaling group through whose launch template an instance is started.", word[string](groupRule), func(g *rawGate) *string { return &g.launch.group }),
		lasting("healthy_within", "How long an instance may take until it is healthy.", 30*time.Second, longestHealthy, defaultHealthy, func(g *rawGate) *time.Duration { return &g.launch.healthyWithin }),
		defaulted("status_checks", "Wait for EC2's own status checks too.", flag(), false, func(g *rawGate) *bool { return &g.launch.statusChecks }),
		defaulted("each_zone", "Start one instance in each subnet of the group, one after another, instead of one wherever AWS likes.", flag(), false, func(g *rawGate) *bool { return &g.launch.eachZone }),
		defaulted("method", "Through what the instance is started: temporary-group is a group of its own that is like the real one; scale-out asks the real group for one more, on staging alone.", choice("method", methods, nil), gates.MethodTrial, func(g *rawGate) *gates.LaunchMethod { return &g.launch.method }),
		optional("cluster", "ECS cluster, by name or ARN, in which the instance must register.", word[string](clusterRule), func(g *rawGate) *string { return &g.launch.cluster }),
		defaulted("ssm", "The instance must answer AWS Systems Manager.", flag(), false, func(g *rawGate) *bool { return &g.launch.ssm }),
		optional("probe", "What the instance must reach, told through AWS Systems Manager.", probeShape(), func(g *rawGate) *rawProbe { return &g.launch.probe }),
		optional("console", "Text that must stand in the instance's console output.", word[string](), func(g *rawGate) *string { return &g.launch.console }),
	}
}

func gateShape() shape[rawGate] {
	skip := object(
		required("reason", "Why it is not asked.", word[string](), func(s *rawSkip) *string { return &s.reason }),
		required("until", "Day from whose beginning (UTC) it is asked again.", date(), func(s *rawSkip) *time.Time { return &s.until }),
	)
	stages := []upgrade.Stage{upgrade.StagePlan, upgrade.StageDuring, upgrade.StageAfter, upgrade.StageStanding}
	common := []field[rawGate]{
		required("name", "Name of the gate.", name[upgrade.GateName]("a gate"), func(g *rawGate) *upgrade.GateName { return &g.name }),
		required("kind", "How it asks.", choice("kind", builtKinds(), laterKinds()), func(g *rawGate) *string { return &g.kind }),
		optional("stage", "When it is asked; default: the first stage of its kind.", choice("stage", stages, nil), func(g *rawGate) *upgrade.Stage { return &g.stage }),
		required("environments", "Environments that are asked, one result each.", set(name[upgrade.EnvName]("an environment"), 1), func(g *rawGate) *[]upgrade.EnvName { return &g.environments }),
		optional("stacks", "Stacks whose runs ask it; default: all.", set(name[upgrade.StackName]("a stack"), 1), func(g *rawGate) *[]upgrade.StackName { return &g.stacks }),
		defaulted("required", "Whether production stays shut unless it passes.", flag(), true, func(g *rawGate) *bool { return &g.required }),
		given("settle", "How long after the last change its answer means something; default: its kind's.", duration(0, longestSettle), func(g *rawGate) **time.Duration { return &g.settle }),
		given("good_for", "How long an answer counts; default: its kind's.", duration(time.Minute, longestGood), func(g *rawGate) **time.Duration { return &g.goodFor }),
		given("deadline", "How long one asking may take, tries included; default: its kind's.", duration(time.Second, longestDeadline), func(g *rawGate) **time.Duration { return &g.deadline }),
		given("skip", "Do not ask it for a while.", skip, func(g *rawGate) **rawSkip { return &g.skip }),
	}
	return variants("kind", common, gateForms()...)
}

// nameOrPath is the name of a gate that has paths, or a path.
func nameOrPath() shape[rawTarget] {
	gate, own := name[upgrade.GateName]("a gate"), pathShape()
	return shape[rawTarget]{
		schema: schema{AnyOf: []schema{gate.schema, own.schema}},
		read: func(r *reader, at string, n ast.Node, into *rawTarget) {
			if _, ok := n.(ast.MapNode); ok {
				into.path = &rawPath{}
				own.read(r, at, n, into.path)
				return
			}
			gate.read(r, at, n, &into.gate)
		},
	}
}
