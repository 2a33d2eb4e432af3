//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/pipeline/report"
)

const allPassed = "desktop passed ovh-cloud-vps passed yoga passed zephyrus passed"

// TestPantherOS takes the fleet through the module: all green and pushed
// to a bucket, nothing to do, a red host, a cancelled run, a store that verifies.
func TestPantherOS(t *testing.T) {
	m := newModule(t)
	var first *report.Report
	t.Run("all green", func(t *testing.T) {
		out := t.TempDir()
		for _, host := range []string{"desktop", "ovh-cloud-vps", "yoga", "zephyrus"} {
			m.change(t, host, "everyones-1.0", "sleep 5; read id </proc/sys/kernel/random/uuid; echo $id >$out")
		}
		r := m.call(t, "build-all", "-o", out).want(t, 0)
		first = exported(t, out)
		if got := statuses(first); got != allPassed {
			t.Fatalf("%s, want %s", got, allPassed)
		}
		if !strings.HasPrefix(first.Run.Engine, "dagger v") {
			t.Errorf("engine %q", first.Run.Engine)
		}
		if first.Push == nil || first.Push.Sent.Paths != len(first.Paths) || len(first.Push.Roots) != 4 {
			t.Errorf("push %+v of %d paths", first.Push, len(first.Paths))
		}
		var builders []string
		for _, a := range first.Activities {
			if a.Kind == "build" && strings.HasSuffix(a.Path, "-everyones-1.0.drv") {
				builders = append(builders, a.Host)
			}
		}
		if len(builders) != 1 {
			t.Errorf("what all four hosts want was built by %v, and once is enough", builders)
		}
		t.Logf("cold build-all took %s, of which the run %.1f s", r.took, first.Run.Seconds)
	})
	if t.Failed() {
		return
	}
	t.Run("a second run sends nothing", func(t *testing.T) {
		out := t.TempDir()
		r := m.call(t, "build-all", "-o", out).want(t, 0)
		rep := exported(t, out)
		if rep.Push.Sent.Paths != 0 || !hostOf(t, rep, "yoga").Changes.SameToplevel {
			t.Errorf("sent %+v", rep.Push.Sent)
		}
		t.Logf("warm build-all took %s, of which the run %.1f s", r.took, rep.Run.Seconds)
	})
	t.Run("a stock Nix reads the bucket", func(t *testing.T) { m.readBucket(t, first) })
	t.Run("warm", func(t *testing.T) {
		contains(t, m.call(t, "warm").want(t, 0).stdout, "desktop: ", "ovh-cloud-vps: ", "yoga: ", "zephyrus: ")
		contains(t, m.call(t, "warm", "--hosts=yoga").want(t, 0).stdout, "yoga: warm already: all ")
	})
	t.Run("check", func(t *testing.T) { m.call(t, "check").want(t, 0) })
	t.Run("build one host", func(t *testing.T) {
		contains(t, m.call(t, "build", "--host=yoga").want(t, 0).stdout, hostOf(t, first, "yoga").Toplevel)
	})
	t.Run("a red host", func(t *testing.T) {
		m.change(t, "yoga", "newer-1.0", "echo newer >$out")
		m.change(t, "zephyrus", "broken-1.0", "echo configuring; echo oh no; exit 3")
		contains(t, m.call(t, "build-all").want(t, 1).stderr, "oh no")
		out := t.TempDir()
		m.call(t, "report", "-o", out).want(t, 0)
		rep := exported(t, out)
		if got, want := statuses(rep), strings.Replace(allPassed, "zephyrus passed", "zephyrus failed", 1); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
		f := hostOf(t, rep, "zephyrus").Failure
		if f == nil || f.Step != "build" || strings.Join(f.LogTail, "|") != "configuring|oh no" {
			t.Errorf("failure %+v", f)
		}
		for _, root := range rep.Push.Roots {
			if root.Generation == "" {
				t.Errorf("%s was not pushed", root.Name)
			}
		}
	})
	t.Run("gc keeps the newest", func(t *testing.T) {
		plan := []string{"gc", "--keep=1", "--keep-days=0", "--grace=0s"}
		planned := m.call(t, plan...).want(t, 0).stdout
		contains(t, planned, " narinfo", "nothing was deleted")
		contains(t, m.call(t, append(plan, "--apply")...).want(t, 0).stdout, " narinfo", "deleted ")
		contains(t, m.call(t, "warm", "--hosts=yoga").want(t, 0).stdout, "yoga: ", " paths fetched ", " were there ")
		contains(t, m.call(t, plan...).want(t, 0).stdout, "goes: nothing")
	})
	t.Run("cancelled in a build", func(t *testing.T) {
		m.restore(t)
		marker := fmt.Sprintf("3000%d", os.Getpid())
		m.change(t, "yoga", "slow-1.0", "sleep "+marker)
		r := m.start(t, "build", "--host=yoga")
		eventually(t, "the slow builder starts", func() bool { return processes(t, "sleep\x00"+marker) > 0 })
		began := time.Now()
		if err := r.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if got := wait(t, r); got.code == 0 {
			t.Error("a cancelled call ended with success")
		}
		eventually(t, "the builder ends", func() bool { return processes(t, "sleep\x00"+marker) == 0 })
		took := time.Since(began)
		t.Logf("it took %s to stop", took)
		if took > 20*time.Second {
			t.Errorf("it took %s to stop", took)
		}
	})
	t.Run("a container killed in a build", func(t *testing.T) {
		m.restore(t)
		marker := fmt.Sprintf("3001%d", os.Getpid())
		m.change(t, "yoga", "slow-2.0", "sleep "+marker)
		r := m.start(t, "build", "--host=yoga")
		eventually(t, "the slow builder starts", func() bool { return processes(t, "sleep\x00"+marker) > 0 })
		killNix(t, "sleep\x00"+marker)
		if got := wait(t, r); got.code == 0 {
			t.Error("a build whose Nix was killed ended with success")
		}
		eventually(t, "the builder ends", func() bool { return processes(t, "sleep\x00"+marker) == 0 })
	})
	t.Run("the store verifies and is used again", func(t *testing.T) {
		m.restore(t)
		m.call(t, "verify-store").want(t, 0)
		m.call(t, "build", "--host=yoga").want(t, 0)
	})
	t.Run("a newer Nix on the same store", func(t *testing.T) { m.newerNix(t, first.Run.NixVersion) })
}

