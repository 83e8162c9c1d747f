package main

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/upgradegate/upgradegate/integration/aws/awsprovider"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
)

// writeFile writes the operator's file, for a port that is free now.
func (h *house) writeFile(binary string) {
	h.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(h, err)
	h.url = "http://" + listener.Addr().String()
	check(h, listener.Close())
	cli := "disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path = \"" + h.path("mirror") + "\"\n  }\n}\n"
	check(h, os.MkdirAll(h.path("mirror"), 0o755))
	if h.provider {
		self, err := product()
		check(h, err)
		version, err := awsprovider.Version(self)
		check(h, err)
		check(h, awsprovider.Install(self, h.path("mirror"), version))
		cli = awsprovider.CLIConfig(h.path("mirror"))
	}
	gateList := h.gates
	if gateList == "" {
		gateList = h.siteGate()
	}
	if watch, also := strings.CutPrefix(h.gates, "-"); also {
		gateList = h.siteGate() + cmp.Or(watch, agentWatch)
	}
	places := ""
	if h.vantages {
		places = "vantages: [{name: staging-a, kind: agent}]\n"
	}
	if h.watched {
		gateList += "  - {name: outage, kind: availability, environments: [staging], path: site, every: 50ms, baseline: 200ms, settle: 1s}\n"
	}
	if h.guarded {
		gateList += "  - {name: guard, kind: destroy-guard, environments: [staging], types: [terraform_data]}\n"
	}
	if !h.settled { // it plans once more in each run, which takes a second
		gateList += "  - {name: settled, kind: settled, environments: [staging], skip: {reason: not what is tested here, until: 2100-01-01}}\n"
	}
	check(h, os.MkdirAll(h.path("state"), 0o755))
	h.secrets = map[string]string{
		"T_HUGO": hugoToken, "T_RENE": reneToken, "T_PRIYA": priyaToken, "T_GITLAB": h.bot.Token.Reveal(), "T_HOOK": hookToken, "T_EXTERNAL": externalID,
		"T_KEY": awssim.DefaultKeyID, "T_SECRET": awssim.DefaultSecret, "T_STACK": stackSecret,
	}
	h.file = h.write("upgradegate.yaml", fmt.Sprintf(`server:
  listen: %q
  public_url: %q
  tokens:
    - {name: hugo, role: release_manager, gitlab_user_id: %d, token: {env: T_HUGO}}
    - {name: rene, role: release_manager, gitlab_user_id: %d, token: {env: T_RENE}}
    - {name: priya, role: release_manager, gitlab_user_id: %d, token: {env: T_PRIYA}}
database: %q
data: %q
gitlab:
  url: %q
  token: {env: T_GITLAB}
  webhook: {secret_token: {env: T_HOOK}}
terraform: {binary: %q, cli_config: %q}
network: {allow: ["127.0.0.1/32:%d"]}
%senvironments:
  staging:
    aws: {region: eu-west-2, role_arn: %q, external_id: {env: T_EXTERNAL}, endpoint: %q, access_key: {env: T_KEY}, secret_key: {env: T_SECRET}}
  production: {}
stacks:
%s%sgates:
%s`, strings.TrimPrefix(h.url, "http://"), h.url, h.hugo.ID, h.rene.ID, h.priya.ID, "sqlite://"+h.path("gate.db"), h.path("data"), h.gitlab.URL(), binary,
		h.write("terraform.rc", cli, 0o644), h.site.port, places, gateRole, h.awsURL, h.stackList(), h.stateList(), gateList), 0o600)
}

// stackList is what the file says of the stacks. With several, only what is in its folder touches a stack.
func (h *house) stackList() string {
	names := h.stacks
	if names == nil {
		names = []string{"web"}
	}
	var b strings.Builder
	for _, name := range names {
		where := fmt.Sprintf("    dir: %q\n", h.orTop())
		if h.stacks != nil {
			where = fmt.Sprintf("    dir: %[1]s\n    paths: [\"%[1]s/**\"]\n", name)
		}
		fmt.Fprintf(&b, `  - name: %s
    project: platform/web
%s    trigger: {push: staging, merge_request: {to: main}}
    staging:
      backend_config: {path: %q}
      env: {AWS_ACCESS_KEY_ID: {env: T_KEY}, AWS_SECRET_ACCESS_KEY: {env: T_SECRET}, AWS_ENDPOINT_URL: %q, TF_VAR_password: {env: T_STACK}}
    production: {branch: main, environment: production}
    holds: [{kind: play_job, job: upgrade-gate, opens: step}, {kind: commit_status}]
`, name, where, h.path("state", name+".tfstate"), h.awsURL)
	}
	return b.String()
}

// stateList is what the file says of foreign states.
func (h *house) stateList() string {
	if h.states == "" {
		return ""
	}
	return "states:\n" + h.states
}

func (h *house) orTop() string {
	if h.setup.dir == "" {
		return "."
	}
	return h.setup.dir
}

// siteGate asks the site, by name, past the cache.
func (h *house) siteGate() string { return h.pageGate("site", "/") }

// pageGate asks for a page of the site. Stacks: those that it is for, all if none.
func (h *house) pageGate(name, page string, stacks ...string) string {
	settle := h.settle
	if settle == "" {
		settle = "0s"
	}
	only := ""
	if len(stacks) > 0 {
		only = fmt.Sprintf("    stacks: [%s]\n", strings.Join(stacks, ", "))
	}
	return fmt.Sprintf(`  - name: %s
    kind: varnish
    environments: [staging]
%s    settle: %s
    tries: 1
    paths:
      - {url: %q, resolve: {www.site.test: 127.0.0.1}, bypass: {query: gate}, expect: {status: 200, body_contains: hello}}
`, name, only, settle, fmt.Sprintf("http://www.site.test:%d%s", h.site.port, page))
}
