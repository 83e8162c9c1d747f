package gates

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// findings is what was found of who owns what a plan takes away.
type findings struct {
	in    Input
	taken taken
	known *knowledge
	found [][]match // for each of taken
}

// objections returns what stands against the plan: things that it destroys or replaces and that somebody
// else owns too.
func (f findings) objections() []objection {
	var list []objection
	for i, change := range f.taken.changes {
		if !destroys(change) {
			continue
		}
		for _, m := range f.found[i] {
			if m.sure && m.counted {
				list = append(list, f.objection(i, m))
				break // one sentence for each thing; the table has all its owners
			}
		}
	}
	return list
}

func (f findings) objection(i int, m match) objection {
	change := f.taken.changes[i]
	verb, harm := "destroy", "it would be gone for both"
	if change.Action == plan.Replace {
		verb, harm = "replace", "the other state would be left with one that is gone"
	}
	owner := string(m.State)
	if m.State == f.known.own {
		owner, harm = "this very state", "it would be gone for both addresses"
	}
	repair := forgetting(change.Address, f.in.Plan.Header.Tool)
	return objection{
		brief: f.brief(change, m),
		msg: fmt.Sprintf("the plan would %s %s, which is also %s of %s: %s, and %s; let one of them own it and forget it in the other, as with %s",
			verb, change.Address, m.Address, owner, thing(change), harm, strings.Join(strings.Fields(repair), " ")),
		repair: repair,
	}
}

// brief says it for a headline, with the stack's name where the other state is a stack's.
func (f findings) brief(change plan.Change, m match) string {
	verb := "destroys"
	if change.Action == plan.Replace {
		verb = "replaces"
	}
	owner := string(m.State)
	switch {
	case m.State == f.known.own:
		owner = "the state has twice"
	case m.stack != "" && m.stack != f.in.Run.Stack:
		owner = string(m.stack) + " also owns"
	default:
		owner += " also owns"
	}
	for _, noun := range []string{noun(change.Type), "a thing"} {
		if brief := fmt.Sprintf("the plan %s %s that %s", verb, noun, owner); len([]rune(brief)) <= longestBrief {
			return brief
		}
	}
	return "the plan " + verb + " what another state also owns"
}

// sentence is for a plan that takes nothing from anybody.
func (f findings) sentence() string {
	var handed, orphaned int
	for i, change := range f.taken.changes {
		switch {
		case destroys(change):
		case len(sure(f.found[i])) > 0:
			handed++
		default:
			orphaned++
		}
	}
	others := len(f.known.holds)
	if _, own := f.known.holds[f.known.own]; own {
		others--
	}
	var parts []string
	if f.taken.lost > 0 {
		parts = append(parts, fmt.Sprintf("none of the %s that the plan destroys or replaces is in another of %s", counted(f.taken.lost, "thing"), counted(others, "known state")))
	}
	if handed > 0 {
		parts = append(parts, fmt.Sprintf("%s forgotten here and owned by another state: a safe hand-over", isAre(handed)))
	}
	if orphaned > 0 {
		parts = append(parts, fmt.Sprintf("%s forgotten and owned by nobody else", isAre(orphaned)))
	}
	return strings.Join(parts, "; ")
}

// isAre returns "1 is" or "2 are".
func isAre(n int) string {
	if n == 1 {
		return "1 is"
	}
	return strconv.Itoa(n) + " are"
}

// sure returns the matches that count.
func sure(found []match) []match {
	var list []match
	for _, m := range found {
		if m.sure && m.counted {
			list = append(list, m)
		}
	}
	return list
}

