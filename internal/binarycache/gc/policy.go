// Package gc collects garbage in a binary cache: it plans what goes from a
// census, and deletes it while pushes go on.
//
// docs/gc.md has the protocol and the argument why it loses nothing;
// protocol_test.go tries all its interleavings at small scale.
package gc

import (
	"fmt"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache/census"
)

// DefaultGrace is for how long everything that is written stays, whoever wrote
// it: longer than the longest push of programs that take no lease, such as Nix.
const DefaultGrace = 24 * time.Hour

// Policy says what stays.
type Policy struct {
	// Keep is how many generations of each name stay, and KeepFor for how long a
	// generation stays: it goes when neither keeps it. Both zero: all stay. The
	// newest of each name and those that are pinned always stay.
	Keep    int
	KeepFor time.Duration
	// Grace is for how long an object stays that nothing needs.
	Grace time.Duration
}

// coarse is added to the grace period: storages tell times in whole seconds, and
// what was written twice within one cannot be told from what was written once.
const coarse = 2 * time.Second

// Generation is a root manifest and what becomes of it.
type Generation struct {
	Manifest *census.RootManifest
	Stays    bool
	Why      string
}

// generations decides which stay. roots is sorted by name and time.
func (p Policy) generations(roots []census.RootManifest, now time.Time) []Generation {
	all := make([]Generation, len(roots))
	for i := len(roots) - 1; i >= 0; {
		rank := 0
		name := roots[i].Name
		for ; i >= 0 && roots[i].Name == name; i-- {
			m := &roots[i]
			g := Generation{Manifest: m, Stays: true}
			switch age := now.Sub(m.Time); {
			case rank == 0:
				g.Why = "the newest"
			case m.Pinned:
				g.Why = "pinned"
			case p.Keep <= 0 && p.KeepFor <= 0:
				g.Why = "no limit was given"
			case rank < p.Keep:
				g.Why = fmt.Sprintf("among the last %d", p.Keep)
			case p.KeepFor > 0 && age < p.KeepFor:
				g.Why = fmt.Sprintf("younger than %s", days(p.KeepFor))
			default:
				g.Stays, g.Why = false, "older than what is kept"
			}
			all[i] = g
			rank++
		}
	}
	return all
}

func days(d time.Duration) string {
	if n := d / (24 * time.Hour); d%(24*time.Hour) == 0 {
		if n == 1 {
			return "a day"
		}
		return fmt.Sprintf("%d days", n)
	}
	return d.String()
}
