package inventory

import (
	"fmt"
	"slices"
	"strings"
)

// nearest returns the candidate that a misspelt name most probably means, and
// "" where none is near: a third of the name's letters may differ, at least
// one. Candidates at the same distance are taken in their own order.
func nearest(name string, candidates []string) string {
	limit := max(1, len(name)/3)
	best, found := limit+1, ""
	for _, c := range candidates {
		if c == name || len(c) > len(name)+limit || len(name) > len(c)+limit {
			continue
		}
		if d := distance(name, c); d < best {
			best, found = d, c
		}
	}
	return found
}

// distance is the number of bytes inserted, removed, replaced or swapped with
// their neighbour that make b of a (optimal string alignment).
func distance(a, b string) int {
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(b)]
}

// Bounds on the work that a hostile file can ask for in suggestions.
const (
	suggestLength     = 64
	suggestCandidates = 1000
)

// hint puts the nearest candidate, where there is one, before advice:
// "did you mean "x"? Advice", else "advice".
func (v *validator) hint(name string, candidates []string, advice string) string {
	if v.suggested >= shownProblems || len(name) > suggestLength || len(candidates) > suggestCandidates {
		return advice
	}
	v.suggested++
	near := nearest(name, slices.Sorted(slices.Values(candidates)))
	if near == "" {
		return advice
	}
	return fmt.Sprintf("did you mean %s? %s%s", quote(near), strings.ToUpper(advice[:1]), advice[1:])
}
