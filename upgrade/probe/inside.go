package probe

import "time"

// Node is how the tools of a Varnish are reached.
type Node struct {
	// Command is what a tool of Varnish's and its arguments are appended to, such as "ssh", "varnish-1". It is run
	// without a shell. Empty: the tools of this very host.
	Command []string
	Name    string // of the instance, as varnishd's -n; empty: the tools' own default
}

// Given reports whether there is a way to Varnish's tools at all.
func (n Node) Given() bool { return len(n.Command) > 0 || n.Name != "" }

// Inside is what a Varnish says of itself at one time.
type Inside struct {
	At       time.Time
	VCLs     []VCL     // in Varnish's order
	Backends []Backend // of the active VCL, by name; directors too
	// Counters are those that tell what becomes of requests: "MAIN.cache_hit", and of each back end of the active
	// VCL, without its VCL, "web1.fail_econnrefused".
	Counters map[string]uint64
}

// VCL is a configuration that Varnish holds.
type VCL struct {
	Name        string
	Status      string // "active", "available" or "discarded"
	Temperature string // such as "warm"
}

// Backend is a back end or a director.
type Backend struct {
	Name   string    // without the VCL, such as "web1"
	Type   string    // "backend", or the kind of director, such as "round-robin"
	Admin  string    // "probe"; "sick" or "healthy" when somebody set it by hand
	Health string    // "healthy" or "sick", as Varnish uses it
	Good   int       // of the last Of probes; of a director, healthy back ends
	Of     int       // 0: it has no probe
	Since  time.Time // when Health changed last
}

// Sick reports whether Varnish sends nothing there.
func (b Backend) Sick() bool { return b.Admin == "sick" || b.Admin != "healthy" && b.Health == "sick" }

// Forced reports whether somebody took the back end out by hand.
func (b Backend) Forced() bool { return b.Admin == "sick" }
