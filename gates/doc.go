// Package gates asks whether a change may go on: it holds the contract of a gate, the runner, and
// one file per kind. A gate decides if what it sees is good enough; what happens then is decided
// elsewhere. It reaches outside systems only through the small interfaces it declares.
//
// A check answers in one of three ways: nil, it is right; an error made by Failf, it is wrong; any
// other error, it could not tell, which is never a pass (S5).
package gates
