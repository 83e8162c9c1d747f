package testkit

import (
	"cmp"
	"maps"
	"slices"
)

// Sorted returns the keys of m in order, so that what is printed of it is the same each time.
func Sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
