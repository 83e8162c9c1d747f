package gates

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// chain is the way from a group to the keys that its instances' volumes are encrypted with.
type chain struct {
	group   cloud.Group
	who     caller
	volumes []volumeLink
	keys    []cloud.Key // each once, in the order in which the volumes name them; AWS's own too
}

// volumeLink is one volume that a launch makes, and the keys that takes.
type volumeLink struct {
	template cloud.Template
	image    string
	device   string
	snapshot string // "": an empty volume
	why      string // how the key came about
	target   string // ARN of the key that the volume is encrypted with; "": it is not
	source   string // ARN of another key that its snapshot is encrypted with; "": none
}

// follower follows a group to its keys, and asks each thing once.
type follower struct {
	aws     Keys
	env     upgrade.EnvName
	chain   chain
	byName  map[string]cloud.Key // as written → key
	account *cloud.EBSDefault
}

// follow follows the group to the keys of every volume that a launch of it makes: through its template,
// those of the overrides of its mixed-instances policy, their images, the images' snapshots and the
// account's default. An error by Failf: a link is certainly broken.
func follow(ctx context.Context, aws Keys, env upgrade.EnvName, group string) (chain, error) {
	f := &follower{aws: aws, env: env, byName: map[string]cloud.Key{}}
	err := f.group(ctx, group)
	return f.chain, err
}

func (f *follower) group(ctx context.Context, name string) error {
	group, err := f.aws.Group(ctx, name)
	if err != nil {
		return fmt.Errorf("read group %s: %w", name, err)
	}
	f.chain.group = group
	f.chain.who = caller{role: group.ServiceLinkedRoleARN, account: accountIn(group.ServiceLinkedRoleARN)}
	if f.chain.who.account == "" {
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("AWS does not say by which role the group %s launches", group.Name),
			Hint: "look at the group's service-linked role",
		}
	}
	for _, template := range launched(group) {
		if err := f.template(ctx, template); err != nil {
			return err
		}
	}
	return nil
}

// launched returns the template versions of which a group launches instances, each once.
func launched(group cloud.Group) []cloud.Template {
	var out []cloud.Template
	for _, override := range group.Overrides {
		template := group.Template
		if override.Template != nil {
			template = *override.Template
		}
		if !slices.Contains(out, template) {
			out = append(out, template)
		}
	}
	if len(out) == 0 {
		return []cloud.Template{group.Template}
	}
	return out
}

// named names a template version for people.
func named(t cloud.Template) string { return cmp.Or(t.Name, t.ID) + " version " + t.Version }

func (f *follower) template(ctx context.Context, template cloud.Template) error {
	group := f.chain.group.Name
	version, err := f.aws.Template(ctx, template)
	if err != nil {
		return f.broken(err, "launch template "+named(template), "its launch template does not exist")
	}
	if version.ImageID == "" {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("launch template %s of group %s names no image", named(template), group)}
	}
	image, err := f.aws.Image(ctx, version.ImageID)
	if err != nil {
		return f.broken(err, "image "+version.ImageID, "its image does not exist or is not shared")
	}
	switch image.State {
	case "", "available":
	case "pending":
		return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("the image %s of group %s is still being made", image.ID, group)}
	default:
		return Advise(FailBrief(brief("%s's group %s cannot start: its image is %s", f.env, group, image.State),
			"the image %s of group %s is %s and not available", image.ID, group, image.State), "let the launch template name an image that is available")
	}
	return f.devices(ctx, version, image)
}

// broken tells a link that is certainly not there from one that could not be seen.
func (f *follower) broken(err error, what, so string) error {
	if upgrade.CodeOf(err) != upgrade.CodeNotFound {
		return fmt.Errorf("read %s: %w", what, err)
	}
	group := f.chain.group.Name
	return Advise(FailBrief(brief("%s's group %s cannot start: %s", f.env, group, so),
		"the group %s cannot start instances, for %s: %s", group, so, upgrade.Public(err)), "%s", cmp.Or(upgrade.HintOf(err), "let the launch template name what is there"))
}

// devices follows the volumes of an image as its template changes them.
func (f *follower) devices(ctx context.Context, version cloud.TemplateVersion, image cloud.Image) error {
	devices := merged(image.Devices, version.Devices)
	var ids []string
	for _, d := range devices {
		if d.SnapshotID != "" && !slices.Contains(ids, d.SnapshotID) {
			ids = append(ids, d.SnapshotID)
		}
	}
	snapshots := map[string]cloud.Snapshot{}
	if len(ids) > 0 {
		found, err := f.aws.Snapshots(ctx, ids)
		if err != nil {
			return fmt.Errorf("read the snapshots of %s: %w", image.ID, err)
		}
		for _, s := range found {
			snapshots[s.ID] = s
		}
	}
	for _, d := range devices {
		if err := f.volume(ctx, volumeLink{template: version.Template, image: image.ID, device: d.Name, snapshot: d.SnapshotID}, d, snapshots); err != nil {
			return err
		}
	}
	return nil
}

