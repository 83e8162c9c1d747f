// Package gitlabsim pretends to be a GitLab, over HTTP: the part of the REST API that upgrades need, git
// over smart HTTP from real bare repositories, a small CI whose jobs take world time, and webhooks that
// are really sent. It fails in the ways GitLab fails, by itself (a status that may not go back, a job
// that may not be played, a pipeline of its own where none is named) and on demand (Fail, Mishap).
//
// Status codes, sentences and the order of checks are GitLab's as its documentation and source have them
// (versions 17 and 18); a comment that begins with "A guess:" marks what is not. It uses no GitLab client library, so
// that it and the adapter can be wrong in different ways only. Only tests and the command line import it.
package gitlabsim
