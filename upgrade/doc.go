// Package upgrade is the domain: upgrades, runs, phases, gate results, verdicts, the journal, and the
// sentences that every page, status and message shares. It decides what may follow what and what a
// set of results means; it never talks to anything. Standard library only, and no struct tags: how a
// value looks in a database, a file or an answer is the business of the package that writes it.
package upgrade
