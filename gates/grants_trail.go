package gates

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// trailDelay is how late CloudTrail may know of a call; trailGivenUp, when it is not asked any more.
const (
	trailDelay   = 15 * time.Minute
	trailGivenUp = time.Hour
)

// doneBy names the fact that says who took away what is lost.
const doneBy = "Done by"

// inquiry is what CloudTrail is asked: who took back grants. It is kept while it does not know.
type inquiry struct {
	Since time.Time         `json:"since"`
	Until time.Time         `json:"until"` // when it is given up
	Lost  []lostGrant       `json:"lost"`
	Names map[string]string `json:"names"` // of grants, by id
	Keys  []string          `json:"keys"`  // ARNs
	Role  string            `json:"role"`  // by which the group launches: its everyday life is left out
}

// lostGrant is one that somebody took back.
type lostGrant struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// inquiry returns what is to be asked about the losses.
func (q *inquest) inquiry() inquiry {
	now := q.clock.Now()
	ask := inquiry{Since: q.memo.At.Add(-time.Minute), Until: now.Add(trailGivenUp), Names: map[string]string{}, Role: q.chain.who.role}
	if q.memo.Version == 0 {
		ask.Since = now.Add(-24 * time.Hour)
	}
	for _, d := range q.diffs {
		for _, g := range []cloud.Grant{d.before, d.after} {
			if g.ID != "" {
				ask.Names[g.ID] = grantWithID(g)
			}
		}
		if len(d.gone) > 0 {
			ask.Lost = append(ask.Lost, lostGrant{d.before.ID, grantName(d.before)})
		}
	}
	for _, k := range q.keys {
		ask.Keys = append(ask.Keys, k.key.ARN)
	}
	return ask
}

// whatDid names the resources of Terraform's that took away what is lost, as far as the plan that was applied says so.
func (q *inquest) whatDid(applied plan.Summary) {
	var words []string
	for _, f := range q.faults {
		q.rec.About(f.key)
	}
	for i := range applied.Changes {
		change := &applied.Changes[i]
		if change.Type != "aws_kms_grant" || !destroys(change) {
			continue
		}
		id := grantOf(change.Before).ID
		at := slices.IndexFunc(q.diffs, func(d difference) bool { return id != "" && d.before.ID == id && len(d.gone) > 0 })
		if at < 0 {
			continue
		}
		q.rec.About(change.Address)
		words = append(words, fmt.Sprintf("%s, which held the grant %s, was %s", change.Address, grantName(q.diffs[at].before), participle(string(change.Action))))
	}
	if len(words) > 0 {
		q.rec.Fact("In Terraform", "%s", strings.Join(words, "; "))
	}
}

// whoDid asks CloudTrail who took away what is lost. What it does not know yet is no reason to wait: it is
// left open, to be learned later.
func (q *inquest) whoDid(ctx context.Context) {
	ask := q.inquiry()
	if _, missing := ask.put(ctx, q.aws, q.rec); missing {
		q.leave(ask)
	}
}

func (q *inquest) leave(ask inquiry) {
	if text, err := json.Marshal(ask); err == nil { // it holds nothing that cannot be written
		q.rec.Leave(string(text))
	}
}

// put asks once and writes down what is known: what to say of it, and whether something is missing that may
// become known.
func (ask *inquiry) put(ctx context.Context, aws Keys, rec *Recorder) (known string, missing bool) {
	events, err := aws.KeyEvents(ctx, ask.Since)
	if err != nil {
		rec.Logf("ask CloudTrail who did it: %v", err)
		rec.Fact(doneBy, "not known: %s", upgrade.Public(err))
		return "", upgrade.Transient(err)
	}
	var rows [][]string
	for _, e := range events {
		if ask.about(e) {
			rows = append(rows, []string{clockTime(e.At), e.Name, ask.grantOf(e), e.By, e.Agent})
		}
	}
	if len(rows) > 0 {
		rec.Table("What CloudTrail knows", []string{"At", "What", "Grant or key", "By", "With"}, rows)
	}
	var words []string
	for _, lost := range ask.Lost {
		at := slices.IndexFunc(events, func(e cloud.KeyEvent) bool {
			return e.GrantID == lost.ID && (e.Name == "RevokeGrant" || e.Name == "RetireGrant")
		})
		if at < 0 {
			missing = true
			continue
		}
		e := events[at]
		words = append(words, fmt.Sprintf("%s at %s took back %s%s", e.By, clockTime(e.At), lost.Name, with(e.Agent)))
	}
	known = strings.Join(words, "; ")
	if missing || len(words) == 0 && len(rows) == 0 {
		words = append(words, fmt.Sprintf("not known yet: CloudTrail may say so up to %d minutes later", int(trailDelay.Minutes())))
	}
	if len(words) > 0 {
		rec.Fact(doneBy, "%s", strings.Join(words, "; "))
	}
	return known, missing
}

// learn asks again what an earlier result had left open. The text is for the journal: what has become known.
func (g grants) learn(ctx context.Context, pending string, rec *Recorder) (text string, err error) {
	var ask inquiry
	if err := json.Unmarshal([]byte(pending), &ask); err != nil {
		return "", fmt.Errorf("read what was left open: %w", err)
	}
	known, missing := ask.put(ctx, g.aws, rec)
	if !missing {
		return known, nil
	}
	if !g.clock.Now().Before(ask.Until) {
		gaveUp := fmt.Sprintf("not known: CloudTrail did not say who did it within %s", trailGivenUp)
		rec.Fact(doneBy, "%s", strings.TrimPrefix(known+"; "+gaveUp, "; "))
		return known, nil
	}
	rec.Leave(pending)
	return "", nil
}

// with names the program that did it, as far as CloudTrail knows it.
func with(agent string) string {
	if agent == "" {
		return ""
	}
	name, _, _ := strings.Cut(agent, " ")
	return " with " + name
}

// about reports whether an event is about one of the keys, and no volume's everyday life.
func (ask *inquiry) about(e cloud.KeyEvent) bool {
	return ofSomebody(e, ask.Role) && slices.ContainsFunc(ask.Keys, func(arn string) bool {
		return sameKey(e.KeyID, cloud.Key{ARN: arn})
	})
}

// sameKey reports whether a request named the key.
func sameKey(name string, key cloud.Key) bool {
	return name != "" && (name == key.ARN || name == key.ID || strings.HasSuffix(key.ARN, ":key/"+name))
}

// grantOf names the grant of an event as the inventory does.
func (ask *inquiry) grantOf(e cloud.KeyEvent) string {
	switch name := ask.Names[e.GrantID]; {
	case e.GrantID == "":
		return shortKey(e.KeyID)
	case name != "":
		return name
	}
	return shortID(e.GrantID)
}

// ofSomebody reports whether a person or a program did it, and not AWS for a volume: those grants are made
// and retired with each instance by the role that launches, or by no role at all.
func ofSomebody(e cloud.KeyEvent, role string) bool {
	if e.Name != "CreateGrant" && e.Name != "RetireGrant" && e.Name != "RevokeGrant" {
		return true
	}
	session := ":assumed-role/" + role[strings.LastIndexByte(role, '/')+1:] + "/"
	return e.By != "" && e.By != role && !strings.Contains(e.By, session) && !strings.Contains(e.By, ":assumed-role/aws:") && !strings.HasSuffix(e.By, ".amazonaws.com")
}
