package upgrade

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// JobKind says which handler a job goes to.
type JobKind string

// The kinds of jobs.
const (
	JobRun      JobKind = "run"      // walks one run; subject: run id
	JobIntake   JobKind = "intake"   // finds out what one delivery means; subject: delivery id
	JobStatus   JobKind = "status"   // keeps GitLab's statuses of one run true; subject: run id
	JobNote     JobKind = "note"     // keeps our note on one merge request true; subject: "project/iid"
	JobVerify   JobKind = "verify"   // answers one production pipeline; subject: verification id
	JobPeriodic JobKind = "periodic" // again and again; subject: its name
)

// JobID names a job: its kind and subject, such as "run/12".
type JobID string

// JobFor returns the id of the job of that kind and subject.
func JobFor(kind JobKind, subject string) JobID { return JobID(string(kind) + "/" + subject) }

// JobForRun returns the id of the job that walks the run.
func JobForRun(id RunID) JobID { return JobFor(JobRun, id.String()) }

// JobForStatus returns the id of the job that keeps the statuses of the run true.
func JobForStatus(id RunID) JobID { return JobFor(JobStatus, id.String()) }

// JobForNote returns the id of the job that keeps our note on the merge request true.
func JobForNote(projectID, iid int64) JobID {
	return JobFor(JobNote, fmt.Sprintf("%d/%d", projectID, iid))
}

// Job is a claimed piece of work. Every write that is made for it carries Fence: a claim by somebody
// else makes it stale.
type Job struct {
	ID      JobID
	Kind    JobKind
	Subject string
	Attempt int   // of the present step, from 0; grows with each retry, back to 0 with each commit
	Fence   int64 // grows with each claim
	Wakes   int64 // how often it had been woken when it was claimed
}

// RunID returns the subject as a run id; 0 when it is none.
func (j Job) RunID() RunID {
	n, err := strconv.ParseInt(j.Subject, 10, 64)
	if err != nil {
		return 0
	}
	return RunID(n)
}

// Next says what becomes of a job after a step. The zero value keeps the lease: more steps of the
// same claim follow.
type Next struct {
	Do NextDo
	At time.Time // with NextPark: world time at which it wakes by itself; zero: only when woken
}

// NextDo is what becomes of a job.
type NextDo int

// What becomes of a job.
const (
	NextKeep NextDo = iota // the lease is kept
	NextGo                 // released, due at once
	NextPark               // released, due at Next.At or when woken
	NextEnd                // never again
)

// Go makes the job due again at once.
func Go() Next { return Next{Do: NextGo} }

// Park makes the job wait until at, or until it is woken.
func Park(at time.Time) Next { return Next{Do: NextPark, At: at} }

// ParkUntilWoken makes the job wait until it is woken.
func ParkUntilWoken() Next { return Next{Do: NextPark} }

// End ends the job.
func End() Next { return Next{Do: NextEnd} }

// Never is the wake time of a job that waits to be woken.
const Never = math.MaxInt64

// Step is everything that one piece of work changes. The store writes it whole, in one transaction
// under the job's fence, or not at all.
type Step struct {
	// Runs are written over, each as it is to be, with Rev as it was read; CodeStale if somebody
	// else wrote it since, CodeBusy if its new phase needs a slot that is taken, CodeInternal if
	// its phase may not follow the stored one.
	Runs []Run
	// Starts are runs to be created; ID, Upgrade (found or made by project and tree), Rev and
	// Attempt are given by the store. A run whose upgrade and
	// stack have a live or open run already is CodeStale. Each gets a run job and a status job, and
	// an EventCreated with its Reason as text.
	Starts []Run
	// Answers are added to runs that exist.
	Answers map[RunID][]Answer
	// Events are appended to journals; Seq and ID are given by the store. Run 0 means the only
	// run in Starts.
	Events    []Event
	Results   []Result
	Learned   []Learned  // what results left open, and what came of that
	Standings []Standing // newest answers; of each only Key, Settings and Result are read
	Applies   []Apply    // inserted or, if (Run, N) exists, updated; a second row of one FileDigest is CodeConflict
	Orders    []Order    // inserted if ID is 0, else updated
	Posted    []Posted
	Requests  []Request   // asked of other runs, whose jobs are woken; Run 0 is not allowed
	Handled   []RequestID // requests that were granted or refused
	Refs      []RefState  // compare-and-set on Rev; CodeStale if it was moved
	Bases     []Base
	// Verifications are written over, each with Rev as it was read; CodeStale if it was written since.
	Verifications []Verification
	// Given is what the decision rests on; CodeStale when any of it no longer holds.
	Given    Given
	Delivery *Delivery // only ID, Fate, Reason and Runs are written; ids of Starts are appended to Runs
	Wake     []JobID   // made due at once; unknown ones are created if their kind is status, note or periodic
	Next     Next
}

// Given is what a decision rests on, as it was read. The store looks at it again in the transaction
// that writes the decision, so that what was decided on is what is true (S1). Nothing in it is checked
// that is not named.
type Given struct {
	Runs    map[RunID]int64     // their revisions
	Newest  map[UpgradeID]RunID // the upgrade's newest run, of any stack
	Applies []LastApply
	Refs    []RefState          // Key and Rev; Rev 0: the ref is not known
	Bases   map[StackName]int64 // their revisions; 0: none is known
	Answers map[RunID]int       // for how many refs and commits they answer
	Unasked []RunID             // nothing is asked of these runs that was not answered
	// Standings are the revisions of what standing gates say; 0: one was never asked.
	Standings map[StandingKey]int64
}

// LastApply says which apply was begun last on a stack's environment.
type LastApply struct {
	Stack       StackName
	Environment EnvName
	Seq         int64 // 0: none
}
