package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// backend is one of the places in which Terraform and OpenTofu both keep states.
type backend struct {
	name  string
	needs []string          // settings without which it cannot be read
	env   map[string]string // of them, those that a variable may give instead
}

// backends lists those that can be configured by settings of one line:
// https://developer.hashicorp.com/terraform/language/backend.
func backends() []backend {
	return []backend{
		{name: "s3", needs: []string{"bucket", "key"}},
		{name: "gcs", needs: []string{"bucket"}},
		{name: "azurerm", needs: []string{"storage_account_name", "container_name", "key"}},
		{name: "http", needs: []string{"address"}, env: map[string]string{"address": "TF_HTTP_ADDRESS"}},
		{name: "consul", needs: []string{"path"}},
		{name: "pg"},
		{name: "kubernetes", needs: []string{"secret_suffix"}},
		{name: "oss", needs: []string{"bucket"}},
		{name: "cos", needs: []string{"bucket"}, env: map[string]string{"bucket": "TENCENTCLOUD_BUCKET"}},
		{name: "local", needs: []string{"path"}},
	}
}

// laterBackends lists those that need more than settings of one line.
func laterBackends() []string { return []string{"remote", "cloud"} }

func stateShape() shape[rawState] {
	const hint = "use letters, digits, dot, dash and underscore, at most 63; a slash is for states of stacks, such as app/staging"
	name := pattern[upgrade.StateName](`^[A-Za-z0-9][A-Za-z0-9._-]*$`, "cannot be the name of a state", hint, atMost(63, hint))
	var known []string
	for _, one := range backends() {
		known = append(known, one.name)
	}
	return object(
		required("name", "Name of the state, as messages show it.", name, func(s *rawState) *upgrade.StateName { return &s.name }),
		required("backend", "Where it is kept: a backend of Terraform's, such as s3.", choice("backend", known, laterBackends()), func(s *rawState) *string { return &s.backend }),
		optional("config", "Settings of the backend, as -backend-config takes them; secrets go into env.", dictionary(backendSetting(), backendValue("Terraform's files"), 0), func(s *rawState) *[]pair[string] { return &s.config }),
		optional("workspace", "Terraform workspace; default: the one named default.", workspaceName(), func(s *rawState) *string { return &s.workspace }),
		optional("env", "Variables for Terraform's environment, such as credentials that only read; secrets by reference.", dictionary(envNameShape(), envValue(), 0), func(s *rawState) *[]pair[upgrade.Secret] { return &s.env }),
	)
}

// backendSetting is the name of a setting of a backend.
func backendSetting() shape[string] {
	return pattern[string](`^[A-Za-z_][A-Za-z0-9_.-]*$`, "is not a setting of a backend", "")
}

func (r *reader) checkStates(raw []rawState) []State {
	var list []State
	names, places := map[string]string{}, map[string]string{}
	for i := range raw {
		one, at := &raw[i], nth("states", i)
		r.uniqueName(names, string(one.name), under(at, "name"), "the name "+quoted(string(one.name))+" is taken", "")
		state := one.checked()
		list = append(list, state)
		if r.broken(at) || one.backend == "" {
			continue
		}
		r.checkBackend(&state, at)
		// Each would own whatever the other does.
		unique(r, places, placeOf(state), at, "another entry is the same state", "keep one of the two")
	}
	return list
}

func (s *rawState) checked() State {
	state := State{Name: s.name, Backend: s.backend, Workspace: s.workspace}
	for _, one := range s.config {
		if state.Config == nil {
			state.Config = map[string]string{}
		}
		state.Config[one.key] = one.value
	}
	for _, one := range s.env {
		if state.Env == nil {
			state.Env = map[string]upgrade.Secret{}
		}
		state.Env[one.key] = one.value
	}
	return state
}

// checkBackend refuses what Terraform would ask a person for, and paths that mean nothing: the state is
// read in a folder of the service's own.
func (r *reader) checkBackend(s *State, at string) {
	kinds := backends()
	kind := kinds[slices.IndexFunc(kinds, func(b backend) bool { return b.name == s.Backend })]
	for _, setting := range kind.needs {
		if s.Config[setting] != "" || kind.env[setting] != "" && s.Env[kind.env[setting]].Set() {
			continue
		}
		hint := ""
		if variable := kind.env[setting]; variable != "" {
			hint = "or set " + variable + " under env"
		}
		r.problem(under(under(at, "config"), setting), hint, "must be set for backend %s", s.Backend)
	}
	if path := s.Config["path"]; s.Backend == "local" && path != "" && !filepath.IsAbs(path) {
		r.problem(under(under(at, "config"), "path"), "give an absolute path", "%s is relative, and the state is read in a folder of its own", quoted(path))
	}
}

// placeOf returns what tells states apart, in a form to compare and never to show: it holds the values
// of variables.
func placeOf(s State) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n%v\n", s.Backend, s.Workspace, s.Config) // maps print in the order of their keys
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		fmt.Fprintf(&b, "%s=%s\n", name, s.Env[name].Reveal())
	}
	return b.String()
}
