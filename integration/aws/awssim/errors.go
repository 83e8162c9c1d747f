package awssim

import (
	"fmt"
	"net/http"
)

// apiError is a refusal in a service's own words.
type apiError struct {
	status  int
	code    string
	message string
}

// Error returns code and message.
func (e *apiError) Error() string { return e.code + ": " + e.message }

// refuse is a plain 400 of any service.
func refuse(code, format string, args ...any) error {
	return &apiError{status: http.StatusBadRequest, code: code, message: fmt.Sprintf(format, args...)}
}

// invalid is what EC2 Auto Scaling says to nearly everything that is wrong.
func invalid(format string, args ...any) error { return refuse("ValidationError", format, args...) }

// missing is EC2's answer to a request that lacks a parameter.
func missing(name string) error {
	return refuse("MissingParameter", "The request must contain the parameter %s", name)
}

// throttled is each service's way to say "slower".
func throttled(service string) error {
	switch {
	case service == serviceEC2:
		return &apiError{http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded."}
	case service == serviceKMS:
		return refuse("ThrottlingException", "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.")
	case speaksJSON(service):
		return refuse("ThrottlingException", "Rate exceeded")
	}
	return &apiError{http.StatusBadRequest, "Throttling", "Rate exceeded"}
}

// permission is the name of an action in IAM policies, such as "ec2:RunInstances".
func permission(service, action string) string { return service + ":" + action }
