package main

import (
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// The report of a run under way is written when a step begins or ends, and at
// intervals, so that a killed run leaves one that says where it was. Writing
// takes at most a twentieth of the time.
const (
	checkpointEvery = 15 * time.Second
	checkpointRest  = 500 * time.Millisecond
	checkpointShare = 20
)

// checkpoints writes the report of a run under way.
type checkpoints struct {
	write func(*report.Report) error
	fail  func(error) // told of the first failure

	mu       sync.Mutex
	snapshot func() *report.Report
	changed  chan struct{}
	stop     chan struct{}
	stopped  sync.WaitGroup
}

func newCheckpoints(write func(*report.Report) error, fail func(error)) *checkpoints {
	c := &checkpoints{write: write, fail: fail, changed: make(chan struct{}, 1), stop: make(chan struct{})}
	c.stopped.Go(c.run)
	return c
}

// mark asks for the report to be written soon.
func (c *checkpoints) mark(snapshot func() *report.Report) {
	c.mu.Lock()
	c.snapshot = snapshot
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

func (c *checkpoints) run() {
	tick := time.NewTicker(checkpointEvery)
	defer tick.Stop()
	failed := false
	for {
		select {
		case <-c.stop:
			return
		case <-c.changed:
		case <-tick.C:
		}
		c.mu.Lock()
		snapshot := c.snapshot
		c.mu.Unlock()
		if snapshot == nil {
			continue
		}
		began := time.Now()
		if err := c.write(snapshot()); err != nil && !failed {
			failed = true
			c.fail(err)
		}
		select {
		case <-c.stop:
			return
		case <-time.After(max(checkpointRest, checkpointShare*time.Since(began))):
		}
	}
}

// close ends it; nothing is written afterwards.
func (c *checkpoints) close() {
	close(c.stop)
	c.stopped.Wait()
}
