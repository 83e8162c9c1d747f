package awssim

import (
	"maps"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// The Go side: what tests and the demo arrange beforehand, bring about, and look at. An empty account or
// region means the simulator's own.

// own returns the realm that account and region name.
func (s *Sim) ownLocked(account, region string) *realm {
	if account == "" {
		account = s.w.cfg.Account
	}
	if region == "" {
		region = s.w.cfg.Region
	}
	return s.w.realm(account, region)
}

// Image is an AMI to add.
type Image struct {
	Account, Region string
	ID              string // default: made up
	Name            string
	KeyARN          string   // of the KMS key that encrypts its snapshot; empty: not encrypted
	Shared          []string // accounts that may launch it, with its snapshot
	Public          bool
	Tags            map[string]string
}

// AddImage adds an AMI with one snapshot and returns its id.
func (s *Sim) AddImage(add Image) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.ownLocked(add.Account, add.Region)
	now := s.clock.Now()
	snap := &snapshot{
		realmKey: r.realmKey, id: s.w.id("snap"), size: 30, encrypted: add.KeyARN != "", key: add.KeyARN,
		shared: add.Shared, created: now, tags: map[string]string{},
	}
	s.w.snapshots = append(s.w.snapshots, snap)
	i := &image{
		realmKey: r.realmKey, id: add.ID, name: add.Name, public: add.Public, shared: add.Shared, state: "available", created: now,
		devices: []device{{name: "/dev/xvda", snapshot: snap.id, size: 30, kind: "gp3", encrypted: snap.encrypted}},
		tags:    maps.Clone(add.Tags),
	}
	if i.tags == nil {
		i.tags = map[string]string{}
	}
	if i.id == "" {
		i.id = s.w.id("ami")
	}
	s.w.images = append(s.w.images, i)
	return i.id
}

// RemoveImage deregisters an AMI: groups that still name it launch no more.
func (s *Sim) RemoveImage(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w.images = slices.DeleteFunc(s.w.images, func(i *image) bool { return i.id == id })
}

// FailImage makes every launch of an AMI die with how, after it got an instance id. A zero Failure makes
// it launch again.
func (s *Sim) FailImage(id string, how Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if how == (Failure{}) {
		delete(s.w.failing, id)
		return
	}
	if how.Status == "" {
		how.Status = s.w.cfg.Denial.Status
	}
	s.w.failing[id] = how
}

// AddKey adds a customer managed key and returns its ARN. An empty policy is the one that CreateKey makes.
// Error: CodeInvalid for a policy that is none.
func (s *Sim) AddKey(account, region, description, policy string) (arn string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.ownLocked(account, region)
	key := s.w.newKey(r.realmKey, description)
	if policy != "" {
		parsed, err := parsePolicy(policy)
		if err != nil {
			return "", &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the key policy cannot be read", Cause: err}
		}
		key.policies = []keyPolicy{{text: policy, parsed: parsed}}
	}
	return key.arn(), nil
}

// AddGrant adds a grant that is in force at once, and returns its id. Error: CodeNotFound.
func (s *Sim) AddGrant(keyARN, name, grantee string, operations ...string) (id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, err := s.w.findKey(realmKey{}, keyARN)
	if err != nil {
		return "", &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "there is no such key", Cause: err}
	}
	g := &grant{
		id: s.w.hex(64), name: name, grantee: grantee, issuer: "arn:aws:iam::" + key.account + ":root",
		operations: operations, created: s.clock.Now().Add(-s.w.cfg.Timing.GrantDelay),
	}
	key.grants = append(key.grants, g)
	return g.id, nil
}

// TakeGrant takes a grant away at once, as somebody does whom no trail knows. Error: CodeNotFound.
func (s *Sim) TakeGrant(keyARN, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, err := s.w.findKey(realmKey{}, keyARN)
	if err != nil {
		return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "there is no such key", Cause: err}
	}
	before := len(key.grants)
	key.grants = slices.DeleteFunc(key.grants, func(g *grant) bool { return g.id == id })
	if len(key.grants) == before {
		return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "there is no such grant"}
	}
	return nil
}

// AddRole adds a role that AssumeRole gives out, or that grants and policies may name.
func (s *Sim) AddRole(role Role) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w.roles[role.ARN] = &role
}

// AddServiceLinkedRole adds a service-linked role of Auto Scaling with a suffix and returns its ARN.
func (s *Sim) AddServiceLinkedRole(account, suffix string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	arn := s.ownLocked(account, "").defaultRole() + "_" + suffix
	s.w.roles[arn] = &Role{ARN: arn}
	return arn
}

