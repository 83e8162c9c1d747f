package upgrade

import "time"

// RunFilter chooses runs. Zero fields do not restrict. Lists are newest first.
type RunFilter struct {
	Stack     StackName
	Upgrade   UpgradeID
	ProjectID int64
	Tree      Tree
	Commit    Commit // any of the run's answers, or what it checks out
	Phases    []Phase
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

// RunCount is how many runs of a stack that were created in a month are in a phase.
type RunCount struct {
	Month Month
	Stack StackName
	Phase Phase
	N     int
}
