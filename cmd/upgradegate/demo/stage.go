package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/cmd/upgradegate/service"
	"github.com/upgradegate/upgradegate/gates"
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

	bot, priya, hugo, rene, vera gitlabsim.User

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

// other is somebody who may be played on the dashboard besides Hugo.
type other struct{ name, role, token, is string }

// others are the people without whom nobody sees who may do what.
func others() []other {
	return []other{
		{"rene", "release_manager", "demo-rene-release-manager", "René, a second release manager"},
		{"priya", "release_manager", "demo-priya-the-author", "Priya, a release manager too, who writes every change"},
		{"vera", "viewer", "demo-vera-viewer", "Vera, who may only look"},
	}
}

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
func (st *stage) signIn() string { return st.signInAs(hugoToken) }

func (st *stage) signInAs(token string) string {
	return st.url + "/login?token=" + url.QueryEscape(token)
}

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
	return errors.Join(errs...)
}
