package awssim

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// Failure is how a launch dies after it got an instance id.
type Failure struct {
	Code    string // StateReason code, such as "Client.InternalError"
	Message string // what follows the code
	Status  string // of the scaling activity: Failed or Cancelled
}

// reason is the text that EC2 and Auto Scaling show.
func (f Failure) reason() string { return f.Code + ": " + f.Message }

// plan is what is to be launched: a request or a template's data, looked up and checked.
type plan struct {
	image      *image
	kind       string
	subnet     *subnet
	firewalls  []string
	devices    []device
	tags       map[string]string
	volumeTags map[string]string
	profile    string
	userData   string // decoded
	parameter  string // of Systems Manager, that named the image
	keyName    string
	template   *template
	version    int
}

// prepare looks up everything that data names. Errors are those with which RunInstances refuses at once.
func (w *world) prepare(r *realm, data *tree, into *subnet) (*plan, error) {
	p := &plan{kind: data.or("InstanceType", "m1.small"), keyName: data.str("KeyName"), subnet: into}
	if data.str("ImageId") == "" {
		return nil, missing("ImageId")
	}
	ami, err := r.resolve(data.str("ImageId"))
	if err != nil {
		return nil, err
	}
	if name, named := strings.CutPrefix(data.str("ImageId"), "resolve:ssm:"); named {
		p.parameter = name
	}
	if p.image, err = w.image(ami, r.realmKey); err != nil {
		return nil, err
	}
	p.tags, p.volumeTags = tagsFor(data, "instance"), tagsFor(data, "volume")
	p.profile = cmp.Or(data.at("IamInstanceProfile").str("Arn"), data.at("IamInstanceProfile").str("Name"))
	p.userData = decoded(data.str("UserData"))
	p.firewalls = data.strs("SecurityGroupId")
	subnetID := data.str("SubnetId")
	for _, eni := range data.items("NetworkInterface") {
		p.firewalls = append(p.firewalls, eni.strs("SecurityGroupId")...)
		subnetID = cmp.Or(subnetID, eni.str("SubnetId"))
	}
	for _, name := range data.strs("SecurityGroup") {
		g := find(r.firewalls, func(g *firewall) bool { return g.name == name })
		if g == nil {
			return nil, refuse("InvalidGroup.NotFound", "The security group '%s' does not exist", name)
		}
		p.firewalls = append(p.firewalls, g.id)
	}
	if p.subnet == nil {
		p.subnet = r.subnets[0]
		if subnetID != "" {
			if p.subnet = find(r.subnets, func(s *subnet) bool { return s.id == subnetID }); p.subnet == nil {
				return nil, notFoundByID(subnetID)
			}
		}
	}
	if err := r.checkFirewalls(p); err != nil {
		return nil, err
	}
	p.devices = w.devices(p.image, data)
	return p, nil
}

func (r *realm) checkFirewalls(p *plan) error {
	if len(p.firewalls) == 0 {
		if g := find(r.firewalls, func(g *firewall) bool { return g.name == "default" && g.vpc == p.subnet.vpc }); g != nil {
			p.firewalls = []string{g.id}
		}
	}
	for _, id := range p.firewalls {
		g := find(r.firewalls, func(g *firewall) bool { return g.id == id })
		if g == nil {
			return notFoundByID(id)
		}
		if g.vpc != p.subnet.vpc {
			return refuse("InvalidParameter", "Security group %s and subnet %s belong to different networks.", id, p.subnet.id)
		}
	}
	return nil
}

// devices lays a request's mapping over that of the image.
func (w *world) devices(i *image, data *tree) []device {
	out := slices.Clone(i.devices)
	for _, m := range data.items("BlockDeviceMapping") {
		name, ebs := m.str("DeviceName"), m.at("Ebs")
		at := slices.IndexFunc(out, func(d device) bool { return d.name == name })
		if m.has("NoDevice") {
			if at >= 0 {
				out = slices.Delete(out, at, at+1)
			}
			continue
		}
		if at < 0 {
			out = append(out, device{name: name, size: 8})
			at = len(out) - 1
		}
		d := &out[at]
		d.snapshot = cmp.Or(ebs.str("SnapshotId"), d.snapshot)
		d.kind = cmp.Or(ebs.str("VolumeType"), d.kind, "gp2")
		if size, err := ebs.num("VolumeSize", 0); err == nil && size > 0 {
			d.size = size
		}
		d.key = cmp.Or(ebs.str("KmsKeyId"), d.key)
		d.encrypted = d.encrypted || ebs.is("Encrypted") || d.key != ""
	}
	return out
}

