package terminal

import (
	"fmt"
	"time"
)

// How far back a Meter looks, how long it looks before it tells anything, and
// how far apart what it remembers is at least.
const (
	meterWindow = 10 * time.Second
	meterFirst  = 2 * time.Second
	meterStep   = 200 * time.Millisecond
	// meterSettled is how long it takes until the present rate says something
	// of the future: at first buffers are filled.
	meterSettled = 15 * time.Second
)

// Meter measures how fast a count of bytes grows at present. The zero Meter has
// seen nothing.
type Meter struct {
	began time.Time
	last  sample
	seen  []sample // oldest first; one of them may be older than the window
}

type sample struct {
	at    time.Time
	bytes int64
}

// Add tells what the count is now. One that shrinks begins anew.
func (m *Meter) Add(now time.Time, bytes int64) {
	if bytes < m.last.bytes {
		m.seen = nil
	}
	if len(m.seen) == 0 {
		m.began = now
	}
	for len(m.seen) > 1 && now.Sub(m.seen[1].at) >= meterWindow {
		m.seen = m.seen[1:]
	}
	m.last = sample{now, bytes}
	if n := len(m.seen); n == 0 || now.Sub(m.seen[n-1].at) >= meterStep {
		m.seen = append(m.seen, m.last)
	}
}

// Rate is bytes per second over the last ten seconds, and false while too little
// was seen to tell.
func (m *Meter) Rate(now time.Time) (float64, bool) {
	if len(m.seen) == 0 {
		return 0, false
	}
	first := m.seen[0]
	for _, s := range m.seen[1:] {
		if now.Sub(s.at) < meterWindow {
			break
		}
		first = s
	}
	if now.Sub(m.last.at) >= meterWindow {
		return 0, true
	}
	took := now.Sub(first.at)
	if took < meterFirst {
		return 0, false
	}
	return float64(m.last.bytes-first.bytes) / took.Seconds(), true
}

// Left is how long it takes until the count is total, at the present rate; false
// where that is not known.
func (m *Meter) Left(now time.Time, total int64) (time.Duration, bool) {
	const most = 100 * time.Hour
	rate, ok := m.Rate(now)
	if !ok || rate < 1 || now.Sub(m.began) < meterSettled {
		return 0, false
	}
	left := float64(total-m.last.bytes) / rate * float64(time.Second)
	if left < 0 || left > float64(most) {
		return 0, false
	}
	return time.Duration(left), true
}

// Left is a time that is left, as roughly as it is known: "~45 s left".
func Left(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("~%d s left", max(1, int(d.Seconds()+0.5)))
	case d < 55*time.Second:
		return fmt.Sprintf("~%d s left", int(d.Round(5*time.Second).Seconds()))
	case d < 90*time.Minute:
		return fmt.Sprintf("~%d min left", max(1, int(d.Round(time.Minute).Minutes())))
	}
	return fmt.Sprintf("~%d h left", int(d.Round(time.Hour).Hours()))
}

// Bytes are bytes for people, "0.4 MiB": always of the same unit up to a
// gigabyte, so that figures that change do not jump.
func Bytes(n int64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
}

// Of is some bytes of others, "0.4 of 12.0 MiB".
func Of(done, total int64) string {
	if total < 1<<30 {
		return fmt.Sprintf("%.1f of %s", float64(done)/(1<<20), Bytes(total))
	}
	return fmt.Sprintf("%.2f of %s", float64(done)/(1<<30), Bytes(total))
}

// PerSecond is a rate for people.
func PerSecond(rate float64) string {
	if rate < 1<<20 {
		return fmt.Sprintf("%.0f KiB/s", rate/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB/s", rate/(1<<20))
}
