// Package integration holds one folder per outside system and nothing else at this level.
//
// Each folder has the adapter, which alone knows that system's client library, wire format, paging,
// limits and error texts; a contract suite in contract_test.go, written against the adapter's own
// methods; and, where the system can be pretended, a simulator in a folder whose name ends in "sim".
// The suite always runs against the simulator, and against the real system when its address is given:
// see package internal/testkit. An adapter never imports another system's folder.
package integration
