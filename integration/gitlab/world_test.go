package gitlab_test

import (
	"net/http"
	"testing"

	"github.com/upgradegate/upgradegate/integration/gitlab"
	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// world is a simulated GitLab that runs, with the example project.
type world struct {
	sim           *gitlabsim.Server
	url           string
	project       gitlabsim.Project
	bot, dev, rev gitlabsim.User
}

func newWorld(t *testing.T) *world {
	t.Helper()
	sim, err := gitlabsim.New(gitlabsim.Config{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(func() { check(t, sim.Close()) })
	url, err := sim.Start(t.Context(), "127.0.0.1:0")
	check(t, err)
	seeded, err := sim.Seed(t.Context(), "")
	check(t, err)
	return &world{sim, url, seeded.Project, seeded.Bot, seeded.Developer, seeded.Reviewer}
}

// client returns an adapter to it as the bot; cfg may say more.
func (w *world) client(t *testing.T, cfg gitlab.Config) *gitlab.Client {
	t.Helper()
	if cfg.URL == "" {
		cfg.URL = w.url
	}
	if !cfg.Token.Set() {
		cfg.Token = w.bot.Token
	}
	c, err := gitlab.New(cfg)
	check(t, err)
	return c
}

// production starts a pipeline on main, which waits at the gate.
func (w *world) production(t *testing.T) gitlabsim.Pipeline {
	t.Helper()
	pl, err := w.sim.RunPipeline(t.Context(), w.project.ID, "main", w.rev.ID)
	check(t, err)
	return pl
}

func (w *world) status(pl gitlabsim.Pipeline, state upgrade.CommitState) forge.StatusPost {
	return forge.StatusPost{ProjectID: w.project.ID, Commit: pl.Commit, Ref: pl.Ref, PipelineID: pl.ID, Name: "upgradegate/example", State: state, Description: "being tested"}
}

// posts returns how many requests that change something were sent.
func (w *world) posts() (n int) {
	for _, r := range w.sim.Requests() {
		if r.Method != http.MethodGet {
			n++
		}
	}
	return n
}
