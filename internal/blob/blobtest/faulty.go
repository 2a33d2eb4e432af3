package blobtest

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync/atomic"

	"gitlab.com/pantheros/pantheros/internal/blob"
)

// ErrInjected is what a Faulty store fails with.
var ErrInjected = errors.New("injected fault")

// Faulty passes calls on to a store until it has passed on N; from then on
// every call fails, as if the process had been killed or the network cut. A
// Put that is the last to be let through is cut off in the middle.
type Faulty struct {
	Store blob.Store
	N     int64

	calls atomic.Int64
}

// Calls is how many calls came.
func (f *Faulty) Calls() int64 { return f.calls.Load() }

func (f *Faulty) broken() bool { return f.calls.Add(1) > f.N }

// Open may fail.
func (f *Faulty) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if f.broken() {
		return nil, ErrInjected
	}
	return f.Store.Open(ctx, key)
}

// Stat may fail.
func (f *Faulty) Stat(ctx context.Context, key string) (blob.Info, error) {
	if f.broken() {
		return blob.Info{}, ErrInjected
	}
	return f.Store.Stat(ctx, key)
}

// Put may fail, at once or in the middle.
func (f *Faulty) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	switch n := f.calls.Add(1); {
	case n > f.N:
		return ErrInjected
	case n == f.N:
		return f.Store.Put(ctx, key, io.MultiReader(io.LimitReader(r, 100), brokenReader{}), size)
	}
	return f.Store.Put(ctx, key, r, size)
}

// List may fail.
func (f *Faulty) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	if f.broken() {
		return func(yield func(blob.Info, error) bool) { yield(blob.Info{}, ErrInjected) }
	}
	return f.Store.List(ctx, prefix)
}

// Delete may fail.
func (f *Faulty) Delete(ctx context.Context, key string) error {
	if f.broken() {
		return ErrInjected
	}
	return f.Store.Delete(ctx, key)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, ErrInjected }
