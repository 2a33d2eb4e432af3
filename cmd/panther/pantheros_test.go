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

	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/pipeline/report"
)

// changed is a configuration.nix that adds a package, built by a script, to
// what the host has in original.nix.
const changed = `{ pkgs, ... }:
{
  imports = [ ./original.nix ];
  environment.systemPackages = [
    (derivation {
      name = "%s";
      system = "x86_64-linux";
      builder = "/bin/sh";
      args = [ "-c" "%s" ];
    })
  ];
}
`

// TestPantherOS takes the project's own fleet through its days, in one store:
// all green, nothing to do, two broken hosts, an interruption, green again.
func TestPantherOS(t *testing.T) {
	c := newCheckout(t, "../../flake-src")
	names := []string{"desktop", "ovh-cloud-vps", "yoga", "zephyrus"}

	var yogaToplevel string
	t.Run("all green", func(t *testing.T) {
		r := c.panther(t, "build-all").want(t, 0)
		contains(t, r.stdout, "4 of 4 passed", "OFFLINE INPUTS")
		rep := c.report(t)
		sum := 0
		for _, name := range names {
			h := hostOf(t, rep, name)
			if h.Closure == nil || h.Closure.Paths < 100 || h.Closure.NARBytes < 10<<20 {
				t.Fatalf("%s: closure %+v; the stand-ins promise hundreds of paths and tens of MiB", name, h.Closure)
			}
			sum += h.Closure.Paths
		}
		if len(rep.Paths) > sum/2 {
			t.Errorf("%d paths in all and %d in the closures: the hosts share too little", len(rep.Paths), sum)
		}
		if rep.Push.Sent.Paths != len(rep.Paths) {
			t.Errorf("sent %d of %d paths", rep.Push.Sent.Paths, len(rep.Paths))
		}
		yogaToplevel = hostOf(t, rep, "yoga").Toplevel
	})
	if t.Failed() {
		return
	}
	t.Run("a stock client takes a toplevel", func(t *testing.T) {
		rep := c.report(t)
		env := nixtest.Another(t)
		env.Run(t, "nix", "copy", "--from", rep.Run.Cache, "--option", "trusted-public-keys", rep.Push.PublicKeys[0], yogaToplevel)
		if got, want := len(env.Closure(t, yogaToplevel)), hostOf(t, rep, "yoga").Closure.Paths; got != want {
			t.Errorf("%d paths arrived, want %d", got, want)
		}
	})
	t.Run("a second run sends nothing", func(t *testing.T) {
		contains(t, c.panther(t, "build-all").want(t, 0).stdout, "nothing to send")
		if rep := c.report(t); rep.Push.Sent.Paths != 0 || !hostOf(t, rep, "yoga").Changes.SameToplevel {
			t.Errorf("sent %+v", rep.Push.Sent)
		}
	})
	for _, name := range names {
		folder := filepath.Join(c.dir, "flake-src/hosts", name)
		if err := os.Rename(filepath.Join(folder, "configuration.nix"), filepath.Join(folder, "original.nix")); err != nil {
			t.Fatal(err)
		}
		c.configure(t, name, "{ imports = [ ./original.nix ]; }\n")
	}
	t.Run("one does not evaluate and one does not build", func(t *testing.T) {
		c.configure(t, "yoga", "{ imports = [ ./original.nix ]; pantherOS.no.such.option = true; }\n")
		c.configure(t, "zephyrus", fmt.Sprintf(changed, "broken-1.0", "echo configuring; echo oh no; exit 3"))
		c.panther(t, "build-all").want(t, 1)
		rep := c.report(t)
		if got, want := statuses(rep), "desktop passed ovh-cloud-vps passed yoga failed zephyrus failed"; got != want {
			t.Fatalf("%s, want %s", got, want)
		}
		yoga, zephyrus := hostOf(t, rep, "yoga").Failure, hostOf(t, rep, "zephyrus").Failure
		if yoga.Step != "evaluate" || !strings.Contains(yoga.Message, "no.such.option") && !strings.Contains(yoga.Message, "pantherOS.no") {
			t.Errorf("yoga: %+v", yoga)
		}
		if zephyrus.Step != "build" || !strings.HasSuffix(zephyrus.DrvPath, "-broken-1.0.drv") {
			t.Errorf("zephyrus: %+v", zephyrus)
		}
		if got := strings.Join(zephyrus.LogTail, "|"); got != "configuring|oh no" {
			t.Errorf("zephyrus' log is %q", got)
		}
	})
	t.Run("interrupted in a build", func(t *testing.T) {
		marker := fmt.Sprintf("3000%d", os.Getpid())
		c.configure(t, "yoga", fmt.Sprintf(changed, "slow-1.0", "sleep "+marker))
		var stdout, stderr bytes.Buffer
		cmd := c.command(t.Context(), "build-all")
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the slow builder starts", func() bool { return len(processes(t, marker)) > 0 })
		began := time.Now()
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %s to end", took)
		}
		result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}.want(t, 130)
		eventually(t, "all processes end", func() bool { return len(processes(t, c.dir)) == 0 })
		if rep := c.report(t); rep.Status != report.Interrupted || hostOf(t, rep, "yoga").Status != report.Interrupted {
			t.Errorf("%s: %s", rep.Status, statuses(rep))
		}
	})
	t.Run("green again", func(t *testing.T) {
		c.configure(t, "yoga", fmt.Sprintf(changed, "new-1.0", "mkdir $out"))
		c.configure(t, "zephyrus", "{ imports = [ ./original.nix ]; }\n")
		c.panther(t, "build-all").want(t, 0)
	})
}

// The checkout itself is what panther generates from it.
func TestPantherOSIsGenerated(t *testing.T) {
	newCheckout(t, "../../flake-src").panther(t, "generate", "--check").want(t, 0)
}
