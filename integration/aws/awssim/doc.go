// Package awssim is a simulated AWS for tests, for the demo and for trying things out: STS, IAM, KMS, EC2
// and EC2 Auto Scaling as far as launches from encrypted images need them, spoken at wire level (query
// and JSON protocols, Signature Version 4), so that the AWS command line and any SDK work against it.
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
//   - the wording of refusals that no public report quotes.
//
// It never answers 500 to what it models: SDKs repeat those for minutes.
package awssim
