package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixstore"
	"gitlab.com/pantheros/pantheros/internal/queue"

	"github.com/spf13/cobra"
)

// queueVariable names the queue's directory, for hooks that take no arguments.
const queueVariable = "PCACHE_QUEUE"

func newQueue() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "Push what was built later, from a queue that survives crashes",
		Long: `A queue is a directory of store paths that wait to be pushed. Nix hands over
what it builds by way of its post-build-hook, which takes milliseconds and
never fails a build; "pcache queue run" pushes what waits, for as long as it
runs, and again after a crash or a reboot. Until it is pushed a path is kept
from Nix's garbage collector.

The queue is --queue, else $` + queueVariable + `, else /var/lib/pcache/queue for root
and $XDG_STATE_HOME/pcache/queue for others. One queue is pushed to one cache.

In nix.conf: post-build-hook = /etc/nix/push-hook, with that file as

    #!/bin/sh
    exec pcache queue hook

` + exitCodes,
		Example: `  pcache queue run --secret-key-file /etc/pcache/key s3://nix-cache
  pcache queue add ./result
  pcache queue list`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q (see pcache queue --help)", args[0])
			}
			return cmd.Help()
		},
	}
	cmd.PersistentFlags().StringVar(&dir, "queue", "", "directory of the queue (default $"+queueVariable+")")
	open := func() (*queue.Queue, error) { return openQueue(dir) }
	cmd.AddCommand(newQueueHook(open), newQueueAdd(open), newQueueRun(open), newQueueList(open), newQueueRetry(open))
	return cmd
}

func openQueue(dir string) (*queue.Queue, error) {
	if dir == "" {
		dir = os.Getenv(queueVariable)
	}
	if dir == "" && os.Geteuid() == 0 {
		dir = "/var/lib/pcache/queue"
	}
	if dir == "" {
		state := os.Getenv("XDG_STATE_HOME")
		if home := os.Getenv("HOME"); state == "" && home != "" {
			state = filepath.Join(home, ".local/state")
		}
		if state == "" {
			return nil, usagef("which queue? There is neither --queue nor $%s nor $HOME", queueVariable)
		}
		dir = filepath.Join(state, "pcache/queue")
	}
	return queue.Open(dir)
}

func newQueueHook(open func() (*queue.Queue, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "hook",
		Short: "Queue $OUT_PATHS, as Nix's post-build-hook gives them",
		Long: `Queues the paths of $OUT_PATHS. Nix fails a build whose hook fails, so this one
exits with 0 whatever happens; it says what went wrong on standard error, which
Nix shows, and the paths can be queued later with "pcache queue add".`,
		Example: `  # /etc/nix/push-hook, named by post-build-hook in nix.conf
  exec pcache queue hook`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Nix calls the hook also for a build that gave nothing new: then
			// the variable is set, and empty.
			text, called := os.LookupEnv("OUT_PATHS")
			paths := strings.Fields(text)
			var err error
			switch {
			case !called:
				err = fmt.Errorf("$OUT_PATHS is not set: this is for Nix's post-build-hook")
			case len(paths) > 0:
				err = enqueue(cmd.Context(), open, "", paths, func(string) {})
			}
			if err != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "pcache: not queued: %v\n", err)
			}
			return nil
		},
	}
}

