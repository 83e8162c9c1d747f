package awssim

// complete writes a template's id, name and version into the part of a request that named it by less.
func (t templateRef) complete(at *tree) {
	for name, v := range map[string]string{"LaunchTemplateId": t.id, "LaunchTemplateName": t.name, "Version": t.version} {
		*at.child(name) = tree{value: v, set: true, used: true}
	}
}

// override is an entry of a mixed instances policy.
type override struct {
	kind     string
	template templateRef // the group's own, unless the entry has one
}

// overrides are those of the group.
func (g *group) overrides() []override {
	if g.mixed == nil {
		return nil
	}
	var out []override
	for _, o := range g.mixed.at("LaunchTemplate").items("Overrides") {
		one := override{kind: o.str("InstanceType"), template: g.template}
		if spec := o.at("LaunchTemplateSpecification"); len(spec.kids) > 0 {
			one.template = templateRef{spec.str("LaunchTemplateId"), spec.str("LaunchTemplateName"), spec.str("Version")}
		}
		out = append(out, one)
	}
	return out
}

// overriding looks up the templates that overrides name.
func (g *group) overriding(r *realm) error {
	for _, o := range g.mixed.at("LaunchTemplate").items("Overrides") {
		spec := o.at("LaunchTemplateSpecification")
		if len(spec.kids) == 0 {
			continue
		}
		t, err := r.template(spec.str("LaunchTemplateId"), spec.str("LaunchTemplateName"))
		if err != nil {
			return err
		}
		templateRef{t.id, t.name, spec.or("Version", "$Default")}.complete(spec)
	}
	return nil
}

// sources are the templates that a group launches from.
func (g *group) sources() []templateRef {
	out := []templateRef{g.template}
	for _, o := range g.overrides() {
		if o.template != g.template {
			out = append(out, o.template)
		}
	}
	return out
}
