package awssim

func describeVolumes(c *call) (any, error) {
	type owned struct {
		*volume

		of *instance
	}
	var all []owned
	for _, i := range c.realm.instances {
		for _, v := range i.volumes {
			all = append(all, owned{v, i})
		}
	}
	all, err := chosen(all, c.p.strs("VolumeId"), func(v owned) string { return v.id })
	if err != nil {
		return nil, err
	}
	known := "attachment.instance-id volume-id encrypted status snapshot-id attachment.device"
	all, err = keep(all, filtersOf(c.p, "Value"), known, func(v owned, name string) []string {
		switch name {
		case "attachment.instance-id":
			return []string{v.of.id}
		case "attachment.device":
			return []string{v.name}
		case "volume-id":
			return []string{v.id}
		case "snapshot-id":
			return []string{v.snapshot}
		case "encrypted":
			return []string{truth(v.encrypted)}
		case "status":
			return []string{"in-use"}
		}
		return tagValues(v.tags, name)
	})
	if err != nil {
		return nil, err
	}
	return described(c, "volumeSet", all, func(v owned) node {
		attachment := "attached"
		if v.of.state == "pending" {
			attachment = "attaching"
		}
		return item(tx("volumeId", v.id), num("size", v.size), opt("snapshotId", v.snapshot), tx("availabilityZone", v.of.subnet.zone),
			tx("status", "in-use"), stamp("createTime", v.created), tx("volumeType", v.kind), flag("encrypted", v.encrypted), opt("kmsKeyId", v.keyARN),
			nd("attachmentSet", item(tx("volumeId", v.id), tx("instanceId", v.of.id), tx("device", v.name), tx("status", attachment),
				stamp("attachTime", v.created), flag("deleteOnTermination", true))), tagSet(v.tags))
	})
}
