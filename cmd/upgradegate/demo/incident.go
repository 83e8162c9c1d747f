package demo

import (
	"context"
	"embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
)

//go:embed incident/*.tf
var incidentFiles embed.FS

// scene is a stack's part in the story incident. Each play has a pair of stacks of its own: the accounts,
// which own the grant since Thursday, and the cluster, which is to give it up on Friday.
type scene struct {
	play    int      // from 1
	off     []string // kinds of gates that are switched off
	cluster bool     // it is the cluster, not the accounts
	prop    *prop
}

// prop is what the stage has for a play besides its stacks.
type prop struct{ key string } // ARN of the key that encrypts the machine image

// grantFile is the file of the cluster's repository that Friday's merge request takes away. Production was
// last deployed without it: its groups have the same role and key, and live on staging's grant.
const grantFile = "grants.tf"

// plays are the kinds that are switched off in each: one more each time, in the order in which they
// would have said no.
func plays() [][]string {
	return [][]string{
		nil,
		{gates.KindOwner},
		{gates.KindOwner, gates.KindGrants},
		{gates.KindOwner, gates.KindGrants, gates.KindGuard, gates.KindLaunch, gates.KindSettled},
	}
}

func incident() story {
	s := story{name: "incident", title: "the grant that production starts instances with is taken away on a Friday", siteless: true, tell: tellIncident}
	for i, off := range plays() {
		n, shared := i+1, &prop{}
		for _, name := range []string{"aws-accounts", "ecs-master"} {
			s.several = append(s.several, repository{
				path: fmt.Sprintf("platform-%d/%s", n, name),
				stacks: []stack{{
					name:  upgrade.StackName(fmt.Sprintf("%s-%d", name, n)),
					scene: &scene{play: n, off: off, cluster: name == "ecs-master", prop: shared},
				}},
			})
		}
	}
	return s
}

// group is the Auto Scaling group of the play's cluster in an environment.
func (s *scene) group(env string) string { return fmt.Sprintf("ecs-%s-%d", env, s.play) }

func (s *scene) image() string { return fmt.Sprintf("ecs-cluster-%d-2026-11-01", s.play) }

// gate is the name of the play's gate.
func (s *scene) gate(name string) upgrade.GateName {
	return upgrade.GateName(fmt.Sprintf("%s-%d", name, s.play))
}

// buildProp makes the key of the play's machine image, and the image.
func (st *stage) buildProp(s *scene) (err error) {
	if s.prop.key != "" {
		return nil
	}
	s.prop.key, err = st.aws.AddKey("", region, "machine images of the ECS clusters", "")
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	st.aws.AddImage(awssim.Image{Name: s.image(), KeyARN: s.prop.key})
	return nil
}

// buildScene makes what the stack has before Friday, and returns its files.
func (st *stage) buildScene(ctx context.Context, stack stack, tools *tools) (map[string]string, error) {
	names := []string{"versions.tf", "accounts.tf"}
	if stack.scene.cluster {
		names = []string{"versions.tf", "cluster.tf", grantFile}
	}
	subnets := st.aws.Network("", region).Subnets
	for i, subnet := range subnets {
		subnets[i] = fmt.Sprintf("%q", subnet)
	}
	fill := strings.NewReplacer("PROVIDER_VERSION", tools.version, "KEY", stack.scene.prop.key, "ROLE", st.aws.ServiceLinkedRole(""),
		"IMAGE", stack.scene.image(), "PLAY", fmt.Sprint(stack.scene.play), "SUBNETS", strings.Join(subnets, ", "))
	files := map[string]string{}
	for _, name := range names {
		text, err := incidentFiles.ReadFile("incident/" + name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		files[name] = fill.Replace(string(text))
	}
	if !stack.scene.cluster {
		return files, tools.applyByHand(ctx, byHand{stack: stack.name, files: files, env: st.terraformEnv()})
	}
	for _, env := range []upgrade.EnvName{staging, production} {
		files[string(env)+".tfvars"] = fmt.Sprintf("environment = %q\n", env)
	}
	return files, tools.applyByHand(ctx, byHand{
		stack: stack.name, files: files, env: st.terraformEnv(), varied: true, production: true, later: grantFile,
	})
}

// gates writes the gates of the scene's play. They are of both its stacks, so that they are written with
// the first.
func (s *scene) gates(day time.Time) string {
	if s.cluster {
		return ""
	}
	var b strings.Builder
	write := func(name, kind, env, rest string) {
		fmt.Fprintf(&b, "  - {name: %s, kind: %s, environments: [%s], stacks: [aws-accounts-%d, ecs-master-%d]%s", s.gate(name), kind, env, s.play, s.play, rest)
		if slices.Contains(s.off, kind) {
			fmt.Fprintf(&b, ", skip: {reason: %q, until: %s}", fmt.Sprintf("play %d shows what happens without it", s.play), day.AddDate(0, 3, 0).Format(time.DateOnly))
		}
		b.WriteString("}\n")
	}
	write("ownership", gates.KindOwner, "staging", "")
	write("guard", gates.KindGuard, "staging", "")
	write("grants-production", gates.KindGrants, "production", ", asg: "+s.group("production"))
	write("grants-staging", gates.KindGrants, "staging", ", asg: "+s.group("staging"))
	write("launch", gates.KindLaunch, "staging", ", asg: "+s.group("staging")+", healthy_within: 5m, status_checks: true")
	write("settled", gates.KindSettled, "staging", "")
	return b.String()
}
