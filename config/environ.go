package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/upgradegate/upgradegate/upgrade"
)

// reserved lists the variables that a stack may not set for Terraform: the service sets them itself,
// or they would undo what it promises. Those that end in * stand for all that begin so.
// integration/terraform refuses the same ones again when it starts Terraform.
func reserved() []string {
	return []string{
		"HOME", "TMPDIR", "TF_DATA_DIR", "TF_CLI_CONFIG_FILE", "TF_CLI_ARGS", "TF_CLI_ARGS_*", "TF_INPUT",
		"TF_IN_AUTOMATION", "TF_LOG", "TF_LOG_*", "TF_REATTACH_PROVIDERS", "TF_APPEND_USER_AGENT",
		"TF_WORKSPACE", "TF_DISABLE_PLUGIN_TLS", "TF_SKIP_PROVIDER_VERIFY", "TF_PLUGIN_MAGIC_COOKIE",
		"CHECKPOINT_DISABLE", "UPGRADEGATE_*",
	}
}

func envNameShape() shape[string] {
	return pattern[string](`^[A-Za-z_][A-Za-z0-9_]*$`, "cannot be the name of a variable", "", func(s string) (string, string) {
		for _, one := range reserved() {
			if prefix, many := strings.CutSuffix(one, "*"); s == one || many && strings.HasPrefix(s, prefix) {
				hint := ""
				if s == "TF_WORKSPACE" {
					hint = "set workspace instead"
				}
				return "this variable is the service's alone to set", hint
			}
		}
		return "", ""
	})
}

// secretName is how variables and settings are called that hold secrets.
var secretName = regexp.MustCompile(`(?i)(?:secret|secret_key|secret_access_key|password|passwd|passphrase|token|private_key|api_?key|sas_token)$|^TF_TOKEN_`)

// envValue is the value of a variable: text, or a secret by reference.
func envValue() shape[upgrade.Secret] {
	s := schema{AnyOf: []schema{{Type: "string", MaxLength: maxText}, {Ref: "#/$defs/secret"}}}
	return shape[upgrade.Secret]{schema: s, read: func(r *reader, at string, n ast.Node, into *upgrade.Secret) {
		if _, keys := n.(ast.MapNode); keys || secretName.MatchString(lastKey(at)) {
			readSecret(r, at, n, into)
			return
		}
		if value, ok := text(n); ok && value == "" {
			return // an empty variable is one way of switching things off
		}
		if value, ok := r.word(at, n); ok {
			*into = upgrade.Secret(value)
		}
	}}
}

// backendValue is a setting of a backend. Secrets among them would end up in the files named.
func backendValue(files string) shape[string] {
	plain := word[string]()
	read := plain.read
	plain.read = func(r *reader, at string, n ast.Node, into *string) {
		if key := lastKey(at); secretName.MatchString(key) || slices.Contains([]string{"access_key", "conn_str", "credentials"}, key) {
			r.problem(at, "give it to Terraform by a variable under env", "a secret here would end up in %s", files)
			return
		}
		read(r, at, n, into)
	}
	return plain
}

// lastKey returns the key at which a path ends.
func lastKey(at string) string {
	if i := strings.LastIndexByte(at, '.'); i >= 0 {
		return at[i+1:]
	}
	return at
}
