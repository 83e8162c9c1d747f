package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/integration/aws"
	"github.com/upgradegate/upgradegate/integration/git"
	"github.com/upgradegate/upgradegate/integration/gitlab"
	"github.com/upgradegate/upgradegate/integration/terraform"
	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/lifecycle"
	"github.com/upgradegate/upgradegate/states"
	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/vantages"
)

// outside is everything that the service talks to.
type outside struct {
	forge     lifecycle.Forge
	members   *gitlab.Client // says who belongs where
	git       lifecycle.Git
	terraform lifecycle.Terraform
	clouds    []gates.Cloud
	gates     []gates.Gate
	states    *states.States // nil: none are known, as for a gate that is asked by hand
	agents    *vantages.Room // nil: none, as for a gate that is asked by hand
	mask      func(string) string
}

func connect(ctx context.Context, o Options, db *store.Store) (*outside, error) {
	c := o.Config
	forge, err := gitlab.New(gitlab.Config{URL: c.GitLab.URL, Token: c.GitLab.Token, Clock: o.Clock, Log: o.Log})
	if err != nil {
		return nil, err
	}
	repos, err := git.New(git.Config{Dir: under(c.Data, "mirrors"), URL: c.GitLab.URL, Token: c.GitLab.Token, Log: o.Log}) //nolint:contextcheck // asks git for its version, within its own limit
	if err != nil {
		return nil, err
	}
	secrets := c.Secrets
	tf, err := terraform.New(terraform.Config{ //nolint:contextcheck // as above
		Binary: c.Terraform.Binary, User: c.Terraform.User, CLIConfig: c.Terraform.CLIConfig, Environ: o.Environ,
		GitEnv: repos.Environ(), Secrets: secrets, Self: o.Self, LockDir: under(c.Data, "locks"), Log: o.Log, Clock: o.Clock,
	})
	if err != nil {
		return nil, err
	}
	out := &outside{forge: forge, members: forge, git: repos, terraform: limit(tf, c.Terraform.ParallelRuns), mask: terraform.NewMasker(secrets...).Mask}
	out.states = states.New(states.Config{
		Stacks: c.Stacks, Foreign: foreign(c), Store: db, Forge: forge, Git: repos, Terraform: tf, Clock: o.Clock, Log: o.Log,
		Mask: out.mask, Data: under(c.Data, "states"), Parallel: c.Terraform.ParallelRuns,
	})
	if out.agents, err = agentsOf(ctx, o, db); err != nil {
		return nil, err
	}
	return out, out.bind(o)
}

func foreign(c *config.Config) []states.Foreign {
	list := make([]states.Foreign, 0, len(c.States))
	for _, one := range c.States {
		list = append(list, states.Foreign(one))
	}
	return list
}

// bind gives each gate what it needs to ask.
func (out *outside) bind(o Options) error {
	clients := map[upgrade.EnvName]reached{}
	for _, env := range o.Config.Environments {
		if env.AWS == nil {
			continue
		}
		client, err := aws.New(aws.Config{
			Region: env.AWS.Region, RoleARN: env.AWS.RoleARN, ExternalID: env.AWS.ExternalID, Endpoint: env.AWS.Endpoint,
			KeyID: env.AWS.AccessKey.Reveal(), Key: env.AWS.SecretKey, SessionName: "upgradegate", Clock: o.Clock, Log: o.Log,
		})
		if err != nil {
			return fmt.Errorf("AWS of %s: %w", env.Name, err)
		}
		clients[env.Name] = client
		out.clouds = append(out.clouds, client)
	}
	prober := o.Prober
	if prober == nil {
		shared := varnish.New(varnish.Config{Guard: guard(o.Config)})
		prober = func(upgrade.GateName) gates.Prober { return shared }
	}
	var known gates.States
	if out.states != nil {
		known = out.states
	}
	inspector := varnish.NewInspector(varnish.InspectorConfig{Environ: o.Environ, Now: o.Clock.Now})
	targets := &gates.Targets{}
	for _, gate := range o.Config.Gates {
		err := gate.Settings.Bind(&gate.Gate, gates.Deps{
			Clock: o.Clock, Prober: prober(gate.Name), Vantage: out.vantage, States: known, Varnish: inspector, Targets: targets,
			Cloud: func(env upgrade.EnvName) (gates.Cloud, error) { return reach(clients, env) },
			Keys:  func(env upgrade.EnvName) (gates.Keys, error) { return reach(clients, env) },
		})
		if err != nil {
			return fmt.Errorf("gate %s: %w", gate.Name, err)
		}
		if gate.Gate.Settings, err = digest(gate.Settings); err != nil {
			return fmt.Errorf("gate %s: %w", gate.Name, err)
		}
		out.gates = append(out.gates, gate.Gate)
	}
	return nil
}

// digest tells the settings of a gate from others. It is a hash: no secret can be read from it.
func digest(settings gates.Settings) (string, error) {
	text, err := json.Marshal(settings)
	if err != nil {
		return "", fmt.Errorf("write down the settings: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// reached is an environment's AWS.
type reached interface {
	gates.Cloud
	gates.Keys
}

// reach returns the AWS of an environment. Error: CodeInvalid if it has none.
func reach(clients map[upgrade.EnvName]reached, env upgrade.EnvName) (reached, error) {
	if client, ok := clients[env]; ok {
		return client, nil
	}
	return nil, &upgrade.Error{
		Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("environment %s has no aws", env), Hint: "add its region and role",
	}
}

func guard(c *config.Config) varnish.Guard {
	var g varnish.Guard
	for _, entry := range c.Network {
		g.Allow = append(g.Allow, varnish.Allow{Prefix: entry.Prefix, Ports: entry.Ports})
	}
	return g
}
