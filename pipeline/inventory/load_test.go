package inventory

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// good is a file without a fault. Tests change it and know its lines.
const good = `[fleet]
name = "cats"
description = "Two cats"
release = "25.05"
nixpkgs = "github:NixOS/nixpkgs/nixos-${release}"

[defaults]
system = "x86_64-linux"
state-version = "25.05"
users = ["hayden"]

[features.home-manager]
url = "github:nix-community/home-manager/release-${release}"
follows = ["nixpkgs"]
modules = ["nixosModules.home-manager"]

[features.niri]
url = "github:sodiboo/niri-flake"
follows = ["nixpkgs", "home-manager"]

[hosts.yoga]
description = "Laptop"
profiles = ["workstation/base", "common/base"]
features = ["niri", "home-manager"]

[hosts.ovh]
system = "aarch64-linux"
state-version = "24.11"
profiles = ["common/base"]
users = []
`

// enter makes the folder of a flake with this hosts.toml the current one, so
// that messages start with "hosts.toml:".
func enter(t *testing.T, hosts string) {
	t.Helper()
	dir := t.TempDir()
	for path, content := range map[string]string{
		"hosts.toml":                    hosts,
		"profiles/common/base.nix":      "{ }\n",
		"profiles/workstation/base.nix": "{ }\n",
		"home/hayden/default.nix":       "{ }\n",
	} {
		write(t, filepath.Join(dir, path), content)
	}
	t.Chdir(dir)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLoad(t *testing.T) {
	enter(t, good)
	got, err := Load("hosts.toml")
	if err != nil {
		t.Fatal(err)
	}
	want := &Inventory{
		Path: "hosts.toml",
		Fleet: Fleet{
			Name: "cats", Description: "Two cats", Release: "25.05",
			Nixpkgs: "github:NixOS/nixpkgs/nixos-25.05",
		},
		Features: []Feature{
			{
				Name: "home-manager", Line: 12,
				URL:     "github:nix-community/home-manager/release-25.05",
				Follows: []string{"nixpkgs"}, Modules: []string{"nixosModules.home-manager"},
			},
			{
				Name: "niri", Line: 17,
				URL:     "github:sodiboo/niri-flake",
				Follows: []string{"nixpkgs", "home-manager"},
			},
		},
		Hosts: []Host{
			{
				Name: "ovh", Description: "ovh", Line: 26, System: "aarch64-linux", StateVersion: "24.11",
				Profiles: []string{"common/base"}, Features: []string{}, Users: []string{},
			},
			{
				Name: "yoga", Line: 21, Description: "Laptop", System: "x86_64-linux", StateVersion: "25.05",
				Profiles: []string{"workstation/base", "common/base"},
				Features: []string{"niri", "home-manager"}, Users: []string{"hayden"},
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if h, ok := got.Host("yoga"); !ok || h.Line != 21 {
		t.Errorf("Host(yoga) = %v, %v", h, ok)
	}
	if h, ok := got.Host("desktop"); ok {
		t.Errorf("Host(desktop) = %v", h)
	}
	if diff := cmp.Diff([]string{"ovh", "yoga"}, got.HostNames()); diff != "" {
		t.Errorf("HostNames: -want +got:\n%s", diff)
	}
	if used := got.UsedFeatures(); len(used) != 2 {
		t.Errorf("UsedFeatures = %v", used)
	}
}

// The same content in other forms of TOML is the same inventory.
func TestLoadForms(t *testing.T) {
	var want *Inventory
	for _, hosts := range []string{
		`[fleet]
name = "cats"
description = "d"
release = "25.05"
nixpkgs = "github:NixOS/nixpkgs"
[hosts.yoga]
system = "x86_64-linux"
state-version = "25.05"
`,
		`fleet.name = 'cats'
fleet.description = """
d"""
"fleet".'release' = """\
    25.05"""
fleet. nixpkgs = "github:NixOS/nixpkgs"
[hosts]
[hosts.yoga] # a comment
state-version = "25.05"
[defaults]
system = "x86_64-linux"
users = [
]
`,
		`fleet = { name = "cats", description = "\u0064", "release" = "25.05", nixpkgs = "github:NixOS/nixpkgs" }
hosts = { yoga = { system = "x86_64-linux", state-version = "25.05" } }`,
		"fleet.name = 'cats'\r\nfleet.description = 'd'\r\nfleet.release = '''25.05'''\r\nfleet.nixpkgs = 'github:NixOS/nixpkgs'\r\n" +
			"hosts.yoga.system = 'x86_64-linux'\r\nhosts.yoga.state-version = '25.05'\r\n",
	} {
		enter(t, hosts)
		got, err := Load("hosts.toml")
		if err != nil {
			t.Errorf("%v\n%s", err, hosts)
			continue
		}
		got.Hosts[0].Line = 0
		if want == nil {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s\n%s", diff, hosts)
		}
	}
}

func TestLoadShipped(t *testing.T) {
	inv, err := Load(filepath.Join("..", "..", "flake-src", "hosts.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(inv.Hosts) == 0 {
		t.Error("no hosts")
	}
	if missing := inv.MissingHostFiles(); len(missing) > 0 {
		t.Error(missing)
	}
}

// The example of docs/hosts-toml.md can be copied as it stands.
func TestLoadDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "hosts-toml.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "## A whole file\n\n```toml\n")
	example, _, found := strings.Cut(section, "```\n")
	if !found {
		t.Fatal("docs/hosts-toml.md has no example")
	}
	enter(t, example)
	write(t, "profiles/server/base.nix", "{ }")
	write(t, "home/mia/default.nix", "{ }")
	inv, err := Load("hosts.toml")
	if err != nil {
		t.Fatal(err)
	}
	if len(inv.Hosts) != 2 {
		t.Errorf("%d hosts", len(inv.Hosts))
	}
}

func TestLoadUnreadable(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Mkdir("folder", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo("pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, "large", strings.Repeat("#\n", maxSize/2)+"#")
	write(t, "full", good+strings.Repeat("#", maxSize-len(good)))

	for path, want := range map[string]string{
		"hosts.toml":      "no inventory at " + dir + "/hosts.toml: file does not exist; name the flake's folder, or write the file (docs/hosts-toml.md has one to start from)",
		"none/hosts.toml": "no inventory at " + dir + "/none/hosts.toml: file does not exist; name the flake's folder, or write the file (docs/hosts-toml.md has one to start from)",
		"folder":          "the inventory " + dir + "/folder is a folder; it has to be a TOML file",
		"pipe":            "the inventory " + dir + "/pipe is not a regular file",
		"large":           "the inventory " + dir + "/large is larger than 1024 KiB; is it the right file?",
		"large/x":         "read the inventory " + dir + "/large/x: not a directory",
	} {
		_, err := Load(path)
		if err == nil || err.Error() != want {
			t.Errorf("Load(%s):\n got %v\nwant %s", path, err, want)
		}
		if absent := strings.HasSuffix(path, "hosts.toml"); errors.Is(err, fs.ErrNotExist) != absent {
			t.Errorf("Load(%s): errors.Is(%v, fs.ErrNotExist) = %v", path, err, !absent)
		}
	}
	// A file of exactly the bound is read; here its profiles are missing.
	var problems Problems
	if _, err := Load("full"); !errors.As(err, &problems) {
		t.Errorf("Load(full): %v", err)
	}
}

func TestMissingHostFiles(t *testing.T) {
	enter(t, good)
	write(t, "hosts/yoga/configuration.nix", "{ }")
	write(t, "hosts/yoga/hardware-configuration.nix/x", "")
	if err := os.Symlink("/etc/hostname", "hosts/yoga/home.nix"); err != nil {
		t.Fatal(err)
	}
	inv, err := Load("hosts.toml")
	if err != nil {
		t.Fatal(err)
	}
	want := `hosts.toml:21: host "yoga": hosts/yoga/hardware-configuration.nix is not a regular file; run ` + "`panther generate`" + `, which writes a first version of it
hosts.toml:21: host "yoga": cannot look at hosts/yoga/home.nix: path escapes from parent
hosts.toml:26: host "ovh": there is no file hosts/ovh/configuration.nix; run ` + "`panther generate`" + `, which writes a first version of it
hosts.toml:26: host "ovh": there is no file hosts/ovh/hardware-configuration.nix; run ` + "`panther generate`" + `, which writes a first version of it
hosts.toml:26: host "ovh": there is no file hosts/ovh/home.nix; run ` + "`panther generate`" + `, which writes a first version of it`
	if diff := cmp.Diff(want, inv.MissingHostFiles().Error()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	if err := os.RemoveAll(filepath.Join(inv.Dir(), "hosts")); err != nil {
		t.Fatal(err)
	}
	inv.Path = filepath.Join("gone", "hosts.toml")
	want = "gone/hosts.toml:1: cannot look into its folder: no such file or directory"
	if got := inv.MissingHostFiles().Error(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
