package gitlabsim

import (
	"context"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Seeded is what Seed made.
type Seeded struct {
	Project   Project
	Bot       User // whose token the service uses
	Developer User
	Reviewer  User // a maintainer
}

// Token returns the token to configure the service with.
func (s Seeded) Token() upgrade.Secret { return s.Bot.Token }

// ProductionCI is a CI as the product expects one: merge requests and branches are tested; on the
// production branch a held job of that name waits for the gate, and a manual job deploys.
func ProductionCI(production, gate string, deployTakes time.Duration) []JobSpec {
	return []JobSpec{
		{Name: "validate", Stage: "test", MergeRequests: true},
		{Name: "test", Stage: "test"},
		{Name: gate, Stage: "gate", Branches: []string{production}, Manual: true, Environment: "upgrade-gate"},
		{Name: "deploy-production", Stage: "deploy", Branches: []string{production}, Manual: true, Environment: "production", Takes: deployTakes},
	}
}

// Seed makes three people and one example project, platform/example, with a Terraform module, the
// branches main and staging (protected) and the CI of ProductionCI, in which only the bot may play
// "upgrade-gate". The bot gets the token, an empty one is made up.
func (s *Server) Seed(ctx context.Context, token upgrade.Secret) (Seeded, error) {
	out := Seeded{
		Bot:       s.AddUser(User{Username: "upgradegate", Name: "Upgrade Gate", Bot: true, Token: token}),
		Developer: s.AddUser(User{Username: "dana", Name: "Dana Developer"}),
		Reviewer:  s.AddUser(User{Username: "rene", Name: "Rene Reviewer"}),
	}
	var err error
	out.Project, err = s.AddProject(ctx, ProjectSpec{
		Path: "platform/example", Author: out.Reviewer.ID, Branches: []string{"staging"}, CI: ProductionCI("main", "upgrade-gate", 2*time.Minute),
		Files: map[string]string{
			"README.md": "# Example\n\nA Terraform module that is tested on staging before production opens.\n",
			"main.tf":   "terraform {\n  required_version = \">= 1.5\"\n}\n\nvariable \"greeting\" {\n  type    = string\n  default = \"hello\"\n}\n\noutput \"greeting\" {\n  value = var.greeting\n}\n",
		},
		Members: map[int64]Access{out.Bot.ID: Maintainer, out.Developer.ID: Developer},
		Protected: []ProtectedBranch{
			{Name: "main", Push: Maintainer, Merge: Maintainer},
			{Name: "staging", Push: Developer, Merge: Developer},
		},
		Environments: []ProtectedEnvironment{{Name: "upgrade-gate", Users: []int64{out.Bot.ID}}},
	})
	if err != nil {
		return Seeded{}, fmt.Errorf("seed: %w", err)
	}
	return out, nil
}
