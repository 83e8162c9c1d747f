package demo

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// story is one change on its way, or several, and how it should end.
type story struct {
	name     string
	title    string   // what is told to people
	dirs     []string // of its stacks in the repository; none: one stack at the top
	siteless bool     // nothing of it is about the site
	watched  bool     // the site is probed during each apply
	several  []repository
	tell     func(ctx context.Context, p *performance) error
}

// repository is a GitLab project of a story, with its stacks.
type repository struct {
	path   string
	stacks []stack
}

// stack is one root module of a story's repository.
type stack struct {
	name  upgrade.StackName
	dir   string
	scene *scene // of the story incident; nil: a web group behind a site
}

// repositories are the story's projects: several, or one with all its stacks.
func (s story) repositories() []repository {
	if len(s.several) > 0 {
		return s.several
	}
	one := repository{path: "platform/" + s.name}
	for _, dir := range s.dirs {
		one.stacks = append(one.stacks, stack{name: upgrade.StackName(s.name + "-" + path.Base(dir)), dir: dir})
	}
	if len(s.dirs) == 0 {
		one.stacks = []stack{{name: upgrade.StackName(s.name)}}
	}
	return []repository{one}
}

func (s story) stacks() []stack {
	var all []stack
	for _, repository := range s.repositories() {
		all = append(all, repository.stacks...)
	}
	return all
}

// The images that the simulated AWS has.
const (
	goodImage = "web-2026-11-01"
	deadImage = "web-2026-11-20"
)

// Amazon's own words when the service-linked role may not use the image's key (aws.md §2).
const (
	deadCode    = "Client.InvalidKMSKey.InvalidState"
	deadMessage = "The KMS key provided is in an incorrect state"
)

func stories() []story {
	return []story{
		{name: "clean", title: "a harmless change goes to production", tell: tellClean},
		{name: "outage", title: "a new rule no longer admits the load balancer to Varnish", watched: true, tell: tellOutage},
		{name: "blip", title: "a rule is replaced, and for a moment nobody reaches Varnish", watched: true, tell: tellBlip},
		{name: "launch", title: "the new image cannot be started by the group's role", tell: tellLaunch},
		{name: "retry", title: "an apply that interrupted the site is tried again, with an empty plan", watched: true, tell: tellRetry},
		{name: "rehearse", title: "what interrupted the site is repaired, and rehearsed from the base on", watched: true, tell: tellRehearse},
		{
			name: "two-stacks", title: "the second commit is good, but the first broke another stack",
			dirs: []string{"stacks/web", "stacks/jobs"}, siteless: true, tell: tellTwoStacks,
		},
		incident(),
	}
}

func tellClean(ctx context.Context, p *performance) error {
	if err := p.push(ctx, p.top(), "Allow two more web servers", func(c *content) { c.maxSize += 2 }); err != nil {
		return err
	}
	run, err := p.until(ctx, p.top(), upgrade.PhaseUnlocked)
	if err != nil {
		return err
	}
	return p.promoted(ctx, p.top(), run)
}

func tellOutage(ctx context.Context, p *performance) error {
	if err := p.push(ctx, p.top(), "Move to the new load balancer", func(c *content) { c.rule = ruleForOthers }); err != nil {
		return err
	}
	if err := p.yes(ctx, p.top(), "the rule of the old load balancer goes"); err != nil {
		return err
	}
	run, err := p.blocked(ctx, p.top(), noes{"site-outage": "TCP", "outage-outage": "was down when the watch ended"})
	if err != nil {
		return err
	}
	return p.shut(ctx, run)
}

// tellBlip: the load balancer is admitted by its group from now on. That makes the rule another one, and
// Terraform takes the old one away first. Whoever looks before or after finds nothing wrong.
func tellBlip(ctx context.Context, p *performance) error {
	if err := p.push(ctx, p.top(), "Admit the load balancer by its group", func(c *content) { c.rule = ruleByGroup }); err != nil {
		return err
	}
	if err := p.yes(ctx, p.top(), "the same load balancer is admitted again at once"); err != nil {
		return err
	}
	const step = "aws_vpc_security_group_ingress_rule.lb"
	run, err := p.blocked(ctx, p.top(), noes{"outage-blip": "while " + step + " was being replaced"})
	if err != nil {
		return err
	}
	if told := upgrade.Tell(run); !strings.Contains(told.Headline, "ingress_rule.lb was replaced") || !strings.Contains(told.Next, "create_before_destroy on "+step) {
		return fmt.Errorf("run %d says %q and %q, want what happened and what to do", run.ID, told.Headline, told.Next)
	}
	p.options.say("  what to do: %s", upgrade.Tell(run).Next)
	return p.shut(ctx, run)
}

