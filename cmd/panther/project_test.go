package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestCommit(t *testing.T) {
	root := t.TempDir()
	p := &project{flake: filepath.Join(root, "flake-src")}
	if err := os.Mkdir(p.flake, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", root)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	git := func(args ...string) {
		t.Helper()
		args = append([]string{"-C", root, "-c", "user.name=x", "-c", "user.email=x@example.org"}, args...)
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args, err, out)
		}
	}
	touch := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what, want string) {
		t.Helper()
		if got := p.commit(t.Context()); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s: commit %q, want %s", what, got, want)
		}
	}
	check("no repository", `^$`)
	git("init", "-q")
	check("no commit", `^$`)
	touch("flake-src/hosts.toml")
	git("add", ".")
	git("commit", "-qm", "first")
	check("clean", `^[0-9a-f]{40}$`)
	touch("elsewhere")
	check("changed elsewhere", `^[0-9a-f]{40}$`)
	touch("flake-src/new.nix")
	check("changed", `^[0-9a-f]{40}\+dirty$`)
	t.Setenv("GIT_DIR", filepath.Join(root, "nowhere"))
	check("in a hook of another repository", `^[0-9a-f]{40}\+dirty$`)
}

func TestNearest(t *testing.T) {
	hosts := []string{"desktop", "ovh-cloud-vps", "yoga", "zephyrus"}
	for name, want := range map[string]string{
		"yogo": "yoga", "Yoga": "yoga", "zephirus": "zephyrus", "ovh": "ovh-cloud-vps", "desk": "desktop", "mainframe": "",
	} {
		if got := nearest(name, hosts); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestFileURL(t *testing.T) {
	for dir, want := range map[string]string{
		"/srv/cache":         "file:///srv/cache",
		"/srv/my cache#1?%x": "file:///srv/my%20cache%231%3F%25x",
	} {
		if got := fileURL(dir); got != want {
			t.Errorf("fileURL(%q) = %q, want %q", dir, got, want)
		}
	}
}

func TestEnsureKeyKeepsWhatIsThere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	for _, content := range []string{"first", "second"} {
		if err := writeSecret(file, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil || string(data) != "first" {
		t.Errorf("the key is %q, %v", data, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".key-*")); len(left) > 0 {
		t.Errorf("left behind: %s", strings.Join(left, " "))
	}
}
