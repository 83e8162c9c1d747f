package upgrade

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
