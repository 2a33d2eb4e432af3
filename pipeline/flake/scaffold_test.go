package flake_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/pantheros/pantheros/pipeline/flake"
	"gitlab.com/pantheros/pantheros/pipeline/inventory"
)

// TestScaffold has each form that a host's files can take.
func TestScaffold(t *testing.T) {
	hosts := map[string]inventory.Host{
		"disko": {Name: "sofa", Description: "Laptop on the sofa", Features: []string{"disko"}, Users: []string{"hayden", "mia"}},
		"plain": {Name: "sofa", Description: "sofa", Users: []string{"hayden"}},
		"bare":  {Name: "sofa"},
	}
	for form, h := range hosts {
		for _, file := range inventory.HostFiles() {
			golden(t, filepath.Join("scaffold", form, file), flake.Scaffold(h, file))
			nix(t, "nix-instantiate", "--parse", filepath.Join("testdata", "scaffold", form, file))
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a file that no host has was scaffolded")
		}
	}()
	flake.Scaffold(hosts["bare"], "disks.nix")
}

// A host that was just added to the shipped inventory builds: its table and
// `panther generate` are all there is to do. Inputs are the stand-ins.
func TestScaffoldedHostsBuild(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(moduleRoot(t), "flake-src")
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	hosts := filepath.Join(dir, "hosts.toml")
	before, err := os.ReadFile(hosts)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, hosts, string(before)+`
[hosts.new-workstation]
profiles = ["common/base", "workstation/base"]
features = ["home-manager", "opnix", "disko"]

[hosts.new-server]
description = "No disko, two users"
profiles = ["common/base", "server/base"]
features = ["opnix"]
users = ["mia", "hayden"]

[hosts.new-bare]
users = []

[hosts.new-arm]
system = "aarch64-linux"
profiles = ["common/base"]
features = ["disko", "opnix"]
`)
	inv, err := inventory.Load(hosts)
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
	if missing := inv.MissingHostFiles(); len(missing) > 0 {
		t.Fatal(missing)
	}

	standIns := filepath.Join(source, "tests", "stand-in")
	var overrides []string
	for _, name := range flake.Inputs(inv) {
		overrides = append(overrides, "--override-input", name, "path:"+filepath.Join(standIns, name))
	}
	store := chrootStore(t)
	run := func(verb, host, attribute string, args ...string) string {
		t.Helper()
		args = append([]string{
			verb, "--store", store, "--no-write-lock-file",
			"path:" + dir + "#nixosConfigurations." + host + ".config." + attribute,
		}, args...)
		cmd := exec.Command(filepath.Join(nixBin(t), "nix"), append(args, overrides...)...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "NIX_CONFIG="+strings.Join([]string{
			"experimental-features = nix-command flakes",
			"substituters =",
			"build-hook =",
			"build-users-group =",
			"sandbox = true",
			"sandbox-fallback = false",
			"sandbox-paths = /bin/sh=" + filepath.Join(nixBin(t), "busybox"),
		}, "\n"))
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Errorf("%s: %v\n%s", host, err, stderr.Bytes())
		}
		return strings.TrimSpace(stdout.String())
	}
	for _, host := range []string{"new-workstation", "new-server", "new-bare", "new-arm"} {
		if drv := run("eval", host, "system.build.toplevel.drvPath", "--raw"); !strings.HasSuffix(drv, ".drv") {
			t.Errorf("%s: toplevel %q", host, drv)
		}
	}
	// One is enough: what differs between them is settled by evaluating.
	toplevel := run("build", "new-server", "system.build.toplevel", "--no-link", "--print-out-paths")
	if _, err := os.Stat(filepath.Join(store, toplevel, "bin", "switch-to-configuration")); toplevel == "" || err != nil {
		t.Errorf("toplevel %q: %v", toplevel, err)
	}
	admins := run("eval", "new-server", "pantherOS.base.users-groups.admins", "--json")
	if diff := cmp.Diff(`["mia"]`, admins); diff != "" {
		t.Errorf("admins: -want +got:\n%s", diff)
	}
}

// chrootStore is the root of a Nix store that can be removed again: its
// folders are read-only, even for their owner.
func chrootStore(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	t.Cleanup(func() {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				err = os.Chmod(path, 0o755)
			}
			return err
		})
	})
	return root
}
