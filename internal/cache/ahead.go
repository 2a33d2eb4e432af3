package cache

import (
	"context"
	"slices"

	"gitlab.com/pantheros/pantheros/internal/nix"
)

// ReadAhead begins to read a closure of src and returns a Source that has it, for
// whoever has other things to wait for before Copy. stop ends the reading and
// waits for that; it must be called, once the Source is no longer used.
func ReadAhead(ctx context.Context, src Source, roots ...nix.StorePath) (s Source, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	a := &ahead{Source: src, roots: slices.Clone(roots), read: make(chan struct{})}
	go func() {
		defer close(a.read)
		a.closure, a.err = src.Closure(ctx, a.roots...)
	}()
	return a, func() {
		cancel()
		<-a.read
	}
}

type ahead struct {
	Source
	roots   []nix.StorePath
	read    chan struct{} // closed when the following are set
	closure []nix.PathInfo
	err     error
}

func (a *ahead) Closure(ctx context.Context, roots ...nix.StorePath) ([]nix.PathInfo, error) {
	if !slices.Equal(roots, a.roots) {
		return a.Source.Closure(ctx, roots...)
	}
	select {
	case <-a.read:
		return a.closure, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
