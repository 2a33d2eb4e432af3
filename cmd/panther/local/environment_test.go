package local

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nixtest"
	"gitlab.com/pantheros/pantheros/pipeline"
)

// caller is the environment of a user with settings and secrets of all kinds.
var caller = map[string]string{
	"PATH":                  "/usr/bin:relative:/bin",
	"HOME":                  "/home/user",
	"USER":                  "user",
	"NIX_CONFIG":            "access-tokens = github.com=SECRET",
	"NIX_REMOTE":            "daemon",
	"AWS_SECRET_ACCESS_KEY": "SECRET",
	"CI_JOB_TOKEN":          "SECRET",
	"LD_PRELOAD":            "/evil.so",
	"https_proxy":           "http://user:SECRET@proxy",
	"TMPDIR":                "/var/tmp",
}

func getenv(name string) (string, bool) {
	value, ok := caller[name]
	return value, ok
}

// environment of the shell, by name.
func environment(t *testing.T, e Environment) map[string]string {
	t.Helper()
	e.Getenv = getenv
	shell, err := e.Shell()
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{}
	for _, v := range shell.Env {
		name, value, _ := strings.Cut(v, "=")
		if _, twice := vars[name]; twice {
			t.Errorf("%s is set twice", name)
		}
		vars[name] = value
	}
	return vars
}

func TestEnvironmentPrivate(t *testing.T) {
	nix := Nix{Dir: nixtest.Bin(t), Private: true}
	state := t.TempDir()
	vars := environment(t, Environment{Nix: nix, Store: "auto", State: state, Offline: true, Programs: "/opt/panther"})
	for name, value := range vars {
		if strings.Contains(value, "SECRET") || name == "LD_PRELOAD" {
			t.Errorf("%s=%s reaches the children", name, value)
		}
	}
	shell, err := Environment{Nix: nix, Store: "auto", State: state, Offline: true, Getenv: func(name string) (string, bool) {
		value, ok := map[string]string{"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "SECRET", "HOME": "/home/hayden", "OTHER": "SECRET"}[name]
		return value, ok
	}}.Shell()
	if err != nil {
		t.Fatal(err)
	}
	if got := shell.EnvOf["pcache"]; !slices.Equal(got, []string{"HOME=/home/hayden", "AWS_SECRET_ACCESS_KEY=SECRET"}) {
		t.Errorf("to pcache goes %q", got)
	}
	if len(shell.EnvOf) != 1 {
		t.Errorf("further variables for %v", shell.EnvOf)
	}
	want := map[string]string{
		"PATH":       nix.Dir + ":/opt/panther:/usr/bin:/bin",
		"HOME":       filepath.Join(state, "home"),
		"NIX_REMOTE": filepath.Join(state, "store"),
		"TMPDIR":     "/var/tmp",
	}
	for name, value := range want {
		if vars[name] != value {
			t.Errorf("%s=%s, want %s", name, vars[name], value)
		}
	}
	settings := strings.Split(vars["NIX_CONFIG"], "\n")
	for _, line := range []string{
		"sandbox = true", "sandbox-fallback = false", "substituters =", "builders =", "build-hook =",
		"accept-flake-config = false", "sandbox-paths = /bin/sh=" + filepath.Join(nix.Dir, "busybox"),
	} {
		if !slices.Contains(settings, line) {
			t.Errorf("NIX_CONFIG lacks %q:\n%s", line, vars["NIX_CONFIG"])
		}
	}
}

// With builders Nix has a hook that starts it by its full path, and ssh asks
// nobody anything and finds the caller's agent; without them it has none.
func TestEnvironmentBuilders(t *testing.T) {
	nix := Nix{Dir: nixtest.Bin(t), Private: true}
	const builders = "ssh-ng://nix@builder x86_64-linux - 8"
	own := map[string]string{"PATH": "/bin", "NIX_SSHOPTS": "-p 2222", "SSH_AUTH_SOCK": "/run/agent"}
	for _, offline := range []bool{true, false} {
		shell, err := Environment{
			Nix: nix, State: t.TempDir(), Offline: offline, Builders: builders,
			Getenv: func(name string) (string, bool) { value, ok := own[name]; return value, ok },
		}.Shell()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"NIX_SSHOPTS=-p 2222 " + sshOptions, "SSH_AUTH_SOCK=/run/agent"} {
			if !slices.Contains(shell.Env, want) {
				t.Errorf("%q lacks %q", shell.Env, want)
			}
		}
		config := shell.Env[slices.IndexFunc(shell.Env, func(v string) bool { return strings.HasPrefix(v, "NIX_CONFIG=") })]
		settings := strings.Split(strings.TrimPrefix(config, "NIX_CONFIG="), "\n")
		for _, want := range []string{"builders = " + builders, "build-hook = " + nix.Dir + "/nix __build-remote"} {
			if !slices.Contains(settings, want) {
				t.Errorf("%q lacks %q", settings, want)
			}
		}
		// Offline nothing is fetched, there as here.
		if got := slices.Contains(settings, "builders-use-substitutes = true"); got == offline {
			t.Errorf("offline %t: builders-use-substitutes is %t", offline, got)
		}
	}
}

