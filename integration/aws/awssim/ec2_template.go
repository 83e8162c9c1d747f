package awssim

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// template is a launch template.
type template struct {
	id, name string
	created  time.Time
	creator  string
	standard int // number of the default version
	versions []*version
	highest  int // numbers are not used twice
	tags     map[string]string
	token    string // of the request that made it
}

// version is one version of a launch template. Its data is kept as it was sent.
type version struct {
	number      int
	created     time.Time
	creator     string
	description string
	data        *tree
	token       string
}

func templateActions() map[string]action {
	return map[string]action{
		"CreateLaunchTemplate":           createTemplate,
		"DescribeLaunchTemplates":        describeTemplates,
		"CreateLaunchTemplateVersion":    createVersion,
		"DescribeLaunchTemplateVersions": describeVersions,
		"ModifyLaunchTemplate":           modifyTemplate,
		"DeleteLaunchTemplate":           deleteTemplate,
	}
}

// template finds a launch template by id or name.
func (r *realm) template(id, name string) (*template, error) {
	switch {
	case id != "" && name != "":
		return nil, refuse("InvalidParameterCombination", "You must specify either the launch template ID or the launch template name, not both.")
	case id == "" && name == "":
		return nil, refuse("MissingParameter", "Either LaunchTemplateId or LaunchTemplateName must be specified.")
	}
	t := find(r.templates, func(t *template) bool { return t.id == id || id == "" && t.name == name })
	if t == nil && id != "" {
		return nil, notFoundByID(id)
	}
	if t == nil {
		return nil, refuse("InvalidLaunchTemplateName.NotFoundException", "The specified launch template, with template name %s, does not exist.", name)
	}
	return t, nil
}

// version finds a version by number, $Latest or $Default; nothing means the default.
func (t *template) version(name string) (*version, error) {
	number, err := strconv.Atoi(name)
	switch {
	case name == "$Latest":
		return t.versions[len(t.versions)-1], nil
	case name == "" || name == "$Default":
		number = t.standard
	case err != nil:
		return nil, refuse("InvalidLaunchTemplateId.VersionNotFound", "Could not find the specified version %s for the launch template with ID %s.", name, t.id)
	}
	v := find(t.versions, func(v *version) bool { return v.number == number })
	if v == nil {
		return nil, refuse("InvalidLaunchTemplateId.VersionNotFound", "Could not find the specified version %s for the launch template with ID %s.", name, t.id)
	}
	return v, nil
}

