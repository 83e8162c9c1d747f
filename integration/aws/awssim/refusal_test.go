package awssim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
)

// TestNeverAServerError asks everything with nothing, and with nonsense: what is modelled is refused with 4xx,
// since clients repeat what ends with 5xx for minutes.
func TestNeverAServerError(t *testing.T) {
	w := newWorld(t, nil)
	w.cluster(t, w.encrypted(t)["AMI"], 1)
	w.clock.move(time.Minute)
	nonsense := []any{
		"AutoScalingGroupName", "ecs", "LaunchTemplateName", "ecs", "InstanceId", "-1", "KeyId", "alias/none", "MaxSize", "many", "GroupId", "sg",
		"Filter.1.Name", "", "Tags.member.1.Key", "aws:x", "MixedInstancesPolicy.LaunchTemplate", "x", "LaunchTemplate.Version", "-1",
		"NextToken", "?", "MaxRecords", "-7", "MaxResults", "-7", "LaunchTemplateData.UserData", "%", "IpPermissions.1.FromPort", "x",
	}
	body := []any{
		"KeyId", "arn:x", "Limit", -1, "Marker", "?", "cluster", "arn:aws:ecs", "containerInstances",
		[]string{""},
		"filter", "[", "Names",
		[]string{},
		"LookupAttributes",
		[]any{map[string]string{}},
		"NextToken", "?", "Operations",
		[]string{"x"},
		"Policy", "{", "StartTime", 1e30,
	}
	types := []any{"KeyId", 7, "cluster", true, "Name", []int{1}, "MaxResults", "x", "Names", "x", "LookupAttributes", 3, "Clusters", "x"}
	for _, name := range w.sim.ActionNames() {
		service, action, _ := strings.Cut(name, ":")
		asked := [][]any{nil, nonsense}
		if targets()[service] != "" {
			asked = [][]any{nil, body, types}
		}
		for i, params := range asked {
			if r := w.ask(t, service, action, params...); r.status >= http.StatusInternalServerError || r.status == 0 {
				t.Errorf("%s, question %d: status %d", name, i, r.status)
			}
		}
	}
}

// TestDenialWords checks that a group tells of a launch without rights in each of the ways that were seen, and
// tries again until nothing is wanted any more.
func TestDenialWords(t *testing.T) {
	for _, code := range []string{"Client.InternalError", "Client.InvalidKMSKey.InvalidState"} {
		for _, status := range []string{"Failed", "Cancelled"} {
			t.Run(code+"_"+status, func(t *testing.T) {
				w := newWorld(t, func(cfg *awssim.Config) {
					cfg.Denial = awssim.Failure{Code: code, Message: "as it was reported", Status: status}
				})
				key, err := w.sim.AddKey("", "", "", "")
				if err != nil {
					t.Fatal(err)
				}
				c := w.cluster(t, w.sim.AddImage(awssim.Image{KeyARN: key}), 1)
				w.clock.move(3 * time.Minute)
				all, messages := c.activities(t)
				if len(all) < 3 {
					t.Fatalf("it did not try again: %v", all)
				}
				if all[0] != status || !strings.HasSuffix(messages[0], "Termination Reason: "+code+": as it was reported") {
					t.Errorf("got %s %q", all[0], messages[0])
				}
				i := w.must(t, "ec2", "DescribeInstances", "InstanceId.1", w.sim.Instances()[0].ID).doc.all("stateReason")
				if len(i) != 1 || i[0].text("code") != code {
					t.Errorf("the instance's reason: %v", i)
				}
				c.desire(t, 0)
				w.clock.move(3 * time.Minute)
				before, _ := c.activities(t)
				w.clock.move(time.Hour)
				if after, _ := c.activities(t); len(after) != len(before) {
					t.Errorf("nothing is wanted, but it went on: %d activities, then %d", len(before), len(after))
				}
			})
		}
	}
}

