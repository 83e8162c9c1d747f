package awssim

import (
	"fmt"
	"maps"

	"github.com/upgradegate/upgradegate/upgrade"
)

// AddCluster adds an ECS cluster and returns its ARN. Each of its active instances runs tasks tasks. An
// instance joins the cluster that its user data names ("echo ECS_CLUSTER=web >> /etc/ecs/ecs.config"), or that
// JoinCluster said.
func (s *Sim) AddCluster(account, region, name string, tasks int, tags map[string]string) (arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.ownLocked(account, region)
	if cl := find(r.clusters, func(cl *cluster) bool { return cl.name == name }); cl != nil {
		cl.tasks = tasks
		return cl.arn()
	}
	cl := &cluster{realmKey: r.realmKey, name: name, tasks: tasks, tags: maps.Clone(tags)}
	r.clusters = append(r.clusters, cl)
	return cl.arn()
}

// JoinCluster makes the instances of a group (by name), or of every group with a launch template (by id or
// name), join a cluster, whatever their user data says. An empty cluster takes that back.
func (s *Sim) JoinCluster(groupOrTemplate, cluster string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cluster == "" {
		delete(s.w.joins, groupOrTemplate)
		return
	}
	s.w.joins[groupOrTemplate] = cluster
}

// SetParameter sets a parameter of Systems Manager, such as one that a launch template names as its image
// ("resolve:ssm:/web/ami").
func (s *Sim) SetParameter(account, region, name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.ownLocked(account, region)
	if r.parameters == nil {
		r.parameters = map[string]string{}
	}
	r.parameters[name] = value
}

// Spoil says what does not work in an instance that launches well otherwise.
type Spoil struct {
	NoCluster bool // the ECS agent never registers
	NoAgent   bool // it registers, but is not connected
	NoPing    bool // Systems Manager never hears of it
	NoConsole bool // user data prints nothing
	Impaired  bool // the status checks fail
}

// SpoilImage makes every later instance of an AMI so. A zero Spoil makes it work again.
func (s *Sim) SpoilImage(id string, how Spoil) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if how == (Spoil{}) {
		delete(s.w.spoiled, id)
		return
	}
	s.w.spoiled[id] = how
}

// Scale sets how many instances a group wants, as an alarm with a scaling policy would: nobody's
// permissions are asked. Errors: CodeNotFound for an unknown group, CodeConflict while it is being deleted,
// CodeInvalid beyond its own bounds.
func (s *Sim) Scale(account, region, groupName string, desired int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	s.w.advance(now)
	r := s.ownLocked(account, region)
	g := find(r.groups, func(g *group) bool { return g.name == groupName })
	switch {
	case g == nil:
		return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no Auto Scaling group %s in %s, %s", groupName, r.account, r.region)}
	case g.status != "":
		return &upgrade.Error{Code: upgrade.CodeConflict, Msg: fmt.Sprintf("the Auto Scaling group %s is being deleted", groupName)}
	case desired < g.min || desired > g.max:
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf(
			"the Auto Scaling group %s cannot have %d instances: its bounds are %d and %d", groupName, desired, g.min, g.max)}
	}
	g.because = fmt.Sprintf("a monitor alarm in state ALARM triggered policy scale-out changing the desired capacity from %d to %d", g.desired, desired)
	g.desired = desired
	s.w.look(r, g, now.Add(s.w.cfg.Timing.Reconcile))
	return nil
}

// AddPolicy attaches an identity policy (JSON) to a user or role. A principal with policies may do only what
// they allow; one without may do everything. Error: CodeInvalid for what cannot be read, and for an operator
// or a condition key that is not simulated, which is never ignored.
func (s *Sim) AddPolicy(principal, policyJSON string) error {
	parsed, err := parseIdentityPolicy(policyJSON)
	if err != nil {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the policy of %s cannot be simulated: %v", principal, err)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w.policies[principal] = append(s.w.policies[principal], parsed)
	return nil
}

// DropPolicies takes all policies from a principal, which may do everything then.
func (s *Sim) DropPolicies(principal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.w.policies, principal)
}

// RemoveRole deletes a role. Its grants stay, for an id that nobody has any more ("AROA…"), and are not those
// of a new role of the same name.
func (s *Sim) RemoveRole(arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.w.roles, arn)
	for _, key := range s.w.keys {
		for _, g := range key.grants {
			if g.grantee == arn {
				g.grantee = "AROA" + short(arn)
			}
		}
	}
}

// AddProfile says which role an instance profile has. By default it is the role of the same name.
func (s *Sim) AddProfile(account, name, roleARN string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w.profiles[s.ownLocked(account, "").account+" "+name] = roleARN
}
