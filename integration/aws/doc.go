// Package aws reads Auto Scaling groups, what they launch from, the keys that this is encrypted with and who
// may use them; it starts and ends the temporary groups with which launches are tried, and asks one instance
// more of a real group and takes it back. It takes and returns the structs of package cloud and errors with
// the codes of package upgrade; it decides nothing about whether what it saw is good enough.
//
// It can do no harm by mistake: what changes or ends a group, or drains an instance, does so only to one
// that carries the tag gate:probe=true, besides what IAM allows. One instance more is taken back only from a
// group that carries the tag gate:added of the same run. It changes nothing in KMS.
package aws
