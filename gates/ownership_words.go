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
	o := objection{brief: f.brief(change, m)}
	owner, verb := string(m.State)+" also owns", "destroy"
	harm := "it would be gone for both"
	switch {
	case m.State == f.known.own:
		owner, harm = "this very state also has", "it would be gone for both addresses"
		o.repair = forgetting(change.Address, f.in.Plan.Header.Tool)
	case change.Action == plan.Replace:
		harm = string(m.State) + " would be left with one that is gone"
		o.repair = forgetting(m.Address, f.in.Plan.Header.Tool)
	default:
		o.repair = forgetting(change.Address, f.in.Plan.Header.Tool)
	}
	way := "to hand it over, forget it here instead"
	if change.Action == plan.Replace {
		verb = "replace"
		way = "let one state own it: first forget it in " + string(m.State)
	}
	if m.State == f.known.own {
		way = "forget one of the two instead"
	}
	o.advice = fmt.Sprintf("%s, with what stands under Repair, and push", strings.Replace(way, " it here ", " "+change.Address+" here ", 1))
	o.msg = fmt.Sprintf("the plan would %s %s, which %s as %s: it is %s, and %s; %s, with %s",
		verb, change.Address, owner, m.Address, thing(change), harm, way, strings.Join(strings.Fields(o.repair), " "))
	return o
}

// brief says it for a headline, with the stack's name where the other state is a stack's.
func (f findings) brief(change *plan.Change, m match) string {
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
	var handed, orphaned []string
	heir := ""
	for i, change := range f.taken.changes {
		found := sure(f.found[i])
		switch {
		case destroys(change):
		case len(found) > 0:
			handed, heir = append(handed, change.Address), string(found[0].State)
		default:
			orphaned = append(orphaned, change.Address)
		}
	}
	var parts []string
	if f.taken.lost > 0 {
		parts = append(parts, f.nobody())
	}
	switch len(handed) {
	case 0:
	case 1:
		parts = append(parts, handed[0]+" is forgotten here and lives on in "+heir+": a safe hand-over")
	default:
		parts = append(parts, counted(len(handed), "thing")+" are forgotten here and live on in other states: a safe hand-over")
	}
	switch len(orphaned) {
	case 0:
	case 1:
		parts = append(parts, orphaned[0]+" is forgotten, and no other state owns it")
	default:
		parts = append(parts, counted(len(orphaned), "thing")+" are forgotten, and no other state owns them")
	}
	return strings.Join(parts, "; ")
}

// nobody says that nobody else owns what the plan destroys.
func (f findings) nobody() string {
	others := 0
	for state, could := range f.known.holds {
		if could && state != f.known.own {
			others++
		}
	}
	switch others {
	case 0:
		return "no other state is known here that could own what the plan destroys or replaces"
	case 1:
		return "nothing that the plan destroys or replaces is in the one other state that could own it"
	}
	return fmt.Sprintf("nothing that the plan destroys or replaces is in any of the %d other states that could own it", others)
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

// OwnedElsewhere is the title of the table of what the plan destroys or replaces and others own too. Its rows
// are the resource, what happens to it, the thing, the other state and the address there.
const OwnedElsewhere = "Also owned elsewhere"

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
	keep(OwnedElsewhere, columns, owned)
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
func thing(change *plan.Change) string {
	if change.Type == "aws_kms_grant" {
		return grantOf(change.Before).String()
	}
	_, name, _ := strings.Cut(noun(change.Type), " ")
	if key := plan.ObjectOf(*change).Key; key != "" {
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
