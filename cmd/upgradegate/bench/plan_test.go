package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	opa       = flag.String("opa", "", "the Open Policy Agent to compare `plan check` with")
	resources = flag.Int("resources", 100_000, "resource changes in the plan; each comes to about 3 KB")
)

// What `plan check` may need for a plan of 100,000 resource changes.
const (
	mostPlanMemory = 150e6 // bytes, of the whole process
	leastFaster    = 10    // than opa eval
)

// rule is to OPA what destroy-guard is here: what the plan destroys or replaces of the guarded types.
const rule = `package guard

import rego.v1

exact := {"aws_security_group", "aws_security_group_rule", "aws_route", "aws_route_table", "aws_lb", "aws_autoscaling_group", "aws_db_instance", "aws_dynamodb_table"}

prefixes := {"aws_kms_", "aws_iam_", "aws_vpc_security_group_", "aws_lb_", "aws_rds_", "aws_route53_"}

guarded(kind) if kind in exact

guarded(kind) if {
	some prefix in prefixes
	startswith(kind, prefix)
}

deny contains change.address if {
	some change in input.resource_changes
	change.mode == "managed"
	"delete" in change.change.actions
	guarded(change.type)
}

lost := count(deny)
`

// TestPlanCheck measures reading and judging a large plan, beside OPA with a like rule.
func TestPlanCheck(t *testing.T) {
	measure(t, fmt.Sprintf("`upgradegate plan check` of a plan with %d resource changes", *resources))
	dir := t.TempDir()
	file := filepath.Join(dir, "plan.json")
	length, lost := writePlan(t, file, *resources)
	fmt.Printf("%.0f MB; %d resources under guard destroyed or replaced\n\n", float64(length)/1e6, lost)
	ours := []string{*binary, "plan", "check", file, "--json"}
	theirs := []string{*opa, "eval", "--data", filepath.Join(dir, "guard.rego"), "--input", file, "--format", "raw", "data.guard.lost"}
	if err := os.WriteFile(filepath.Join(dir, "guard.rego"), []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	var mine, other []cost
	for round := range *rounds + 1 { // the first one warms up
		c, out := runOnce(t, ours, 3)
		if !saysLost(t, out, lost) {
			t.Errorf("plan check says %.300s", out)
		}
		if round > 0 {
			mine = append(mine, c)
		}
		if *opa == "" {
			continue
		}
		c, out = runOnce(t, theirs, 0)
		if strings.TrimSpace(out) != fmt.Sprint(lost) {
			t.Errorf("opa says %.300s, want %d", out, lost)
		}
		if round > 0 {
			other = append(other, c)
		}
	}
	m := middle(mine)
	rows := [][]string{m.row("upgradegate plan check", fmt.Sprintf("goal of at most %.0f MB: %s", mostPlanMemory/1e6, met(float64(m.peak) <= mostPlanMemory)))}
	if *opa != "" {
		o := middle(other)
		times := o.took.Seconds() / m.took.Seconds()
		rows = append(rows, o.row("opa eval", fmt.Sprintf("%.1f times as long (%.1f of the processor); goal of at least %d: %s",
			times, o.cpu.Seconds()/m.cpu.Seconds(), leastFaster, met(times >= leastFaster))))
	} else {
		fmt.Println("not compared with opa eval: it was not built")
	}
	table(t, "|time|processor|peak memory|", rows)
}

// cost is what one run of a program took.
type cost struct {
	took, cpu time.Duration
	peak      int // bytes resident, the most
}

// middle returns the median of each.
func middle(costs []cost) cost {
	var took, cpu []time.Duration
	var peak []int
	for _, c := range costs {
		took, cpu, peak = append(took, c.took), append(cpu, c.cpu), append(peak, c.peak)
	}
	return cost{took: median(took), cpu: median(cpu), peak: median(peak)}
}

func (c cost) row(name, goal string) []string {
	return []string{name, fmt.Sprintf("%.2f s", c.took.Seconds()), fmt.Sprintf("%.2f s", c.cpu.Seconds()), fmt.Sprintf("%.0f MB", float64(c.peak)/1e6), goal}
}

// runOnce runs a program to its end, and returns what that took and what it said.
func runOnce(t *testing.T, command []string, code int) (cost, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, io.Discard
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("%s ended with %d, want %d", command[0], got, code)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		t.Fatal("nothing is known of what the process used")
	}
	return cost{took: took, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), peak: int(usage.Maxrss) << 10}, said.String()
}

