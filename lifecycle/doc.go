// Package lifecycle holds the steps of a run, a file per phase: the only code that moves a run to
// another phase. It decides what happens next; whether something is good enough is decided by gates,
// and what survives a crash by engine and store. Each step returns one upgrade.Step, which the store
// writes whole.
//
// A run is written by its own job alone. Whoever else wants something of it (a person, a newer tree,
// a delivery) stores an upgrade.Request, which wakes the job.
package lifecycle
