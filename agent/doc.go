// Package agent is a vantage in another place: a prober that dials out to the gate, takes orders from it, and
// reports what it saw. It listens on no port.
//
// It trusts the gate with what to probe, and not with where to: its operator's own list of addresses, rate and
// duration bounds every order, and an order beyond it is refused with the reason. It is known to the gate by an
// Ed25519 key that it makes itself and that never leaves its folder.
//
// It outlives the gate: a stream of probes goes on while the gate does not answer, its samples are kept, and
// they are delivered when the gate is back, from the first, in order, each once.
package agent
