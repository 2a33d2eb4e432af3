package flake_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gitlab.com/pantheros/pantheros/pipeline/flake"
	"gitlab.com/pantheros/pantheros/pipeline/inventory"
)

var update = flag.Bool("update", false, "write the golden files in testdata")

// golden compares got with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s: -want +got:\n%s", path, diff)
	}
}

// fleet is an inventory with every form of input: none, one or two that
// follow, one that follows an input that is not there, and an unused one.
func fleet() *inventory.Inventory {
	return &inventory.Inventory{
		Path: "hosts.toml",
		Fleet: inventory.Fleet{
			Name: "cats", Description: `Two "cats", a \ and ${a} $${b}`, Release: "25.05",
			Nixpkgs: "github:NixOS/nixpkgs/nixos-25.05",
		},
		Features: []inventory.Feature{
			{Name: "disko", URL: "github:nix-community/disko", Follows: []string{"nixpkgs", "unused"}},
			{Name: "home-manager", URL: "github:nix-community/home-manager/release-25.05", Follows: []string{"nixpkgs"}},
			{Name: "niri", URL: "github:sodiboo/niri-flake", Follows: []string{"nixpkgs", "home-manager"}},
			{Name: "nixos-hardware", URL: "github:NixOS/nixos-hardware"},
			{Name: "opnix", URL: "git+https://example.org/opnix?ref=main", Follows: []string{"unused"}},
			{Name: "unused", URL: "github:a/b"},
		},
		Hosts: []inventory.Host{
			{Name: "ovh", System: "aarch64-linux", StateVersion: "24.11", Features: []string{"disko"}, Line: 40},
			{
				Name: "yoga", Description: "Laptop", System: "x86_64-linux", StateVersion: "25.05", Line: 50,
				Features: []string{"opnix", "nixos-hardware", "niri", "home-manager", "disko"},
				Profiles: []string{"common/base"}, Users: []string{"hayden"},
			},
		},
	}
}

func TestRender(t *testing.T) {
	inv := fleet()
	got := flake.Render(inv)
	golden(t, "flake.nix", got)
	if again := flake.Render(fleet()); string(again) != string(got) {
		t.Error("rendered twice, two results")
	}
	checkFlake(t, got, inv)

	want := []string{"nixpkgs", "disko", "home-manager", "niri", "nixos-hardware", "opnix"}
	if diff := cmp.Diff(want, flake.Inputs(inv)); diff != "" {
		t.Errorf("Inputs: -want +got:\n%s", diff)
	}
}

func TestRenderWithoutFeatures(t *testing.T) {
	inv := fleet()
	for i := range inv.Hosts {
		inv.Hosts[i].Features = nil
	}
	got := flake.Render(inv)
	golden(t, "flake-plain.nix", got)
	checkFlake(t, got, inv)
}

// The shipped flake.nix is what its hosts.toml gives, and Nix's own reader of
// TOML agrees with ours about that file.
func TestShipped(t *testing.T) {
	dir := filepath.Join(moduleRoot(t), "flake-src")
	inv, err := inventory.Load(filepath.Join(dir, "hosts.toml"))
	if err != nil {
		t.Fatal(err)
	}
	changes, err := flake.Plan(dir, inv)
	if err != nil {
		t.Fatal(err)
	}
	if len(changes) > 0 {
		t.Errorf("run `panther generate`:\n%s", flake.Diff(changes))
	}
	if stray, err := flake.Stray(dir, inv); err != nil || len(stray) > 0 {
		t.Errorf("Stray = %v, %v", stray, err)
	}
	checkFlake(t, flake.Render(inv), inv)
	checkTOML(t, inv)
}