func createTemplate(c *call) (any, error) {
	name := c.p.str("LaunchTemplateName")
	if !regexp.MustCompile(`^[a-zA-Z0-9()./_-]{3,128}$`).MatchString(name) {
		return nil, refuse("InvalidLaunchTemplateName.MalformedException", "A launch template name must be between 3 and 128 characters, and may contain letters, numbers, and the following characters: - ( ) . / _.")
	}
	data := c.p.at("LaunchTemplateData").useAll()
	if token := c.p.str("ClientToken"); token != "" {
		if again := find(c.realm.templates, func(t *template) bool { return t.token == token }); again != nil {
			if again.name != name {
				return nil, refuse("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
			}
			return []node{templateNode("launchTemplate", again)}, nil
		}
	}
	if find(c.realm.templates, func(t *template) bool { return t.name == name }) != nil {
		return nil, refuse("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
	}
	if err := checkData(data); err != nil {
		return nil, err
	}
	t := &template{
		id: c.id("lt"), name: name, created: c.now, creator: c.who.ARN, standard: 1, highest: 1,
		tags: tagsFor(c.p, "launch-template"), token: c.p.str("ClientToken"),
	}
	t.versions = []*version{{number: 1, created: c.now, creator: c.who.ARN, description: c.p.str("VersionDescription"), data: data.clone()}}
	c.realm.templates = append(c.realm.templates, t)
	return []node{templateNode("launchTemplate", t)}, nil
}

// checkData refuses what EC2 checks at once. It does not look whether images and groups exist.
func checkData(data *tree) error {
	if len(data.kids) == 0 {
		return missing("LaunchTemplateData")
	}
	if user := data.str("UserData"); user != "" {
		if _, err := base64.StdEncoding.DecodeString(user); err != nil {
			return refuse("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
		}
	}
	if len(data.items("NetworkInterface")) > 0 && len(data.items("SecurityGroupId")) > 0 {
		return refuse("InvalidParameterCombination", "When a network interface is provided, the security groups must be a part of it.")
	}
	for _, m := range data.items("BlockDeviceMapping") {
		if ebs := m.at("Ebs"); ebs.str("KmsKeyId") != "" && ebs.str("Encrypted") == "false" {
			return refuse("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
		}
	}
	return nil
}

func templateNode(name string, t *template) node {
	return nd(name, tx("launchTemplateId", t.id), tx("launchTemplateName", t.name), stamp("createTime", t.created),
		tx("createdBy", t.creator), num("defaultVersionNumber", t.standard), num("latestVersionNumber", t.versions[len(t.versions)-1].number),
		tagSet(t.tags))
}

func describeTemplates(c *call) (any, error) {
	all, err := chosen(c.realm.templates, c.p.strs("LaunchTemplateId"), func(t *template) string { return t.id })
	if err != nil {
		return nil, err
	}
	if names := c.p.strs("LaunchTemplateName"); len(names) > 0 {
		all = nil
		for _, name := range names {
			t, err := c.realm.template("", name)
			if err != nil {
				return nil, err
			}
			all = append(all, t)
		}
	}
	all, err = keep(all, filtersOf(c.p, "Value"), "launch-template-name create-time", func(t *template, name string) []string {
		if name == "launch-template-name" {
			return []string{t.name}
		}
		return tagValues(t.tags, name)
	})
	if err != nil {
		return nil, err
	}
	return described(c, "launchTemplates", all, func(t *template) node { return templateNode("item", t) })
}

func createVersion(c *call) (any, error) {
	t, err := c.realm.template(c.p.str("LaunchTemplateId"), c.p.str("LaunchTemplateName"))
	if err != nil {
		return nil, err
	}
	token := c.p.str("ClientToken")
	if again := find(t.versions, func(v *version) bool { return token != "" && v.token == token }); again != nil {
		return []node{versionNode("launchTemplateVersion", t, again)}, nil
	}
	data := c.p.at("LaunchTemplateData").useAll().clone()
	if source := c.p.str("SourceVersion"); source != "" {
		from, err := t.version(source)
		if err != nil {
			return nil, err
		}
		// What the new version says of a part replaces that part whole.
		whole := from.data.clone()
		for name, kid := range data.kids {
			*whole.child(name) = *kid
		}
		data = whole
	}
	if err := checkData(data); err != nil {
		return nil, err
	}
	t.highest++
	v := &version{
		number: t.highest, created: c.now, creator: c.who.ARN,
		description: c.p.str("VersionDescription"), data: data, token: token,
	}
	t.versions = append(t.versions, v)
	return []node{versionNode("launchTemplateVersion", t, v)}, nil
}

func describeVersions(c *call) (any, error) {
	id, name := c.p.str("LaunchTemplateId"), c.p.str("LaunchTemplateName")
	wanted := c.p.strs("LaunchTemplateVersion")
	if id == "" && name == "" {
		// Without a template only the aliases are allowed, of all templates.
		var out []node
		for _, t := range c.realm.templates {
			for _, alias := range wanted {
				if !strings.HasPrefix(alias, "$") {
					return nil, refuse("MissingParameter", "Either LaunchTemplateId or LaunchTemplateName must be specified.")
				}
				v, err := t.version(alias)
				if err != nil {
					return nil, err
				}
				out = append(out, versionNode("item", t, v))
			}
		}
		return described(c, "launchTemplateVersionSet", out, func(n node) node { return n })
	}
	t, err := c.realm.template(id, name)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(t.versions)
	slices.Reverse(all) // newest first
	if len(wanted) > 0 {
		all = nil
		for _, name := range wanted {
			v, err := t.version(name)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(all, v) {
				all = append(all, v)
			}
		}
	}
	minimum, maximum := c.p.str("MinVersion"), c.p.str("MaxVersion")
	all = slices.DeleteFunc(all, func(v *version) bool {
		low, errLow := strconv.Atoi(minimum)
		high, errHigh := strconv.Atoi(maximum)
		return errLow == nil && v.number < low || errHigh == nil && v.number > high
	})
	return described(c, "launchTemplateVersionSet", all, func(v *version) node { return versionNode("item", t, v) })
}

func modifyTemplate(c *call) (any, error) {
	t, err := c.realm.template(c.p.str("LaunchTemplateId"), c.p.str("LaunchTemplateName"))
	if err != nil {
		return nil, err
	}
	number := c.p.str("SetDefaultVersion")
	if number == "" {
		number = c.p.str("DefaultVersion")
	}
	if number == "" {
		return nil, missing("DefaultVersion")
	}
	v, err := t.version(number)
	if err != nil {
		return nil, err
	}
	t.standard = v.number
	return []node{templateNode("launchTemplate", t)}, nil
}

func deleteTemplate(c *call) (any, error) {
	t, err := c.realm.template(c.p.str("LaunchTemplateId"), c.p.str("LaunchTemplateName"))
	if err != nil {
		return nil, err
	}
	// EC2 does not ask whether a group still uses it: that group just launches no more.
	c.realm.templates = slices.DeleteFunc(c.realm.templates, func(x *template) bool { return x == t })
	return []node{templateNode("launchTemplate", t)}, nil
}
