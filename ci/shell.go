package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"gitlab.com/pantheros/pantheros/ci/internal/dagger"
	"gitlab.com/pantheros/pantheros/pipeline"
)

// shell runs the pipeline's commands in containers: one for each command, all
// on the same store.
type shell struct {
	nix  *dagger.Container // for commands of Nix
	push *dagger.Container // for pcache, with its secrets
	// flake is the flake's folder, here and in the containers, and name the same
	// as seen from this module's working folder.
	flake, name string
	// files is a folder for files that a command of pcache is given, by its name in
	// this module's working folder; what is in it does not change.
	files, filesName string
	// run differs from run to run: a command that acts on the world, the store's
	// volume among it, is not served from the engine's cache.
	run string

	mu     sync.Mutex
	loaded *dagger.Directory // the flake as the engine has it
}

var _ pipeline.Shell = (*shell)(nil)

// Run runs c in a container. The lines of standard error come when it has ended.
func (s *shell) Run(ctx context.Context, c pipeline.Command) (pipeline.Output, error) {
	if len(c.Argv) == 0 {
		return pipeline.Output{}, errors.New("no program to run")
	}
	name := c.Step
	if c.Host != "" {
		name = c.Host + ": " + c.Step
	}
	ctx, span := Tracer().Start(ctx, name)
	defer span.End()

	ctr := s.nix
	if c.Argv[0] == "pcache" {
		ctr = s.push
	}
	mounted := s.names(c.Argv)
	if mounted {
		ctr = ctr.WithMountedDirectory(s.flake, s.directory())
	}
	if s.files != "" && slices.Contains(c.Argv, s.files) {
		ctr = ctr.WithMountedDirectory(s.files, dag.CurrentModule().Workdir(s.filesName))
	}
	for _, kv := range c.Env {
		key, value, _ := strings.Cut(kv, "=")
		ctr = ctr.WithEnvVariable(key, value)
	}
	if !pure(c) {
		ctr = ctr.WithEnvVariable("PANTHEROS_RUN", s.run)
	}
	ctr, err := ctr.WithExec(c.Argv, dagger.ContainerWithExecOpts{
		Expect: dagger.ReturnTypeAny,
		// Nix makes its builders' sandboxes itself, with mounts and namespaces.
		InsecureRootCapabilities: c.Argv[0] == "nix",
	}).Sync(ctx)
	if err != nil {
		return pipeline.Output{}, ended(ctx, err)
	}
	var out pipeline.Output
	if out.ExitCode, err = ctr.ExitCode(ctx); err != nil {
		return out, ended(ctx, err)
	}
	stdout, err := ctr.Stdout(ctx)
	if err != nil {
		return out, ended(ctx, err)
	}
	stderr, err := ctr.Stderr(ctx)
	if err != nil {
		return out, ended(ctx, err)
	}
	out.Stdout, out.Stderr = []byte(stdout), []byte(stderr)
	if c.OnStderr != nil {
		for line := range strings.Lines(stderr) {
			c.OnStderr(strings.TrimRight(line, "\r\n"))
		}
	}
	if mounted && writesFlake(c) && out.ExitCode == 0 {
		if _, err := ctr.Directory(s.flake).Export(ctx, s.flake); err != nil {
			return out, ended(ctx, err)
		}
		s.mu.Lock()
		s.loaded = nil
		s.mu.Unlock()
	}
	return out, nil
}

// names reports whether a command reads the flake's folder.
func (s *shell) names(argv []string) bool {
	for _, arg := range argv {
		if strings.Contains(arg, s.flake) {
			return true
		}
	}
	return false
}

// directory is the flake's folder as it is now. It is loaded when it is first
// asked for, which is after the pipeline wrote what is generated.
func (s *shell) directory() *dagger.Directory {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded == nil {
		s.loaded = dag.CurrentModule().Workdir(s.name)
	}
	return s.loaded
}

// pure reports whether a command's result follows from the image and the flake
// alone, and nothing else comes of it: the engine may then answer from its cache.
func pure(c pipeline.Command) bool {
	return c.Step == "syntax" || c.Argv[0] == "nix" && len(c.Argv) == 2 && c.Argv[1] == "--version"
}

// writesFlake reports whether a command changes the flake's folder.
func writesFlake(c pipeline.Command) bool {
	return len(c.Argv) > 2 && c.Argv[1] == "flake" && c.Argv[2] == "lock"
}

// ended is why a command could not be run, or that the run was cancelled.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("the engine: %w", err)
}
