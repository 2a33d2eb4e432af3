package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/ci/internal/dagger"
	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/flake"
)

// Writes what is generated from hosts.toml, and returns the changes.
//
// That is flake.nix, and the folder of a host that has none. The dagger command
// shows the changes and applies them to the repository when that is confirmed, or
// at once with --auto-apply.
//
// +generate
func (m *Pantheros) Generate(ctx context.Context) (*dagger.Changeset, error) {
	dir, inv, err := m.checkout(ctx)
	if err != nil {
		return nil, err
	}
	changes, err := flake.Plan(dir, inv)
	if err != nil {
		return nil, err
	}
	if err := flake.Apply(changes); err != nil {
		return nil, err
	}
	return m.Source.WithDirectory(flakeName, dag.CurrentModule().Workdir(flakeName)).Changes(m.Source), nil
}

// Returns flake.lock with every input as its branch is now.
//
// The repository's own file stays as it is, unless it is named with -o: build with
// the new one, and commit it where that is good.
//
// +cache="never"
func (m *Pantheros) UpdateInputs(ctx context.Context) (*dagger.File, error) {
	const lock = "flake.lock"
	flakeDir := m.Source.Directory(flakeName)
	if pipeline.Inputs(m.Inputs) == pipeline.InputsOffline {
		fmt.Fprintln(os.Stderr, "offline: the stand-ins have no revisions, so nothing is updated")
		return flakeDir.File(lock), nil
	}
	ctr, err := m.workshop(ctx, pipeline.InputsReal, nil)
	if err != nil {
		return nil, err
	}
	const dir = "/flake"
	return ctr.WithDirectory(dir, flakeDir).
		WithEnvVariable("PANTHEROS_RUN", runID()).
		WithExec([]string{"nix", "flake", "update", "--flake", "path:" + dir}).
		File(dir + "/" + lock), nil
}

// Checks the flake and evaluates its hosts, without building.
//
// What is generated is up to date, every Nix file parses, nix flake check, and
// each host's toplevel, security and services. Prints a table, and fails if a
// check does.
//
// +check
// +cache="never"
func (m *Pantheros) Check(
	ctx context.Context,
	// Hosts to check; default: all.
	// +optional
	hosts []string,
) error {
	r, err := m.run(ctx, options{scope: pipeline.ScopeCheck, hosts: hosts})
	if err != nil {
		return err
	}
	fmt.Print(r.text)
	return r.verdict()
}

// Checks and builds one host, without pushing it.
//
// Prints a table with the toplevel's store path, and fails if the host does.
//
// +cache="never"
func (m *Pantheros) Build(
	ctx context.Context,
	// The host.
	host string,
) (string, error) {
	r, err := m.run(ctx, options{scope: pipeline.ScopeBuild, hosts: []string{host}})
	if err != nil {
		return "", err
	}
	return r.text, r.verdict()
}

// The whole job: checks, builds and pushes every host, and reports.
//
// Writes what is generated, checks, builds every host in parallel containers,
// pushes the closures to a signed cache while others still build, and returns the
// report, with the cache where that is a directory: -o DIR writes them there.
//
// A host that fails does not stop the others. The run then ends with an error,
// and the function report returns what a good run would have.
//
// +cache="never"
func (m *Pantheros) BuildAll(
	ctx context.Context,
	// Hosts to build; default: all.
	// +optional
	hosts []string,
	// report.json to show changes against. Default: that of the newest run in the cache's history, or of the last that this engine keeps.
	// +optional
	previous *dagger.File,
	// Name to keep the run's report under in the engine, besides "last".
	// +default="last"
	run string,
	// Build every host and push nothing: for changes that nobody has looked at yet.
	// +optional
	noPush bool,
	// Return the report, and no error, when a host or a check failed: for scripts that read the verdict in report.json.
	// +optional
	allowFailure bool,
) (*dagger.Directory, error) {
	scope := pipeline.ScopePush
	if noPush {
		scope = pipeline.ScopeBuild
	}
	return m.ship(ctx, options{
		scope: scope, generate: true, hosts: hosts, previous: previous, name: run,
	}, allowFailure)
}

// Pushes hosts to the cache, after checking and building them.
//
// For those that the store has, that is soon done. Unlike build-all it writes
// nothing that is generated, and takes the flake as it is. Returns the report.
//
// +cache="never"
func (m *Pantheros) Push(
	ctx context.Context,
	// Hosts to push; default: all.
	// +optional
	hosts []string,
	// Name to keep the run's report under in the engine, besides "last".
	// +default="last"
	run string,
) (*dagger.Directory, error) {
	return m.ship(ctx, options{scope: pipeline.ScopePush, hosts: hosts, name: run}, false)
}

func (m *Pantheros) ship(ctx context.Context, o options, allowFailure bool) (*dagger.Directory, error) {
	if !volumeName.MatchString(o.name) {
		return nil, fmt.Errorf("--run: %q is no name of a run (letters, digits, . _ -)", o.name)
	}
	r, err := m.run(ctx, o)
	if err != nil {
		return nil, err
	}
	fmt.Print(r.text)
	if err := r.verdict(); err != nil && !allowFailure {
		return nil, err
	}
	return m.kept(o.name, r.id, o.scope == pipeline.ScopePush), nil
}

