package remote

import (
	"io"
	"sync"
	"time"
)

// Meter measures how fast a link takes what is sent over it: the bytes taken
// while enough of them were waiting that the link, and not their maker or the
// server's answering time, was what they waited for. The zero value is ready.
type Meter struct {
	mu      sync.Mutex
	last    time.Time // of the last change
	waiting int64     // bytes of requests under way that the link has not taken
	bytes   float64   // taken lately while the link was busy
	busy    float64   // seconds of that
	total   int64     // bytes taken in all
}

const (
	// meterBusy is how many bytes must wait for the link to count as busy.
	meterBusy = 2 << 20
	// meterHeld is how many bytes of a request may be in this machine's
	// buffers: so many are taken as sent only when the answer is there.
	meterHeld = 2 << 20
	// meterLately is how many seconds are remembered.
	meterLately = 8
)

// Sent is a request's body under way.
type Sent struct {
	meter    *Meter
	size     int64
	read     int64
	credited int64
}

// Send says that a body of that size is going to be sent.
func (m *Meter) Send(size int64) *Sent {
	m.change(time.Now(), 0, size)
	return &Sent{meter: m, size: size}
}

// Reader counts what is read of the body. If the request is tried again, the
// new body needs another Reader.
func (s *Sent) Reader(r io.Reader) io.Reader {
	s.read = 0
	return &sentReader{r: r, sent: s}
}

type sentReader struct {
	r    io.Reader
	sent *Sent
}

func (r *sentReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	s := r.sent
	s.read += int64(n)
	if more := min(s.read-meterHeld, s.size) - s.credited; more > 0 {
		s.credited += more
		s.meter.change(time.Now(), more, -more)
	}
	return n, err
}

// Done says that the answer is there, or that there will be none: only then did
// the rest arrive.
func (s *Sent) Done(arrived bool) {
	rest := s.size - s.credited
	credit := rest
	if !arrived {
		credit = 0
	}
	s.credited = s.size
	s.meter.change(time.Now(), credit, -rest)
}

func (m *Meter) change(now time.Time, taken, waiting int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waiting >= meterBusy {
		m.busy += now.Sub(m.last).Seconds()
		m.bytes += float64(taken)
		if m.busy > meterLately {
			m.bytes *= meterLately / m.busy
			m.busy = meterLately
		}
	}
	m.last = now
	m.waiting += waiting
	m.total += taken
}

// Taken is how many bytes the link has taken in all, also of requests that
// failed in the end.
func (m *Meter) Taken() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.total
}

// Rate is how many bytes per second the link has lately taken; 0: not known.
func (m *Meter) Rate() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	busy := m.busy
	if m.waiting >= meterBusy {
		busy += time.Since(m.last).Seconds()
	}
	// A little says little, unless it took long.
	if busy == 0 || m.bytes < meterBusy && busy < 3 {
		return 0
	}
	return max(m.bytes, 1) / busy
}
