// Package wire is what an agent and the gate say to each other: the calls, how each is signed, and the form
// of their bodies. Both sides use it, so that there is one form.
//
// An agent calls; the gate answers. Three calls exist after the enrolment: [PathPoll] asks for orders and says
// how far the agent is, [PathSamples] delivers samples of one stream in order, [PathPing] compares clocks.
// Bodies are JSON. What is probed and what was seen are the structs of upgrade/probe as they are; the agent
// refuses an order that holds a field it does not know, rather than to do half of it, while the gate passes
// over what a newer agent says beyond its own knowledge.
package wire
