package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/integration/varnish/lab"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// config writes the operator's file of the demo and reads it as an operator's file is read.
func (st *stage) config(chosen []story, tools *tools) (*config.Config, error) {
	var b strings.Builder
	fmt.Fprintf(&b, `server:
  listen: 127.0.0.1:8080
  public_url: %q
  tokens:
    - {name: hugo, role: release_manager, gitlab_user_id: %d, token: {env: DEMO_HUGO}}
%sdatabase: %q
data: %q
gitlab:
  url: %q
  token: {env: DEMO_GITLAB}
  webhook: {secret_token: {env: DEMO_WEBHOOK}, signing_token: {env: DEMO_SIGNING}}
terraform: {binary: %q, cli_config: %q, parallel_runs: 2}
environments:
  staging:
    aws: {region: %s, role_arn: %q, external_id: {env: DEMO_EXTERNAL}, endpoint: %q, access_key: {env: DEMO_KEY}, secret_key: {env: DEMO_SECRET}}
  production:
    aws: {region: %s, role_arn: %q, external_id: {env: DEMO_EXTERNAL}, endpoint: %q, access_key: {env: DEMO_KEY}, secret_key: {env: DEMO_SECRET}}
`, st.url, st.hugo.ID, st.tokens(), "sqlite://"+filepath.Join(st.dir, "gate.db"), filepath.Join(st.dir, "data"), st.gitlab.URL(),
		tools.binary, tools.cli, region, gateRole, st.awsURL, region, readRole, st.awsURL)
	fmt.Fprintf(&b, "network: {allow: [%s]}\n", strings.Join(st.allowed(), ", "))
	b.WriteString("stacks:\n")
	for _, s := range chosen {
		for _, repository := range s.repositories() {
			for _, stack := range repository.stacks {
				fmt.Fprintf(&b, `  - name: %s
    project: %s
%s    trigger: {%s}
    staging: {%s}
    production: {%s}
    holds: [{kind: play_job, job: upgrade-gate, opens: step}, {kind: commit_status}]
`, stack.name, repository.path, stack.where(), stack.trigger(), st.site(stack, staging, tools), st.production(stack, tools))
			}
		}
	}
	b.WriteString("gates:\n")
	for _, s := range chosen {
		for _, stack := range s.stacks() {
			if stack.scene != nil {
				b.WriteString(stack.scene.gates(st.clock.Now()))
				continue
			}
			b.WriteString(st.gatesOf(s, stack.name))
		}
	}
	return st.parse(b.String())
}

// tokens writes who may sign in besides Hugo.
func (st *stage) tokens() string {
	ids := map[string]int64{"rene": st.rene.ID, "priya": st.priya.ID, "vera": st.vera.ID}
	var b strings.Builder
	for _, o := range others() {
		fmt.Fprintf(&b, "    - {name: %s, role: %s, gitlab_user_id: %d, token: {env: DEMO_%s}}\n", o.name, o.role, ids[o.name], strings.ToUpper(o.name))
	}
	return b.String()
}

// gatesOf writes the gates of a stack, besides those that every stack has.
func (st *stage) gatesOf(s story, name upgrade.StackName) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - {name: launch-%[1]s, kind: instance-launch, environments: [staging], stacks: [%[1]s], asg: %[1]s-web, healthy_within: 5m, status_checks: true}\n", name)
	site := st.sites[name]
	if site == nil {
		return b.String()
	}
	fmt.Fprintf(&b, `  - name: site-%[1]s
    kind: varnish
    environments: [staging]
    stacks: [%[1]s]
    paths:
      - url: %[2]q
        resolve: {%[3]s}
        expect: {status: 200, body_contains: %[4]q}
%[5]s`, name, site.URL, resolve(site.Resolve), lab.Marker, bypass(site.Bypass))
	if s.watched {
		fmt.Fprintf(&b, "  - {name: outage-%[1]s, kind: availability, environments: [staging], stacks: [%[1]s], path: site-%[1]s, every: 50ms, baseline: 500ms, budget: {longest: 500ms, total: 2s}}\n", name)
	}
	return b.String()
}

// trigger writes what starts a run.
func (s stack) trigger() string {
	if s.scene != nil {
		return "merge_request: {to: main}"
	}
	return "push: staging"
}

// site writes where and how Terraform works on an environment of the stack.
func (st *stage) site(s stack, env upgrade.EnvName, tools *tools) string {
	credentials := st.terraformEnv()
	text := fmt.Sprintf("backend_config: {path: %q}, env: {AWS_ACCESS_KEY_ID: %q, AWS_SECRET_ACCESS_KEY: {env: DEMO_SECRET}, AWS_ENDPOINT_URL: %q}",
		tools.stateFile(s.name, env), credentials["AWS_ACCESS_KEY_ID"], credentials["AWS_ENDPOINT_URL"])
	if s.scene != nil && s.scene.cluster {
		text += fmt.Sprintf(", var_files: [%s.tfvars]", env)
	}
	return text
}

// production writes how the stack reaches production, and where Terraform finds what it has there. Only the
// clusters of the story incident have a production.
func (st *stage) production(s stack, tools *tools) string {
	text := "branch: main, environment: production"
	if s.scene != nil && s.scene.cluster {
		text += ", " + st.site(s, production, tools)
	}
	return text
}

// where writes in which folder of the repository a stack is, and that nothing else touches it.
func (s stack) where() string {
	if s.dir == "" {
		return ""
	}
	return fmt.Sprintf("    dir: %[1]s\n    paths: [\"%[1]s/**\"]\n", s.dir)
}

// resolve writes where the site's name is.
func resolve(hosts map[string]string) string {
	var all []string
	for host, address := range hosts {
		all = append(all, fmt.Sprintf("%q: %q", host, address))
	}
	return strings.Join(all, ", ")
}

// bypass writes how to ask past the cache; the value of a header is a secret.
func bypass(b probe.Bypass) string {
	switch {
	case b.Header != "":
		return fmt.Sprintf("        bypass: {header: %q, value: {env: DEMO_BYPASS}}\n", b.Header)
	case b.Query != "":
		return fmt.Sprintf("        bypass: {query: %q}\n", b.Query)
	}
	return ""
}

func (st *stage) allowed() []string {
	var all []string
	for _, site := range st.sites {
		for _, allow := range site.Allow {
			all = append(all, fmt.Sprintf("%q", allow.String()))
		}
	}
	return all
}

func (st *stage) parse(text string) (*config.Config, error) {
	secrets := map[string]string{
		"DEMO_HUGO": hugoToken, "DEMO_GITLAB": st.bot.Token.Reveal(), "DEMO_WEBHOOK": webhookSecret, "DEMO_SIGNING": signingToken,
		"DEMO_EXTERNAL": externalID.Reveal(), "DEMO_KEY": st.terraformEnv()["AWS_ACCESS_KEY_ID"],
		"DEMO_SECRET": st.terraformEnv()["AWS_SECRET_ACCESS_KEY"],
	}
	for _, o := range others() {
		secrets["DEMO_"+strings.ToUpper(o.name)] = o.token
	}
	for _, site := range st.sites {
		secrets["DEMO_BYPASS"] = site.Bypass.Value // the same for each
	}
	file := filepath.Join(st.dir, "upgradegate.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration: %w", err)
	}
	return config.Load(file, config.Source{
		Getenv:   func(name string) (string, bool) { value, ok := secrets[name]; return value, ok },
		ReadFile: os.ReadFile,
	})
}