// checkFlake lets Nix read a generated flake.nix and compares what it
// understood with the inventory.
func checkFlake(t testing.TB, content []byte, inv *inventory.Inventory) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "flake.nix")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	// Outputs import a file that is not there, so they are not looked at.
	nix(t, "nix-instantiate", "--parse", path)
	var got struct {
		Names       []string
		Description string
		Inputs      map[string]input
		Types       map[string]string
	}
	evaluate(t, `let f = import "`+path+`"; in {
		names = builtins.attrNames f;
		inherit (f) description inputs;
		types = builtins.mapAttrs (_: i: (builtins.parseFlakeRef i.url).type) f.inputs;
	}`, &got)

	if diff := cmp.Diff([]string{"description", "inputs", "outputs"}, got.Names); diff != "" {
		t.Errorf("attributes: -want +got:\n%s", diff)
	}
	if got.Description != inv.Fleet.Description {
		t.Errorf("description %q, want %q", got.Description, inv.Fleet.Description)
	}
	want := map[string]input{"nixpkgs": {URL: inv.Fleet.Nixpkgs}}
	for _, f := range inv.UsedFeatures() {
		want[f.Name] = input{URL: f.URL}
	}
	for _, f := range inv.UsedFeatures() {
		follows := make(map[string]follow)
		for _, name := range f.Follows {
			if _, ok := want[name]; ok {
				follows[name] = follow{Follows: name}
			}
		}
		want[f.Name] = input{URL: f.URL, Inputs: follows}
	}
	if diff := cmp.Diff(want, got.Inputs, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("inputs: -want +got:\n%s", diff)
	}
	if names := slices.Sorted(maps.Keys(want)); !slices.Equal(names, slices.Sorted(slices.Values(flake.Inputs(inv)))) {
		t.Errorf("Inputs = %v, want %v", flake.Inputs(inv), names)
	}
}

type input struct {
	URL    string
	Inputs map[string]follow
}

type follow struct{ Follows string }

// checkTOML compares an inventory with what the flake's own library makes of
// the same file.
func checkTOML(t testing.TB, inv *inventory.Inventory) {
	t.Helper()
	hosts, err := os.ReadFile(inv.Path)
	if err != nil {
		t.Fatal(err)
	}
	library, err := os.ReadFile(filepath.Join(moduleRoot(t), "flake-src", "lib", "inventory.nix"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "hosts.toml"), string(hosts))
	writeFile(t, filepath.Join(dir, "lib", "inventory.nix"), string(library))
	type host struct {
		Name, Description, System, StateVersion string
		Profiles, Features, Users               []string
	}
	type feature struct {
		Name, URL        string
		Follows, Modules []string
	}
	var got struct {
		Fleet    inventory.Fleet
		Features map[string]feature
		Hosts    map[string]host
	}
	evaluate(t, `import "`+dir+`/lib/inventory.nix"`, &got)

	want := got
	want.Fleet = inv.Fleet
	want.Hosts = make(map[string]host)
	for _, h := range inv.Hosts {
		want.Hosts[h.Name] = host{h.Name, h.Description, h.System, h.StateVersion, h.Profiles, h.Features, h.Users}
	}
	want.Features = make(map[string]feature)
	for _, f := range inv.Features {
		want.Features[f.Name] = feature{f.Name, f.URL, f.Follows, f.Modules}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-ours +Nix:\n%s", diff)
	}
}

// addresses are features with every form of address, all used by a host "all-of-them".
func addresses() string {
	var b, names strings.Builder
	for i, url := range []string{
		"github:a/b", "github:a/b/main", "github:a/b/feature/x", "github:a/b?dir=c", "github:a/b?ref=main", "sourcehut:~a/b", "gitlab:a.b/c_d",
		"github:a/b?rev=0123456789abcdef0123456789abcdef01234567", "github:a/b/0123456789abcdef0123456789abcdef01234567",
		"git+https://a/b", "git+ssh://git@a/b", "git+http://a/b", "git+file:///a", "git://a/b", "git+https://a:8443/b?ref=main&submodules=1",
		"hg+https://a/b", "hg+file:///a", "https://a/b.tar.gz", "https://a/b", "http://a/b", "tarball+https://a/b", "tarball+file:///a",
		"path:./a", "path:/a", "path:a?dir=b", "git+https://a/~b/c%20d!(e)*,;=f+g",
	} {
		fmt.Fprintf(&b, "[features.i%d]\nurl = '%s'\n", i, url)
		fmt.Fprintf(&names, "'i%d',", i)
	}
	return b.String() + "[hosts.all-of-them]\nsystem = 'x86_64-linux'\nstate-version = '25.05'\nfeatures = [" + names.String() + "]\n"
}

