package upgrade

import "time"

// VerificationID names one question of a production pipeline. It cannot be guessed: who knows it may
// read the answer.
type VerificationID string

// VerificationState is how far the answer to a production pipeline is.
type VerificationState string

// The states of a verification.
const (
	VerifyWaiting VerificationState = "waiting" // a run of this content is on its way
	VerifyOpen    VerificationState = "open"    // this commit may go to production
	VerifyClosed  VerificationState = "closed"  // it may not
)

// Verification is a production pipeline's question whether its commit may go: the hold verify_job. All
// it says of the pipeline comes out of GitLab's ID token, nothing from the job's own words.
type Verification struct {
	ID        VerificationID
	Token     string // issuer and jti of the ID token: it is good for one question
	ProjectID int64
	Project   string // path with namespace
	Commit    Commit
	Ref       string // without refs/heads/
	RefType   string // as PipelineToken has it
	Protected bool   // the ref is protected
	Pipeline  int64
	Job       int64
	AskedAt   time.Time
	Until     time.Time // the answer is closed if it was not given by then

	State    VerificationState
	Run      RunID  // that the answer speaks of; 0: none
	Sentence string // why, for people
	Told     int    // counts the sentences, from 1
	Rev      int64
}

// PipelineToken is what a GitLab ID token proves of the job that showed it: gitlab.md §9.
type PipelineToken struct {
	ID        string // issuer and jti
	ProjectID int64
	Project   string
	Commit    Commit
	Ref       string
	RefType   string // "branch", "tag", or "merge_request" for a pipeline of one, whose Ref is the source branch
	Protected bool   // the ref is protected
	Pipeline  int64
	Job       int64
	ExpiresAt time.Time
}
