package config

import (
	"math"
	"strconv"
	"strings"
)

// didYouMean returns a hint that names the known word nearest to a misspelt one, or "" if none is near.
func didYouMean(word string, known []string) string {
	best, least := "", min(max(1, len([]rune(word))/3), 4)+1
	for _, candidate := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(candidate)); d < least {
			best, least = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + strconv.Quote(best) + "?"
}

// oneOf returns a hint for a word that is none of those known: the nearest, else all of them.
func oneOf(word string, known []string) string {
	if hint := didYouMean(word, known); hint != "" {
		return hint
	}
	if len(known) == 0 {
		return ""
	}
	return "there is " + strings.Join(known, ", ")
}

// distance counts the letters that must be put in, left out, exchanged or swapped with their
// neighbour to make b of a.
func distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	if len(from) > maxWord || len(to) > maxWord {
		return math.MaxInt
	}
	var before, last []int // the two rows above the one that is being filled
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(from); i++ {
		before, last, row = last, row, make([]int, len(to)+1)
		row[0] = i
		for j := 1; j <= len(to); j++ {
			cost := 1
			if from[i-1] == to[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && from[i-1] == to[j-2] && from[i-2] == to[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(to)]
}

// maxWord bounds the work of distance; no key or name is as long.
const maxWord = 80

// quoted returns a value of the file as messages show it: quoted, and cut when it is long.
func quoted(s string) string {
	const longest = 60
	if runes := []rune(s); len(runes) > longest {
		s = string(runes[:longest]) + "…"
	}
	return strconv.Quote(s)
}
