// Package awsprovider is a Terraform provider for the demo and the tests. It serves the resources that
// the stories need under their true names (aws_kms_grant, aws_autoscaling_group …), so that plans look
// like real ones: arguments, what forces a replacement, ids and the calls to AWS follow the provider
// that HashiCorp publishes. Only waits are shorter, and where a simulation must not wait at all the
// difference is written at the place.
//
// It is served from the product's own binary: Terraform starts it from a filesystem mirror with a magic
// cookie in the environment ([Requested]), and the program then does nothing but [Serve]. [Install]
// puts it into a mirror, [CLIConfig] writes the file that makes Terraform look there and nowhere else.
//
// It must never touch a real account: it refuses to start without an endpoint, and with one of Amazon's.
package awsprovider