// Says what the cache could do without, and deletes it with --apply.
//
// That is what no kept generation of a host needs. A generation is kept when it is
// one of the last --keep of its host, or younger than --keep-days. Pushes may go
// on meanwhile. Returns what pcache gc says.
//
// +cache="never"
func (m *Pantheros) Gc(
	ctx context.Context,
	// Generations of each host to keep.
	// +default=5
	keep int,
	// Days for which every generation is kept.
	// +default=30
	keepDays int,
	// Keep everything that was written within this time, as in "24h": longer than the longest push by a program that is not pcache, such as nix copy.
	// +default="24h"
	grace string,
	// Delete; without it nothing changes.
	// +optional
	apply bool,
) (string, error) {
	switch age, err := time.ParseDuration(grace); {
	case keep < 1:
		return "", fmt.Errorf("--keep: %d is less than 1", keep)
	case keepDays < 0:
		return "", fmt.Errorf("--keep-days: %d is less than 0", keepDays)
	case err != nil || age < 0:
		return "", fmt.Errorf("--grace: %q is no time such as 24h or 90m", grace)
	case pipeline.ServerSigns(m.Cache):
		return "", errors.New("--cache: an Attic server collects its garbage itself")
	}
	argv := []string{"pcache", "gc", "--keep", fmt.Sprint(keep), "--keep-days", fmt.Sprint(keepDays), "--grace", grace}
	if apply {
		argv = append(argv, "--apply")
	}
	return m.mayReach(m.withPcache(m.nix())).
		WithEnvVariable("PANTHEROS_RUN", runID()).
		WithExec(append(argv, m.cacheAddress())).
		Stdout(ctx)
}

// The report of an earlier build-all or push, whatever became of it.
//
// Returns report/report.json, report/report.md and the others, with the cache
// where that is a directory. A run that was cancelled leaves at most the report
// that was last written.
//
// +cache="never"
func (m *Pantheros) Report(
	ctx context.Context,
	// Name of the run.
	// +default="last"
	run string,
) (*dagger.Directory, error) {
	if !volumeName.MatchString(run) {
		return nil, fmt.Errorf("--run: %q is no name of a run (letters, digits, . _ -)", run)
	}
	dir := m.kept(run, runID(), true)
	if ok, err := dir.Exists(ctx, "report/report.json"); err != nil || !ok {
		if err == nil {
			err = fmt.Errorf("no run %q is known to this engine", run)
		}
		return nil, err
	}
	return dir, nil
}

// Runs the project's own tests, in a container with a Nix to test with.
//
// That is make test, with what it needs from Debian's packages, so the image has
// to be a Debian. Returns what go test printed.
func (m *Pantheros) Test(
	ctx context.Context,
	// Packages to test.
	// +default=["./..."]
	packages []string,
	// Tests to run, a regular expression; default: all.
	// +optional
	run string,
) (string, error) {
	const state = "/var/cache/pantheros"
	flags := "-timeout 40m"
	if run != "" {
		if strings.ContainsAny(run, " \t\n") {
			return "", fmt.Errorf("--run: %q has a space; go test writes names of tests with underscores", run)
		}
		flags += " -run " + run
	}
	dollars := strings.NewReplacer("$", "$$") // make's own
	return m.golang().
		WithExec([]string{"sh", "-euc", `apt-get -q update
DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install make git ca-certificates util-linux chromium npm openssl curl jq`}).
		WithMountedCache(state, dag.CacheVolume("pantheros-test-tools")).
		WithMountedDirectory("/src", m.Source).
		WithWorkdir("/src").
		WithExec([]string{
			"make", "--no-print-directory", "STATE=" + state, "TESTFLAGS=" + dollars.Replace(flags),
			"PACKAGES=" + dollars.Replace(strings.Join(packages, " ")), "test",
		},
			// The tests make stores with sandboxes of their own.
			dagger.ContainerWithExecOpts{InsecureRootCapabilities: true}).
		Stdout(ctx)
}

// The S3 server of a rehearsal (--versitygw), with what was pushed to it.
//
// Its bucket is "cache", its port 7070. "bucket up" serves it to this machine.
func (m *Pantheros) Bucket() (*dagger.Service, error) {
	if m.Versitygw == nil {
		return nil, errors.New("there is no --versitygw to run")
	}
	return m.bucket(), nil
}

// Compares every path of the engine's Nix store with its hash.
//
// Fails if one is not what Nix's database says.
//
// +cache="never"
func (m *Pantheros) VerifyStore(ctx context.Context) (string, error) {
	ctr, err := m.workshop(ctx, pipeline.InputsOffline, nil)
	if err != nil {
		return "", err
	}
	return ctr.WithEnvVariable("PANTHEROS_RUN", runID()).
		WithExec([]string{"nix-store", "--verify", "--check-contents"}).
		CombinedOutput(ctx)
}
