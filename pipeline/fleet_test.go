package pipeline_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"gitlab.com/pantheros/pantheros/pipeline"
	"gitlab.com/pantheros/pantheros/pipeline/flake"
	"gitlab.com/pantheros/pantheros/pipeline/inventory"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newFleet writes a flake folder with the given hosts, generated files and a
// stand-in for nixpkgs, and loads its inventory.
func newFleet(t *testing.T, hosts ...string) (*inventory.Inventory, string) {
	t.Helper()
	dir := t.TempDir()
	toml := `[fleet]
name = "test"
description = "a fleet"
release = "25.05"
nixpkgs = "github:NixOS/nixpkgs/nixos-${release}"
[defaults]
system = "x86_64-linux"
state-version = "25.05"
users = []
`
	for _, h := range hosts {
		toml += fmt.Sprintf("[hosts.%s]\ndescription = \"host %s\"\nprofiles = []\nfeatures = []\n", h, h)
	}
	write(t, filepath.Join(dir, "hosts.toml"), toml)
	write(t, filepath.Join(dir, "tests/stand-in/nixpkgs/flake.nix"), "{ outputs = _: { }; }\n")
	inv, err := inventory.Load(filepath.Join(dir, "hosts.toml"))
	if err != nil {
		t.Fatal(err)
	}
	changes, err := flake.Plan(dir, inv)
	if err != nil {
		t.Fatal(err)
	}
	if err := flake.Apply(changes); err != nil {
		t.Fatal(err)
	}
	return inv, dir
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// script is a Shell that plays a Nix and a pcache with which all goes well,
// except where answer says otherwise. It records what it was asked to run.
type script struct {
	// answer is asked first; handled false means the usual answer.
	answer func(ctx context.Context, c pipeline.Command) (out pipeline.Output, err error, handled bool)

	mu       sync.Mutex
	commands []pipeline.Command
	now, top int // commands of hosts under way, and the most there were
}

func (s *script) Run(ctx context.Context, c pipeline.Command) (pipeline.Output, error) {
	s.mu.Lock()
	s.commands = append(s.commands, c)
	if c.Host != "" {
		s.now++
		s.top = max(s.top, s.now)
		defer func() { s.mu.Lock(); s.now--; s.mu.Unlock() }()
	}
	s.mu.Unlock()
	if s.answer != nil {
		if out, err, handled := s.answer(ctx, c); handled {
			return out, err
		}
	}
	return usual(c)
}

// ran lists the recorded commands for which keep holds, arguments joined.
func (s *script) ran(keep func(pipeline.Command) bool) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for _, c := range s.commands {
		if keep(c) {
			lines = append(lines, strings.Join(c.Argv, " "))
		}
	}
	return lines
}

// afterPushOf holds back the commands that held says until host was pushed.
func afterPushOf(host string, held func(pipeline.Command) bool) func(context.Context, pipeline.Command) (pipeline.Output, error, bool) {
	done := make(chan struct{})
	return func(_ context.Context, c pipeline.Command) (pipeline.Output, error, bool) {
		if held(c) {
			<-done
		}
		if pushes(c, host) {
			defer close(done)
			out, err := usual(c)
			return out, err, true
		}
		return pipeline.Output{}, nil, false
	}
}

// batched begins the other hosts when the push of the first one has, holds that
// back until the last host begins, and this one until those between are pushed:
// with one job they are pushed in one.
func batched(first, last string) func(context.Context, pipeline.Command) (pipeline.Output, error, bool) {
	pushing, begun, between := make(chan struct{}), make(chan struct{}), make(chan struct{})
	return func(_ context.Context, c pipeline.Command) (pipeline.Output, error, bool) {
		switch {
		case starts("nix", "eval")(c) && c.Host == last:
			close(begun)
			<-between
		case starts("nix", "eval")(c) && c.Host != first:
			<-pushing
		case pushes(c, first):
			close(pushing)
			<-begun
		case starts("pcache")(c) && !pushes(c, last):
			close(between)
		}
		return pipeline.Output{}, nil, false
	}
}

// pushes reports whether c is a push of a host.
func pushes(c pipeline.Command, host string) bool {
	return starts("pcache", "push")(c) && slices.Contains(c.Argv, host+"="+toplevelOf(host))
}

func starts(words ...string) func(pipeline.Command) bool {
	return func(c pipeline.Command) bool {
		return len(c.Argv) >= len(words) && slices.Equal(c.Argv[:len(words)], words)
	}
}

