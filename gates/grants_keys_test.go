package gates_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

const (
	slr      = "arn:aws:iam::111111111111:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
	prodRole = "arn:aws:iam::222222222222:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
	key1     = "arn:aws:kms:eu-west-2:111111111111:key/11111111-12ab-34cd-56ef-1234567890ab"
	key2     = "arn:aws:kms:eu-west-2:111111111111:key/22222222-12ab-34cd-56ef-1234567890ab"
	foreign  = "arn:aws:kms:eu-west-2:333333333333:key/33333333-12ab-34cd-56ef-1234567890ab"
	ebsKey   = "arn:aws:kms:eu-west-2:111111111111:key/eeeeeeee-12ab-34cd-56ef-1234567890ab"
	rootOnly = `{"Statement":[{"Sid":"Root","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"kms:*","Resource":"*"}]}`
)

// needed is what EBS needs of a key; advised is what Amazon's examples have on top.
func needed() []string {
	return []string{"CreateGrant", "Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"}
}

func advised() []string { return append(needed(), "Encrypt", "GenerateDataKey") }

// fakeKeys is an account with one group, "web": its template names an image with one encrypted snapshot.
type fakeKeys struct {
	group     cloud.Group
	templates map[string]cloud.TemplateVersion // by name and version
	images    map[string]cloud.Image
	snapshots map[string]cloud.Snapshot
	ebs       cloud.EBSDefault
	keys      map[string]cloud.Key // by whatever names them
	grants    map[string][]cloud.Grant
	policies  map[string]string
	events    []cloud.KeyEvent
	deny      string // action that is refused
	asked     map[string]int
}

func newKeys() *fakeKeys {
	customer := func(arn, account string) cloud.Key {
		return cloud.Key{ID: arn[len(arn)-36:], ARN: arn, Account: account, State: "Enabled", Customer: true}
	}
	managed := customer(ebsKey, "111111111111")
	managed.Customer = false
	encrypted := true
	return &fakeKeys{
		group:     cloud.Group{Name: "web", Template: cloud.Template{ID: "lt-1", Name: "web", Version: "7"}, ServiceLinkedRoleARN: slr},
		templates: map[string]cloud.TemplateVersion{"web 7": {ImageID: "ami-1", InstanceType: "t3.small"}},
		images: map[string]cloud.Image{"ami-1": {ID: "ami-1", State: "available", Owner: "111111111111", Devices: []cloud.Device{
			{Name: "/dev/xvda", SnapshotID: "snap-1", Encrypted: &encrypted},
		}}},
		snapshots: map[string]cloud.Snapshot{"snap-1": {ID: "snap-1", Owner: "111111111111", Encrypted: true, KeyID: key1}},
		ebs:       cloud.EBSDefault{KeyID: "alias/aws/ebs"},
		keys: map[string]cloud.Key{
			key1: customer(key1, "111111111111"), key2: customer(key2, "111111111111"), foreign: customer(foreign, "333333333333"),
			"alias/aws/ebs": managed, "alias/second": customer(key2, "111111111111"),
		},
		grants:   map[string][]cloud.Grant{key1: {grant("asg-ebs", slr, advised()...)}},
		policies: map[string]string{key1: rootOnly, key2: rootOnly, ebsKey: rootOnly},
		asked:    map[string]int{},
	}
}

// grant is a grant whose id its name gives.
func grant(name, grantee string, operations ...string) cloud.Grant {
	return cloud.Grant{ID: "id-of-" + name, Name: name, Grantee: grantee, Operations: operations, CreatedAt: noon().Add(-time.Hour)}
}

func (f *fakeKeys) may(action string) error {
	f.asked[action]++
	if f.deny != action {
		return nil
	}
	return &upgrade.Error{Code: upgrade.CodeForbidden, Msg: "AWS refuses " + action, Cause: &cloud.Denied{Action: action, Message: "not authorized"}}
}

func missing(what string) error {
	return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "there is no " + what}
}

func (f *fakeKeys) Group(_ context.Context, name string) (cloud.Group, error) {
	if name != f.group.Name {
		return cloud.Group{}, missing("group " + name)
	}
	return f.group, f.may("autoscaling:DescribeAutoScalingGroups")
}

func (f *fakeKeys) Template(_ context.Context, template cloud.Template) (cloud.TemplateVersion, error) {
	version, ok := f.templates[template.Name+" "+template.Version]
	if !ok {
		return version, missing("launch template " + template.Name)
	}
	version.Template = template
	return version, f.may("ec2:DescribeLaunchTemplateVersions")
}

func (f *fakeKeys) Image(_ context.Context, id string) (cloud.Image, error) {
	image, ok := f.images[id]
	if !ok {
		return image, missing("image " + id)
	}
	return image, f.may("ec2:DescribeImages")
}

func (f *fakeKeys) Snapshots(_ context.Context, ids []string) (found []cloud.Snapshot, err error) {
	for _, id := range ids {
		if s, ok := f.snapshots[id]; ok {
			found = append(found, s)
		}
	}
	return found, f.may("ec2:DescribeSnapshots")
}

func (f *fakeKeys) EBSDefault(context.Context) (cloud.EBSDefault, error) {
	return f.ebs, f.may("ec2:GetEbsDefaultKmsKeyId")
}

func (f *fakeKeys) Key(_ context.Context, id string) (cloud.Key, error) {
	key, ok := f.keys[id]
	if !ok {
		return key, missing("KMS key " + id)
	}
	return key, f.may("kms:DescribeKey")
}

func (f *fakeKeys) Grants(_ context.Context, arn string) ([]cloud.Grant, error) {
	list := slices.Clone(f.grants[arn])
	for i := range list {
		list[i].KeyARN = arn
	}
	return list, f.may("kms:ListGrants")
}

func (f *fakeKeys) KeyPolicy(_ context.Context, arn string) (string, error) {
	if f.policies[arn] == "" {
		return "", &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "AWS shows the policy in its own account only"}
	}
	return f.policies[arn], f.may("kms:GetKeyPolicy")
}

func (f *fakeKeys) KeyEvents(_ context.Context, since time.Time) (events []cloud.KeyEvent, err error) {
	for _, e := range f.events {
		if !e.At.Before(since) {
			events = append(events, e)
		}
	}
	return events, f.may("cloudtrail:LookupEvents")
}

// grantsGate is a kms-grants gate of group web.
func grantsGate(t *testing.T, aws gates.Keys, env upgrade.EnvName) gates.Gate {
	t.Helper()
	g := bound(t, gates.GrantsSettings{Group: "web"}, gates.Deps{
		Clock: upgrade.SystemClock{}, Keys: func(upgrade.EnvName) (gates.Keys, error) { return aws, nil },
	})
	if env == "staging" {
		return g
	}
	g.Environment = env
	if err := (gates.GrantsSettings{Group: "web"}).Bind(&g, gates.Deps{
		Clock: upgrade.SystemClock{}, Keys: func(upgrade.EnvName) (gates.Keys, error) { return aws, nil },
	}); err != nil {
		t.Fatal(err)
	}
	return g
}

// fact returns the value of a fact, "" if there is none.
func fact(r upgrade.Result, name string) string {
	for _, f := range r.Evidence.Facts {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// table returns the rows of a table, nil if there is none.
func table(r upgrade.Result, title string) [][]string {
	for _, t := range r.Evidence.Tables {
		if t.Title == title {
			return t.Rows
		}
	}
	return nil
}

// number makes names.
func number(i int) string { return strconv.Itoa(i) }
