package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/upgradegate/upgradegate/cmd/upgradegate/service"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/integration/aws/awsprovider"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/integration/varnish/lab"
	"github.com/upgradegate/upgradegate/internal/world"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// stage is everything that the stories need: the simulated GitLab and AWS, a site behind Varnish per
// story, the service, and the clock that they all share.
type stage struct {
	options  Options
	dir      string
	clock    *world.Clock
	gitlab   *gitlabsim.Server
	aws      *awssim.Sim
	awsURL   string
	sites    map[upgrade.StackName]*lab.Site // of the stacks that have one
	contents map[upgrade.StackName]content   // as staging's branch has them
	projects map[string]gitlabsim.Project    // by path
	service  *service.Service
	mover    *world.Mover
	url      string // of the dashboard
	tool     string

	bot, priya, hugo gitlabsim.User

	stop       func(error)
	work       sync.WaitGroup
	endService func() error // nil until the service runs
}

// region is where everything is.
const region = "eu-west-2"

// The environments. They share an account, and in the story incident a key and a role.
const (
	staging    upgrade.EnvName = "staging"
	production upgrade.EnvName = "production"
)

// gateRole and readRole are assumed by the gates of staging and of production, with an external id.
const (
	gateRole   = "arn:aws:iam::111111111111:role/upgradegate-staging"
	readRole   = "arn:aws:iam::111111111111:role/upgradegate-readonly"
	externalID = upgrade.Secret("demo-external-id")
)

// hugoToken is who plays the release manager on the dashboard. It is good for this demo only.
//
//nolint:gosec // made up for a machine's own loopback
const (
	hugoToken     = "demo-hugo-release-manager"
	webhookSecret = "demo-webhook-secret"
	signingToken  = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
)

func build(ctx context.Context, o Options, dir string, listener net.Listener, chosen []story) (st *stage, err error) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx)) // the service ends first, then its world
	st = &stage{
		options: o, dir: dir, clock: world.New(time.Now()), url: "http://" + listener.Addr().String(), stop: cancel,
		sites: map[upgrade.StackName]*lab.Site{}, projects: map[string]gitlabsim.Project{}, contents: map[upgrade.StackName]content{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.close())
		}
	}()
	if err := st.buildAWS(ctx); err != nil {
		return st, err
	}
	if err := st.buildGitLab(ctx); err != nil {
		return st, err
	}
	tools, err := st.installProvider(ctx)
	if err != nil {
		return st, err
	}
	for _, s := range chosen {
		if err := st.buildStory(ctx, s, tools); err != nil {
			return st, fmt.Errorf("set the stage of %s: %w", s.name, err)
		}
	}
	if err := st.buildService(ctx, chosen, tools); err != nil {
		return st, err
	}
	st.mover = &world.Mover{Clock: st.clock, NextWake: st.service.Store.NextWake, Stay: st.asked}
	st.work.Go(func() { st.mover.Run(ctx) })
	serving, stopService := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- st.service.Run(serving, listener) }()
	st.endService = func() error {
		stopService()
		// Whoever cleans up still waits for world time: a test launch is removed before the service ends.
		defer st.mover.Wait()()
		return <-ended
	}
	return st, st.addHooks()
}

func (st *stage) buildAWS(ctx context.Context) (err error) {
	st.aws, err = awssim.New(awssim.Config{
		Clock: st.clock, Region: region, Log: st.options.Log,
		Roles: []awssim.Role{{ARN: gateRole, ExternalID: externalID}, {ARN: readRole, ExternalID: externalID}},
	})
	if err != nil {
		return fmt.Errorf("simulate AWS: %w", err)
	}
	st.aws.AddImage(awssim.Image{Name: goodImage})
	dead := st.aws.AddImage(awssim.Image{Name: deadImage})
	st.aws.FailImage(dead, awssim.Failure{Code: deadCode, Message: deadMessage, Status: "Cancelled"})
	addr, err := st.aws.Start(ctx, "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("simulate AWS: %w", err)
	}
	st.awsURL = "http://" + addr
	return nil
}

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
	return nil
}

