package config

import (
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// table is every key that the file may hold.
func table() shape[rawFile] {
	return object(
		required("server", "Where the dashboard and the API are, and who may use them.", serverShape(), func(f *rawFile) *rawServer { return &f.server }),
		optional("database", "Address of the database, such as sqlite:///var/lib/upgradegate/gate.db; default: gate.db in the folder data.", word[string](databaseRule), func(f *rawFile) *string { return &f.database }),
		optional("data", "Folder for runs, mirrors and locks; default: the database's, or data in the working folder.", word[string](), func(f *rawFile) *string { return &f.data }),
		required("gitlab", "The GitLab that sends deliveries and holds production.", gitlabShape(), func(f *rawFile) *rawGitLab { return &f.gitlab }),
		optional("terraform", "Which Terraform is used, and as whom.", terraformShape(), func(f *rawFile) *Terraform { return &f.terraform }),
		optional("network", "What probes may reach.", networkShape(), func(f *rawFile) *struct{ allow []Allow } { return &f.network }),
		optional("vantages", "Places besides this host from which gates probe.", list(vantageShape(), 0), func(f *rawFile) *[]rawVantage { return &f.vantages }),
		required("environments", "The environments, staging and production among them, and how gates reach their AWS.", dictionary(name[string]("an environment"), environmentShape(), 1), func(f *rawFile) *[]pair[rawEnvironment] { return &f.environments }),
		required("stacks", "Root modules of Terraform, each with one state for each environment.", list(stackShape(), 1), func(f *rawFile) *[]rawStack { return &f.stacks }),
		optional("states", "States of other Terraforms that may own the same things.", list(stateShape(), 0), func(f *rawFile) *[]rawState { return &f.states }),
		required("gates", "Tests that may say no.", list(gateShape(), 1), func(f *rawFile) *[]rawGate { return &f.gates }),
		optional("hooks", "Receivers that events are posted to.", list(hookShape(), 0), func(f *rawFile) *[]rawHook { return &f.hooks }),
		optional("sign_in", "How people sign in besides by token.", signInShape(), func(f *rawFile) *rawSignIn { return &f.signIn }),
		optional("roles", "What those who sign in may do; tokens have their own role.", rolesShape(), func(f *rawFile) *rawRoles { return &f.roles }),
		optional("retention", "How long what came in is kept.", retentionShape(), func(f *rawFile) *Retention { return &f.retention }),
	)
}

func serverShape() shape[rawServer] {
	return object(
		defaulted("listen", "Address and port to listen on; beyond loopback only with an https public_url.", word[string](listenRule), "127.0.0.1:8080", func(s *rawServer) *string { return &s.listen }),
		optional("public_url", "Address that people use; default: the one that is listened on.", httpURL("https://gate.example.org", noPath), func(s *rawServer) *string { return &s.publicURL }),
		optional("pace", "How fast one caller of the API may ask.", paceShape(), func(s *rawServer) *Pace { return &s.pace }),
		optional("tokens", "People and programs that may come in by a token of their own. May be left out where sign_in says how people sign in.", list(tokenShape(), 1), func(s *rawServer) *[]rawToken { return &s.tokens }),
	)
}

// How fast one caller of the API may ask when nobody says otherwise.
const (
	defaultPace  = 50
	defaultBurst = 200
)

func paceShape() shape[Pace] {
	return object(
		defaulted("per_second", "Requests a second in the long run; more get 429.", number[int](1, 10_000), defaultPace, func(p *Pace) *int { return &p.PerSecond }),
		defaulted("burst", "Requests at once.", number[int](1, 100_000), defaultBurst, func(p *Pace) *int { return &p.Burst }),
	)
}

func tokenShape() shape[rawToken] {
	roles := upgrade.Roles()
	return object(
		required("name", "Name of the person or program, as the journal shows it.", word[string](personRule), func(t *rawToken) *string { return &t.name }),
		required("role", "What they may do: viewer, developer, release_manager or admin, each including the ones before it.", choice("role", roles, nil), func(t *rawToken) *upgrade.Role { return &t.role }),
		optional("gitlab_user_id", "Their id in GitLab, by which authors are told from those who may override.", number[int64](1, 1<<53), func(t *rawToken) *int64 { return &t.user }),
		required("token", "What they sign in with: at least 16 characters.", line(), func(t *rawToken) *upgrade.Secret { return &t.secret }),
	)
}

func gitlabShape() shape[rawGitLab] {
	type hook = struct{ secretToken, signingToken upgrade.Secret }
	webhook := object(
		optional("secret_token", "The secret token of the webhook: at least 16 characters.", line(), func(h *hook) *upgrade.Secret { return &h.secretToken }),
		optional("signing_token", "The signing token of the webhook (GitLab 19.0 and later): whsec_ and a key in base64.", line(), func(h *hook) *upgrade.Secret { return &h.signingToken }),
	)
	return object(
		required("url", "Address of the instance, such as https://gitlab.example.org.", httpURL("https://gitlab.example.org", noAPI), func(g *rawGitLab) *string { return &g.url }),
		required("token", "Access token with scope api of the bot's own user.", line(), func(g *rawGitLab) *upgrade.Secret { return &g.token }),
		required("webhook", "How deliveries prove that GitLab sent them: secret_token, signing_token, or both.", webhook, func(g *rawGitLab) *hook { return &g.webhook }),
	)
}

func terraformShape() shape[Terraform] {
	user := pattern[string](`^[a-z_][a-z0-9_-]*$`, "is not the name of a user", "give the name, not the number")
	s := object(
		optional("binary", "Path or name of Terraform or OpenTofu; default: terraform 1.5 or later, else tofu.", word[string](noDash), func(t *Terraform) *string { return &t.Binary }),
		optional("user", "Who Terraform runs as; default: who the service runs as.", user, func(t *Terraform) *string { return &t.User }),
		optional("cli_config", "File for TF_CLI_CONFIG_FILE.", word[string](), func(t *Terraform) *string { return &t.CLIConfig }),
		defaulted("parallel_runs", "How many runs work at a time.", number[int](1, 32), defaultRuns, func(t *Terraform) *int { return &t.ParallelRuns }),
	)
	return s
}

// defaultRuns is how many runs work at a time.
const defaultRuns = 2

func networkShape() shape[struct{ allow []Allow }] {
	return object(
		optional("allow", `Ranges that are not public and the ports that probes may reach there, such as "10.20.0.0/16:80,443".`, list(allowShape(), 0), func(n *struct{ allow []Allow }) *[]Allow { return &n.allow }),
	)
}

// How long deliveries are kept. One that comes again must still be known: GitLab tries for a day.
const (
	defaultDeliveries = 30 * 24 * time.Hour
	shortestRetention = 24 * time.Hour
	longestRetention  = 3650 * 24 * time.Hour
)

func retentionShape() shape[Retention] {
	return object(
		lasting("deliveries", "How long deliveries and what came of them are kept.", shortestRetention, longestRetention, defaultDeliveries, func(r *Retention) *time.Duration { return &r.Deliveries }),
	)
}

func environmentShape() shape[rawEnvironment] {
	const roleForm = `^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$`
	region := pattern[string](`^[a-z]{2,8}(?:-[a-z]+)+-[0-9]{1,2}$`, "is not a region of AWS", "write it as in eu-west-2")
	role := pattern[string](roleForm, "is not the ARN of a role", "write it as in arn:aws:iam::111111111111:role/upgradegate-staging")
	aws := object(
		required("region", "Region of AWS, such as eu-west-2.", region, func(a *AWS) *string { return &a.Region }),
		required("role_arn", "Role that the gates assume; for production one that only reads.", role, func(a *AWS) *string { return &a.RoleARN }),
		optional("external_id", "External id that the role asks for.", line(), func(a *AWS) *upgrade.Secret { return &a.ExternalID }),
		optional("endpoint", "Address of a service that speaks as AWS does; default: AWS.", httpURL("https://aws.example.org", noPath), func(a *AWS) *string { return &a.Endpoint }),
		optional("access_key", "Access key that assumes the role; default: found as AWS's own tools find it.", line(), func(a *AWS) *upgrade.Secret { return &a.AccessKey }),
		optional("secret_key", "Secret of access_key.", line(), func(a *AWS) *upgrade.Secret { return &a.SecretKey }),
	)
	return object(given("aws", "How gates reach AWS there; needed by gates that do.", aws, func(e *rawEnvironment) **AWS { return &e.aws }))
}

// name is the name of something of the operator's, as paths, tags and addresses carry it.
func name[T ~string](noun string) shape[T] {
	const hint = "use letters, digits, dot, dash and underscore, at most 63"
	return pattern[T](`^[A-Za-z0-9][A-Za-z0-9._-]*$`, "cannot be the name of "+noun, hint, atMost(63, hint))
}
