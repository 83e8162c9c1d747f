package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"

	"golang.org/x/sync/errgroup"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/integration/varnish/lab"
)

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

// buildStack makes a stack's site and what its configuration says, and returns its files.
func (st *stage) buildStack(ctx context.Context, s story, stack stack, tools *tools) (map[string]string, error) {
	if stack.scene != nil {
		return st.buildScene(ctx, stack, tools)
	}
	network := st.aws.Network("", region)
	c := content{
		stack: stack.name, provider: tools.version, vpc: network.VPC, subnets: network.Subnets,
		lb: "10.0.0.10/32", port: 80, image: goodImage, maxSize: 4, about: "who may reach Varnish",
		rule: ruleByAddress,
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
		guard := &fabric{aws: st.aws, clock: st.clock, site: site, name: string(stack.name) + "-varnish", group: string(stack.name) + "-lb", log: st.options.Log}
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
