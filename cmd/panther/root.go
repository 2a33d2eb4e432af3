package main

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/spf13/cobra"

	"gitlab.com/pantheros/pantheros/cmd/panther/local"
	"gitlab.com/pantheros/pantheros/pipeline"
)

// app is what the commands share: the global flags and where output goes.
type app struct {
	stdout, stderr io.Writer

	flakeDir string
	inputs   string
	store    string
	nixDir   string
	stateDir string
	builders string
	jobs     int
	json     bool
	quiet    bool

	shell   atomic.Pointer[local.Shell] // the one that runs commands now
	display atomic.Pointer[display]     // the one that shows a run now
}

// abort ends the programs under way without waiting for them, and leaves the
// terminal as it was.
func (a *app) abort() {
	if d := a.display.Load(); d != nil {
		(*d).close()
	}
	if sh := a.shell.Load(); sh != nil {
		sh.Kill()
	}
}

const rootLong = `panther takes a fleet of NixOS machines from one list, hosts.toml, to toplevels
in a signed binary cache, and reports what happened. It uses the Nix of this
machine, and needs no containers.

Exit codes:
  0    all good
  1    a host, a check or the push failed; the report says which
  2    the command line is wrong, or a report that it names
  3    hosts.toml is missing or wrong, or what is generated from it is not up to date
  4    this machine is not ready: no Nix, no pcache, a folder that cannot be written
  130  interrupted`

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "panther",
		Short:         "Build a fleet of NixOS machines from one list, and cache what was built",
		Long:          rootLong,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("no command was given")
		},
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.checkFlags() },
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.flakeDir, "flake", "", "folder of the flake, the one with hosts.toml (default: flake-src here or in a folder above)")
	flags.StringVar(&a.inputs, "inputs", string(pipeline.InputsAuto), "the flake's inputs: real, offline (stand-ins, no NixOS), or auto (real if they can be fetched)")
	flags.StringVar(&a.store, "store", "auto", "where Nix builds: system, the root folder of a store, or auto (the system's for real inputs with an installed Nix, else STATE/store)")
	flags.StringVar(&a.nixDir, "nix", "", "folder of the nix command (default: PATH, then STATE/nix/*/bin)")
	flags.StringVar(&a.stateDir, "state", "", "folder for what is kept between runs (default: .panther beside the flake's folder)")
	flags.StringVar(&a.builders, "builders", "", "machines that build for this one, as in Nix's setting: 'ssh-ng://nix@HOST x86_64-linux KEYFILE 8; ...' or @FILE")
	flags.IntVar(&a.jobs, "jobs", 0, "hosts at once (default: by processors, memory and number of hosts)")
	flags.BoolVar(&a.json, "json", false, "print the result as JSON on standard output, and nothing else there")
	flags.BoolVar(&a.quiet, "quiet", false, "print no progress")
	for name, values := range map[string][]string{
		"inputs": {"auto", "real", "offline"},
		"store":  {"auto", "system"},
	} {
		fixed := cobra.FixedCompletions(values, cobra.ShellCompDirectiveDefault)
		if err := root.RegisterFlagCompletionFunc(name, fixed); err != nil {
			panic(err) // the flag was defined above
		}
	}
	for _, name := range []string{"flake", "nix", "state"} {
		if err := root.MarkPersistentFlagDirname(name); err != nil {
			panic(err)
		}
	}
	root.AddCommand(
		newGenerate(a), newCheck(a), newBuild(a), newBuildAll(a),
		newReport(a), newHosts(a), newNix(a), newVersion(a),
	)
	return root
}

func (a *app) checkFlags() error {
	switch pipeline.Inputs(a.inputs) {
	case pipeline.InputsReal, pipeline.InputsOffline, pipeline.InputsAuto:
	default:
		return usageError("--inputs is %q; it has to be real, offline or auto", a.inputs)
	}
	if a.jobs < 0 {
		return usageError("--jobs is %d; it has to be 1 or more, or 0 to choose", a.jobs)
	}
	if a.store == "" {
		return usageError("--store is empty; it has to be auto, system or a folder")
	}
	if a.builders != "" {
		builders, err := local.CheckBuilders(a.builders)
		if err != nil {
			return usageError("--builders: %v", err)
		}
		a.builders = builders
	}
	return nil
}