// TestSmallPages checks that every list comes in pages where pages are small, and whole in the end.
func TestSmallPages(t *testing.T) {
	w := newWorld(t, func(cfg *awssim.Config) { cfg.PageSize = 2 })
	w.sim.AddCluster("", "", "web", 0, nil)
	vars := w.encrypted(t)
	for n := range 3 {
		w.sim.AddImage(awssim.Image{Name: fmt.Sprint(n), KeyARN: vars["KEY"]})
		w.must(t, "kms", "CreateKey")
		w.must(t, "kms", "CreateGrant", "KeyId", vars["KEY"], "GranteePrincipal", w.sim.ServiceLinkedRole(""), "Operations", ebs())
		lt := w.must(t, "ec2", "CreateLaunchTemplate", "LaunchTemplateName", fmt.Sprintf("web-%d", n), "LaunchTemplateData.ImageId", vars["AMI"],
			"LaunchTemplateData.IamInstanceProfile.Name", "web").text("launchTemplateId")
		w.must(t, "ec2", "CreateLaunchTemplateVersion", "LaunchTemplateName", "web-0", "SourceVersion", "1", "LaunchTemplateData.InstanceType", "t3.small")
		group := newGroup(w, fmt.Sprintf("web-%d", n), lt, "1", 1, "a", "b", "c", "d")
		w.must(t, "autoscaling", "CreateAutoScalingGroup", append(group, "DesiredCapacity", "1")...)
		w.sim.JoinCluster(fmt.Sprintf("web-%d", n), "web")
	}
	w.clock.move(10 * time.Minute)
	for _, tc := range []struct {
		service, action string
		params          []any
		each            string // element, or list of JSON
		want            int    // at least
	}{
		{"ec2", "DescribeInstances", nil, "instanceId", 3},
		{"ec2", "DescribeInstanceStatus", nil, "instanceId", 3},
		{"ec2", "DescribeImages", nil, "imageId", 6},
		{"ec2", "DescribeSnapshots", nil, "snapshotId", 4},
		{"ec2", "DescribeVolumes", nil, "size", 3},
		{"ec2", "DescribeSubnets", nil, "subnetId", 3},
		{"ec2", "DescribeLaunchTemplates", nil, "launchTemplateId", 3},
		{"ec2", "DescribeLaunchTemplateVersions", []any{"LaunchTemplateName", "web-0"}, "versionNumber", 4},
		{"ec2", "DescribeNetworkInterfaces", nil, "macAddress", 0},
		{"autoscaling", "DescribeAutoScalingGroups", nil, "AutoScalingGroupARN", 3},
		{"autoscaling", "DescribeAutoScalingInstances", nil, "InstanceId", 3},
		{"autoscaling", "DescribeScalingActivities", nil, "ActivityId", 3},
		{"autoscaling", "DescribeTags", nil, "Key", 6},
		{"kms", "ListKeys", nil, "Keys", 4},
		{"kms", "ListGrants", []any{"KeyId", vars["KEY"]}, "Grants", 4},
		{"ecs", "ListContainerInstances", []any{"cluster", "web"}, "containerInstanceArns", 3},
		{"ssm", "DescribeInstanceInformation", nil, "InstanceInformationList", 3},
		{"cloudtrail", "LookupEvents", nil, "Events", 10},
	} {
		t.Run(tc.action, func(t *testing.T) {
			got, pages := w.collect(t, tc.service, tc.action, tc.each, tc.params)
			if got < tc.want || tc.want > 2 && pages < 2 {
				t.Errorf("got %d of at least %d in %d pages", got, tc.want, pages)
			}
		})
	}
}

// collect asks for one page after another and counts what is in them.
func (w *world) collect(t *testing.T, service, action, each string, params []any) (got, pages int) {
	t.Helper()
	field := map[string]string{"kms": "Marker", "ecs": "nextToken"}[service]
	if field == "" {
		field = "NextToken"
	}
	token := ""
	for pages < 50 {
		asked := append([]any{}, params...)
		if token != "" {
			asked = append(asked, field, token)
		}
		r := w.must(t, service, action, asked...)
		pages++
		in := len(r.doc.all(each))
		if r.body != nil {
			in = len(r.body[each].([]any))
		}
		got += in
		if in > 4 { // two things, of which one may name two
			t.Errorf("%d on a page of two", in)
		}
		token = ""
		for _, name := range []string{"NextMarker", "NextToken", "nextToken"} {
			if v := r.text(name); v != "" {
				token = v
			}
		}
		if token == "" {
			return got, pages
		}
	}
	t.Fatal("the pages never end")
	return got, pages
}
