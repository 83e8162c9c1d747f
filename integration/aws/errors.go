package aws

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// coded gives an error of the SDK its code. Errors that have one already, and those of contexts, stay.
func (c *Client) coded(err error) error {
	var ours *upgrade.Error
	if errors.As(err, &ours) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		// No answer that could be read: refused connection, broken TLS, no credentials to be found.
		return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "AWS could not be asked", Cause: err}
	}
	code := codeOf(api.ErrorCode(), status(err))
	words := api.ErrorMessage()
	out := &upgrade.Error{Code: code, Msg: "AWS answered " + api.ErrorCode() + ": " + words, Cause: err}
	switch code { //nolint:exhaustive // the others need no more words
	case upgrade.CodeForbidden:
		return c.denied(err, words)
	case upgrade.CodeUnauthorized:
		out.Hint = "look whether the credentials of the service are the right ones and have not expired"
	case upgrade.CodeLimited:
		out.Msg = "AWS asks for fewer requests"
	}
	return out
}

// denied says which permission is missing to whom.
func (c *Client) denied(err error, words string) error {
	action := refusedAction(operation(err), words)
	who := c.cfg.RoleARN
	hint := "allow " + action + " in a policy of the role"
	if action == "sts:AssumeRole" {
		hint = "let the trust policy of " + who + " name who calls, with the external id that is configured"
	}
	if unsaid(words) {
		hint = "allow what starting an instance from the launch template needs: ec2:RunInstances, iam:PassRole on the role of its profile, " +
			"ec2:CreateTags if it tags, ssm:GetParameters if it names its image by parameter"
	}
	if who == "" {
		who = "the service's own credentials"
	}
	return &upgrade.Error{
		Code: upgrade.CodeForbidden, Msg: who + " may not " + action, Hint: hint,
		Cause: &denial{Denied: &cloud.Denied{Action: action, Role: c.cfg.RoleARN, Message: words}, err: err},
	}
}

// denial puts the SDK's error below the refusal, for the log.
type denial struct {
	*cloud.Denied

	err error
}

// Unwrap returns both: who asks for a *cloud.Denied finds it.
func (d *denial) Unwrap() []error { return []error{d.Denied, d.err} }

// operation returns the permission of the innermost call that failed: when a role cannot be assumed,
// that is not the one that was made.
func operation(err error) string {
	name := ""
	for err != nil {
		var op *smithy.OperationError
		if !errors.As(err, &op) {
			break
		}
		name = service(op.Service()) + ":" + op.Operation()
		err = op.Unwrap()
	}
	return name
}

// service turns the SDK's name of a service into the one of IAM.
func service(id string) string { return strings.ToLower(strings.ReplaceAll(id, " ", "")) }

// refusal matches how AWS names the permission that is missing.
var refusal = regexp.MustCompile(`is not authorized to perform: ([a-z0-9-]+:[A-Za-z0-9]+)`)

// refusedAction returns the permission that is missing. A call may need more than its own: creating a
// group from a launch template is tried with the caller's right to run instances. AWS gives no code for
// which it was, only words, and for templates not even those.
func refusedAction(call, words string) string {
	if m := refusal.FindStringSubmatch(words); m != nil {
		return m[1]
	}
	if unsaid(words) {
		return "ec2:RunInstances"
	}
	return call
}

// unsaid reports whether AWS says that one of several permissions is missing, and not which:
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-launch-template.html.
func unsaid(words string) bool {
	return strings.Contains(words, "not authorized to use launch template")
}

func status(err error) int {
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.Response != nil {
		return answer.HTTPStatusCode()
	}
	return 0
}

// codeOf translates AWS's codes. The services differ in words for the same thing.
func codeOf(code string, status int) upgrade.Code {
	switch code {
	case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedAccess":
		return upgrade.CodeForbidden
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "UnrecognizedClientException",
		"AuthFailure", "SignatureDoesNotMatch", "MissingAuthenticationToken", "IncompleteSignature", "InvalidSignatureException",
		"MissingAuthenticationTokenException", "OptInRequired":
		return upgrade.CodeUnauthorized
	case "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException", "RequestThrottled":
		return upgrade.CodeLimited
	case "ParameterNotFound", "ParameterVersionNotFound":
		return upgrade.CodeNotFound
	case "AlreadyExists", "ResourceInUse", "DependencyViolation", "IncorrectInstanceState", "DisabledException", "KMSInvalidStateException":
		return upgrade.CodeConflict
	case "ScalingActivityInProgress", "ResourceContention", "ServiceUnavailable", "Unavailable", "InternalError",
		"InternalFailure", "RequestTimeout", "RequestTimeoutException":
		return upgrade.CodeUnavailable
	}
	switch {
	case strings.HasSuffix(code, ".NotFound"), strings.HasSuffix(code, "NotFoundException"), strings.HasSuffix(code, ".VersionNotFound"):
		return upgrade.CodeNotFound
	case status >= http.StatusInternalServerError:
		return upgrade.CodeUnavailable
	}
	return upgrade.CodeInvalid
}
