package config

import (
	"encoding/base64"
	"net"
	"path/filepath"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// minToken is the shortest secret that nobody guesses, in characters.
const minToken = 16

// minKey is the shortest signing key that Standard Webhooks allows, in bytes.
const minKey = 24

// check makes checked values of raw ones and reports what only several keys together can tell. Its
// result counts for nothing if a problem was found.
func (r *reader) check(raw *rawFile) *Config {
	cfg := &Config{
		Server: r.checkServer(&raw.server), GitLab: r.checkGitLab(&raw.gitlab), Terraform: raw.terraform, Network: raw.network.allow,
		Retention: raw.retention, Vantages: r.checkVantages(raw.vantages),
	}
	if cfg.Terraform.ParallelRuns == 0 { // the whole of terraform was left out
		cfg.Terraform.ParallelRuns = defaultRuns
	}
	if cfg.Retention.Deliveries == 0 { // the whole of retention was left out
		cfg.Retention.Deliveries = defaultDeliveries
	}
	r.checkPaths(raw, cfg)
	cfg.Environments = r.checkEnvironments(raw.environments)
	cfg.Stacks = r.checkStacks(raw)
	cfg.States = r.checkStates(raw.states)
	cfg.Hooks = r.checkHooks(raw)
	cfg.Gates = r.checkGates(raw)
	cfg.SignIn = r.checkSignIn(raw, cfg.Server.PublicURL)
	cfg.Roles, cfg.Members = r.checkRoles(raw)
	r.checkTouched(raw, cfg)
	cfg.Secrets = r.secrets
	return cfg
}

func (r *reader) checkServer(raw *rawServer) Server {
	s := Server{Listen: raw.listen, PublicURL: strings.TrimRight(raw.publicURL, "/"), Pace: raw.pace}
	if s.Pace.PerSecond == 0 { // the whole of pace was left out
		s.Pace = Pace{PerSecond: defaultPace, Burst: defaultBurst}
	}
	host, port, err := net.SplitHostPort(raw.listen)
	if err == nil && !r.broken("server.public_url") {
		switch {
		case !loopbackHost(host) && !strings.HasPrefix(s.PublicURL, "https://"):
			at := "server.listen"
			r.problem(at, "put a proxy with TLS in front and give its address as public_url, or listen on 127.0.0.1",
				"tokens would cross the network unencrypted: public_url must be https to listen beyond this machine")
		case s.PublicURL == "" && port != "0":
			s.PublicURL = "http://" + raw.listen
		}
	}
	names, users := map[string]string{}, map[int64]string{}
	secrets := map[upgrade.Secret]string{}
	for i, token := range raw.tokens {
		at := nth("server.tokens", i)
		r.uniqueName(names, token.name, under(at, "name"), "the name "+quoted(token.name)+" is taken", "")
		// Two tokens of one person would be two release managers where a rule asks for two.
		if token.user != 0 {
			unique(r, users, token.user, under(at, "gitlab_user_id"), "this user of GitLab has a token already", "one person, one token")
		}
		if token.secret.Set() {
			unique(r, secrets, token.secret, under(at, "token"), "the same secret is given to somebody else", "whoever signs in must be one person")
			r.longEnough(under(at, "token"), token.secret)
		}
		s.Tokens = append(s.Tokens, Token{
			Person: upgrade.Person{Name: token.name, Role: token.role, GitLabUser: token.user}, Secret: token.secret,
		})
	}
	return s
}

func (r *reader) longEnough(at string, secret upgrade.Secret) {
	if len([]rune(secret.Reveal())) < minToken {
		r.problem(at, "make one with: openssl rand -hex 24", "the secret is shorter than %d characters", minToken)
	}
}

func (r *reader) checkGitLab(raw *rawGitLab) GitLab {
	const hook = "gitlab.webhook"
	g := GitLab{
		URL: strings.TrimRight(raw.url, "/"), Token: raw.token,
		SecretToken: raw.webhook.secretToken, SigningToken: raw.webhook.signingToken,
	}
	if r.has(hook) && !r.has(under(hook, "secret_token")) && !r.has(under(hook, "signing_token")) && !r.broken(hook) {
		r.problem(hook, "set secret_token, signing_token, or both, to what the hook in GitLab has", "without a secret anybody could send deliveries")
	}
	if g.SecretToken.Set() {
		r.longEnough(under(hook, "secret_token"), g.SecretToken)
	}
	if g.SigningToken.Set() {
		rest, prefixed := strings.CutPrefix(g.SigningToken.Reveal(), "whsec_")
		key, err := base64.StdEncoding.DecodeString(rest)
		if !prefixed || err != nil || len(key) < minKey { // err quotes nothing of the secret, and is left out all the same
			r.problem(under(hook, "signing_token"), "copy it from GitLab as it is", "the secret is not whsec_ and a key of at least %d bytes in base64", minKey)
		}
	}
	return g
}

// checkPaths makes paths absolute. Relative ones are those of the working folder.
func (r *reader) checkPaths(raw *rawFile, cfg *Config) {
	abs := func(at, path string) string {
		full, err := filepath.Abs(path)
		if err != nil {
			r.problem(at, "give an absolute path", "cannot be resolved: %s", reason(err))
		}
		return full
	}
	if cfg.Terraform.CLIConfig != "" {
		cfg.Terraform.CLIConfig = abs("terraform.cli_config", cfg.Terraform.CLIConfig)
	}
	file := ""
	if raw.database != "" {
		file = abs("database", databaseFile(raw.database))
	}
	switch {
	case raw.data != "":
		cfg.Data = abs("data", raw.data)
	case file != "":
		cfg.Data = filepath.Dir(file)
	default:
		cfg.Data = abs("data", "data")
	}
	if file == "" {
		file = filepath.Join(cfg.Data, "gate.db")
	}
	if strings.ContainsAny(file, "?#") {
		r.problem("data", "choose another folder", "the path of the database, %s, must not hold ? or #", quoted(file))
	}
	cfg.Database = "sqlite://" + file
}

func (r *reader) checkEnvironments(raw []pair[rawEnvironment]) []Environment {
	const at = "environments"
	var list []Environment
	for _, one := range raw {
		aws := one.value.aws
		if aws != nil {
			below := under(under(at, one.key), "aws")
			aws.Endpoint = strings.TrimRight(aws.Endpoint, "/")
			if r.has(under(below, "access_key")) != r.has(under(below, "secret_key")) {
				r.problem(below, "give both, or neither", "access_key and secret_key belong together")
			}
		}
		list = append(list, Environment{Name: upgrade.EnvName(one.key), AWS: aws})
	}
	if r.has(at) {
		for _, name := range []string{staging, production} {
			if !r.has(under(at, name)) {
				r.problem(under(at, name), "write "+name+": {} if gates do not reach AWS there", "must be set")
			}
		}
	}
	return list
}

// The environments that every stack has.
const (
	staging    = "staging"
	production = "production"
)

// unique reports a value that was seen before, and keeps where each was seen first.
func unique[T comparable](r *reader, seen map[T]string, value T, at, wrong, hint string) {
	if first, twice := seen[value]; twice {
		r.problem(at, hint, "%s: see %s", wrong, first)
		return
	}
	seen[value] = at
}

// uniqueName reports a name that was seen before; no name is no name twice.
func (r *reader) uniqueName(seen map[string]string, value, at, wrong, hint string) {
	if value != "" {
		unique(r, seen, value, at, wrong, hint)
	}
}
