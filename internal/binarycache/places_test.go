package binarycache

import (
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// A compressor whose bytes are not taken gives its processor to another, and
// takes one again before it goes on.
func TestSeatYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := places{cpus: &gate{free: 1, large: 1}}
		first := p.seat(false)
		if waited := first.during(func() { time.Sleep(blocked / 2) }); waited != blocked/2 {
			t.Errorf("a short wait took %v", waited)
		}
		var second time.Duration // when it got the processor
		began := time.Now()
		go func() {
			s := p.seat(false)
			second = time.Since(began)
			time.Sleep(time.Second)
			s.leave()
		}()
		synctest.Wait()
		if waited := first.during(func() { time.Sleep(10 * blocked) }); waited != blocked+time.Second {
			t.Errorf("it came back after %v", waited)
		}
		if second != blocked {
			t.Errorf("the other began after %v", second)
		}
		first.leave()
		if free := p.cpus.free; free != 1 {
			t.Errorf("%d places are free", free)
		}
	})
}

// Small NARs find an encoder while large ones wait for theirs, and get a processor
// first; large ones are not kept waiting by any number of small ones.
func TestSmallNARsPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		encoders := &gate{free: 3, large: 2}
		passed := map[bool]int{}
		enter := func(small bool, n int) {
			for range n {
				go func() {
					encoders.enter(small)
					passed[small]++
				}()
				synctest.Wait()
			}
		}
		enter(false, 4)
		enter(true, 2)
		if passed[false] != 2 || passed[true] != 1 {
			t.Errorf("passed: %v", passed)
		}
		encoders.leave(false, false)
		synctest.Wait()
		if passed[false] != 3 || passed[true] != 1 {
			t.Errorf("after a large one left: %v", passed)
		}
		encoders.leave(true, true)
		synctest.Wait()
		if passed[false] != 3 || passed[true] != 2 {
			t.Errorf("after a small one left: %v", passed)
		}
		for range 3 {
			encoders.leave(false, false)
			synctest.Wait()
		}
		if passed[false] != 4 || encoders.large != 2 {
			t.Errorf("in the end: %v, %d more large ones may pass", passed, encoders.large)
		}

		cpus := &gate{free: 0}
		var order []string
		for _, name := range []string{"large", "small"} {
			go func() {
				cpus.enter(name == "small")
				order = append(order, name)
			}()
			synctest.Wait()
		}
		for range 2 {
			cpus.leave(false, true)
			synctest.Wait()
		}
		if len(order) != 2 || order[0] != "small" {
			t.Errorf("the processor went to %v", order)
		}
	})
}

// A failing writer leaves no place taken.
func TestPlacesAreGivenBack(t *testing.T) {
	p := newPlaces()
	free := p.cpus.free
	c := newCompressor(Default, io.LimitReader(zeros{}, 1<<20), true, p, nil)
	if _, err := c.WriteTo(writerFunc(func([]byte) (int, error) { return 0, io.ErrClosedPipe })); err == nil {
		t.Error("no error")
	}
	if p.cpus.free != free || p.encoders.free != free+spareEncoders {
		t.Errorf("free: %d processors, %d encoders", p.cpus.free, p.encoders.free)
	}
}
