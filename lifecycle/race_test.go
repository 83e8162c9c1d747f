//go:build race

package lifecycle_test

// raced is set when the race detector is on, which makes SQLite ten times slower: then the histories are a
// slice, chosen by the seed, and `make test` plays them all once more without it.
const raced = true
