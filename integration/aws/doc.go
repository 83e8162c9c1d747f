// Package aws reads Auto Scaling groups, instances and activities, and starts and ends the temporary
// groups with which launches are tried. It takes and returns the structs of package cloud and errors
// with the codes of package upgrade; it decides nothing about whether what it saw is good enough.
//
// It can do no harm by mistake: what changes or ends a group does so only to one that carries the tag
// gate:probe=true, besides what IAM allows.
package aws
