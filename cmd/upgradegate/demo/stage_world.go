package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awsprovider"
	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
)

func (st *stage) buildGitLab(ctx context.Context) (err error) {
	st.gitlab, err = gitlabsim.New(gitlabsim.Config{Clock: st.clock, Dir: filepath.Join(st.dir, "gitlab"), Log: st.options.Log})
	if err != nil {
		return fmt.Errorf("simulate GitLab: %w", err)
	}
	if _, err := st.gitlab.Start(ctx, "127.0.0.1:0"); err != nil {
		return fmt.Errorf("simulate GitLab: %w", err)
	}
	st.bot = st.gitlab.AddUser(gitlabsim.User{Username: "upgradegate", Name: "upgradegate", Bot: true})
	st.priya = st.gitlab.AddUser(gitlabsim.User{Username: "priya", Name: "Priya Raman"})
	st.hugo = st.gitlab.AddUser(gitlabsim.User{Username: "hugo", Name: "Hugo Leclerc"})
	st.rene = st.gitlab.AddUser(gitlabsim.User{Username: "rene", Name: "René Okafor"})
	st.vera = st.gitlab.AddUser(gitlabsim.User{Username: "vera", Name: "Vera Lindqvist"})
	return nil
}

func (st *stage) addProject(ctx context.Context, name string, files map[string]string) error {
	project, err := st.gitlab.AddProject(ctx, gitlabsim.ProjectSpec{
		Path: name, Files: files, Message: "The platform as it is", Author: st.hugo.ID, Branches: []string{"staging"},
		Members: map[int64]gitlabsim.Access{st.bot.ID: gitlabsim.Maintainer, st.priya.ID: gitlabsim.Developer, st.hugo.ID: gitlabsim.Maintainer},
		Protected: []gitlabsim.ProtectedBranch{
			{Name: "main", Push: gitlabsim.Maintainer, Merge: gitlabsim.Maintainer},
			{Name: "staging", Push: gitlabsim.Developer, Merge: gitlabsim.Developer},
		},
		Environments: []gitlabsim.ProtectedEnvironment{{Name: "upgrade-gate", Users: []int64{st.bot.ID}}},
		CI:           gitlabsim.ProductionCI("main", "upgrade-gate", 2*time.Minute),
	})
	if err != nil {
		return fmt.Errorf("make the project: %w", err)
	}
	st.projects[name] = project
	return nil
}

func (st *stage) addHooks() error {
	for _, project := range st.projects {
		_, err := st.gitlab.AddHook(project.ID, gitlabsim.Hook{
			URL: st.url + "/webhooks/gitlab", Token: webhookSecret, SigningToken: signingToken,
		})
		if err != nil {
			return fmt.Errorf("add the webhook: %w", err)
		}
	}
	return nil
}

// installProvider puts this binary where Terraform finds it as a provider.
func (st *stage) installProvider(ctx context.Context) (*tools, error) {
	version, err := awsprovider.Version(st.options.Self)
	if err != nil {
		return nil, err
	}
	mirror := filepath.Join(st.dir, "mirror")
	if err := awsprovider.Install(st.options.Self, mirror, version); err != nil {
		return nil, err
	}
	cli := filepath.Join(st.dir, "terraform.rc")
	if err := os.WriteFile(cli, []byte(awsprovider.CLIConfig(mirror)), 0o600); err != nil {
		return nil, fmt.Errorf("write Terraform's own configuration: %w", err)
	}
	return findTools(ctx, st.options.Tool, cli, version, st.dir)
}
