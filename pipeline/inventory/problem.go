package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with hosts.toml, or with what it names.
type Problem struct {
	File    string // as it was given to Load
	Line    int    // from 1
	Column  int    // from 1, in characters
	Message string // what is wrong
	Hint    string // what to do about it; may be empty
}

// String is the problem on one line, without its column:
// "hosts.toml:12: message; hint".
func (p Problem) String() string {
	s := fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
	if p.Hint != "" {
		s += "; " + p.Hint
	}
	return s
}

// Problems are all that Load found wrong, sorted by line and column. It holds
// at least one when it is returned as an error.
type Problems []Problem //nolint:errname // a list first, and an error where Load returns it

// shownProblems bounds what Error prints. The slice itself holds all.
const shownProblems = 100

// Error has one line for each problem, and past a hundred of them a last line
// that says how many more there are.
func (ps Problems) Error() string {
	var b strings.Builder
	for i, p := range ps {
		if i > 0 {
			b.WriteByte('\n')
		}
		if i == shownProblems {
			fmt.Fprintf(&b, "%s: and %d more problems", p.File, len(ps)-i)
			break
		}
		b.WriteString(p.String())
	}
	return b.String()
}

func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// shownLength bounds how much of a value from the file a message repeats.
const shownLength = 80

// quote shows a string from the file in a message: on one line, bounded, with
// control characters escaped.
func quote(s string) string {
	r := []rune(s)
	if len(r) > shownLength {
		return fmt.Sprintf("%q...", string(r[:shownLength]))
	}
	return fmt.Sprintf("%q", s)
}
