// Package awssim is a simulated AWS for tests, for the demo and for trying things out: STS, IAM, KMS, EC2,
// EC2 Auto Scaling, ECS, Systems Manager and CloudTrail as far as launches from encrypted images need them,
// spoken at wire level (query and JSON protocols, Signature Version 4), so that the AWS command line and any
// SDK work against it.
//
// Users and roles may do everything, but for what Deny takes away; one that has got policies by AddPolicy may
// do only what they allow, on the resources and under the conditions that the service authorization
// reference has for each action. Keys also have policies and grants of their own.
//
// Time is the world clock of package upgrade. State moves lazily: each request first lets everything
// happen that is due by now, in order of time. Nothing runs in the background, so a clock that is moved
// by hours makes hours happen.
//
// What the contract suite beside the adapter demands of the real AWS too is believed to be true. The
// following are guesses, marked "guess:" where they are made:
//
//   - that a name with other parameters makes a new grant (Config.GrantNameAlone turns it round);
//   - how long a group waits before it tries a failed launch again;
//   - that a launch which fails for want of KMS permissions ends Cancelled rather than Failed
//     (Config.Denial turns it round; both have been reported);
//   - that an interface made in a subnet which the group chose is no resource of the launch template, so that
//     ec2:IsLaunchTemplateResource is false for both: the stricter reading;
//   - that who creates a group with tags needs autoscaling:CreateOrUpdateTags too;
//   - that KMS sees the group's role in LaunchInstances;
//   - that Systems Manager knows every instance with an instance profile, whatever its role allows;
//   - the wording of refusals that no public report quotes.
//
// CloudTrail tells of calls that change something, and of launches that were refused a key; the real one
// tells of reading calls too.
//
// It never answers 500 to what it models: SDKs repeat those for minutes.
package awssim
