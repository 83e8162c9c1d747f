package gates

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// grantValues are the arguments of an aws_kms_grant, as a plan has them.
type grantValues struct {
	ID         string   `json:"grant_id"`
	Name       string   `json:"name"`
	Key        string   `json:"key_id"` // id or ARN
	Grantee    string   `json:"grantee_principal"`
	Operations []string `json:"operations"`
}

// grantOf reads the arguments of a grant. What is not there, or not yet known, is empty.
func grantOf(raw json.RawMessage) grantValues {
	var g grantValues
	if json.Unmarshal(raw, &g) != nil {
		return grantValues{}
	}
	slices.Sort(g.Operations)
	return g
}

// String names the grant: "grant asg-ebs (48589c9e) of AWSServiceRoleForAutoScaling on key f609…".
func (g grantValues) String() string {
	words := "grant"
	switch {
	case g.Name != "" && g.ID != "":
		words += " " + g.Name + " (" + shortID(g.ID) + ")"
	case g.Name+g.ID != "":
		words += " " + g.Name + shortID(g.ID)
	}
	if g.Grantee != "" {
		words += " of " + principal(g.Grantee)
	}
	if g.Key != "" {
		words += " on key " + keyID(g.Key)
	}
	return words
}

// principal shortens the ARN of a role to its name.
func principal(arn string) string {
	if strings.HasPrefix(arn, "arn:") {
		return arn[strings.LastIndex(arn, "/")+1:]
	}
	return arn
}

// keyID returns the id of a key that is given by its id or ARN.
func keyID(key string) string {
	if _, id, ok := strings.Cut(key, ":key/"); ok {
		return id
	}
	return key
}

// grantRaces finds grants that the plan destroys and creates at once. CreateGrant with the name and
// parameters of a grant that exists returns that very grant, so what is created is what is destroyed:
// where Terraform does both side by side, 2 of 9 applies were measured to end with no grant at all, and
// where it creates first, each does.
func grantRaces(p plan.Summary, rec *Recorder) []objection {
	var list []objection
	var rows [][]string
	made := map[string][]*plan.Change{} // by name, which must be equal
	if !slices.ContainsFunc(p.Changes, func(c plan.Change) bool { return c.Type == "aws_kms_grant" && destroys(&c) }) {
		return nil
	}
	for i := range p.Changes {
		change := &p.Changes[i]
		if change.Type == "aws_kms_grant" && change.Mode != "data" && (change.Action == plan.Create || change.Action == plan.Replace) {
			name := grantOf(change.After).Name
			made[name] = append(made[name], change)
		}
	}
	for i := range p.Changes {
		old := &p.Changes[i]
		gone := grantOf(old.Before)
		if old.Type != "aws_kms_grant" || !destroys(old) || gone.Name == "" { // without a name, each grant is one of its own
			continue
		}
		for _, made := range made[gone.Name] {
			itself := made.Address == old.Address && made.Deposed == old.Deposed
			if itself && !old.CreateFirst {
				continue // destroyed to the end, then created
			}
			equal, known := gone.equals(grantOf(made.After), made.AfterUnknown)
			switch {
			case !equal:
			case !known:
				rec.Warnf("%s and %s may be one and the same grant %s, which could be lost: its key or grantee is known only after the apply", old.Address, made.Address, gone.Name)
			default:
				rows = append(rows, []string{old.Address, made.Address, gone.String()})
				list = append(list, race(old, made, gone))
			}
		}
	}
	if len(rows) > 0 {
		rec.Table("Destroyed and created at once", []string{"Destroyed", "Created", "Grant"}, rows)
	}
	return list
}

// equals reports whether CreateGrant with the other's arguments would return this grant; known is false
// when some of them are not known before the apply.
func (g grantValues) equals(other grantValues, unknown json.RawMessage) (equal, known bool) {
	var later struct {
		Key     bool `json:"key_id"`
		Grantee bool `json:"grantee_principal"`
		// Operations are a list of what is unknown, or true when all of it is.
		Operations json.RawMessage `json:"operations"`
	}
	if len(unknown) > 0 && json.Unmarshal(unknown, &later) != nil {
		return true, false
	}
	opsLater := strings.Contains(string(later.Operations), "true")
	equal = g.Name == other.Name && (later.Key || keyID(g.Key) == keyID(other.Key)) && (later.Grantee || g.Grantee == other.Grantee) &&
		(opsLater || slices.Equal(g.Operations, other.Operations))
	return equal, !later.Key && !later.Grantee && !opsLater
}

func race(old, made *plan.Change, grant grantValues) objection {
	const brief = "the plan destroys and creates one grant at once: it may end with none"
	if old.Address == made.Address {
		return objection{
			brief: brief,
			msg: fmt.Sprintf("the plan would replace %s, the new one first, by the very same %s: AWS answers with the grant that exists, which is then revoked; take create_before_destroy away, or give the new grant another name",
				old.Address, grant),
		}
	}
	repair := "moved {\n  from = " + old.Address + "\n  to   = " + made.Address + "\n}"
	return objection{
		brief: brief,
		msg: fmt.Sprintf("the plan would destroy %s and create %s, which is the same %s: for equal arguments AWS answers with the grant that exists, and the one may revoke the other (2 of 9 such applies ended with no grant); write %s, or forget the old one and import the new",
			old.Address, made.Address, grant, strings.Join(strings.Fields(repair), " ")),
		repair: repair,
	}
}