// ServiceLinkedRole returns the ARN of an account's service-linked role of Auto Scaling.
func (s *Sim) ServiceLinkedRole(account string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ownLocked(account, "").defaultRole()
}

// Deny takes a permission ("ec2:RunInstances", "kms:*") from a user or role, given by ARN; "*" is each.
func (s *Sim) Deny(principal, action string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w.denials[denial{principal, action}] = true
}

// Allow takes a Deny back.
func (s *Sim) Allow(principal, action string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.w.denials, denial{principal, action})
}

// LimitInstances sets a realm's quota of instances; 0 is none.
func (s *Sim) LimitInstances(account, region string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ownLocked(account, region).limit = n
}

// DefaultKey sets whether EBS encrypts by default in a realm, and with which key; an empty ARN is aws/ebs.
func (s *Sim) DefaultKey(account, region, keyARN string, encrypt bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.ownLocked(account, region)
	r.ebsKey, r.ebsEncrypt = keyARN, encrypt
}

// Impair makes an instance's status checks fail from when they would be ok.
func (s *Sim) Impair(instanceID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.w.realms {
		if i := find(r.instances, func(i *instance) bool { return i.id == instanceID }); i != nil {
			i.impaired = true
		}
	}
}

// Network is the default VPC of a realm.
type Network struct {
	VPC           string
	Subnets       []string // one in each of three zones
	Zones         []string // of Subnets
	SecurityGroup string   // the default one
}

// Network returns the default VPC of a realm.
func (s *Sim) Network(account, region string) Network {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.ownLocked(account, region)
	net := Network{VPC: r.vpcs[0].id, SecurityGroup: r.firewalls[0].id}
	for _, sub := range r.subnets {
		net.Subnets = append(net.Subnets, sub.id)
		net.Zones = append(net.Zones, sub.zone)
	}
	return net
}

// SecurityGroup is a security group as it is now.
type SecurityGroup struct {
	Account, Region, VPC, ID, Name string
	Tags                           map[string]string
	Rules                          []Rule
}

// Rule is a rule of a security group, for one peer.
type Rule struct {
	ID          string
	Egress      bool
	Protocol    string // tcp, udp, icmp; "-1" is each
	From, To    int    // ports; -1 where there are none
	CIDR        string // IPv4 or IPv6 block; empty if the peer is no block
	Group       string // id of the security group that is the peer
	Description string
}

// SecurityGroups returns all security groups, in order of creation within each realm.
func (s *Sim) SecurityGroups() []SecurityGroup {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []SecurityGroup
	for _, r := range s.sortedRealmsLocked() {
		for _, g := range r.firewalls {
			sg := SecurityGroup{Account: r.account, Region: r.region, VPC: g.vpc, ID: g.id, Name: g.name, Tags: maps.Clone(g.tags)}
			for _, x := range g.rules {
				sg.Rules = append(sg.Rules, Rule{
					ID: x.id, Egress: x.egress, Protocol: x.protocol, From: x.from, To: x.to, CIDR: x.cidr4 + x.cidr6,
					Group: x.group, Description: x.description,
				})
			}
			out = append(out, sg)
		}
	}
	return out
}

func (s *Sim) sortedRealmsLocked() []*realm {
	return slices.SortedFunc(maps.Values(s.w.realms), func(a, b *realm) int {
		return strings.Compare(a.account+" "+a.region, b.account+" "+b.region)
	})
}

// Changed returns a channel that is closed at the next change of a security group. Take it before
// SecurityGroups, so that no change falls between.
func (s *Sim) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.changed
}

// Running is an instance that an account has, for the demo and for assertions.
type Running struct {
	Account, Region, ID, State, Image, Group, Address string
	SecurityGroups                                    []string
}

// Instances returns every instance that is listed, terminated ones of the last hour too.
func (s *Sim) Instances() []Running {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w.advance(s.clock.Now())
	var out []Running
	for _, r := range s.sortedRealmsLocked() {
		for _, i := range r.instances {
			one := Running{
				Account: r.account, Region: r.region, ID: i.id, State: i.state, Image: i.image, Address: i.address,
				SecurityGroups: slices.Clone(i.firewalls),
			}
			if i.group != nil {
				one.Group = i.group.name
			}
			out = append(out, one)
		}
	}
	return out
}
