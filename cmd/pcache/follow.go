package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixstore"
	"gitlab.com/pantheros/pantheros/pipeline/report"

	"github.com/spf13/cobra"
)

// follower pushes batch after batch of paths to one cache, for as long as they
// come.
type follower struct {
	run     pushRun // its cache, keys and store are open
	cmd     *cobra.Command
	log     io.Writer // lines for people
	sent    report.Count
	pushes  int
	retries int // batches in a row that the cache would not take
}

// batchLimit is how many paths one push takes of what waits: enough that
// planning the union pays, few enough that what is done is soon known as done.
const batchLimit = 1000

func newFollower(cmd *cobra.Command, cacheAddress string, o pushOptions) (*follower, error) {
	f := &follower{run: pushRun{pushOptions: o}, cmd: cmd, log: cmd.ErrOrStderr()}
	if err := f.run.open(cacheAddress); err != nil {
		return nil, err
	}
	return f, nil
}

// settled says what became of a path that waited.
type settled struct {
	path   nix.StorePath
	failed string // why it cannot be pushed; empty: it is in the cache
	gone   bool   // it is no longer in the store
}

// push pushes paths, at most batchLimit of them, and returns those that need
// no further try. The error is why others do; it is nil if there are none.
func (f *follower) push(ctx context.Context, paths []nix.StorePath) ([]settled, error) {
	r := f.run
	r.started = time.Now()
	r.paths = paths[:min(len(paths), batchLimit)]
	var done []settled
	for {
		if len(r.paths) == 0 {
			return done, nil
		}
		_, result, err := r.copy(ctx, new(cache.Progress))
		var invalid *nixstore.NotValidError
		if errors.As(err, &invalid) && slices.Contains(r.paths, invalid.Path) {
			done = append(done, settled{path: invalid.Path, gone: true})
			r.paths = slices.DeleteFunc(slices.Clone(r.paths), func(p nix.StorePath) bool { return p == invalid.Path })
			continue
		}
		if result.Outcomes == nil {
			return done, err
		}
		done = append(done, settle(result, r.paths)...)
		summary := r.report(result, nil, err, ctx.Err() != nil)
		f.pushes++
		f.sent.Paths += summary.Sent.Paths
		f.sent.NARBytes += summary.Sent.NARBytes
		f.sent.FileBytes += summary.Sent.FileBytes
		if f.run.output.json {
			if err := printJSONLine(f.cmd.OutOrStdout(), summary); err != nil {
				return done, err
			}
		} else if summary.Sent.Paths > 0 {
			fmt.Fprintf(f.log, "pcache: sent %d paths, %s as %s, in %.1f s\n", summary.Sent.Paths,
				bytesText(summary.Sent.NARBytes), bytesText(summary.Sent.FileBytes), summary.Seconds)
		}
		if err != nil && ctx.Err() == nil && len(settle(result, r.paths)) == len(r.paths) {
			err = nil // it is about single paths, and those are settled
		}
		return done, err
	}
}

// settle says which of paths a push is done with.
func settle(result cache.Result, paths []nix.StorePath) (done []settled) {
	outcomes := make(map[nix.StorePath]cache.Outcome, len(result.Outcomes))
	for _, o := range result.Outcomes {
		outcomes[o.Info.Path] = o
	}
	for _, p := range paths {
		switch o := outcomes[p]; o.Action {
		case cache.Sent, cache.Skipped:
			done = append(done, settled{path: p})
		case cache.Failed:
			done = append(done, settled{path: p, failed: o.Reason})
		}
	}
	return done
}

// Waits between tries of a cache that does not answer.
const (
	firstWait   = time.Second
	longestWait = 5 * time.Minute
)

// pause says whether err is worth another try, and if so waits: longer each
// time, and not in step with other machines that lost the same cache.
func (f *follower) pause(ctx context.Context, err error) error {
	var refused *binarycache.RefusedError
	if errors.As(err, &refused) || ctx.Err() != nil {
		return err
	}
	wait := min(firstWait<<min(f.retries, 20), longestWait)
	wait = wait*3/4 + rand.N(wait/2)
	f.retries++
	fmt.Fprintf(f.log, "pcache: %v; trying again in %s\n", err, wait.Round(100*time.Millisecond))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}
