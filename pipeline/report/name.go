package report

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"
)

// RunName is a new name for a run in a history: when it began, and what tells it
// from others of that second, the milliseconds first so that names sort by time.
func RunName(started time.Time) string {
	started = started.UTC()
	return fmt.Sprintf("%s-%03d%s", started.Format("20060102T150405Z"), started.Nanosecond()/1e6, strings.ToLower(rand.Text())[:8])
}
