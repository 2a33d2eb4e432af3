// Command panther generates, checks and builds a fleet of NixOS machines with
// the Nix of this machine, and pushes what it built to a binary cache.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"gitlab.com/pantheros/pantheros/pipeline"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run runs the command line and returns the exit code. The first SIGINT,
// SIGTERM or SIGHUP ends the run in an orderly way, the second at once.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	a := &app{stdout: stdout, stderr: stderr}

	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup asks for it to be ignored
		signal.Notify(signals, syscall.SIGHUP)
	}
	defer signal.Stop(signals)
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-signals:
			cancel(pipeline.ErrInterrupted)
		case <-done:
			return
		}
		select {
		case <-signals:
			a.abort()
			os.Exit(exitInterrupted)
		case <-done:
		}
	}()

	root := newRoot(a)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if ctx.Err() != nil {
		err = &exitError{code: exitInterrupted, err: pipeline.ErrInterrupted}
	}
	return a.exitCode(err)
}

// The exit codes, as --help and docs/panther.md list them.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInventory   = 3
	exitEnvironment = 4
	exitInterrupted = 130
)

// exitError is an error with the exit code that it ends in. Errors of another
// type come from the reading of the command line.
type exitError struct {
	code int
	err  error // nil if everything was said already
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

func environmentError(format string, args ...any) error {
	return &exitError{exitEnvironment, fmt.Errorf(format, args...)}
}

// exitCode says what went wrong, once and on one line where it is one thing,
// and returns the exit code for it.
func (a *app) exitCode(err error) int {
	if err == nil {
		return 0
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		fmt.Fprintf(a.stderr, "panther: %v (see panther --help)\n", err)
		return exitUsage
	}
	if exit.err != nil {
		fmt.Fprintf(a.stderr, "panther: %v\n", exit.err)
	}
	return exit.code
}
