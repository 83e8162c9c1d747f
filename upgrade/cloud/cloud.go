// Package cloud is what AWS says about groups, templates and launches, as plain structs that the
// adapter hands to gates. Standard library only.
package cloud

import "time"

// Template names a launch template and one of its versions.
type Template struct {
	ID      string
	Name    string
	Version string // a number once resolved; before, also "$Latest" or "$Default"
}

// Group is an Auto Scaling group.
type Group struct {
	Name                 string
	ARN                  string
	Template             Template // of the group or of its mixed-instances policy
	InstanceType         string   // that the first override asks for; empty: the template's
	Mixed                bool
	Overrides            []Override // of the mixed-instances policy
	Suspended            []string   // processes that are suspended, such as Launch
	Min, Max, Desired    int
	Subnets              []string
	Zones                []string
	ServiceLinkedRoleARN string
	HealthCheckType      string
	HealthCheckGrace     time.Duration
	Status               string // non-empty while it is being deleted
	Tags                 map[string]string
	Members              []Member
}

// Member is an instance as its group sees it.
type Member struct {
	InstanceID string
	Lifecycle  string // Pending, Pending:Wait, InService, Terminating …
	Health     string // Healthy, Unhealthy
	Zone       string
}

// Trial is a temporary group with which a launch is tried: max 1, desired 1, no target groups, no
// scaling policies.
type Trial struct {
	Name     string            // gate-probe-…, at most 255 characters
	Like     Group             // template version, subnets, role and zones are taken from it
	Tags     map[string]string // gate:probe, gate:run, gate:expires, propagated at launch
	HookWait time.Duration     // of the launch lifecycle hook that ends in ABANDON: 30 s to 2 h
}

// Activity is a scaling activity.
type Activity struct {
	ID            string
	Status        string // Successful, Failed, Cancelled, InProgress, WaitingForInstanceId …
	StatusMessage string
	Description   string
	Cause         string
	Progress      int // percent
	Start, End    time.Time
}

// Instance is an EC2 instance.
type Instance struct {
	ID                 string
	State              string // pending, running, shutting-down, terminated, stopping, stopped
	StateReasonCode    string
	StateReasonMessage string
	ImageID            string
	Type               string
	Zone               string
	LaunchedAt         time.Time
	SystemStatus       string // ok, initializing, impaired, not-applicable; "" when not reported
	InstanceStatus     string
}

// Denied says which permission is missing; adapters put it into the cause chain of CodeForbidden.
type Denied struct { //nolint:errname // it is the refusal itself; the error around it is an upgrade.Error
	Action  string // such as "autoscaling:CreateAutoScalingGroup"
	Role    string // ARN of who was refused
	Message string // AWS's own words
}

// Error returns AWS's words.
func (d *Denied) Error() string { return d.Message }

// Command is a shell script that AWS Systems Manager runs on an instance.
type Command struct {
	ID         string
	InstanceID string
	Status     string // Pending, InProgress, Delayed, Success, Failed, TimedOut, Cancelled, Cancelling; "" while Systems Manager does not know it yet
	Details    string // finer, such as Undeliverable or DeliveryTimedOut
	Code       int    // exit code of the script; -1 until it has ended
	Stdout     string // at most 24,000 characters: what is beyond is cut off
	Stderr     string // at most 8,000 characters
}

// Ended reports whether nothing more will come of the command.
func (c Command) Ended() bool {
	switch c.Status {
	case "", "Pending", "InProgress", "Delayed", "Cancelling":
		return false
	}
	return true
}
