//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// newerImage packs an image like the one that is built in, whose Nix is newer.
func (m *module) newerImage(t *testing.T) string {
	t.Helper()
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "image.tar")
	// A folder that tools/nix/prepare made: bin/nix finds root beside it.
	nix := filepath.Dir(filepath.Clean(variable(t, "PANTHEROS_NEWER_NIX")))
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	layer := func(name, folder, to string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		tar := exec.Command("tar", "-C", folder, "--owner=0", "--group=0", "--exclude=./test", "--transform", "s,^\\.,"+to+",", "-cf", file, ".")
		if out, err := tar.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return file
	}
	certs := filepath.Join(dir, "certs")
	bundle, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(certs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(certs, "ca-certificates.crt"), bundle, 0o644); err != nil {
		t.Fatal(err)
	}
	pack := exec.Command(filepath.Join(m.dagger, "bin/ocipack"), "-tar", image, "-env", "GOTOOLCHAIN=local",
		"-env", "PATH=/opt/nix/bin:/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin",
		filepath.Join(m.dagger, "root.tar"), layer("nix.tar", nix, "opt/nix"),
		layer("go.tar", strings.TrimSpace(string(goroot)), "usr/local/go"), layer("certs.tar", certs, "etc/ssl/certs"))
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return image
}

// newerNix takes a host through an image with a newer Nix on the store that the
// older one filled: it is the image's Nix that works, with what is in the store;
// and the older one goes on after it.
func (m *module) newerNix(t *testing.T, older string) {
	t.Helper()
	newer := *m
	newer.image = newer.newerImage(t)
	out := t.TempDir()
	newer.call(t, "build-all", "--no-push", "--hosts=yoga", "-o", out).want(t, 0)
	rep := exported(t, out)
	if rep.Run.NixVersion == older || rep.Run.NixVersion == "" {
		t.Errorf("Nix %s was to be newer than %s", rep.Run.NixVersion, older)
	}
	if h := hostOf(t, rep, "yoga"); h.Work == nil || h.Work.Built != 0 || h.Work.Fetched != 0 {
		t.Errorf("what the store has was built or fetched: %+v", h.Work)
	}
	newer.call(t, "verify-store").want(t, 0)
	out = t.TempDir()
	m.call(t, "build-all", "--no-push", "--hosts=yoga", "-o", out).want(t, 0)
	if rep := exported(t, out); rep.Run.NixVersion != older {
		t.Errorf("Nix %s, want %s again", rep.Run.NixVersion, older)
	}
	t.Logf("Nix %s after %s on one store", rep.Run.NixVersion, older)
}
