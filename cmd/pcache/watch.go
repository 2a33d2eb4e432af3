package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixstore"

	"github.com/spf13/cobra"
)

func newWatchExec() *cobra.Command {
	var o pushOptions
	var all bool
	cmd := &cobra.Command{
		Use:   "watch-exec CACHE -- COMMAND [ARGUMENT...]",
		Short: "Run a command and push what is built while it is still building",
		Long: `Runs a command, and pushes what becomes valid in the Nix store meanwhile, with
its closure, as soon as it does. What another process builds at the same time is
pushed as well: Nix does not tell them apart. When the command has ended the
rest is pushed.

By default only what was built on this machine starts a push; with --all what
was substituted or added does too. Paths that an upstream cache has can be left
out as in "pcache push".

The exit code is the command's. If that is 0 and something could not be pushed
it is pcache's. The command does not see $` + secretKeyVariable + `.

` + exitCodes,
		Example: "  pcache watch-exec --secret-key-file key s3://nix-cache -- nix build .#big",
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.ArgsLenAtDash() != 1 || len(args) < 2 {
				return usagef("watch-exec: it wants the address of a cache, --, and a command (see pcache watch-exec --help)")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return watchExec(cmd, args[0], args[1:], o, all)
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "push what was substituted or added, too")
	return cmd
}

// commandError is the exit code of a command that was run for the user. It
// has told of its own failure.
type commandError struct{ code int }

func (e commandError) Error() string { return fmt.Sprintf("the command exited with %d", e.code) }

// watchTick is how often the store is asked what is new: one indexed query.
const watchTick = 500 * time.Millisecond

func watchExec(cmd *cobra.Command, cacheAddress string, command []string, o pushOptions, all bool) error {
	ctx := cmd.Context()
	f, err := newFollower(cmd, cacheAddress, o)
	if err != nil {
		return err
	}
	// A cache that cannot be used is found before an hour's build, not after.
	if _, err := f.run.sink(ctx); err != nil {
		return err
	}
	built, err := f.run.store.WatchBuilt(ctx, all)
	if err != nil {
		return err
	}
	// A signal from the terminal reaches the command as well; one that was
	// sent to this process alone is passed on.
	child := exec.CommandContext(ctx, command[0], command[1:]...)
	child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
	child.WaitDelay = 10 * time.Second
	child.Stdin, child.Stdout, child.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	child.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, secretKeyVariable+"=") })
	if err := child.Start(); err != nil {
		return usageError{fmt.Errorf("run %s: %v", command[0], err)}
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()

	w := &watch{f: f, built: built}
	commandErr := w.until(ctx, ended)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	pushErr := w.rest(ctx)
	if code := exitOf(commandErr); code != 0 {
		if pushErr != nil {
			fmt.Fprintf(f.log, "pcache: %v\n", pushErr)
		}
		return commandError{code}
	}
	return pushErr
}

// exitOf is a command's exit code as a shell gives it.
func exitOf(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal())
		}
		return exit.ExitCode()
	default:
		return exitFailed
	}
}

// watch pushes what a store gets.
type watch struct {
	f       *follower
	built   *nixstore.Built
	pending []nix.StorePath
	failed  int
	resume  time.Time // when a cache that failed is tried again
}

// until pushes until the command has ended, and returns how.
func (w *watch) until(ctx context.Context, ended <-chan error) error {
	// A push under way when the command ends is finished, not broken off.
	pushes := make(chan error, 1)
	busy := false
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	var result error
	running := true
	for running || busy {
		select {
		case result = <-ended:
			running = false
		case err := <-pushes:
			busy = false
			if err == nil {
				w.f.retries = 0
			} else if ctx.Err() == nil {
				w.resume = time.Now().Add(min(firstWait<<min(w.f.retries, 20), longestWait))
				w.f.retries++
				fmt.Fprintf(w.f.log, "pcache: %v; trying again\n", err)
			}
		case <-tick.C:
			if busy || !running || time.Now().Before(w.resume) {
				continue
			}
			busy = true
			go func() { pushes <- w.step(ctx) }()
		}
	}
	return result
}

// step pushes what there is. What it could not push stays pending.
func (w *watch) step(ctx context.Context) error {
	paths, err := w.built.New(ctx)
	if err != nil {
		return err
	}
	w.pending = append(w.pending, paths...)
	if len(w.pending) == 0 {
		return nil
	}
	done, err := w.f.push(ctx, w.pending)
	for _, d := range done {
		if d.failed != "" {
			w.failed++
			fmt.Fprintf(w.f.log, "pcache: cannot push %s: %s\n", d.path, d.failed)
		}
		w.pending = slices.DeleteFunc(w.pending, func(p nix.StorePath) bool { return p == d.path })
	}
	return err
}

// lastTries is how often the rest is tried when the command has ended.
const lastTries = 4

// rest pushes what is left when the command has ended.
func (w *watch) rest(ctx context.Context) error {
	w.f.retries = 0
	for {
		err := w.step(ctx)
		switch {
		case err != nil && w.f.retries >= lastTries:
			return err
		case err != nil:
			if err := w.f.pause(ctx, err); err != nil {
				return err
			}
		case len(w.pending) == 0:
			if w.failed > 0 {
				return fmt.Errorf("%d paths could not be pushed", w.failed)
			}
			fmt.Fprintf(w.f.log, "pcache: %d paths sent in %d pushes, %s as %s\n", w.f.sent.Paths, w.f.pushes,
				bytesText(w.f.sent.NARBytes), bytesText(w.f.sent.FileBytes))
			return nil
		}
	}
}
