package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"gitlab.com/pantheros/pantheros/cmd/panther/local"
	"gitlab.com/pantheros/pantheros/pipeline"
)

// workshop is a Nix that is ready to run, and what it works with.
type workshop struct {
	*project
	shell  *local.Shell
	nix    local.Nix
	inputs pipeline.Inputs // real or offline
	note   string          // why
	// nixCommand is how a person runs the same Nix with the same store.
	nixCommand string
}

// workshop finds Nix, decides where the flake's inputs come from, and prepares
// the environment. tell is called before something that may take seconds.
func (a *app) workshop(ctx context.Context, p *project, tell func(string)) (*workshop, error) {
	nix, err := local.FindNix(ctx, a.nixDir, os.Getenv("PATH"), p.state)
	if err != nil {
		return nil, &exitError{exitEnvironment, err}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, environmentError("finding panther's own file: %v", err)
	}
	env := local.Environment{Nix: nix, Store: a.store, State: p.state, Programs: filepath.Dir(self), Builders: a.builders}
	if a.store != "auto" && a.store != "system" {
		if env.Store, err = filepath.Abs(a.store); err != nil {
			return nil, environmentError("finding %s: %v", a.store, err)
		}
	}
	w := &workshop{project: p, nix: nix, inputs: pipeline.Inputs(a.inputs)}
	switch w.inputs {
	case pipeline.InputsAuto:
		tell("trying whether nixpkgs can be fetched")
		sh, err := env.Shell()
		if err != nil {
			return nil, &exitError{exitEnvironment, err}
		}
		a.shell.Store(sh)
		w.inputs, w.note, err = pipeline.ResolveInputs(ctx, sh, p.inv)
		if err != nil {
			return nil, &exitError{exitEnvironment, err}
		}
	case pipeline.InputsOffline:
		w.note = "The stand-ins were asked for with --inputs offline."
	}
	env.Offline = w.inputs == pipeline.InputsOffline
	if w.shell, err = env.Shell(); err != nil {
		return nil, &exitError{exitEnvironment, err}
	}
	a.shell.Store(w.shell)
	w.nixCommand = "nix"
	if !env.System() {
		args := []string{self, "--flake", p.flake, "--inputs", string(w.inputs)}
		for _, flag := range []struct{ name, value string }{{"--state", a.stateDir}, {"--nix", a.nixDir}} {
			if flag.value != "" {
				abs, err := filepath.Abs(flag.value)
				if err != nil {
					return nil, environmentError("finding %s: %v", flag.value, err)
				}
				args = append(args, flag.name, abs)
			}
		}
		if a.store != "auto" {
			args = append(args, "--store", env.Store)
		}
		if a.builders != "" {
			args = append(args, "--builders", a.builders)
		}
		w.nixCommand = pipeline.ShellWords(append(args, "nix")...)
	}
	return w, nil
}

func newNix(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nix ARG...",
		Short: "Run the pipeline's own nix, with its store and settings",
		Long: `nix runs the nix command that builds and checks use, in the same environment and
with the same store. The commands that a report gives to reproduce a failure
start with it where that store is not the system's. Global flags of panther go
before the word nix.`,
		Example: `  panther nix path-info --recursive --size /nix/store/...-nixos-system-yoga
  panther --inputs offline nix log /nix/store/...-linux.drv`,
		Args:              cobra.MinimumNArgs(1),
		RunE:              func(cmd *cobra.Command, args []string) error { return a.nix(cmd.Context(), args) },
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func (a *app) nix(ctx context.Context, args []string) error {
	p, err := a.project()
	if err != nil {
		return err
	}
	w, err := a.workshop(ctx, p, func(string) {})
	if err != nil {
		return err
	}
	nix := filepath.Join(w.nix.Dir, "nix")
	err = syscall.Exec(nix, append([]string{"nix"}, args...), w.shell.Env)
	return environmentError("starting %s: %v", nix, err)
}

// requirePcache makes sure that pcache is there before anything is built.
func (w *workshop) requirePcache() error {
	if _, err := w.shell.LookPath("pcache"); err != nil {
		missing := new(local.NotFoundError)
		if errors.As(err, &missing) {
			return environmentError("pcache was not found beside panther or on PATH; build it with `make build`")
		}
		return &exitError{exitEnvironment, fmt.Errorf("finding pcache: %v", err)}
	}
	return nil
}
