// Package store keeps everything that must outlive the process: deliveries, runs, their journals and
// results, unlock orders, and the leases of the jobs that work on them. It knows SQL and nothing of what
// the rows mean, but for three rules that must hold in the transaction that writes them: which phase
// may follow which, who holds a stack's slot, and that a plan is applied once.
//
// Two times pass through it and are never mixed. Leases are counted by the database's own clock.
// Whatever the domain waits for (wake times, the journal) is world time and comes in as a parameter.
//
// The SQL is one text for SQLite and PostgreSQL; the dialect holds what differs. Only SQLite is opened
// so far. Fields that queries and constraints need are columns; the rest of a row is one JSON document
// of the package's own types, whose form a golden file pins.
package store