func newQueueAdd(open func() (*queue.Queue, error)) *cobra.Command {
	var store string
	cmd := &cobra.Command{
		Use:   "add PATH...",
		Short: "Queue paths to be pushed",
		Long: `Queues store paths, files in them or links to them such as ./result; "-" reads
them from standard input, one a line. Their closures are pushed with them.`,
		Example: "  pcache queue add ./result",
		Args:    atLeast(1, "it wants the paths to queue"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var paths []string
			err := eachPath(cmd.InOrStdin(), args, func(arg string) error {
				paths = append(paths, arg)
				return nil
			})
			if err != nil {
				return err
			}
			n := 0
			err = enqueue(cmd.Context(), open, store, paths, func(string) { n++ })
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%d paths queued\n", n)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&store, "store", "", "the Nix store that holds them (default $NIX_REMOTE)")
	return cmd
}

// enqueue adds paths and tells added of each.
func enqueue(ctx context.Context, open func() (*queue.Queue, error), address string, paths []string, added func(string)) error {
	store, err := nixstore.Open(address)
	if err != nil {
		return usageError{err}
	}
	// All are looked at before the first is added.
	resolved := make([]nix.StorePath, len(paths))
	for i, p := range paths {
		if resolved[i], err = store.Resolve(p); err != nil {
			return usageError{err}
		}
	}
	q, err := open()
	if err != nil {
		return err
	}
	for _, p := range resolved {
		file, err := q.Add(p)
		if err != nil {
			return err
		}
		added(string(p))
		if err := store.AddIndirectRoot(ctx, file); err != nil {
			return fmt.Errorf("%s is queued, but may be collected before it is pushed: %v", p, err)
		}
	}
	return nil
}

func newQueueRun(open func() (*queue.Queue, error)) *cobra.Command {
	var o pushOptions
	var once bool
	cmd := &cobra.Command{
		Use:   "run CACHE",
		Short: "Push what waits in the queue, and what comes",
		Long: `Pushes what waits, with its closures, and then what comes, until it is stopped.
A cache that does not answer is tried again, with growing pauses of up to five
minutes. A path whose bytes are not what Nix recorded is given up and kept for
"pcache queue list" and "pcache queue retry"; one that is no longer in the
store is forgotten. Only one process pushes from a queue.`,
		Example: `  pcache queue run --secret-key-file /etc/pcache/key s3://nix-cache
  pcache queue run --once --secret-key-file key file:///srv/cache`,
		Args: exactly(1, "it wants the address of a cache"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := open()
			if err != nil {
				return err
			}
			return runQueue(cmd, q, args[0], o, once)
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&o.output.json, "json", false, "print a report of each push, one a line, on standard output")
	cmd.Flags().BoolVar(&once, "once", false, "push what waits now, and end; a failure is not tried again")
	return cmd
}

// queueTick is how often an empty queue is looked at.
const queueTick = 500 * time.Millisecond

func runQueue(cmd *cobra.Command, q *queue.Queue, cacheAddress string, o pushOptions, once bool) error {
	ctx := cmd.Context()
	f, err := newFollower(cmd, cacheAddress, o)
	if err != nil {
		return err
	}
	unlock, err := q.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	// What is wrong with the settings is said now, not with the first build.
	// That the cache does not answer is no reason not to start.
	var refused *binarycache.RefusedError
	if _, err := f.run.sink(ctx); errors.As(err, &refused) || once && err != nil {
		return err
	}
	failed := 0
	for {
		var waiting []queue.Entry
		if once {
			waiting, err = q.Waiting()
		} else {
			waiting, err = q.Wait(ctx, queueTick)
		}
		if err != nil {
			return err
		}
		if len(waiting) == 0 {
			break
		}
		if err := q.Sync(); err != nil {
			return err
		}
		paths := make([]nix.StorePath, len(waiting))
		for i, e := range waiting {
			paths[i] = e.Path
		}
		done, pushErr := f.push(ctx, paths)
		for _, d := range done {
			switch {
			case d.failed != "":
				failed++
				fmt.Fprintf(f.log, "pcache: gave up %s: %s\n", d.path, d.failed)
				err = q.Fail(d.path, d.failed)
			case d.gone:
				fmt.Fprintf(f.log, "pcache: forgot %s: it is no longer in the store\n", d.path)
				err = q.Done(d.path)
			default:
				err = q.Done(d.path)
			}
			if err != nil {
				return err
			}
		}
		if len(done) > 0 {
			f.retries = 0
		}
		if pushErr != nil {
			if once {
				return pushErr
			}
			if err := f.pause(ctx, pushErr); err != nil {
				return err
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d paths could not be pushed (see pcache queue list)", failed)
	}
	return nil
}

// queueEntry is an entry as `pcache queue list --json` prints it.
type queueEntry struct {
	Path   nix.StorePath `json:"path"`
	Since  time.Time     `json:"since"`
	State  string        `json:"state"` // waiting or failed
	Reason string        `json:"reason,omitempty"`
}

func newQueueList(open func() (*queue.Queue, error)) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show what waits and what was given up",
		Long: `Shows the paths that wait to be pushed, and those that were given up, with the
reason.`,
		Example: "  pcache queue list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := open()
			if err != nil {
				return err
			}
			waiting, err := q.Waiting()
			if err != nil {
				return err
			}
			failed, err := q.Failed()
			if err != nil {
				return err
			}
			entries := []queueEntry{}
			for _, e := range waiting {
				entries = append(entries, queueEntry{e.Path, e.Since.UTC(), "waiting", ""})
			}
			for _, e := range failed {
				entries = append(entries, queueEntry{e.Path, e.Since.UTC(), "failed", e.Reason})
			}
			w := cmd.OutOrStdout()
			if asJSON {
				return printJSON(w, entries)
			}
			for _, e := range entries {
				fmt.Fprintf(w, "%-7s  %s  %s", e.State, e.Since.Format("2006-01-02 15:04:05Z"), e.Path)
				if e.Reason != "" {
					fmt.Fprintf(w, "  %s", e.Reason)
				}
				fmt.Fprintln(w)
			}
			_, err = fmt.Fprintf(w, "%d waiting, %d failed in %s\n", len(waiting), len(failed), q.Dir())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newQueueRetry(open func() (*queue.Queue, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "retry",
		Short: "Queue again what was given up",
		Long: `Queues the paths again that "pcache queue run" gave up, when what was wrong with
them is mended ("nix-store --repair-path", say).`,
		Example: "  pcache queue retry",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := open()
			if err != nil {
				return err
			}
			n, err := q.Retry()
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%d paths queued again\n", n)
			}
			return err
		},
	}
}