// merged returns the volumes of an image as a launch with the template makes them, by device name.
func merged(image, template []cloud.Device) []cloud.Device {
	var out []cloud.Device
	for _, d := range slices.Concat(image, template) {
		at := slices.IndexFunc(out, func(o cloud.Device) bool { return o.Name == d.Name })
		switch {
		case at < 0 && !d.Absent:
			out = append(out, d)
		case at >= 0 && d.Absent:
			out = slices.Delete(out, at, at+1)
		case at >= 0:
			out[at].SnapshotID = cmp.Or(d.SnapshotID, out[at].SnapshotID)
			out[at].KeyID = cmp.Or(d.KeyID, out[at].KeyID)
			out[at].Encrypted = cmp.Or(d.Encrypted, out[at].Encrypted)
		}
	}
	return out
}

// volume finds the keys of one volume after the outcomes that
// https://docs.aws.amazon.com/ebs/latest/userguide/encryption-examples.html lists: a key that is named; else
// that of an encrypted snapshot of one's own; else, where encryption is asked for, is the account's default
// or comes from a snapshot of somebody else's, the account's default key. An encrypted snapshot has to be
// decrypted in any case.
func (f *follower) volume(ctx context.Context, v volumeLink, d cloud.Device, snapshots map[string]cloud.Snapshot) error {
	snapshot, seen := snapshots[d.SnapshotID]
	asked := d.Encrypted != nil && *d.Encrypted
	if d.SnapshotID != "" && !seen && asked && d.KeyID == "" {
		return &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: fmt.Sprintf("the encrypted snapshot %s of image %s cannot be seen, so nobody knows its key", d.SnapshotID, v.image),
			Hint: "look whether it exists and is shared with the account of the group",
		}
	}
	name := ""
	switch {
	case d.KeyID != "":
		name, v.why = d.KeyID, "named by the mapping"
	case snapshot.Encrypted && snapshot.Owner == f.chain.who.account:
		name, v.why = snapshot.KeyID, "that of the snapshot"
	default:
		account, err := f.ebs(ctx)
		if err != nil {
			return err
		}
		switch {
		case snapshot.Encrypted:
			name, v.why = account.KeyID, "the account's default, for the snapshot is account "+snapshot.Owner+"'s"
		case asked:
			name, v.why = account.KeyID, "the account's default, for the mapping asks for encryption"
		case account.Encrypt:
			name, v.why = account.KeyID, "the account's default, for it encrypts every volume"
		default:
			v.why = "not encrypted"
		}
	}
	target, err := f.key(ctx, name, v)
	if err != nil {
		return err
	}
	v.target = target
	if snapshot.Encrypted {
		if v.source, err = f.key(ctx, snapshot.KeyID, v); err != nil {
			return err
		}
		if v.source == v.target {
			v.source = ""
		}
	}
	f.chain.volumes = append(f.chain.volumes, v)
	return nil
}

func (f *follower) ebs(ctx context.Context) (cloud.EBSDefault, error) {
	if f.account == nil {
		account, err := f.aws.EBSDefault(ctx)
		if err != nil {
			return account, fmt.Errorf("read how the account encrypts volumes: %w", err)
		}
		f.account = &account
	}
	return *f.account, nil
}

// key returns the ARN of a key, "" for no name.
func (f *follower) key(ctx context.Context, name string, v volumeLink) (string, error) {
	if name == "" {
		return "", nil
	}
	key, known := f.byName[name]
	if !known {
		var err error
		if key, err = f.aws.Key(ctx, name); err != nil {
			return "", f.broken(err, fmt.Sprintf("key %s of volume %s", name, v.device), "the key of its volume "+v.device+" does not exist")
		}
		f.byName[name] = key
	}
	if !slices.ContainsFunc(f.chain.keys, func(k cloud.Key) bool { return k.ARN == key.ARN }) {
		f.chain.keys = append(f.chain.keys, key)
	}
	if f.chain.who.ec2 == "" {
		f.chain.who.ec2 = "ec2." + regionIn(key.ARN) + ".amazonaws.com"
	}
	return key.ARN, nil
}

// accountIn returns the account in an ARN, regionIn its region; "" for what is no ARN.
func accountIn(arn string) string { return partOf(arn, 4) }
func regionIn(arn string) string  { return partOf(arn, 3) }

func partOf(arn string, n int) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" {
		return ""
	}
	return parts[n]
}

// brief writes words for a headline, shortened where names are long.
func brief(format string, args ...any) string {
	words := []rune(fmt.Sprintf(format, args...))
	if len(words) > longestBrief {
		words = append(words[:longestBrief-1], '…')
	}
	return string(words)
}