// Every form of address that docs/hosts-toml.md names is accepted, and Nix
// takes it for a flake reference too.
func TestAddresses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts.toml")
	writeFile(t, path, "[fleet]\nname = 'cats'\ndescription = 'd'\nrelease = '25.05'\nnixpkgs = 'github:NixOS/nixpkgs'\n"+addresses())
	inv, err := inventory.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	checkFlake(t, flake.Render(inv), inv)
}

// Whatever Load accepts, Nix reads the same from hosts.toml and from the
// flake.nix rendered of it.
func FuzzRender(f *testing.F) {
	dir := f.TempDir()
	for _, path := range []string{"profiles/common/base.nix", "home/hayden/default.nix"} {
		writeFile(f, filepath.Join(dir, path), "{ }\n")
	}
	path := filepath.Join(dir, "hosts.toml")

	const fleet = "[fleet]\nname = 'cats'\ndescription = 'd'\nrelease = '25.05'\nnixpkgs = 'github:NixOS/nixpkgs/nixos-${release}'\n"
	const host = "[hosts.yoga]\nsystem = 'x86_64-linux'\nstate-version = '25.05'\n"
	for _, seed := range []string{
		"", fleet, fleet + host,
		fleet + host + "profiles = ['common/base']\nusers = ['hayden']\nfeatures = ['home-manager', 'x_Y']\n" +
			"[features.home-manager]\nurl = 'github:a/b'\nfollows = ['nixpkgs', 'x_Y']\nmodules = ['nixosModules.default', \"a'.b\"]\n" +
			"[features.x_Y]\nurl = 'git+https://example.org/a?ref=b&dir=c%20d'\n[defaults]\n",
		strings.Replace(fleet, "'d'", `"\"''${a}$${b}\\${c}\u00e9\U0001F63A#/*"`, 1) + host,
		strings.Replace(fleet, "'d'", "\"\"\"\\\n  folded \\\n  text\"\"\"", 1) + host,
		strings.Replace(fleet, "'d'", "'''\nliteral ${x} \\'''", 1) + host,
		"fleet = { name = 'c', description = 'd', release = '25.05', nixpkgs = 'path:./n' }\nhosts . \"yoga\" = { system = 'x86_64-linux', state-version = '24.11', users = [\n'a', # b\n'c',\n] }\n",
		"[hosts]\nyoga = {\n}\n", "[[hosts]]\n[[hosts]]\n[hosts.a]\n", "[a]\na.b.c = 1\n[a.b]\n", "hosts = [{}, {a = [{}]}]\n",
		fleet + host + addresses(),
		fleet + "[defaults]\nsystem = 'aarch64-linux'\nstate-version = '25.05'\nprofiles = ['common/base']\n[hosts.a]\n[hosts.b]\n",
		"\xef\xbb\xbf" + fleet + host, fleet + host + "description = \"\\xff\\e\"\n", strings.ReplaceAll(fleet+host, "\n", "\r\n"),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, hosts []byte) {
		if err := os.WriteFile(path, hosts, 0o644); err != nil {
			t.Fatal(err)
		}
		inv, err := inventory.Load(path)
		if err != nil {
			return
		}
		checkFlake(t, flake.Render(inv), inv)
		checkTOML(t, inv)
	})
}
