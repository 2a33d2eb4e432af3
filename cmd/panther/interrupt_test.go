package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// processes lists the command lines of all processes that contain word.
func processes(t *testing.T, word string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err == nil && bytes.Contains(line, []byte(word)) {
			found = append(found, f+": "+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for range 1500 {
		if condition() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("in vain: %s", what)
}

// A signal during a build: within two seconds the process has ended with code
// 130, nothing that it started is left, and the report is there and valid.
func TestInterrupt(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			c := newFleet(t)
			// The duration marks this test's builder among all processes.
			marker := fmt.Sprintf("1000%d.%d", os.Getpid(), signal)
			c.configure(t, "beta", `{ script = "trap '' INT TERM; sleep `+marker+`; mkdir $out"; }`)
			var stdout, stderr bytes.Buffer
			cmd := c.command(t.Context(), "build-all", "--jobs", "1")
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the builder of beta starts", func() bool { return len(processes(t, marker)) > 0 })
			began := time.Now()
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("it took %s to end", took)
			}
			result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}.want(t, 130)
			eventually(t, "all processes end", func() bool { return len(processes(t, c.dir))+len(processes(t, marker)) == 0 })

			contains(t, stderr.String(), "panther: interrupted")
			contains(t, stdout.String(), "interrupted in build")
			rep := c.report(t)
			if rep.Status != report.Interrupted {
				t.Errorf("status %s", rep.Status)
			}
			var steps []string
			for _, s := range hostOf(t, rep, "beta").Steps {
				steps = append(steps, s.Name+" "+string(s.Status))
			}
			if got, want := strings.Join(steps, ", "), "evaluate passed, build interrupted, push skipped"; got != want {
				t.Errorf("beta: %s; want %s", got, want)
			}
			if got := hostOf(t, rep, "gamma").Status; got != report.Interrupted {
				t.Errorf("gamma %s: it never began", got)
			}

			// Nothing is left that the next run could trip over.
			c.configure(t, "beta", "{ }")
			c.panther(t, "build-all").want(t, 0)
		})
	}
}

// A second signal does not wait for anything.
func TestInterruptTwice(t *testing.T) {
	c := newFleet(t)
	// A Nix that cannot be stopped in a friendly way.
	stubborn := filepath.Join(c.dir, "stubborn")
	marker := fmt.Sprintf("2000%d", os.Getpid())
	script := "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'nix (Nix) 2.30.0'; exit; fi\n" +
		"trap '' INT TERM\nsleep " + marker + "\nsleep " + marker + "\n"
	if err := os.MkdirAll(stubborn, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nix", "nix-instantiate"} {
		if err := os.WriteFile(filepath.Join(stubborn, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := c.command(t.Context(), "check", "--nix", stubborn, "--store", "system")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stubborn Nix starts", func() bool { return len(processes(t, marker)) > 0 })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	began := time.Now()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if took := time.Since(began); took > 400*time.Millisecond {
		t.Errorf("it took %s to end", took)
	}
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("code %d", code)
	}
	eventually(t, "all processes end", func() bool { return len(processes(t, marker)) == 0 })
}
