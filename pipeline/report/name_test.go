package report

import (
	"testing"
	"time"
)

// Runs of one second are in the order in which they began: a history's newest is
// what the next is compared with.
func TestRunNamesSort(t *testing.T) {
	at := time.Date(2026, 3, 2, 2, 30, 0, 0, time.UTC)
	for range 1000 {
		before, after := RunName(at.Add(63*time.Millisecond)), RunName(at.Add(840*time.Millisecond))
		if before >= after {
			t.Fatalf("%s is not before %s", before, after)
		}
	}
}
