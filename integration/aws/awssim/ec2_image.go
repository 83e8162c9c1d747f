package awssim

import (
	"slices"
	"strings"
	"time"
)

// image is an AMI.
type image struct {
	realmKey

	id, name, description string
	alias                 string // of the owner: amazon
	public                bool
	shared                []string // accounts that may launch it
	state                 string
	created               time.Time
	devices               []device
	tags                  map[string]string
}

// device is one entry of a block device mapping.
type device struct {
	name      string
	snapshot  string
	size      int // GiB
	kind      string
	encrypted bool
	key       string // ARN or id of a KMS key
}

// snapshot is an EBS snapshot.
type snapshot struct {
	realmKey

	id        string
	size      int
	encrypted bool
	key       string // ARN
	shared    []string
	created   time.Time
	tags      map[string]string
}

func imageActions() map[string]action {
	return map[string]action{
		"DescribeImages":    describeImages,
		"DescribeSnapshots": describeSnapshots,
		"DescribeVolumes":   describeVolumes,
	}
}

// seedPublicImages makes two images of Amazon's, unencrypted, in every region.
func (w *world) seedPublicImages() {
	born := time.Date(2025, 6, 2, 12, 0, 0, 0, time.UTC)
	for _, seed := range []struct{ id, name, description string }{
		{"ami-0a1b2c3d4e5f60001", "al2023-ami-ecs-hvm-2023.0.20250602-kernel-6.1-x86_64", "Amazon Linux AMI 2023 x86_64 ECS HVM EBS"},
		{"ami-0a1b2c3d4e5f60002", "al2023-ami-2023.7.20250527.1-kernel-6.1-x86_64", "Amazon Linux 2023 AMI 2023.7.20250527.1 x86_64 HVM kernel-6.1"},
	} {
		w.images = append(w.images, &image{
			realmKey: realmKey{account: "591542846629"}, id: seed.id, name: seed.name, description: seed.description,
			alias: "amazon", public: true, state: "available", created: born, tags: map[string]string{},
			devices: []device{{name: "/dev/xvda", snapshot: "snap-" + seed.id[4:], size: 30, kind: "gp3"}},
		})
		born = born.AddDate(0, 0, 7)
	}
}

// visible reports whether an account sees and may launch the image.
func (i *image) visible(to realmKey) bool {
	if i.region != "" && i.region != to.region {
		return false
	}
	return i.public || i.account == to.account || slices.Contains(i.shared, to.account)
}

// image finds an image that the account may launch. Error: InvalidAMIID.NotFound, or Unavailable for one
// that is not available.
func (w *world) image(id string, from realmKey) (*image, error) {
	if !strings.HasPrefix(id, "ami-") {
		return nil, refuse("InvalidAMIID.Malformed", "Invalid id: \"%s\" (expecting \"ami-...\")", id)
	}
	i := find(w.images, func(i *image) bool { return i.id == id && i.visible(from) })
	if i == nil {
		return nil, notFoundByID(id)
	}
	if i.state != "available" {
		return nil, refuse("InvalidAMIID.Unavailable", "The image ID '%s' is not available", id)
	}
	return i, nil
}

func describeImages(c *call) (any, error) {
	var all []*image
	for _, i := range c.images {
		if i.visible(c.realm.realmKey) {
			all = append(all, i)
		}
	}
	all, err := chosen(all, c.p.strs("ImageId"), func(i *image) string { return i.id })
	if err != nil {
		return nil, err
	}
	_, _, _ = c.p.strs("ExecutableBy"), c.p.str("IncludeDeprecated"), c.p.str("IncludeDisabled") // visible is all that is modelled
	if owners := c.p.strs("Owner"); len(owners) > 0 {
		all = slices.DeleteFunc(slices.Clone(all), func(i *image) bool {
			return !slices.Contains(owners, i.account) && (i.alias == "" || !slices.Contains(owners, i.alias)) &&
				(i.account != c.who.Account || !slices.Contains(owners, "self"))
		})
	}
	known := "name image-id owner-id owner-alias state architecture root-device-type virtualization-type is-public description " +
		"image-type block-device-mapping.encrypted block-device-mapping.snapshot-id creation-date root-device-name"
	all, err = keep(all, filtersOf(c.p, "Value"), known, (*image).values)
	if err != nil {
		return nil, err
	}
	return described(c, "imagesSet", all, c.imageNode)
}

