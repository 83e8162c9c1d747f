package aws

import (
	"errors"
	"fmt"
	"testing"

	"github.com/aws/smithy-go"

	"github.com/upgradegate/upgradegate/upgrade"
)

func TestCodeOf(t *testing.T) {
	for _, tc := range []struct {
		code   string
		status int
		want   upgrade.Code
	}{
		{"AccessDenied", 403, upgrade.CodeForbidden},
		{"AccessDeniedException", 400, upgrade.CodeForbidden},
		{"UnauthorizedOperation", 403, upgrade.CodeForbidden},
		{"ExpiredToken", 403, upgrade.CodeUnauthorized},
		{"AuthFailure", 401, upgrade.CodeUnauthorized},
		{"UnrecognizedClientException", 400, upgrade.CodeUnauthorized},
		{"Throttling", 400, upgrade.CodeLimited},
		{"RequestLimitExceeded", 503, upgrade.CodeLimited},
		{"AlreadyExists", 400, upgrade.CodeConflict},
		{"ScalingActivityInProgress", 400, upgrade.CodeUnavailable},
		{"InvalidLaunchTemplateId.NotFound", 400, upgrade.CodeNotFound},
		{"InvalidLaunchTemplateId.VersionNotFound", 400, upgrade.CodeNotFound},
		{"NotFoundException", 400, upgrade.CodeNotFound},
		{"ClusterNotFoundException", 400, upgrade.CodeNotFound},
		{"ParameterNotFound", 400, upgrade.CodeNotFound},
		{"InvalidSnapshot.NotFound", 400, upgrade.CodeNotFound},
		{"KMSInvalidStateException", 400, upgrade.CodeConflict},
		{"DependencyTimeoutException", 503, upgrade.CodeUnavailable},
		{"ValidationError", 400, upgrade.CodeInvalid},
		{"SomethingNew", 400, upgrade.CodeInvalid},
		{"SomethingNew", 502, upgrade.CodeUnavailable},
	} {
		t.Run(tc.code, func(t *testing.T) {
			if got := codeOf(tc.code, tc.status); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestRefusedAction(t *testing.T) {
	for name, tc := range map[string]struct{ call, words, want string }{
		"own": {
			"autoscaling:CreateAutoScalingGroup",
			"User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: autoscaling:CreateAutoScalingGroup on resource: * because no identity-based policy allows it",
			"autoscaling:CreateAutoScalingGroup",
		},
		"another":       {"autoscaling:CreateAutoScalingGroup", "User: x is not authorized to perform: iam:PassRole on resource: y", "iam:PassRole"},
		"template":      {"autoscaling:CreateAutoScalingGroup", "You are not authorized to use launch template: lt-1", "ec2:RunInstances"},
		"no_permission": {"ec2:DescribeInstances", "is not authorized to perform: <script>", "ec2:DescribeInstances"},
		"no_words":      {"ec2:DescribeInstances", "You are not authorized to perform this operation.", "ec2:DescribeInstances"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := refusedAction(tc.call, tc.words); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestOperation checks that a role which cannot be assumed is not reported as the call that needed it.
func TestOperation(t *testing.T) {
	refused := &smithy.OperationError{ServiceID: "STS", OperationName: "AssumeRole", Err: &smithy.GenericAPIError{Code: "AccessDenied"}}
	err := &smithy.OperationError{
		ServiceID: "Auto Scaling", OperationName: "DescribeTags", Err: fmt.Errorf("get identity: get credentials: %w", refused),
	}
	if got := operation(err); got != "sts:AssumeRole" {
		t.Errorf("got %q, want sts:AssumeRole", got)
	}
	if got := operation(&smithy.OperationError{ServiceID: "Auto Scaling", OperationName: "DescribeTags"}); got != "autoscaling:DescribeTags" {
		t.Errorf("got %q, want autoscaling:DescribeTags", got)
	}
	if got := operation(errors.New("no call")); got != "" {
		t.Errorf("got %q, want nothing", got)
	}
}