// keysFor returns the keys that a launch needs: those of the snapshots it reads, and those of the volumes
// it makes, which come from the mapping, the snapshot or the account's default.
func (w *world) keysFor(r *realm, devices []device) (keys []*kmsKey, broken bool) {
	add := func(name string, of realmKey) {
		key, err := w.findKey(of, name)
		if err != nil {
			broken = true
			return
		}
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	for _, d := range devices {
		source := find(w.snapshots, func(s *snapshot) bool { return s.id == d.snapshot })
		fromSnapshot := ""
		if source != nil && source.encrypted {
			fromSnapshot = source.key
			add(source.key, source.realmKey)
		}
		if d.encrypted || fromSnapshot != "" || r.ebsEncrypt {
			add(cmp.Or(d.key, fromSnapshot, r.ebsKey, "alias/aws/ebs"), r.realmKey)
		}
	}
	return keys, broken
}

// doom reports whether, and how, a launch by who will die: as told by FailImage, or for want of a key.
func (w *world) doom(r *realm, p *plan, who identity, now time.Time) (Failure, bool) {
	if f, ok := w.failing[p.image.id]; ok {
		return f, true
	}
	keys, broken := w.keysFor(r, p.devices)
	for _, key := range keys {
		broken = broken || key.state != "Enabled"
	}
	if broken {
		return Failure{
			Code: "Client.InvalidKMSKey.InvalidState", Message: "The KMS key provided is in an incorrect state",
			Status: w.cfg.Denial.Status,
		}, true
	}
	for _, key := range keys {
		if lacking := w.lacks(who, key, now); len(lacking) > 0 {
			w.recordRefused(r, key, who, lacking[0], now)
			return w.cfg.Denial, true
		}
	}
	return Failure{}, false
}

// launch starts an instance. started is called when it runs, died when it is doomed and terminated.
func (w *world) launch(r *realm, p *plan, who identity, now time.Time, started, died func(time.Time)) *instance {
	p.subnet.hosts++
	i := &instance{
		id: w.id("i"), image: p.image.id, kind: p.kind, subnet: p.subnet, firewalls: p.firewalls, profile: p.profile,
		keyName: p.keyName, state: "pending", launched: now, reservation: w.id("r"), eni: w.id("eni"),
		address: strings.TrimSuffix(p.subnet.cidr, ".0/20") + "." + itoa(3+p.subnet.hosts%250), tags: maps.Clone(p.tags),
		userData: p.userData, spoil: w.spoiled[p.image.id], impaired: w.spoiled[p.image.id].Impaired,
	}
	if p.template != nil {
		i.tags["aws:ec2launchtemplate:id"] = p.template.id
		i.tags["aws:ec2launchtemplate:version"] = itoa(p.version)
	}
	for _, d := range p.devices {
		v := &volume{id: w.id("vol"), device: d, created: now, tags: maps.Clone(p.volumeTags)}
		if keys, _ := w.keysFor(r, []device{d}); len(keys) > 0 {
			v.encrypted, v.keyARN = true, keys[len(keys)-1].arn()
		}
		i.volumes = append(i.volumes, v)
	}
	r.instances = append(r.instances, i)
	if f, doomed := w.doom(r, p, who, now); doomed {
		i.doomed = &f
		w.at(now.Add(w.cfg.Timing.Die), func(now time.Time) {
			w.kill(r, i, f.Code, f.reason(), now)
			died(now)
		})
		return i
	}
	w.at(now.Add(w.cfg.Timing.Pending), func(now time.Time) {
		if i.state != "pending" {
			return
		}
		i.state, i.ran = "running", now
		w.enlist(r, i, now)
		started(now)
	})
	return i
}

// terminate orders an instance's end; it takes a while. gone is called at the end.
func (w *world) terminate(r *realm, i *instance, code, message string, now time.Time, gone func(time.Time)) {
	if i.state != "terminated" && i.state != "shutting-down" {
		i.state, i.reasonCode, i.reasonText = "shutting-down", code, message
		i.ended = now
		i.container.leave("DEREGISTERING")
	}
	w.at(now.Add(w.cfg.Timing.Terminate), func(now time.Time) {
		if i.state != "terminated" {
			w.kill(r, i, code, message, now)
		}
		gone(now)
	})
}

// kill ends an instance now. It stays listed for a while.
func (w *world) kill(r *realm, i *instance, code, message string, now time.Time) {
	i.state, i.reasonCode, i.reasonText, i.ended = "terminated", code, message, now
	i.volumes = nil
	i.container.leave("INACTIVE")
	w.at(now.Add(w.cfg.Timing.Forget), func(time.Time) {
		r.instances = slices.DeleteFunc(r.instances, func(x *instance) bool { return x == i })
	})
}
