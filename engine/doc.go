// Package engine makes work survive a crash: it claims jobs, keeps their leases, hands each to the
// handler of its kind, has what the handler decided written under the job's fence, and tries again
// later what failed. It knows waiting, running, parked and ended; what a step means is its handler's
// business, and how a step is written is the store's.
package engine
