package config_test

import (
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/config"
)

// TestTokensMayBeLeftOut: where people sign in otherwise, nobody needs a token in the file.
func TestTokensMayBeLeftOut(t *testing.T) {
	const file = `server: {public_url: "https://gate.example.org"}
gitlab:
  url: https://gitlab.example.org
  token: {env: GITLAB_TOKEN}
  webhook: {secret_token: {env: HOOK_SECRET}}
environments: {staging: {aws: {region: eu-west-2, role_arn: "arn:aws:iam::111111111111:role/gate"}}, production: {}}
stacks: [{name: app, project: group/app, trigger: {push: staging}, staging: {workspace: staging}, production: {branch: main, environment: production}}]
gates: [{name: launch, kind: instance-launch, environments: [staging], asg: app}]
`
	for name, signIn := range map[string]string{
		"gitlab":      "sign_in: {gitlab: {client_id: a, client_secret: {env: HUGO_TOKEN}}}\nroles: {give: [{group: ops, role: admin}]}\n",
		"oidc":        "sign_in: {oidc: [{name: corp, issuer: \"https://id.example.org\", client_id: a, client_secret: {env: HUGO_TOKEN}}]}\nroles: {give: [{oidc_group: corp/ops, role: admin}]}\n",
		"break_glass": "sign_in: {break_glass: {name: emergency, password_hash: {env: GLASS}}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			from := source()
			env := from.Getenv
			from.Getenv = func(key string) (string, bool) {
				if key == "GLASS" {
					return "$argon2id$v=19$m=65536,t=3,p=2$c2FsdHNhbHRzYWx0$c3Vtc3Vtc3Vtc3Vtc3Vtc3Vtc3U", true
				}
				return env(key)
			}
			cfg, err := config.Parse("gate.yaml", []byte(file+signIn), from)
			if err != nil || len(cfg.Server.Tokens) != 0 {
				t.Fatalf("refused: %v", err)
			}
		})
	}
	if _, err := config.Parse("gate.yaml", []byte(file), source()); err == nil || !strings.Contains(err.Error(), "nobody could sign in") {
		t.Errorf("nobody signs in, and that is accepted: %v", err)
	}
}