func tellLaunch(ctx context.Context, p *performance) error {
	if err := p.push(ctx, p.top(), "Use the image of 20 November", func(c *content) { c.image = deadImage }); err != nil {
		return err
	}
	run, err := p.blocked(ctx, p.top(), noes{"launch-launch": deadMessage})
	if err != nil {
		return err
	}
	if err := p.shut(ctx, run); err != nil {
		return err
	}
	return p.nothingLeft()
}

// interrupt pushes a change of words for which Terraform destroys the group that guards Varnish, with its
// rules, and makes it anew: AWS cannot change a group's description.
func (p *performance) interrupt(ctx context.Context) (upgrade.Run, error) {
	err := p.push(ctx, p.top(), "Say what the group is for", func(c *content) { c.about = "the load balancer may reach Varnish" })
	if err != nil {
		return upgrade.Run{}, err
	}
	if err := p.yes(ctx, p.top(), "the same group is made again at once"); err != nil {
		return upgrade.Run{}, err
	}
	return p.blocked(ctx, p.top(), noes{upgrade.GateName("outage-" + p.story.name): "new connections were not answered"})
}

func tellRetry(ctx context.Context, p *performance) error {
	first, err := p.interrupt(ctx)
	if err != nil {
		return err
	}
	if err := p.act(ctx, first, "retry", "the site is well again", ""); err != nil {
		return err
	}
	p.options.say("  Hugo has it tried again")
	second, err := p.blocked(ctx, p.top(), nil) // no gate says no
	switch {
	case err != nil:
		return err
	case second.Plan.Changes() != 0:
		return fmt.Errorf("the second plan changes %d resources, want an empty one", second.Plan.Changes())
	case second.Verdict != upgrade.VerdictClosed || len(second.Causes) != 1 || second.Causes[0].Run != first.ID || second.Causes[0].Gate != "outage-retry":
		return fmt.Errorf("run %d is %s for %v, want it closed for what gate outage-retry said of run %d", second.ID, second.Verdict, second.Causes, first.ID)
	}
	return p.shut(ctx, second)
}

func tellRehearse(ctx context.Context, p *performance) error {
	if _, err := p.interrupt(ctx); err != nil {
		return err
	}
	err := p.push(ctx, p.top(), "Say it in a tag, and leave the group alone", func(c *content) {
		c.purpose, c.about = c.about, "who may reach Varnish"
	})
	if err != nil {
		return err
	}
	p.options.say("  it is rehearsed: staging goes back to what production has first")
	if err := p.yes(ctx, p.top(), "it is replaced once more on the way back, on staging only"); err != nil {
		return err
	}
	run, err := p.until(ctx, p.top(), upgrade.PhaseUnlocked)
	if err != nil {
		return err
	}
	applies, err := p.service.Store.Applies(ctx, run.ID)
	if err != nil {
		return fmt.Errorf("read the applies of run %d: %w", run.ID, err)
	}
	if len(applies) != 2 || !applies[0].Back || applies[1].Back || applies[1].Tree != run.Tree {
		return fmt.Errorf("run %d made the applies %+v, want one back to the base and one forth", run.ID, applies)
	}
	return p.promoted(ctx, p.top(), run)
}

func tellTwoStacks(ctx context.Context, p *performance) error {
	web, jobs := p.story.stacks()[0], p.story.stacks()[1]
	if err := p.bases(ctx); err != nil {
		return err
	}
	if err := p.push(ctx, web, "Use the image of 20 November", func(c *content) { c.image = deadImage }); err != nil {
		return err
	}
	no := noes{upgrade.GateName("launch-" + web.name): deadMessage}
	if _, err := p.blocked(ctx, web, no); err != nil {
		return err
	}
	if run, found, err := p.newest(ctx, jobs); found || err != nil {
		return fmt.Errorf("run %d is of %s, which the commit does not touch (%w)", run.ID, jobs.name, err)
	}
	if err := p.push(ctx, jobs, "Allow two more job servers", func(c *content) { c.maxSize += 2 }); err != nil {
		return err
	}
	bad, err := p.blocked(ctx, web, no)
	if err != nil {
		return err
	}
	good, err := p.until(ctx, jobs, upgrade.PhaseRelocked)
	if err != nil {
		return err
	}
	if err := p.answered(ctx, good, nil); err != nil {
		return err
	}
	names := fmt.Sprintf("run %d of %s", bad.ID, bad.Stack)
	if len(good.Causes) != 1 || good.Causes[0].Kind != upgrade.CauseSibling || !strings.Contains(good.Causes[0].Message, names) {
		return fmt.Errorf("run %d of %s is locked for %+v, want %s to be the cause", good.ID, good.Stack, good.Causes, names)
	}
	if err := p.shut(ctx, good); err != nil {
		return err
	}
	return p.shows(ctx, bad, "failed")
}
