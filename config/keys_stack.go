package config

import (
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// defaultApproval is how long a run waits for a person's yes.
const defaultApproval = 4 * time.Hour

func stackShape() shape[rawStack] {
	project := pattern[string](`^[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$`,
		"is not the path of a project", "give it with its namespace, such as platform/ecs-master", projectRule)
	return object(
		required("name", "Name of the stack.", name[upgrade.StackName]("a stack"), func(s *rawStack) *upgrade.StackName { return &s.name }),
		required("project", "Path of the GitLab project with its namespace, such as platform/ecs-master.", project, func(s *rawStack) *string { return &s.project }),
		optional("dir", "Folder of the root module in the repository; default: its top.", word[string](insideRule), func(s *rawStack) *string { return &s.dir }),
		optional("paths", "Globs of files that touch the stack besides dir; ** is any number of folders; default: the whole repository.", set(word[string](globRule), 0), func(s *rawStack) *[]string { return &s.paths }),
		optional("after", "Stacks that must be through first.", set(name[upgrade.StackName]("a stack"), 0), func(s *rawStack) *[]upgrade.StackName { return &s.after }),
		required("trigger", "What starts a run: push, merge_request, or both.", triggerShape(), func(s *rawStack) *rawTrigger { return &s.trigger }),
		required("staging", "Where and how Terraform works on staging.", object(stagingFields()...), func(s *rawStack) *rawSite { return &s.staging }),
		required("production", "How the stack reaches production, and how that is seen.", productionShape(), func(s *rawStack) *rawProduction { return &s.production }),
		optional("holds", "How production is kept shut in GitLab until the gates have passed.", list(holdShape(), 0), func(s *rawStack) *[]upgrade.Hold { return &s.holds }),
	)
}

func triggerShape() shape[rawTrigger] {
	condition := choice("condition", upgrade.Conditions(), nil)
	request := object(
		required("to", "Production branch to which merge requests are tested.", branch(), func(m *rawMergeRequest) *string { return &m.to }),
		defaulted("when", "What must hold before a merge request's code runs.", set(condition, 1), upgrade.Conditions(), func(m *rawMergeRequest) *[]upgrade.Condition { return &m.when }),
	)
	return object(
		optional("push", "Staging branch whose pushes start runs.", branch(), func(t *rawTrigger) *string { return &t.push }),
		given("merge_request", "Merge requests start runs of what their merge would give.", request, func(t *rawTrigger) **rawMergeRequest { return &t.mergeRequest }),
	)
}

// siteFields are the keys that staging and production share.
func siteFields[S any](site func(*S) *rawSite) []field[S] {
	return []field[S]{
		optional("workspace", "Terraform workspace; default: the one named default.", workspaceName(), func(s *S) *string { return &site(s).workspace }),
		optional("var_files", "Files of variables, relative to dir, in order.", list(word[string](insideRule), 0), func(s *S) *[]string { return &site(s).varFiles }),
		optional("backend_config", "Settings of the backend, as -backend-config takes them; secrets go into env.", dictionary(backendSetting(), backendValue("plan files"), 0), func(s *S) *[]pair[string] { return &site(s).backendConfig }),
		optional("env", "Variables for Terraform's environment; secrets by reference.", dictionary(envNameShape(), envValue(), 0), func(s *S) *[]pair[upgrade.Secret] { return &site(s).env }),
	}
}

func workspaceName() shape[string] {
	return pattern[string](`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`, "cannot be the name of a workspace", "use letters, digits, dot, dash and underscore", atMost(90, ""))
}

func stagingFields() []field[rawSite] {
	return append(
		siteFields(func(s *rawSite) *rawSite { return s }),
		lasting("approval_deadline", "How long a run waits for a person's yes.", time.Minute, 30*24*time.Hour, defaultApproval, func(s *rawSite) *time.Duration { return &s.approvalDeadline }),
	)
}

func productionShape() shape[rawProduction] {
	return object(append(
		[]field[rawProduction]{
			required("branch", "Branch whose pipeline deploys to production.", branch(), func(p *rawProduction) *string { return &p.branch }),
			optional("environment", "GitLab environment whose successful deployment means: in production.", word[string](), func(p *rawProduction) *string { return &p.environment }),
			optional("job", "Job whose success means: in production.", word[string](), func(p *rawProduction) *string { return &p.job }),
		},
		siteFields(func(p *rawProduction) *rawSite { return &p.rawSite })...,
	)...)
}

func holdShape() shape[upgrade.Hold] {
	built := []upgrade.HoldKind{upgrade.HoldPlayJob, upgrade.HoldVerifyJob, upgrade.HoldCommitStatus}
	later := []upgrade.HoldKind{upgrade.HoldDeploymentApproval, upgrade.HoldCreatePipeline, upgrade.HoldStatusCheck}
	opens := choice("opens", []upgrade.Opens{upgrade.OpensStep, upgrade.OpensDeploy}, nil)
	return variants("kind",
		[]field[upgrade.Hold]{
			required("kind", "How production is held: play_job, verify_job or commit_status.", choice("hold", built, later), func(h *upgrade.Hold) *upgrade.HoldKind { return &h.Kind }),
		},
		variant[upgrade.Hold]{word: string(upgrade.HoldPlayJob), fields: []field[upgrade.Hold]{
			required("job", "Name of the blocking manual job that is played.", word[string](), func(h *upgrade.Hold) *string { return &h.Job }),
			defaulted("opens", "What playing it does: step lets later manual jobs start, deploy deploys.", opens, upgrade.OpensStep, func(h *upgrade.Hold) *upgrade.Opens { return &h.Opens }),
		}},
		variant[upgrade.Hold]{word: string(upgrade.HoldVerifyJob), fields: []field[upgrade.Hold]{
			optional("job", "Name of the job that runs upgradegate verify, for people to know.", word[string](), func(h *upgrade.Hold) *string { return &h.Job }),
		}},
		variant[upgrade.Hold]{word: string(upgrade.HoldCommitStatus)},
	)
}