// saysLost reports whether the report counts that many resources under guard.
func saysLost(t *testing.T, out string, lost int) bool {
	t.Helper()
	var report struct {
		Gates []struct {
			Facts []struct{ Name, Value string }
		}
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || len(report.Gates) == 0 {
		t.Fatalf("%v in %.300s", err, out)
	}
	for _, fact := range report.Gates[0].Facts {
		if fact.Name == "Of them destroyed or replaced under guard" {
			return fact.Value == fmt.Sprint(lost)
		}
	}
	return false
}

// writePlan writes a plan as Terraform 1.11 does: each resource in planned_values, in prior_state, and in
// the changes with what it was and will be. Of ten changes seven are updates, one a creation, one a
// destruction and one a replacement. It returns the file's length, and how many resources of a guarded
// type are destroyed or replaced.
func writePlan(t *testing.T, file string, n int) (length int64, lost int) {
	t.Helper()
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(out, 1<<20)
	list := func(head string, each func(i int) string, tail string) {
		_, _ = w.WriteString(head)
		for i := range n {
			if i > 0 {
				_ = w.WriteByte(',')
			}
			_, _ = w.WriteString(each(i))
		}
		_, _ = w.WriteString(tail)
	}
	resource := func(i int) string {
		kind := kindOf(i)
		return fmt.Sprintf(`{"address":"module.part[%d].%s.r%d","mode":"managed","type":%q,"name":"r%d","provider_name":"registry.terraform.io/hashicorp/aws","schema_version":1,"values":%s,"sensitive_values":{"tags":{}}}`, i%50, kind, i, kind, i, values(i, "was"))
	}
	list(`{"format_version":"1.2","terraform_version":"1.11.4","planned_values":{"root_module":{"resources":[`, resource, `]}},"resource_changes":[`)
	list("", func(i int) string {
		kind, before, after, actions := kindOf(i), values(i, "was"), values(i, "will be"), `["update"]`
		switch i % 10 {
		case 7:
			before, actions = "null", `["create"]`
		case 8:
			after, actions = "null", `["delete"]`
		case 9:
			actions = `["delete","create"]`
		}
		if i%10 >= 8 && kind != "aws_instance" && kind != "aws_s3_bucket" {
			lost++
		}
		return fmt.Sprintf(`{"address":"module.part[%d].%s.r%d","module_address":"module.part[%d]","mode":"managed","type":%q,"name":"r%d","provider_name":"registry.terraform.io/hashicorp/aws","change":{"actions":%s,"before":%s,"after":%s,"after_unknown":{"tags":{}},"before_sensitive":{"operations":[false,false],"tags":{}},"after_sensitive":{"operations":[false,false],"tags":{}}}}`,
			i%50, kind, i, i%50, kind, i, actions, before, after)
	}, `],"prior_state":{"format_version":"1.0","terraform_version":"1.11.4","values":{"root_module":{"resources":[`)
	list("", resource, `]}}},"configuration":{"root_module":{}},"timestamp":"2026-11-20T10:00:00Z","errored":false}`)
	if err := errors.Join(w.Flush(), out.Close()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size(), lost
}

func kindOf(i int) string {
	return []string{"aws_instance", "aws_kms_grant", "aws_security_group_rule", "aws_s3_bucket", "aws_iam_role", "aws_route53_record", "aws_instance"}[i%7]
}

// values are the attributes of a resource, about 600 bytes of them in order, as Terraform writes them, with a
// policy as text, as many have.
func values(i int, what string) string {
	return fmt.Sprintf(`{"arn":"arn:aws:ec2:eu-west-1:123456789012:thing/i-%017x","description":"what it %s","grant_id":"%064x","id":"i-%017x","key_id":"f6090be3-271a-4737-adc5-44deee0431ca","name":"thing-%d","operations":["Decrypt","DescribeKey"],"policy":"{\"Statement\":[{\"Action\":\"kms:*\",\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::123456789012:root\"},\"Resource\":\"*\"}],\"Version\":\"2012-10-17\"}","size":%d,"tags":{"Name":"thing-%d","environment":"staging","team":"platform"},"timeouts":null}`,
		i, what, i, i, i, i, i)
}