// record keeps what was found as evidence, and warns of what closes nothing.
func (f findings) record(rec *Recorder) {
	var owned, maybe, forgotten [][]string
	var nameless []string
	for i, change := range f.taken.changes {
		for _, m := range f.found[i] {
			row := []string{f.taken.objects[i].Address, what(change), thing(change), string(m.State), m.Address}
			switch {
			case !m.sure:
				maybe = append(maybe, row)
				rec.Warnf("%s may also be %s of %s: both have the id %s, but of which account or cluster is not known",
					change.Address, m.Address, m.State, f.taken.objects[i].Key)
			case destroys(change):
				owned = append(owned, row)
			}
		}
		switch {
		case f.taken.objects[i].Key == "":
			if !inside(change.Type) {
				nameless = append(nameless, change.Address)
			}
		case change.Action == plan.Forget:
			forgotten = append(forgotten, f.forgottenRow(rec, i))
		}
	}
	columns := []string{"Resource", "What happens", "Thing", "Other state", "Its address there"}
	keep := func(title string, columns []string, rows [][]string) {
		if len(rows) > 0 {
			rec.Table(title, columns, rows)
		}
	}
	keep("Also owned elsewhere", columns, owned)
	keep("Perhaps also owned elsewhere", columns, maybe)
	keep("Forgotten", []string{"Resource", "Thing", "Owned by"}, forgotten)
	if len(nameless) > 0 {
		rec.Warnf("%s no id in the plan, so whether another state owns %s is not known: %s", haveHas(len(nameless), "thing"), itThem(len(nameless)),
			andMore(nameless[:min(len(nameless), listed)], len(nameless)))
	}
}

func (f findings) forgottenRow(rec *Recorder, i int) []string {
	change := f.taken.changes[i]
	owner := "nobody"
	if found := sure(f.found[i]); len(found) > 0 {
		owner = fmt.Sprintf("%s as %s", found[0].State, found[0].Address)
	} else {
		rec.Warnf("the plan forgets %s, and no other known state owns it: %s stays, and nobody looks after it", change.Address, thing(change))
	}
	return []string{change.Address, thing(change), owner}
}

func haveHas(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " has"
	}
	return counted(n, noun) + " have"
}

func itThem(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

// inside reports whether resources of the type are nothing outside of Terraform, which nobody can own twice.
func inside(kind string) bool {
	return plan.ObjectOf(plan.Change{Type: kind, Before: json.RawMessage(`{"id":"x"}`)}).Key == ""
}

// noun names a type: "a grant", "an Auto Scaling group".
func noun(kind string) string {
	switch kind {
	case "aws_kms_grant":
		return "a grant"
	case "aws_kms_key":
		return "a key"
	case "aws_autoscaling_group":
		return "an Auto Scaling group"
	case "aws_lb", "aws_alb", "aws_elb":
		return "a load balancer"
	case "aws_db_instance", "aws_rds_cluster":
		return "a database"
	case "aws_security_group_rule", "aws_vpc_security_group_ingress_rule", "aws_vpc_security_group_egress_rule":
		return "a security group rule"
	}
	_, words, _ := strings.Cut(kind, "_")
	if words == "" {
		return "a resource"
	}
	words = strings.ReplaceAll(words, "_", " ")
	if strings.ContainsRune("aeio", rune(words[0])) {
		return "an " + words
	}
	return "a " + words
}

// thing names what a change is done to, in the words of the outside: of a grant its name, whom it is
// given to and for which key.
func thing(change plan.Change) string {
	if change.Type == "aws_kms_grant" {
		return grantOf(change.Before).String()
	}
	_, name, _ := strings.Cut(noun(change.Type), " ")
	if key := plan.ObjectOf(change).Key; key != "" {
		return name + " " + key
	}
	return name
}

// forgetting returns how a resource is taken out of a state without being destroyed: a removed block
// (Terraform and OpenTofu 1.7 and later), else a command. A removed block forgets every instance of a
// resource, so for one of several it is the command too. See
// https://developer.hashicorp.com/terraform/language/resources/syntax#removing-resources.
func forgetting(address, tool string) string {
	if strings.Contains(address, "[") || !knowsRemoved(tool) {
		return "terraform state rm '" + strings.ReplaceAll(address, "'", `'\''`) + "'"
	}
	return "removed {\n  from = " + address + "\n  lifecycle {\n    destroy = false\n  }\n}"
}

// knowsRemoved reports whether the version of Terraform or OpenTofu has removed blocks. One that is not
// known is taken for new.
func knowsRemoved(tool string) bool {
	major, rest, _ := strings.Cut(tool, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, errMajor := strconv.Atoi(major)
	b, errMinor := strconv.Atoi(minor)
	return errMajor != nil || errMinor != nil || a > 1 || a == 1 && b >= 7
}

