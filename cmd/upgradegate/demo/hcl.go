package demo

import (
	"embed"
	"fmt"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

//go:embed stack/*.tf
var stackFiles embed.FS

// The files of which one says who may reach Varnish.
const (
	ruleByAddress = "stack/rule.tf"        // the load balancer, by its address
	ruleByGroup   = "stack/rule_blip.tf"   // the load balancer, by its group: AWS cannot change one into the other
	ruleForOthers = "stack/rule_outage.tf" // somebody else, in another rule
)

// content is what a story's repository holds.
type content struct {
	stack    upgrade.StackName
	provider string // exact version
	vpc      string
	subnets  []string
	lb       string // block of addresses from which the load balancer comes
	port     int    // of Varnish
	image    string // name of the AMI
	maxSize  int
	rule     string // file with the rule that admits the load balancer
	about    string // description of the group that guards Varnish: AWS cannot change it, so another one replaces the group
	purpose  string // says the same in a tag, which can be changed; empty: no tag
}

// files returns the Terraform configuration, by path.
func (c content) files() (map[string]string, error) {
	parts := map[string]string{}
	for name, file := range map[string]string{"main": "stack/main.tf", "locals": "stack/locals.tf", "rule": c.rule} {
		text, err := stackFiles.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		parts[name] = string(text)
	}
	quoted := make([]string, len(c.subnets))
	for i, subnet := range c.subnets {
		quoted[i] = fmt.Sprintf("%q", subnet)
	}
	fill := strings.NewReplacer(
		"PROVIDER_VERSION", c.provider, "STACK", string(c.stack), "ABOUT", c.about, "  TAGS\n", c.tags(), "VPC", c.vpc, "SUBNETS", strings.Join(quoted, ", "),
		"LB_CIDR", c.lb, "PORT", fmt.Sprint(c.port), "IMAGE", c.image, "MAX_SIZE", fmt.Sprint(c.maxSize),
	)
	main := strings.Replace(parts["main"], "RULE\n", parts["rule"], 1)
	return map[string]string{"main.tf": fill.Replace(main), "locals.tf": fill.Replace(parts["locals"])}, nil
}

func (c content) tags() string {
	if c.purpose == "" {
		return ""
	}
	return fmt.Sprintf("  tags        = { Purpose = %q }\n", c.purpose)
}