func TestEnvironmentSystem(t *testing.T) {
	for name, e := range map[string]Environment{
		"installed, real inputs": {Store: "auto"},
		"asked for":              {Nix: Nix{Private: true}, Store: "system"},
	} {
		t.Run(name, func(t *testing.T) {
			e.Nix.Dir, e.State = "/nix/bin", "/nonexistent"
			vars := environment(t, e)
			for _, kept := range []string{"HOME", "USER", "NIX_REMOTE", "https_proxy"} {
				if vars[kept] != caller[kept] {
					t.Errorf("%s=%q, want the caller's", kept, vars[kept])
				}
			}
			if !strings.HasPrefix(vars["NIX_CONFIG"], caller["NIX_CONFIG"]+"\n") {
				t.Errorf("NIX_CONFIG does not begin with the caller's: %q", vars["NIX_CONFIG"])
			}
			if strings.Contains(vars["NIX_CONFIG"], "substituters =") || strings.Contains(vars["NIX_CONFIG"], "sandbox") {
				t.Errorf("NIX_CONFIG overrides the system's settings: %q", vars["NIX_CONFIG"])
			}
			for _, dropped := range []string{"AWS_SECRET_ACCESS_KEY", "CI_JOB_TOKEN", "LD_PRELOAD"} {
				if _, ok := vars[dropped]; ok {
					t.Errorf("%s reaches the children", dropped)
				}
			}
		})
	}
}

func TestEnvironmentStore(t *testing.T) {
	private, installed := Nix{Private: true}, Nix{}
	for _, tt := range []struct {
		nix     Nix
		store   string
		offline bool
		want    string
	}{
		{installed, "auto", false, ""},
		{installed, "auto", true, "/state/store"},
		{private, "auto", false, "/state/store"},
		{private, "auto", true, "/state/store"},
		{installed, "/other", false, "/other"},
		{private, "system", true, ""},
	} {
		e := Environment{Nix: tt.nix, Store: tt.store, State: "/state", Offline: tt.offline}
		if got := e.storeRoot(); got != tt.want {
			t.Errorf("%+v: store %q, want %q", tt, got, tt.want)
		}
	}
}

func TestEnvironmentOddPath(t *testing.T) {
	state := filepath.Join(t.TempDir(), "my state")
	_, err := Environment{Nix: Nix{Dir: nixtest.Bin(t), Private: true}, State: state, Offline: true, Getenv: getenv}.Shell()
	if err == nil || !strings.Contains(err.Error(), "--state") {
		t.Errorf("error %v, want one that says what to do", err)
	}
}

// A derivation is built by the real Nix in the private store's sandbox, with
// nothing of the caller's around it.
func TestEnvironmentBuilds(t *testing.T) {
	state := removable(t)
	shell, err := Environment{Nix: Nix{Dir: nixtest.Bin(t), Private: true}, State: state, Offline: true}.Shell()
	if err != nil {
		t.Fatal(err)
	}
	out, err := shell.Run(t.Context(), pipeline.Command{Argv: []string{
		"nix", "build", "--impure", "--no-link", "--print-out-paths", "--expr",
		`derivation { name = "x"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "ls / /bin > $out" ]; }`,
	}})
	if err != nil || out.ExitCode != 0 {
		t.Fatalf("%v, %s", err, out.Stderr)
	}
	path := strings.TrimSpace(string(out.Stdout))
	listing, err := shell.Run(t.Context(), pipeline.Command{Argv: []string{"nix", "store", "cat", path}})
	if err != nil || listing.ExitCode != 0 {
		t.Fatalf("%v, %s", err, listing.Stderr)
	}
	if got := string(listing.Stdout); !strings.Contains(got, "/bin:\nsh\n") || strings.Contains(got, "root\n") {
		t.Errorf("the builder saw\n%s", got)
	}
}
