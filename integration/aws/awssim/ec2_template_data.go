package awssim

import (
	"unicode"
	"unicode/utf8"
)

func versionNode(name string, t *template, v *version) node {
	return nd(name, tx("launchTemplateId", t.id), tx("launchTemplateName", t.name), num("versionNumber", v.number),
		opt("versionDescription", v.description), stamp("createTime", v.created), tx("createdBy", v.creator),
		flag("defaultVersion", v.number == t.standard), dataNode("launchTemplateData", v.data))
}

// dataNode prints launch template data as EC2 does. Requests and answers spell the same tree in two
// ways: SecurityGroupId.1 comes back as securityGroupIdSet/item.
func dataNode(name string, data *tree) node {
	out := node{name: name, text: data.value}
	for _, key := range data.names() {
		kid := data.kids[key]
		if !kid.listed() {
			out.kids = append(out.kids, dataNode(lower(key), kid))
			continue
		}
		each := "item"
		set := lower(key) + "Set"
		switch {
		case key == "LicenseSpecification":
			set = "licenseSet"
		case key == "SecurityGroupId" && name == "item":
			set, each = "groupSet", "groupId" // of a network interface
		}
		entries := node{name: set}
		for _, n := range kid.names() {
			entries.kids = append(entries.kids, dataNode(each, kid.kids[n]))
		}
		out.kids = append(out.kids, entries)
	}
	return out
}

func lower(name string) string {
	first, size := utf8.DecodeRuneInString(name)
	return string(unicode.ToLower(first)) + name[size:]
}