// buildStory makes the story's sites, its repositories, and the infrastructure as it stands before: Terraform
// is run by hand once, as it was before anybody thought of a gate.
func (st *stage) buildStory(ctx context.Context, s story, tools *tools) error {
	repositories := s.repositories()
	files := make([]map[string]string, len(repositories))
	var group errgroup.Group
	group.SetLimit(2)
	for i, repository := range repositories {
		for _, stack := range repository.stacks {
			if stack.scene == nil {
				continue
			}
			if err := st.buildProp(stack.scene); err != nil {
				return errors.Join(err, group.Wait())
			}
		}
		group.Go(func() (err error) {
			files[i], err = st.buildStacks(ctx, s, repository.stacks, tools)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, repository := range repositories {
		if err := st.addProject(ctx, repository.path, files[i]); err != nil {
			return err
		}
	}
	return nil
}

// buildStacks makes what a repository's stacks have, and returns its files.
func (st *stage) buildStacks(ctx context.Context, s story, stacks []stack, tools *tools) (map[string]string, error) {
	all := map[string]string{}
	for _, stack := range stacks {
		files, err := st.buildStack(ctx, s, stack, tools)
		if err != nil {
			return nil, err
		}
		for name, text := range files {
			all[path.Join(stack.dir, name)] = text
		}
	}
	return all, nil
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

// buildStack makes a stack's site and what its configuration says, and returns its files.
func (st *stage) buildStack(ctx context.Context, s story, stack stack, tools *tools) (map[string]string, error) {
	if stack.scene != nil {
		return st.buildScene(ctx, stack, tools)
	}
	network := st.aws.Network("", region)
	c := content{
		stack: stack.name, provider: tools.version, vpc: network.VPC, subnets: network.Subnets,
		lb: "10.0.0.10/32", port: 80, image: goodImage, maxSize: 4, about: "who may reach Varnish",
	}
	if !s.siteless {
		site, err := lab.OpenSite(ctx, lab.SiteConfig{Config: lab.Config{Dir: st.dir}})
		if err != nil {
			return nil, fmt.Errorf("start the site: %w", err)
		}
		st.sites[stack.name] = site
		c.lb, c.port = netip.PrefixFrom(site.Addr(lab.LB), 32).String(), int(site.Port)
	}
	st.contents[stack.name] = c
	files, err := c.files()
	if err != nil {
		return nil, err
	}
	if err := tools.applyByHand(ctx, byHand{stack: stack.name, files: files, env: st.terraformEnv()}); err != nil {
		return nil, err
	}
	if site := st.sites[stack.name]; site != nil {
		guard := &fabric{aws: st.aws, clock: st.clock, site: site, name: string(stack.name) + "-varnish", log: st.options.Log}
		st.work.Go(func() { guard.run(ctx) })
	}
	return files, nil
}

// terraformEnv is what Terraform sees of the world besides its configuration.
func (st *stage) terraformEnv() map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID": awssim.DefaultKeyID, "AWS_SECRET_ACCESS_KEY": awssim.DefaultSecret,
		"AWS_ENDPOINT_URL": st.awsURL,
	}
}

func (st *stage) buildService(ctx context.Context, chosen []story, tools *tools) (err error) {
	checked, err := st.config(chosen, tools)
	if err != nil {
		return err
	}
	st.tool = tools.tool
	st.service, err = service.New(ctx, service.Options{
		Config: checked, Log: st.options.Log, Clock: st.clock, Self: st.options.Self, Environ: st.options.Environ,
		Version: st.options.Version, Notice: st.notice(),
		Prober: func(gate upgrade.GateName) gates.Prober {
			_, name, _ := strings.Cut(string(gate), "-")
			if site, ok := st.sites[upgrade.StackName(name)]; ok {
				return varnish.New(site.Prober(lab.LB, probe.Limits{}))
			}
			return varnish.New(varnish.Config{})
		},
	})
	return err
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

// notice says on the page what is not real.
func (st *stage) notice() string {
	return "Demo: GitLab and AWS are simulated; Terraform is real; " + st.varnishKind() + "."
}

func (st *stage) varnishKind() string {
	for _, site := range st.sites {
		return "Varnish is " + string(site.Kind)
	}
	return "there is no Varnish"
}

// asked reports that a run waits for a person's yes: whoever gives it in a story must not find its
// deadline over.
func (st *stage) asked(ctx context.Context) bool {
	runs, err := st.service.Store.Runs(ctx, upgrade.RunFilter{Phases: []upgrade.Phase{upgrade.PhaseAwaitingApproval}, Limit: 1})
	return err != nil || len(runs) > 0
}

// signIn is the link that signs the reader in as the release manager.
func (st *stage) signIn() string { return st.url + "/login?token=" + url.QueryEscape(hugoToken) }

// close ends everything that build began, in reverse order.
func (st *stage) close() error {
	var errs []error
	if st.endService != nil {
		errs = append(errs, st.endService())
	}
	st.stop(errors.New("the demo ends"))
	st.work.Wait()
	if st.service != nil {
		errs = append(errs, st.service.Close())
	}
	for _, site := range st.sites {
		errs = append(errs, site.Close())
	}
	if st.gitlab != nil {
		errs = append(errs, st.gitlab.Close())
	}
	if st.aws != nil {
		st.aws.Wait()
	}
	return errors.Join(errs...)
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
