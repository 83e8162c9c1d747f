package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

func (r *reader) checkStacks(raw *rawFile) []upgrade.Stack {
	stacks := make([]upgrade.Stack, len(raw.stacks))
	names, states := map[string]string{}, map[string]string{}
	for i := range raw.stacks {
		one, at := &raw.stacks[i], nth("stacks", i)
		r.uniqueName(names, string(one.name), under(at, "name"), "the name "+quoted(string(one.name))+" is taken", "")
		stack := one.checked()
		stacks[i] = stack
		r.checkTrigger(one, at)
		r.checkProof(&stack, at)
		r.checkHolds(&stack, at)
		r.checkSites(&stack, at)
		if stack.Project != "" && !r.broken(under(at, "staging")) {
			// Two runs at once on one state would be two Terraforms on it (S3).
			state := fmt.Sprint(stack.Project, "\n", stack.Dir, "\n", stateOf(stack.Staging))
			r.uniqueName(states, state, at, "another stack has the same root module and the same staging state", "give one of them another dir, workspace, backend_config or env")
		}
	}
	r.checkAfter(raw.stacks)
	return stacks
}

func (s *rawStack) checked() upgrade.Stack {
	stack := upgrade.Stack{
		Name: s.name, Project: s.project, Dir: s.dir, Paths: s.paths, After: s.after, Holds: s.holds,
		Trigger: upgrade.Trigger{Push: s.trigger.push},
		Staging: s.staging.checked(staging),
		Production: upgrade.Production{
			Branch: s.production.branch, Environment: s.production.environment, Job: s.production.job,
			Site: s.production.checked(production),
		},
	}
	if stack.Dir == "." {
		stack.Dir = ""
	}
	if request := s.trigger.mergeRequest; request != nil {
		stack.Trigger.MergeRequestTo, stack.Trigger.When = request.to, request.when
	}
	return stack
}

func (s *rawSite) checked(env upgrade.EnvName) upgrade.Site {
	site := upgrade.Site{Environment: env, Workspace: s.workspace, VarFiles: s.varFiles, ApprovalDeadline: s.approvalDeadline}
	if len(s.backendConfig) > 0 {
		site.BackendConfig = map[string]string{}
		for _, one := range s.backendConfig {
			site.BackendConfig[one.key] = one.value
		}
	}
	if len(s.env) > 0 {
		site.Env = map[string]upgrade.Secret{}
		for _, one := range s.env {
			site.Env[one.key] = one.value
		}
	}
	return site
}

// stateOf returns what tells the states of one root module apart, in a form to compare and never to
// show: it holds the values of variables.
func stateOf(site upgrade.Site) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%v\n", site.Workspace, site.BackendConfig) // maps print in the order of their keys
	for _, name := range slices.Sorted(maps.Keys(site.Env)) {
		fmt.Fprintf(&b, "%s=%s\n", name, site.Env[name].Reveal())
	}
	return b.String()
}

func (r *reader) checkTrigger(s *rawStack, at string) {
	trigger := under(at, "trigger")
	if !r.has(trigger) || r.broken(trigger) {
		return
	}
	request := s.trigger.mergeRequest
	if s.trigger.push == "" && request == nil {
		r.problem(trigger, "set push, merge_request, or both", "nothing would start a run")
	}
	if main := s.production.branch; request != nil && main != "" && request.to != main {
		r.problem(under(under(trigger, "merge_request"), "to"), "merge requests are tested on their way to production",
			"%s is not the production branch, %s", quoted(request.to), quoted(main))
	}
}

// checkProof refuses a stack of which nobody could say that it is in production.
func (r *reader) checkProof(s *upgrade.Stack, at string) {
	site := under(at, "production")
	if !r.has(site) || r.broken(site) || r.broken(under(at, "holds")) || s.Production.Environment != "" || s.Production.Job != "" {
		return
	}
	deploys := func(h upgrade.Hold) bool { return h.Kind == upgrade.HoldPlayJob && h.Opens == upgrade.OpensDeploy }
	if !slices.ContainsFunc(s.Holds, deploys) {
		r.problem(site, "set environment or job, or a play_job hold with opens: deploy", "nothing would prove that a change is in production")
	}
}

func (r *reader) checkHolds(s *upgrade.Stack, at string) {
	seen := map[string]string{}
	for i, hold := range s.Holds {
		below := nth(under(at, "holds"), i)
		if !r.broken(below) {
			r.uniqueName(seen, hold.Key(), below, "the same hold is there already", "")
		}
	}
}

// checkSites refuses staging and production on one state. A production that says nothing about its
// state is taken to have one elsewhere: its own pipeline works on it.
func (r *reader) checkSites(s *upgrade.Stack, at string) {
	said := s.Production.Site.Workspace != "" || len(s.Production.Site.BackendConfig) > 0
	if said && stateOf(s.Staging) == stateOf(s.Production.Site) && !r.broken(at) {
		r.problem(under(at, "production"), "give them different workspaces, backend_config or env", "has the same state as staging: what is tried on staging would change production")
	}
}

// checkAfter refuses names of stacks that are not there, and circles.
func (r *reader) checkAfter(stacks []rawStack) {
	after := map[upgrade.StackName][]upgrade.StackName{}
	for _, s := range stacks {
		after[s.name] = append(after[s.name], s.after...)
	}
	names := slices.Sorted(maps.Keys(after))
	told := map[upgrade.StackName]bool{}
	for i, s := range stacks {
		for j, other := range s.after {
			at := nth(under(nth("stacks", i), "after"), j)
			if _, known := after[other]; other != "" && !known && !r.broken(at) {
				r.unknownName(at, "stack", string(other), plain(names))
			}
		}
		circle := circleFrom(s.name, after)
		if len(circle) == 0 || told[s.name] {
			continue
		}
		for _, name := range circle {
			told[name] = true
		}
		r.problem(under(nth("stacks", i), "after"), "take one of them out", "stacks wait for each other in a circle: %s", strings.Join(plain(circle), " after "))
	}
}

// circleFrom returns the shortest way along after that leads from a stack back to it, both ends
// included, or nothing.
func circleFrom(start upgrade.StackName, after map[upgrade.StackName][]upgrade.StackName) []upgrade.StackName {
	from := map[upgrade.StackName]upgrade.StackName{}
	queue := []upgrade.StackName{start}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, next := range after[at] {
			if next == start && next != "" {
				way := []upgrade.StackName{start}
				for ; at != start; at = from[at] {
					way = append(way, at)
				}
				way = append(way, start)
				slices.Reverse(way)
				return way
			}
			if _, seen := from[next]; !seen {
				from[next] = at
				queue = append(queue, next)
			}
		}
	}
	return nil
}

// unknownName reports a name of something that the file does not have.
func (r *reader) unknownName(at, noun, name string, known []string) {
	r.problem(at, oneOf(name, known), "there is no %s %s", noun, quoted(name))
}

// plain returns names as words, without those that are missing.
func plain[T ~string](names []T) []string {
	var words []string
	for _, name := range names {
		if name != "" {
			words = append(words, string(name))
		}
	}
	return words
}
