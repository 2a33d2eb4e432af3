// Package pipeline decides what is checked, built and pushed for a fleet, in
// which order, and what a failure means. It runs commands through a Shell and
// knows neither containers nor this machine.
package pipeline

import "context"

// Command is a program to run for one host, or for the fleet.
type Command struct {
	Host string   // whose container or workspace; empty: the fleet's
	Step string   // what it is for, a word: "evaluate", "build", "push"
	Argv []string // program and arguments; never a secret
	Env  []string // KEY=value, added to the shell's own environment
	// OnStderr gets each line of standard error as it appears, where the
	// shell can, or all lines afterwards. Calls are not concurrent.
	OnStderr func(line string)
}

// Output is what a command that ran to its end left.
type Output struct {
	ExitCode int
	Stdout   []byte
	Stderr   []byte
}

// Shell runs commands: on this machine, in a container.
type Shell interface {
	// Run runs a command to its end. A command that exits non-zero is an
	// Output, not an error; an error means that it could not be run, or was
	// stopped because ctx ended; the Output then holds what it printed until
	// then, as far as the shell can tell. Run may be called concurrently.
	Run(ctx context.Context, c Command) (Output, error)
}
