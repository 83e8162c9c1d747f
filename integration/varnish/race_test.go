//go:build race

package varnish

// raced is set when the race detector is on. A prober of milliseconds is too slow with it to be measured: what
// measures it is run by `make test` once more without, and beside nothing else.
const raced = true
