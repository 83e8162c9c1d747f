package terraform

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// usualPath is for a service that was started without a PATH.
const usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// passedOn are the variables of the service that Terraform sees too. None of them is a credential: a
// proxy's address with a password in it belongs into a stack's own variables.
func passedOn() []string {
	return []string{
		"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "TF_PLUGIN_CACHE_DIR",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	}
}

// reserved are the variables that a stack may not set: this package sets them itself, or they would
// undo what it promises. Those that end in * stand for all that begin so.
func reserved() []string {
	return []string{
		"HOME", "TMPDIR", "TF_DATA_DIR", "TF_CLI_CONFIG_FILE", "TF_CLI_ARGS", "TF_CLI_ARGS_*", "TF_INPUT",
		"TF_IN_AUTOMATION", "TF_LOG", "TF_LOG_*", "TF_REATTACH_PROVIDERS", "TF_APPEND_USER_AGENT",
		"TF_WORKSPACE", "TF_DISABLE_PLUGIN_TLS", "TF_SKIP_PROVIDER_VERIFY", "TF_PLUGIN_MAGIC_COOKIE",
		"CHECKPOINT_DISABLE", "UPGRADEGATE_*",
	}
}

// varPrefix begins the names of variables that terraform-exec refuses to set; renamed stands for it
// until the launcher (see launcher.go) gives them their name back.
const (
	varPrefix = "TF_VAR_"
	renamed   = "UPGRADEGATE_TF_VAR_"
)

func baseEnviron(environ []string) map[string]string {
	base := map[string]string{"PATH": usualPath}
	for _, pair := range environ {
		name, value, ok := strings.Cut(pair, "=")
		if ok && value != "" && slices.Contains(passedOn(), name) {
			base[name] = value
		}
	}
	return base
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// environ returns everything that Terraform sees for a root module with the given variables.
func (t *Terraform) environ(w *workplace, env map[string]upgrade.Secret) (map[string]string, error) {
	all := maps.Clone(t.base)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		value := env[name].Reveal()
		switch {
		case !envName.MatchString(name):
			return nil, invalidEnv("%q cannot be the name of a variable for Terraform", name)
		case isReserved(name):
			return nil, invalidEnv("the variable %s is not the stack's to set", name)
		case strings.ContainsRune(value, 0):
			return nil, invalidEnv("the variable %s holds a NUL byte", name)
		}
		all[name] = value
	}
	all["HOME"] = w.home
	all["TMPDIR"] = w.tmp
	all["TF_DATA_DIR"] = w.tfData
	all["CHECKPOINT_DISABLE"] = "1"
	if t.cfg.CLIConfig != "" {
		all["TF_CLI_CONFIG_FILE"] = t.cfg.CLIConfig
	}
	return all, nil
}

func invalidEnv(format string, args ...any) error {
	return &upgrade.Error{
		Code: upgrade.CodeInvalid, Msg: fmt.Sprintf(format, args...), Hint: "correct env of the stack in the configuration",
	}
}

func isReserved(name string) bool {
	for _, r := range reserved() {
		if prefix, many := strings.CutSuffix(r, "*"); name == r || many && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func pairs(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}