// Store paths of a host, as the script tells them.
func drvOf(host string) string      { return "/nix/store/" + digits('1') + "-nixos-system-" + host + ".drv" }
func toplevelOf(host string) string { return "/nix/store/" + digits('2') + "-nixos-system-" + host }

const shared = "/nix/store/33333333333333333333333333333333-shared"

func digits(c byte) string { return strings.Repeat(string(c), 32) }

func hostOf(storePath string) string {
	_, host, _ := strings.Cut(strings.TrimSuffix(storePath, ".drv"), "-nixos-system-")
	return host
}

func usual(c pipeline.Command) (pipeline.Output, error) {
	last := c.Argv[len(c.Argv)-1]
	switch {
	case starts("nix", "--version")(c):
		return stdout("nix (Nix) 2.26.3\n")
	case starts("nix", "eval")(c):
		return stdout(fmt.Sprintf(`{"toplevel":%q,"security":{},"services":{},"problems":[]}`, drvOf(c.Host)))
	case starts("nix", "build")(c):
		drv := strings.TrimSuffix(last, "^out")
		return stdout(fmt.Sprintf(`[{"drvPath":%q,"outputs":{"out":%q}}]`, drv, toplevelOf(hostOf(drv))))
	case starts("nix", "path-info")(c):
		return stdout(fmt.Sprintf("%s\t   1000\n%s\t    500\n", shared, last))
	case starts("pcache", "push")(c):
		return stdout(pushed(c, report.Passed, true))
	}
	return stdout("")
}

func stdout(s string) (pipeline.Output, error) { return pipeline.Output{Stdout: []byte(s)}, nil }

// pushed is what pcache prints after a push of a command's roots.
func pushed(c pipeline.Command, status report.Status, published bool) string {
	var roots, paths, all []string
	for i, arg := range c.Argv {
		if arg != "--root" {
			continue
		}
		name, path, _ := strings.Cut(c.Argv[i+1], "=")
		generation := ""
		if published {
			generation = "1"
		}
		all = append(all, fmt.Sprint(len(roots)))
		paths = append(paths, fmt.Sprintf(`{"path":%q,"nar_hash":"sha256:x","nar_bytes":500,"action":"sent","roots":[%d]}`, path, len(roots)))
		roots = append(roots, fmt.Sprintf(`{"name":%q,"path":%q,"generation":%q,"paths":2,"nar_bytes":1500,"sent":{}}`, name, path, generation))
	}
	paths = append(paths, fmt.Sprintf(`{"path":%q,"nar_hash":"sha256:y","nar_bytes":1000,"action":"sent","roots":[%s]}`, shared, strings.Join(all, ",")))
	return fmt.Sprintf(`{"schema":%q,"status":%q,"cache":"file:///cache","started":"2026-01-01T00:00:00Z","seconds":1,"plan_seconds":0.1,
		"roots":[%s],"paths":[%s],"sent":{"paths":%d},"skipped":{}}`,
		report.PushSchema, status, strings.Join(roots, ","), strings.Join(paths, ","), len(paths))
}

// run runs the pipeline and makes sure of what holds for every run: there is a
// report, and it is valid.
func run(ctx context.Context, t *testing.T, cfg pipeline.Config) (*report.Report, error) {
	t.Helper()
	rep, err := pipeline.Run(ctx, cfg)
	if rep == nil {
		t.Fatal("there is no report")
	}
	if invalid := rep.Validate(); invalid != nil {
		t.Errorf("the report is not valid: %v", invalid)
	}
	return rep, err
}

// outcomes is the statuses of a report: of the run, of each host with its
// steps, of each check that did not pass.
func outcomes(rep *report.Report) []string {
	lines := []string{"run " + string(rep.Status)}
	for _, h := range rep.Hosts {
		line := h.Name + " " + string(h.Status) + ":"
		for _, s := range h.Steps {
			line += " " + s.Name + " " + string(s.Status)
		}
		lines = append(lines, line)
	}
	for _, c := range rep.Checks {
		if c.Status != report.Passed {
			lines = append(lines, strings.TrimSpace("check "+c.Name+" "+c.Host)+" "+string(c.Status))
		}
	}
	return lines
}

func host(t *testing.T, rep *report.Report, name string) report.Host {
	t.Helper()
	for _, h := range rep.Hosts {
		if h.Name == name {
			return h
		}
	}
	t.Fatalf("the report has no host %s", name)
	return report.Host{}
}