// change gives a host a package that is built by a script, beside those of earlier
// changes.
func (m *module) change(t *testing.T, host, name, script string) {
	t.Helper()
	folder := filepath.Join(m.source, "flake-src/hosts", host)
	before := "before-" + name + ".nix"
	if err := os.Rename(filepath.Join(folder, "configuration.nix"), filepath.Join(folder, before)); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`{ pkgs, ... }:
{
  imports = [ ./%s ];
  environment.systemPackages = [
    (derivation {
      name = %q;
      system = "x86_64-linux";
      builder = "/bin/sh";
      args = [ "-c" %q ];
    })
  ];
}
`, before, name, script)
	if err := os.WriteFile(filepath.Join(folder, "configuration.nix"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// processes counts those of this machine whose arguments have that in them: a
// container's are among them.
func processes(t *testing.T, arguments string) int { t.Helper(); return len(pids(t, arguments)) }

func pids(t *testing.T, arguments string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), arguments) {
			found = append(found, filepath.Base(filepath.Dir(f)))
		}
	}
	return found
}

// killNix kills the nix that a builder with those arguments was started by, as
// the end of a container does.
func killNix(t *testing.T, arguments string) {
	t.Helper()
	for _, pid := range pids(t, arguments) {
		for pid != "1" && pid != "0" {
			status, err := os.ReadFile("/proc/" + pid + "/status")
			if err != nil {
				t.Fatal(err)
			}
			argv, err := os.ReadFile("/proc/" + pid + "/cmdline")
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(string(argv), "nix\x00build\x00") {
				n, err := strconv.Atoi(pid)
				if err != nil {
					t.Fatal(err)
				}
				if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				return
			}
			_, rest, _ := strings.Cut(string(status), "\nPPid:\t")
			pid, _, _ = strings.Cut(rest, "\n")
		}
	}
	t.Fatalf("no nix build is above %q", arguments)
}
