package probe

// Vantage names a place from which is probed.
type Vantage string

// Here is the host of the service itself: the users' view.
const Here Vantage = "here"
