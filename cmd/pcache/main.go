// Command pcache pushes to, pulls from and takes care of Nix binary caches.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"strings"
	"syscall"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nixstore"

	"github.com/spf13/cobra"
)

// Exit codes, as `pcache --help` states them.
const (
	exitOK          = 0
	exitFailed      = 1   // paths could not be copied
	exitUsage       = 2   // the command line is wrong
	exitNoPath      = 3   // a path is not in the store or the cache has no such root
	exitRefused     = 4   // the cache cannot be used like this
	exitDamaged     = 5   // bytes or signatures are not what they should be
	exitInterrupted = 130 // a signal stopped it
)

const exitCodes = `Exit codes: 0 done; 1 something could not be copied (running the command
again does the rest); 2 wrong usage; 3 a path is not in the store; 4 the cache
cannot be used like this (another store directory, another or no signing key,
not writable); 5 bytes or signatures are not what they should be; 130
interrupted.`

// version is set by the linker for releases.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// After the first signal the default returns: a second one kills.
	context.AfterFunc(ctx, stop)
	finish := profile(os.Getenv(profileVariable), os.Stderr)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	finish()
	os.Exit(code)
}

// profileVariable names a file to which a profile of the command's processor
// time is written, for `make profile` and for whoever finds a command slow.
const profileVariable = "PCACHE_CPU_PROFILE"

// profile begins to write a profile to a file, if one is named. That it cannot
// be written is said, and hinders nothing.
func profile(name string, stderr io.Writer) (finish func()) {
	if name == "" {
		return func() {}
	}
	f, err := os.Create(name)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		fmt.Fprintf(stderr, "pcache: $%s: %v\n", profileVariable, err)
		return func() {}
	}
	return func() {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			fmt.Fprintf(stderr, "pcache: $%s: %v\n", profileVariable, err)
		}
	}
}

// usageError is a command line that cannot be meant.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run is main without the process.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil {
		fmt.Fprintln(stderr, "pcache: interrupted; running it again does the rest")
		return exitInterrupted
	}
	var command commandError
	if errors.As(err, &command) {
		return command.code
	}
	fmt.Fprintln(stderr, "pcache: "+strings.ReplaceAll(err.Error(), "\n", "; "))
	return exitCode(err)
}

func exitCode(err error) int {
	var (
		usage   usageError
		invalid *nixstore.NotValidError
		noFile  *noFileError
		refused *binarycache.RefusedError
		corrupt *nixstore.CorruptError
	)
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &invalid), errors.As(err, &noFile), errors.Is(err, blob.ErrNotExist):
		return exitNoPath
	case errors.As(err, &refused), errors.Is(err, syscall.EROFS), errors.Is(err, os.ErrPermission):
		return exitRefused
	case errors.As(err, &corrupt), errors.Is(err, binarycache.ErrDamaged), errors.Is(err, binarycache.ErrUntrusted):
		return exitDamaged
	default:
		if code := exitOfAttic(err); code != 0 {
			return code
		}
		return exitFailed
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "pcache",
		Short: "Push to, pull from and take care of Nix binary caches",
		Long: `pcache copies closures of store paths between the Nix store of this machine
and a binary cache that stock Nix clients read. It needs nothing but the
cache's own storage: no database and no server.

A cache is named by its address, as Nix does: file:///dir, or
s3://bucket/prefix?endpoint=HOST&region=REGION&profile=NAME.

` + exitCodes,
		Version:       version,
		Args:          cobra.ArbitraryArgs, // RunE refuses them, as wrong usage
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q (see pcache --help)", args[0])
			}
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v (see %s --help)", err, cmd.CommandPath())
	})
	root.AddCommand(newPush(), newSign(), newPull(), newQueue(), newWatchExec(), newCache(), newLogin(),
		newServe(), newWarm(), newUse(), newToken(), newInfo(), newLs(), newCat(), newDiff(), newRoots(), newHistory(), newGC(), newStats(),
		newCopy(), newVerify(), newRepair(), newReports(), newKeygen(), newPubkey(), newMan())
	addCompletions(root)
	return root
}

// exactly is cobra.ExactArgs with an error that says what is wanted.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("%s: %s (see %s --help)", cmd.Name(), what, cmd.CommandPath())
		}
		return nil
	}
}

// atLeast is cobra.MinimumNArgs with an error that says what is missing.
func atLeast(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < n {
			return usagef("%s: %s (see %s --help)", cmd.Name(), what, cmd.CommandPath())
		}
		return nil
	}
}
