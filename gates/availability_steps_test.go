package gates_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// TestAvailabilitySteps: an outage that overlaps one step of Terraform's names it, in message, headline and
// next step; one that overlaps several names none.
func TestAvailabilitySteps(t *testing.T) {
	step := func(address, action string, from, to time.Duration) upgrade.Mark {
		return upgrade.Mark{Address: address, Action: action, From: noon().Add(from), To: noon().Add(to)}
	}
	const rule = "aws_vpc_security_group_ingress_rule.lb"
	tests := []struct {
		name              string
		marks             []upgrade.Mark
		err               error
		length            time.Duration
		says, brief, hint string
		cell              string
	}{
		{
			name: "one", length: 1240 * ms, cell: rule + " replaced",
			marks: []upgrade.Mark{step(rule, "replace", 4900*ms, 6*time.Second), step("aws_lb.web", "update", 9*time.Second, 10*time.Second)},
			says:  "new connections were not answered, while " + rule + " was being replaced", brief: "the site was down for 1.3 s while security_group_ingress_rule.lb was replaced",
			hint: "set create_before_destroy on " + rule + ", or add the new one in a change of its own before the old one goes, then push",
		},
		{
			name: "destroyed", length: 1240 * ms, cell: "aws_lb.web destroyed",
			marks: []upgrade.Mark{step("aws_lb.web", "delete", 4900*ms, 6*time.Second)},
			says:  "while aws_lb.web was being destroyed", brief: "the site was down for 1.3 s while aws_lb.web was destroyed", hint: "keep aws_lb.web until nothing needs it any more, then push",
		},
		{
			name: "several", length: 1240 * ms, cell: "2 steps",
			marks: []upgrade.Mark{step(rule, "replace", 4900*ms, 6*time.Second), step("aws_lb.web", "update", 5500*ms, 10*time.Second)},
			says:  "which overlaps 2 steps of Terraform's", brief: "the site was down for 1.3 s during the apply",
		},
		{
			name: "none", length: 1240 * ms, marks: []upgrade.Mark{step(rule, "replace", time.Second, 2*time.Second)}, cell: "no step",
			says: "new connections were not answered", brief: "the site was down for 1.3 s during the apply",
		},
		{
			name: "far_too_long", length: 12 * time.Second, marks: []upgrade.Mark{step(rule, "replace", 4900*ms, 6*time.Second)}, cell: rule + " replaced",
			says: "while " + rule + " was being replaced", brief: "the site was down for 12 s during the apply, far beyond the limit",
			hint: "set create_before_destroy on " + rule + ", or add the new one in a change of its own before the old one goes, then push",
		},
		{name: "nobody_knows", length: 1240 * ms, err: errors.New("no database"), says: "new connections were not answered", brief: "the site was down for 1.3 s during the apply"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got upgrade.Result
			synctest.Test(t, func(t *testing.T) {
				site := &fakeSite{addresses: []string{"192.0.2.1:443"}, met: down(5*time.Second, test.length, probe.ClassTCPTimeout)}
				runner := gates.Runner{Clock: upgrade.SystemClock{}}
				g := bound(t, siteSettings(), gates.Deps{Clock: upgrade.SystemClock{}, Prober: site})
				in := gates.Input{Apply: 1, Befores: []upgrade.Result{memo(t)}, Marks: func(context.Context) ([]upgrade.Mark, error) { return test.marks, test.err }}
				watching := runner.Watch(t.Context(), []gates.Gate{g}, in)
				time.Sleep(30 * time.Second)
				got = watching.End(t.Context())[0]
			})
			if got.Outcome != upgrade.OutcomeFailed || !strings.HasSuffix(got.Message, test.says) || got.Brief != test.brief || got.Hint != test.hint {
				t.Errorf("got %s %q\nbrief %q\nhint %q", got.Outcome, got.Message, got.Brief, got.Hint)
			}
			if about := got.Evidence.About; (test.hint != "") != (len(about) == 1 && about[0] == test.marks[0].Address) || len(about) > 1 {
				t.Errorf("it is about %q", about)
			}
			row := got.Evidence.Tables[0].Rows[0]
			if len(got.Evidence.Marks) != len(test.marks) || test.cell != "" && row[len(row)-1] != test.cell || (len(got.Warnings) > 0) != (test.err != nil) {
				t.Errorf("got marks %+v, row %v, warnings %v", got.Evidence.Marks, row, got.Warnings)
			}
		})
	}
}
