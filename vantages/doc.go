// Package vantages is the gate's side of its agents: who is invited, enrolled and revoked; whose calls are
// believed; what is ordered of each, and what comes back. To gates an agent is a prober like the one on this
// host, except that it may be gone: then it could not tell.
//
// An agent calls, and its calls are answered; nothing here dials out. What is ordered is kept in memory as a
// list of what is wanted now, so that an order which is lost on the way or after a restart of either side is
// simply there again. Of a stream with a name, the store knows when it was asked for first: a restarted gate
// asks for it again and gets its samples from the first, and an agent that began later than that is found out.
package vantages
