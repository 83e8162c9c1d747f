package upgrade

import "time"

// StateName names a Terraform state that is known here: "ecs-master/staging" for a stack's own in an
// environment, the configured name for a foreign one.
type StateName string

// StateOf returns the name of a stack's own state in an environment.
func StateOf(stack StackName, env EnvName) StateName {
	return StateName(string(stack) + "/" + string(env))
}

// Reading is the newest look into a state that could be read. What it held is kept with it.
type Reading struct {
	State   StateName
	Stack   StackName // whose own state it is; "" for a foreign one
	Env     EnvName   // of a stack's own state
	Account string    // in which its things are; "" when it cannot be told
	Region  string    // "" when it cannot be told
	ReadAt  time.Time // of what is kept; zero: it was never read
	TriedAt time.Time // of the last try
	Problem string    // why the last try failed; "" when it did not
	Lineage string    // Terraform's; "" for the empty state of a new stack
	Serial  int64
	Objects int // how many things it holds
}

// Owned is one thing in one state.
type Owned struct {
	State   StateName
	Type    string
	Key     string
	Account string
	Region  string
	Address string
}
