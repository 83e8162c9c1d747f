package server

import (
	"context"
	"encoding/json"
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

func TestAPIEnvironments(t *testing.T) {
	w := calledSite(t).get("/api/v1/environments").Body.String()
	if !strings.HasPrefix(w, `{"items":[{"name":"production","held":0,"broken":0,"not_verified":1,"paused":0,"checked_at":"2026-11-23T09:00:00Z","invariants":[{"name":"grants/production"`) ||
		!strings.Contains(w, `{"name":"staging","held":0,"broken":0,"not_verified":0,"paused":0,"invariants":[]}`) {
		t.Error(w)
	}
}
