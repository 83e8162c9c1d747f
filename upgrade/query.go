package upgrade

import (
	"slices"
	"time"
)

// RunFilter chooses runs. Zero fields do not restrict. Lists are newest first.
type RunFilter struct {
	Stack     StackName
	Upgrade   UpgradeID
	ProjectID int64
	Tree      Tree
	Commit    Commit // any of the run's answers, or what it checks out
	Phases    []Phase
	Newest    bool  // of each stack only the newest in one of Phases, which must be set; of the others only Limit counts
	Before    RunID // keyset: only runs with a smaller id
	Limit     int   // 0: 50; at most 500
}

// DeliveryFilter chooses deliveries, newest first.
type DeliveryFilter struct {
	Fates  []Fate
	Before int64 // keyset: only deliveries with a smaller number, as Delivery.Number counts them
	Limit  int   // 0: 50; at most 500
}

// EventFilter chooses journal events, oldest first.
type EventFilter struct {
	Run   RunID // 0: of all runs
	After int64 // with Run: Seq; without: ID
	Limit int   // 0: 500; at most 5000
}

// RunSearch finds runs by what people remember of them. Zero fields do not restrict. Lists are newest first.
type RunSearch struct {
	// Text is words, of which each must begin something that the run is known by: its number, stack, version,
	// merge request ("412" or "!412"), commit, branch, title, a person, or what a gate saw, such as a grant or
	// an instance. Letters count alike, large or small.
	Text   string
	Stack  StackName
	Phases []Phase
	Month  Month
	Before RunID // keyset: only runs with a smaller id
	Limit  int   // 0: 50; at most 500
}

// RunsFound is what a search finds, and how much of it each further restriction would leave.
type RunsFound struct {
	Runs   []Run
	Older  RunID      // where the search goes on, as its Before; 0: there is nothing more
	Counts []RunCount // as CountEach returns them; with a text of the newest alone
	Whole  bool       // they count all
}

// Month is a month of UTC as a number: 202611. 0: none.
type Month int

// MonthOf returns the month of a time.
func MonthOf(t time.Time) Month {
	t = t.UTC()
	return Month(t.Year()*100 + int(t.Month()))
}

// First returns the beginning of the month.
func (m Month) First() time.Time {
	return time.Date(int(m)/100, time.Month(int(m)%100), 1, 0, 0, 0, 0, time.UTC)
}

// RunCount is how many runs there are of a stack that were created in a month and are in a phase.
type RunCount struct {
	Month Month
	Stack StackName
	Phase Phase
	N     int
}

// CountEach sums up what a search finds: each of the counts that it returns is about one phase, one stack or
// one month, with the other two fields zero, and leaves out what the search restricts in the other two.
func CountEach(counts []RunCount, f RunSearch) []RunCount {
	at := map[RunCount]int{}
	var each []RunCount
	add := func(fits bool, key RunCount, n int) {
		if !fits {
			return
		}
		i, known := at[key]
		if !known {
			i = len(each)
			at[key] = i
			each = append(each, key)
		}
		each[i].N += n
	}
	for _, c := range counts {
		phase, stack, month := len(f.Phases) == 0 || slices.Contains(f.Phases, c.Phase), f.Stack == "" || c.Stack == f.Stack, f.Month == 0 || c.Month == f.Month
		add(stack && month, RunCount{Phase: c.Phase}, c.N)
		add(phase && month, RunCount{Stack: c.Stack}, c.N)
		add(phase && stack, RunCount{Month: c.Month}, c.N)
	}
	return each
}
