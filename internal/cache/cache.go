// Package cache copies closures of store paths from a source to a sink. Every
// verb of pcache is one such copy: push from the local store to a binary
// cache, pull from a cache to the local store, copy from cache to cache.
package cache

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Source is where store paths come from. Methods may be called concurrently.
type Source interface {
	// Closure returns the infos of the roots and of all that they refer to,
	// references first.
	Closure(ctx context.Context, roots ...nix.StorePath) ([]nix.PathInfo, error)
	// OpenNAR returns a path's NAR, uncompressed. The reader vouches for the
	// bytes: it returns io.EOF only if they had p's hash and size, and another
	// error if not.
	OpenNAR(ctx context.Context, p nix.PathInfo) (io.ReadCloser, error)
}

// Sink is where store paths go. Methods may be called concurrently.
type Sink interface {
	// Missing returns those of ps that the sink does not have, having asked
	// for each. Of the infos only the paths matter.
	Missing(ctx context.Context, ps []nix.PathInfo) ([]nix.PathInfo, error)
	// PutNAR stores the bytes of a path, reading nar to its end. The path does
	// not become visible to readers by that. If nar fails nothing is stored.
	PutNAR(ctx context.Context, p nix.PathInfo, nar io.Reader) (nix.NARInfo, error)
	// Publish makes paths visible whose NARs are stored. Everything that they
	// refer to has been published before.
	Publish(ctx context.Context, infos []nix.NARInfo) error
}

// Traits is what a Sink may tell about itself by having a method
// Traits() Traits. The zero value suits every sink.
type Traits struct {
	// ClosureComplete: a visible path vouches for its whole closure, so that
	// Copy need not ask for what a present path refers to.
	ClosureComplete bool
	// RefsFirst: PutNAR itself makes a path visible, so it wants references
	// before referrers.
	RefsFirst bool
	// Large and Small are how many NARs should be under way at once, of those
	// of at least SmallBelow bytes and of the smaller ones. A Small of 0 is
	// one pool for all; a Large of 0 leaves it to Copy.
	Large, Small int
	SmallBelow   int64
	// Lookups is how many paths Missing asks for at once, so that asking for
	// fewer is no faster; 0: it is not known.
	Lookups int
	// Publishers is how many calls of Publish to have under way; 0: one.
	Publishers int
}

// elsewhere is what a Sink may also be when its readers get some paths from
// somewhere else.
type elsewhere interface {
	// Elsewhere returns those of ps that need not be sent for that reason.
	Elsewhere(ctx context.Context, ps []nix.PathInfo) ([]nix.PathInfo, error)
}

// voucher is what a Sink of the trait ClosureComplete may also be when that can
// end: by another copy at the same time, which leaves paths out.
type voucher interface {
	// Vouches says whether what was found until now has its closure there.
	Vouches(ctx context.Context) (bool, error)
}

func traitsOf(s Sink) Traits {
	if t, ok := s.(interface{ Traits() Traits }); ok {
		return t.Traits()
	}
	return Traits{}
}

// Holder is what a Sink may also be whose paths others may delete while a copy
// is under way. Copy takes hold of the closure before it relies on what is there.
type Holder interface {
	// Hold keeps paths that are there, and those that come, from being
	// deleted. It is kept up until stop is called, and for a while after that,
	// in which whoever called Copy does what is left to do.
	Hold(ctx context.Context, closure []nix.PathInfo) (stop func(), err error)
	// Settle waits for deletions that began before the hold. What is asked of
	// Missing after that stays true.
	Settle(ctx context.Context) error
	// Held is an error if the hold was lost.
	Held() error
}

// Options of Copy. The zero value copies all that is missing.
type Options struct {
	DryRun bool // plan only
	// Verify asks the sink for every path, before and after, instead of
	// trusting that a present path's closure is present.
	Verify bool
	// Momentary: once Copy has returned, nothing relies on the roots being
	// there, such as a manifest does. If they are there already, a Holder is
	// then not asked to hold them.
	Momentary bool
	// Progress, if not nil, is updated while Copy runs.
	Progress *Progress
}

// Progress counts what a running Copy has done. It may be read at any time.
type Progress struct {
	Planned           atomic.Bool // the totals are known
	Paths, TotalPaths atomic.Int64
	Bytes, TotalBytes atomic.Int64 // of NARs, uncompressed
	Skipped           atomic.Int64 // paths that were there
}

// Action is what became of a path.
type Action string

// What can become of a path.
const (
	Send    Action = "send"    // would be sent: a dry run
	Sent    Action = "sent"    // is visible now
	Skipped Action = "skipped" // was there
	Failed  Action = "failed"  // could not be sent
	Pending Action = "pending" // not reached before the copy stopped
)

// Reasons for a skip.
const (
	Present = "present" // the sink has it, asked by name
	Implied = "implied" // a present path refers to it
	// Upstream: readers of the sink get it from another cache. A Sink decides
	// that by having a method
	// Elsewhere(ctx, []nix.PathInfo) ([]nix.PathInfo, error).
	Upstream = "upstream"
)

// Outcome is what became of a path, and why.
type Outcome struct {
	Info     nix.PathInfo
	Action   Action
	Reason   string
	FileSize int64 // bytes stored for it, compressed; 0 if they were there already
}

// Result of a Copy.
type Result struct {
	Outcomes []Outcome // the union of the closures, references first
	PlanTime time.Duration
}

// PathError says which path failed and on which side.
type PathError struct {
	Op   string // "read", "send", "publish"
	Side string // "source" or "cache"
	Path nix.StorePath
	Err  error
}

func (e *PathError) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err) }

// Unwrap gives the cause.
func (e *PathError) Unwrap() error { return e.Err }

// AgainError is what PutNAR returns for a failure that another try may not
// meet, after which the sink is as it was before. Copy reads the NAR again and
// repeats the call, a few times, with pauses.
type AgainError struct {
	Err   error
	After time.Duration // at least this long a pause
}

func (e *AgainError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *AgainError) Unwrap() error { return e.Err }

// GoneError says that the sink no longer has a path that the copy relied on:
// something deleted it meanwhile. Running the copy again sends it.
type GoneError struct{ Paths []nix.PathInfo }

func (e *GoneError) Error() string {
	return fmt.Sprintf("%d paths vanished from the cache during the push, %s first; push again", len(e.Paths), e.Paths[0].Path)
}
