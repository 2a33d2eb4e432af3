package s3

import (
	"context"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever uploads want, they all come to their end, and the budget is whole
// again.
func TestBudgetNeverLocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 5 * chunk
		total := int64(rapid.IntRange(2, 5).Draw(t, "parts") * size)
		b := newBudget(total, size)
		uploads := rapid.SliceOfN(rapid.IntRange(1, 13), 1, 20).Draw(t, "chunks of uploads")
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		var wg, sending sync.WaitGroup
		var mu sync.Mutex
		held, most := int64(0), int64(0)
		count := func(n int64) {
			mu.Lock()
			defer mu.Unlock()
			held += n
			most = max(most, held)
		}
		for _, n := range uploads {
			wg.Go(func() {
				for first := true; n > 0; first = false {
					hold := int64(size)
					if first {
						hold = chunk
					}
					if err := b.take(ctx, hold); err != nil {
						t.Errorf("take: %v", err)
						return
					}
					p := &part{budget: b, limit: size, held: hold}
					for ; n > 0 && p.size < p.limit; n-- {
						room, err := p.room(ctx)
						if err != nil {
							t.Errorf("room: %v", err)
							p.free()
							return
						}
						count(chunk)
						p.filled(len(room))
					}
					sending.Go(func() {
						count(-p.size)
						p.free()
					})
				}
			})
		}
		wg.Wait()
		sending.Wait()
		if b.free != total-size || !b.reserve || b.growing.Len()+b.coming.Len() != 0 {
			t.Fatalf("left: %d of %d free, reserve %v", b.free, total-size, b.reserve)
		}
		if most > total {
			t.Fatalf("%d bytes were held, the budget is %d", most, total)
		}
	})
}

func TestBudgetForgetsWhoGivesUp(t *testing.T) {
	const size = 4 * chunk
	b := newBudget(2*size, size)
	if err := b.take(t.Context(), size); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			if err := b.take(ctx, size); err == nil {
				t.Error("got what is not there")
			}
		})
	}
	wg.Wait()
	b.give(size, false)
	if err := b.take(t.Context(), size); err != nil {
		t.Fatal(err)
	}
	if b.free != 0 || b.coming.Len() != 0 {
		t.Errorf("%d free, %d waiting", b.free, b.coming.Len())
	}
}

// The parts of an object of any size are few enough, and large enough.
func TestPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{PartSize: rapid.Int64Range(minPart, 64<<20).Draw(t, "part")}
		c.Buffer = rapid.Int64Range(2*c.PartSize, 8<<30).Draw(t, "buffer")
		size := rapid.Int64Range(0, maxObject).Draw(t, "size")
		part, err := c.plan(size)
		if err != nil {
			if (size+maxParts-1)/maxParts <= c.Buffer-c.PartSize {
				t.Fatalf("refused, though parts may be of %d: %v", c.Buffer-c.PartSize, err)
			}
			return
		}
		if p := part(1); p < minPart || p > maxPart || p > c.Buffer-c.PartSize || p*maxParts < size {
			t.Fatalf("parts of %d", p)
		}
	})
	// Of unknown size: 5 TiB, where the buffer allows for such parts.
	c := Config{PartSize: defaultPart, Buffer: maxPart + defaultPart}
	part, err := c.plan(-1)
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for n := 1; n <= maxParts; n++ {
		p := part(n)
		if p < c.PartSize || p > c.Buffer-c.PartSize || n > 1 && p < part(n-1) || n <= equalParts && p != c.PartSize {
			t.Fatalf("part %d of %d bytes", n, p)
		}
		sum += p
	}
	if sum < maxObject {
		t.Errorf("%d parts make %d bytes, less than 5 TiB", maxParts, sum)
	}
}
