package gates

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// recordChain keeps how the group comes to its keys.
func recordChain(rec *Recorder, c chain) {
	rec.Fact("Group", "%s", c.group.Name)
	rec.Fact("Role", "%s", c.group.ServiceLinkedRoleARN)
	templates := make([]string, 0, 1)
	for _, t := range launched(c.group) {
		templates = append(templates, named(t))
	}
	rec.Fact("Launch template", "%s", strings.Join(templates, ", "))
	rows := make([][]string, 0, len(c.volumes))
	for _, v := range c.volumes {
		key := "none"
		if v.target != "" {
			key = c.keyWords(v.target)
		}
		if v.source != "" {
			key += "; to read the snapshot, " + c.keyWords(v.source)
		}
		rows = append(rows, []string{named(v.template), v.image, v.device, cmp.Or(v.snapshot, "empty"), key, v.why})
	}
	rec.Table("From group to keys", []string{"Launch template", "Image", "Volume", "Snapshot", "Key", "Why"}, rows)
}

// keyWords names a key of the chain, with what is special about it.
func (c chain) keyWords(arn string) string {
	for _, k := range c.keys {
		switch {
		case k.ARN != arn:
		case !k.Customer:
			return arn + " (AWS managed: needs no grants)"
		case k.Account != c.who.account:
			return arn + " (account " + k.Account + "'s: judged by its grants alone, its policy is shown there only)"
		}
	}
	return arn
}

// shortKey returns the id in a key's ARN.
func shortKey(arn string) string {
	if _, id, ok := strings.Cut(arn, ":key/"); ok {
		return id
	}
	return arn
}

func grantRows(grants []cloud.Grant, home string) [][]string {
	var rows [][]string
	volumes := 0
	for _, g := range grants {
		if ofVolume(g) {
			volumes++
			continue
		}
		rows = append(rows, []string{grantWithID(g), principalName(g.Grantee, home), operationWords(g), g.Constraints})
	}
	if volumes > 0 {
		rows = append(rows, []string{counted(volumes, "grant") + " of attached volumes", "AWS itself", "not compared", ""})
	}
	return rows
}

func operationWords(g cloud.Grant) string {
	return strings.Join(slices.Sorted(slices.Values(g.Operations)), ", ")
}

func rightRows(rights []right) [][]string {
	rows := make([][]string, 0, len(rights))
	for _, r := range rights {
		needed := "yes"
		if !r.needed {
			needed = "advised"
		}
		rows = append(rows, []string{r.op, needed, r.words()})
	}
	return rows
}

// record keeps the comparison with the time before the change.
func (q *inquest) record() {
	if q.memo.Version == 0 {
		return
	}
	home := q.chain.who.account
	rows := make([][]string, 0, len(q.diffs))
	for _, d := range q.diffs {
		g, now := d.before, ""
		switch d.fate {
		case fateNew:
			g = d.after
		case fateMoved:
			now = "made anew as " + shortID(d.after.ID)
		case fateChanged:
			now = "now " + grantWithID(d.after) + ": " + operationWords(d.after) + withConstraints(d.after)
		case fateLost:
		}
		if len(d.gone) > 0 {
			now = strings.TrimPrefix(now+"; without "+strings.Join(d.gone, ", "), "; ")
		}
		rows = append(rows, []string{string(d.fate), grantWithID(g), principalName(g.Grantee, home), shortKey(d.key), operationWords(g) + withConstraints(g), now})
	}
	if len(rows) == 0 {
		rows = append(rows, []string{"all as before", "", "", "", "", ""})
	}
	rec := q.rec
	rec.Fact("Compared with", "the grants of %s", clockTime(q.memo.At))
	if q.memo.Role != "" && q.memo.Role != q.chain.who.role {
		rec.Warnf("group %s launched by the role %s before the change, and does so by %s now", q.Group, q.memo.Role, q.chain.who.role)
	}
	title := "Grants since before the change"
	if q.standing {
		title = "Grants since the time before"
	}
	rec.Table(title, []string{"Change", "Grant", "Grantee", "Key", "Operations", "Now"}, rows)
}

func withConstraints(g cloud.Grant) string {
	if g.Constraints == "" {
		return ""
	}
	return " under " + g.Constraints
}

// refuse says no for everything that is wrong, and how to put it right.
func (q *inquest) refuse() error {
	texts := make([]string, 0, listed)
	var commands, resources []string
	for _, f := range q.faults {
		if len(texts) < listed {
			texts = append(texts, f.text+f.why)
		}
		for _, r := range f.mend {
			commands = append(commands, r.command())
			if tf := r.terraform(); tf != "" {
				resources = append(resources, tf)
			}
		}
	}
	if len(commands) > 0 {
		q.rec.Fact("Repair", "%s", strings.Join(commands[:min(len(commands), maxRepairs)], "\n"))
	}
	if len(resources) > 0 {
		q.rec.Fact("Repair as Terraform", "%s", strings.Join(resources[:min(len(resources), maxRepairs)], "\n\n"))
	}
	text := strings.Join(texts, "; ")
	if more := len(q.faults) - len(texts); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	first := q.faults[0]
	then := "run the gates again"
	if q.standing {
		then = "have this gate ask again"
	}
	return Advise(FailBrief(first.brief, "%s", text), "%s, then %s", first.advice, then)
}
