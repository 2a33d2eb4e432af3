package substituter

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// records is a bounded memory of records, the least recently used of which go
// first.
type records struct {
	mu    sync.Mutex
	max   int64
	size  int64
	byKey map[string]*list.Element
	order list.List
}

type recordEntry struct {
	key string
	r   *record
}

func newRecords(maxBytes int64) *records {
	return &records{max: maxBytes, byKey: make(map[string]*list.Element)}
}

func (m *records) get(key string) (*record, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.byKey[key]
	if !ok {
		return nil, false
	}
	m.order.MoveToFront(e)
	return e.Value.(*recordEntry).r, true
}

func (m *records) put(key string, r *record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.byKey[key]; ok {
		entry := e.Value.(*recordEntry)
		m.size += r.weight() - entry.r.weight()
		entry.r = r
		m.order.MoveToFront(e)
	} else {
		m.byKey[key] = m.order.PushFront(&recordEntry{key, r})
		m.size += r.weight()
	}
	for m.size > m.max && m.order.Len() > 1 {
		m.removeElement(m.order.Back())
	}
}

func (m *records) remove(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.byKey[key]; ok {
		m.removeElement(e)
	}
}

func (m *records) removeElement(e *list.Element) {
	entry := e.Value.(*recordEntry)
	m.order.Remove(e)
	delete(m.byKey, entry.key)
	m.size -= entry.r.weight()
}

// brief remembers keys for some seconds. It is bounded: when it is full it
// forgets all, which costs questions and nothing else.
type brief struct {
	mu    sync.Mutex
	until map[string]time.Time
	// removed is when a key was last removed: what was asked before that says
	// nothing any more.
	removed map[string]time.Time
}

const maxBrief = 50_000

// add remembers a key; asked is when the question was put whose answer it is.
func (b *brief) add(key string, asked time.Time, ttl time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at, ok := b.removed[key]; ok && !asked.After(at) {
		return
	}
	if b.until == nil || len(b.until) >= maxBrief {
		b.until = make(map[string]time.Time)
	}
	b.until[key] = time.Now().Add(ttl)
}

func (b *brief) has(key string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	until, ok := b.until[key]
	if ok && now.After(until) {
		delete(b.until, key)
		return false
	}
	return ok
}

func (b *brief) remove(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.until, key)
	if b.removed == nil || len(b.removed) >= maxBrief {
		b.removed = make(map[string]time.Time)
	}
	b.removed[key] = time.Now()
}

// questions has one asking for all who want to know the same.
type questions struct {
	mu    sync.Mutex
	under map[string]*question
}

type question struct {
	done   chan struct{}
	answer *record
	err    error
}

// do calls f once for all who call do with the same key meanwhile. f runs with
// background, so that the first asker's going away fails nobody else.
func (q *questions) do(ctx, background context.Context, key string, f func(ctx context.Context) (*record, error)) (*record, error) {
	q.mu.Lock()
	if q.under == nil {
		q.under = make(map[string]*question)
	}
	a, ok := q.under[key]
	if !ok {
		a = &question{done: make(chan struct{})}
		q.under[key] = a
		go func() {
			a.answer, a.err = f(background)
			q.mu.Lock()
			if q.under[key] == a {
				delete(q.under, key)
			}
			q.mu.Unlock()
			close(a.done)
		}()
	}
	q.mu.Unlock()
	select {
	case <-a.done:
		return a.answer, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// forget has the next asker ask anew: what is being asked now may be answered
// as it was before.
func (q *questions) forget(key string) {
	q.mu.Lock()
	delete(q.under, key)
	q.mu.Unlock()
}
