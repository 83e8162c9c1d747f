package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

func (w *world) Plan(_ context.Context, id upgrade.RunID) (plan.Summary, error) {
	if id != 481 {
		return plan.Summary{}, notFound("the plan of run " + id.String())
	}
	return plan.Summary{
		Changes: []plan.Change{
			{Address: "module.kms.aws_kms_grant.asg_ebs", Type: "aws_kms_grant", Action: plan.Delete, Before: json.RawMessage(`{"name":"asg-ebs"}`), After: json.RawMessage("null")},
			{Address: "aws_lb.b", PreviousAddress: "aws_lb.a", Type: "aws_lb", Action: plan.Update},
		},
		Moves: []plan.Move{{From: "a", To: "b"}}, Outputs: []plan.Output{{Name: "address", Actions: []string{"update"}}}, Drifted: []string{"aws_lb.c"},
	}, nil
}

func TestAPIPlan(t *testing.T) {
	s := calledSite(t)
	got := decode[wireWholePlan](t, s.get("/api/v1/runs/481/plan"))
	if got.Run != 481 || got.Plan.ChangeDigest != "bb22" || len(got.Changes) != 2 || got.Changes[0].Action != plan.Delete || string(got.Changes[0].Before) != `{"name":"asg-ebs"}` ||
		got.Changes[1].Previous != "aws_lb.a" || len(got.Moves) != 1 || got.Outputs[0].Actions[0] != "update" || got.Drifted[0] != "aws_lb.c" {
		t.Errorf("%+v", got)
	}
}

// planOf200 is a plan of 200 resources and more.
type planOf200 struct{}

func (planOf200) Plan(context.Context, upgrade.RunID) (plan.Summary, error) {
	var s plan.Summary
	for i := range 230 {
		action := []plan.Action{plan.Create, plan.Update, plan.Delete, plan.Replace}[i%4]
		after := json.RawMessage(`{"cidr":"10.1.0.0/16","ports":[443],"password":"(sensitive)","a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":"<script>alert(1)</script>"}`)
		if action == plan.Delete {
			after = json.RawMessage("null")
		}
		s.Changes = append(s.Changes, plan.Change{
			Address: fmt.Sprintf("module.edge.aws_security_group_rule.varnish_in[%d]", i), Type: "aws_security_group_rule", Action: action, ReplacePaths: json.RawMessage(`[["cidr"]]`),
			Before:       json.RawMessage(`{"cidr":"10.0.0.0/8","ports":[80,443],"password":"(sensitive)","description":"` + strings.Repeat("long ", 60) + `"}`),
			After:        after,
			AfterUnknown: json.RawMessage(`{"id":true}`),
		})
	}
	return s, nil
}

// TestPlanPage: the riskiest first, paged and within the budget, with what each changes.
func TestPlanPage(t *testing.T) {
	small, large := newSite(t, fullWorld()), newSite(t, fullWorld(), func(c *Config) { c.Plans = planOf200{} })
	for name, tc := range map[string]struct {
		s      *site
		target string
		code   int
		rows   int
		want   []string
		not    []string
	}{
		"small":   {small, "/runs/481/plan", 200, 2, []string{"This plan changed 2\u00a0resources in staging.", "KMS grant", "− name: &#34;asg-ebs&#34;", "was aws_lb.a", "a → b", "aws_lb.c"}, nil},
		"none":    {small, "/runs/480/plan", 200, 0, []string{"Run 480 has no plan.", "has not been planned yet"}, nil},
		"no_run":  {small, "/runs/512/plan", 404, 0, nil, nil},
		"large":   {large, "/runs/481/plan", 200, 100, []string{"230\u00a0resources", "1 to 100 of 230", "from=100", "(forces the replacement)", "− password: (sensitive)"}, []string{"<script>alert", "from=0"}},
		"further": {large, "/runs/481/plan?from=200", 200, 30, []string{"201 to 230 of 230", "from=100"}, []string{"from=300"}},
		"beyond":  {large, "/runs/481/plan?from=99999", 200, 1, nil, nil},
		"wrong":   {large, "/runs/481/plan?from=x", 400, 0, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := tc.s.get(tc.target)
			page := w.Body.String()
			if w.Code != tc.code {
				t.Fatalf("answered %d\n%s", w.Code, tc.s.log)
			}
			checkHTML(t, name, page)
			if n := strings.Count(page, "<code>module.edge") + strings.Count(page, "<code>module.kms") + strings.Count(page, "<code>aws_lb.b</code>"); n != tc.rows {
				t.Errorf("%d resources, want %d", n, tc.rows)
			}
			for _, want := range tc.want {
				if !strings.Contains(page, want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			for _, not := range tc.not {
				if strings.Contains(page, not) {
					t.Errorf("the page says %q", not)
				}
			}
			if len(page) > 60_000 || len(zip([]byte(page))) > 15_000 || strings.Count(page, "<") > 3000 {
				t.Errorf("the page has %d bytes, %d marks", len(page), strings.Count(page, "<"))
			}
		})
	}
}

func TestAPIEnvironments(t *testing.T) {
	w := calledSite(t).get("/api/v1/environments").Body.String()
	if !strings.HasPrefix(w, `{"items":[{"name":"production","held":0,"broken":0,"not_verified":1,"paused":0,"checked_at":"2026-11-23T09:00:00Z","invariants":[{"name":"grants/production"`) ||
		!strings.Contains(w, `{"name":"staging","held":0,"broken":0,"not_verified":0,"paused":0,"invariants":[]}`) {
		t.Error(w)
	}
}
