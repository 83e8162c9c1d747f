package demo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// mondaySize is how many instances each production cluster needs for the week's load.
const mondaySize = 5

// monday scales every production cluster out, and demands that it fails where nobody looked on Friday, and
// only there.
func (p *performance) monday(ctx context.Context, clusters []stack) error {
	amazon, err := p.amazon()
	if err != nil {
		return err
	}
	for i, cluster := range clusters {
		if err := p.aws.Scale("", region, cluster.scene.group(string(production)), mondaySize); err != nil {
			return fmt.Errorf("scale out: %w", err)
		}
		words, err := p.scaledOut(ctx, amazon, cluster.scene.group(string(production)))
		if err != nil {
			return err
		}
		failed := words != ""
		if doomed := cluster.scene.play == len(clusters); failed != doomed {
			return fmt.Errorf("production's scale-out of play %d: %q, want it to fail only where nobody looked", cluster.scene.play, words)
		}
		p.plays[i].Monday = fmt.Sprintf("%s has %d instances", cluster.scene.group(string(production)), mondaySize)
		if failed {
			p.plays[i].Monday = fmt.Sprintf("%s cannot start instances: %s", cluster.scene.group(string(production)), words)
		}
		p.options.say("  %s  play %d: %s", p.clock.Now().UTC().Format("15:04"), cluster.scene.play, p.plays[i].Monday)
	}
	return nil
}

// scaledOut waits until the group has what it wants, or until a launch failed, in Amazon's words.
func (p *performance) scaledOut(ctx context.Context, amazon *aws.Client, group string) (words string, err error) {
	since := p.clock.Now()
	for p.clock.Now().Sub(since) < 15*time.Minute {
		p.clock.Advance(10 * time.Second)
		activities, err := amazon.Activities(ctx, group)
		if err != nil {
			return "", fmt.Errorf("read the activities of %s: %w", group, err)
		}
		for _, activity := range activities {
			if activity.Start.After(since) && (activity.Status == "Failed" || activity.Status == "Cancelled") {
				return activity.StatusMessage, nil
			}
		}
		now, err := amazon.Group(ctx, group)
		if err != nil {
			return "", fmt.Errorf("read %s: %w", group, err)
		}
		serving := 0
		for _, member := range now.Members {
			if member.Lifecycle == "InService" {
				serving++
			}
		}
		if serving == mondaySize {
			return "", nil
		}
	}
	return "", fmt.Errorf("%s has neither its instances nor a failed launch after 15 minutes", group)
}

// handOver writes the block that the gate gives into the configuration instead: the cluster forgets the
// grant, which stays with the accounts, and that goes to production. What the gate gives is a block or, for
// a Terraform that does not know it, a command, after which nothing is left to play.
func handOver(ctx context.Context, p *performance, cluster stack, block string) error {
	if !strings.HasPrefix(block, "removed {") {
		return nil
	}
	if err := p.gitlab.CloseMR(p.project.ID, 1, p.priya.ID); err != nil {
		return fmt.Errorf("close the first merge request: %w", err)
	}
	err := p.request(ctx, gitlabsim.CommitSpec{
		Branch: "hand-over", Message: "Hand the grant over to aws-accounts", Files: map[string]string{grantFile: block + "\n"},
	})
	if err != nil {
		return err
	}
	run, err := p.until(ctx, cluster, upgrade.PhaseUnlocked)
	if err != nil {
		return err
	}
	if err := p.grants(ctx, cluster.scene, 1); err != nil {
		return err
	}
	return p.promoted(ctx, cluster, run)
}

// runCommand carries the command out as it is given where the AWS command line is installed, else what it
// says.
func runCommand(ctx context.Context, p *performance, _ stack, command string) error {
	p.options.say("  Hugo repairs it: %s", command)
	if _, err := exec.LookPath("aws"); err != nil {
		flags := flagsOf(command)
		_, err := p.aws.AddGrant(flags["key-id"], flags["name"], flags["grantee-principal"], strings.Fields(flags["operations"])...)
		if err != nil {
			return fmt.Errorf("repair as the gate says: %w", err)
		}
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(limited, "sh", "-c", command) //nolint:gosec // what our own gate says, in this demo's own world
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "AWS_PAGER=", "AWS_DEFAULT_REGION=" + region, "AWS_REGION=" + region}
	for name, value := range p.terraformEnv() {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("repair as the gate says: %w\n%s", err, out)
	}
	return nil
}

// flagsOf returns the flags of a command line, of which each has one word or several.
func flagsOf(command string) map[string]string {
	flags := map[string]string{}
	for _, flag := range strings.Split(" "+strings.NewReplacer("\\\n", " ", "'", "", `"`, "").Replace(command), " --")[1:] {
		name, value, _ := strings.Cut(strings.TrimSpace(flag), " ")
		flags[name] = strings.TrimSpace(value)
	}
	return flags
}

// grants demands that the key of the machine image has so many grants.
func (p *performance) grants(ctx context.Context, s *scene, want int) error {
	amazon, err := p.amazon()
	if err != nil {
		return err
	}
	grants, err := amazon.Grants(ctx, s.prop.key)
	if err != nil {
		return fmt.Errorf("read the grants: %w", err)
	}
	if len(grants) != want {
		return fmt.Errorf("the key of the machine image has %d grants, want %d", len(grants), want)
	}
	return nil
}

// amazon is the simulated AWS as somebody sees it who looks with programs of their own.
func (p *performance) amazon() (*aws.Client, error) {
	client, err := aws.New(aws.Config{
		Region: region, Endpoint: p.awsURL, KeyID: awssim.DefaultKeyID, Key: awssim.DefaultSecret, Clock: p.clock, Log: p.options.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("look at AWS: %w", err)
	}
	return client, nil
}