// values answers the filters of DescribeImages.
func (i *image) values(name string) []string {
	switch name {
	case "name":
		return []string{i.name}
	case "image-id":
		return []string{i.id}
	case "description":
		return []string{i.description}
	case "owner-id":
		return []string{i.account}
	case "owner-alias":
		return []string{i.alias}
	case "state":
		return []string{i.state}
	case "architecture":
		return []string{"x86_64"}
	case "root-device-type":
		return []string{"ebs"}
	case "root-device-name":
		return []string{i.root()}
	case "virtualization-type":
		return []string{"hvm"}
	case "image-type":
		return []string{"machine"}
	case "is-public":
		return []string{truth(i.public)}
	case "creation-date":
		return []string{i.created.UTC().Format("2006-01-02T15:04:05.000Z")}
	case "block-device-mapping.encrypted", "block-device-mapping.snapshot-id":
		var out []string
		for _, d := range i.devices {
			if name == "block-device-mapping.snapshot-id" {
				out = append(out, d.snapshot)
			} else {
				out = append(out, truth(d.encrypted))
			}
		}
		return out
	}
	return tagValues(i.tags, name)
}

func (i *image) root() string {
	if len(i.devices) > 0 {
		return i.devices[0].name
	}
	return "/dev/xvda"
}

func (c *call) imageNode(i *image) node {
	location := i.account
	if i.alias != "" {
		location = i.alias
	}
	return item(tx("imageId", i.id), tx("imageLocation", location+"/"+i.name), tx("imageState", i.state), tx("imageOwnerId", i.account),
		stamp("creationDate", i.created), flag("isPublic", i.public), tx("architecture", "x86_64"), tx("imageType", "machine"),
		opt("imageOwnerAlias", i.alias), tx("name", i.name), opt("description", i.description), tx("rootDeviceType", "ebs"),
		tx("rootDeviceName", i.root()),
		list("blockDeviceMapping", i.devices, func(d device) node {
			ebs := nd("ebs", opt("snapshotId", d.snapshot), num("volumeSize", d.size), flag("deleteOnTermination", true),
				tx("volumeType", d.kind), flag("encrypted", d.encrypted))
			return item(tx("deviceName", d.name), ebs)
		}),
		tx("virtualizationType", "hvm"), tx("hypervisor", "xen"), flag("enaSupport", true), tx("sriovNetSupport", "simple"),
		tx("platformDetails", "Linux/UNIX"), tx("usageOperation", "RunInstances"), tagSet(i.tags))
}

func describeSnapshots(c *call) (any, error) {
	var all []*snapshot
	for _, s := range c.snapshots {
		if s.region == c.realm.region && (s.account == c.who.Account || slices.Contains(s.shared, c.who.Account)) {
			all = append(all, s)
		}
	}
	all, err := chosen(all, c.p.strs("SnapshotId"), func(s *snapshot) string { return s.id })
	if err != nil {
		return nil, err
	}
	if owners := c.p.strs("Owner"); len(owners) > 0 {
		all = slices.DeleteFunc(slices.Clone(all), func(s *snapshot) bool {
			return !slices.Contains(owners, s.account) && (s.account != c.who.Account || !slices.Contains(owners, "self"))
		})
	}
	all, err = keep(all, filtersOf(c.p, "Value"), "snapshot-id owner-id encrypted status", func(s *snapshot, name string) []string {
		switch name {
		case "snapshot-id":
			return []string{s.id}
		case "owner-id":
			return []string{s.account}
		case "encrypted":
			return []string{truth(s.encrypted)}
		case "status":
			return []string{"completed"}
		}
		return tagValues(s.tags, name)
	})
	if err != nil {
		return nil, err
	}
	return described(c, "snapshotSet", all, func(s *snapshot) node {
		return item(tx("snapshotId", s.id), tx("volumeId", "vol-ffffffff"), tx("status", "completed"), stamp("startTime", s.created),
			tx("progress", "100%"), tx("ownerId", s.account), num("volumeSize", s.size), tx("description", ""),
			flag("encrypted", s.encrypted), opt("kmsKeyId", s.key), tx("storageTier", "standard"), tagSet(s.tags))
	})
}
