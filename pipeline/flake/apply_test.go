package flake_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/pantheros/pantheros/pipeline/flake"
)

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tree returns the contents of all files below dir, folders as "".
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		files[name] = ""
		if d.Type().IsRegular() {
			content, err := os.ReadFile(path)
			files[name] = string(content)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func plan(t *testing.T, dir string) []flake.Change {
	t.Helper()
	changes, err := flake.Plan(dir, fleet())
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

func paths(changes []flake.Change) []string {
	var s []string
	for _, c := range changes {
		s = append(s, c.Path)
	}
	return s
}

func TestGenerate(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "hosts/yoga/home.nix"), "mine\n")

	changes := plan(t, dir)
	want := []string{
		"hosts/ovh/configuration.nix", "hosts/ovh/hardware-configuration.nix", "hosts/ovh/home.nix",
		"hosts/yoga/configuration.nix", "hosts/yoga/hardware-configuration.nix", "flake.nix",
	}
	if diff := cmp.Diff(want, paths(changes)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	golden(t, "generate.diff", []byte(flake.Diff(changes)))
	if got := tree(t, dir); len(got) != 3 {
		t.Errorf("Plan wrote: %v", got)
	}

	if err := flake.Apply(changes); err != nil {
		t.Fatal(err)
	}
	got := tree(t, dir)
	for _, c := range changes {
		if got[c.Path] != string(c.After) {
			t.Errorf("%s: %q", c.Path, got[c.Path])
		}
	}
	if got["hosts/yoga/home.nix"] != "mine\n" {
		t.Errorf("home.nix was replaced: %q", got["hosts/yoga/home.nix"])
	}
	if len(got) != len(changes)+4 {
		t.Errorf("more or less than planned: %v", got)
	}

	again := plan(t, dir)
	if len(again) > 0 {
		t.Errorf("the second plan: %v", paths(again))
	}
	if err := flake.Apply(again); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(got, tree(t, dir)); diff != "" {
		t.Errorf("the second run changed:\n%s", diff)
	}
}

func TestDrift(t *testing.T) {
	dir := t.TempDir()
	if err := flake.Apply(plan(t, dir)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "flake.nix")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edited := bytes.Replace(content, []byte("nixos-25.05"), []byte("nixos-24.11"), 1)
	if err := os.WriteFile(path, edited, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	changes := plan(t, dir)
	golden(t, "drift.diff", []byte(flake.Diff(changes)))
	if err := flake.Apply(changes); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%v\n%s", err, got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}

// A folder without permission to write leaves all others as they were.
func TestApplyReadOnly(t *testing.T) {
	for _, locked := range []string{"", "hosts", "hosts/yoga"} {
		t.Run("locked "+locked, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, "hosts/yoga/home.nix"), "mine\n")
			writeFile(t, filepath.Join(dir, "flake.nix"), "{ }\n")
			changes, before := plan(t, dir), tree(t, dir)
			err := withoutWrite(t, dir, locked, func() error { return flake.Apply(changes) })
			want := map[string]string{
				"":           "hosts/ovh/configuration.nix: permission denied; nothing was changed",
				"hosts":      "hosts/ovh/configuration.nix: permission denied; nothing was changed",
				"hosts/yoga": "hosts/yoga/configuration.nix: permission denied; nothing was changed",
			}[locked]
			if locked == "" {
				// hosts/ itself can be written to, so that flake.nix fails.
				want = "flake.nix: permission denied; nothing was changed"
			}
			if err == nil || err.Error() != "write "+filepath.Join(dir, want) {
				t.Errorf("got %v, want %s", err, want)
			}
			if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
				t.Errorf("-before +after:\n%s", diff)
			}
			if err := flake.Apply(plan(t, dir)); err != nil {
				t.Errorf("once it can be written to: %v", err)
			}
		})
	}
}

// withoutWrite runs f as an ordinary user who can write below dir, but not in
// the folder locked. Root could write everywhere.
func withoutWrite(t *testing.T, dir, locked string, f func() error) error {
	t.Helper()
	const nobody = 65534
	if os.Geteuid() == 0 {
		// Others cannot enter what TempDir makes.
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chown(path, nobody, nobody)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	target := filepath.Join(dir, locked)
	if err := os.Chmod(target, 0o555); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(target, 0o755)
	if os.Geteuid() != 0 {
		return f()
	}
	result := make(chan error)
	go func() {
		// Not unlocked: the thread ends with the goroutine, so that nothing
		// else ever runs as that user. The file system's user id is the one
		// that a thread can change for itself alone.
		runtime.LockOSThread()
		if err := syscall.Setfsuid(nobody); err != nil {
			result <- err
			return
		}
		result <- f()
	}()
	return <-result
}

func TestApplyChangedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "flake.nix"), "{ }\n")
	changes := plan(t, dir)
	writeFile(t, filepath.Join(dir, "flake.nix"), "{ /* new */ }\n")
	before := tree(t, dir)
	want := "write " + dir + "/flake.nix: it changed in the meantime; try again; nothing was changed"
	if err := flake.Apply(changes); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}

	changes = plan(t, dir)
	writeFile(t, filepath.Join(dir, "hosts/ovh/home.nix"), "mine\n")
	before = tree(t, dir)
	want = "write " + dir + "/hosts/ovh/home.nix: it changed in the meantime; try again; nothing was changed"
	if err := flake.Apply(changes); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}

func TestPlanRefuses(t *testing.T) {
	outside := t.TempDir()
	writeFile(t, filepath.Join(outside, "flake.nix"), "{ }\n")
	symlink := func(target, name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name    string
		prepare func(*testing.T, string)
		want    string // DIR stands for the flake's folder
	}{
		{"flake.nix links out", symlink(filepath.Join(outside, "flake.nix"), "flake.nix"),
			"read DIR/flake.nix: it is generated, and so has to be a regular file; remove what is there"},
		{"flake.nix links inside", symlink("hosts.toml", "flake.nix"),
			"read DIR/flake.nix: it is generated, and so has to be a regular file; remove what is there"},
		{"flake.nix is a folder", func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "flake.nix/x"), "") },
			"read DIR/flake.nix: it is generated, and so has to be a regular file; remove what is there"},
		{"flake.nix is large", func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "flake.nix"), strings.Repeat("#", 5<<20))
		},
			"read DIR/flake.nix: it is larger than 4 MiB; is it the generated file?"},
		{"hosts links out", symlink(outside, "hosts"),
			"look at DIR/hosts/ovh/configuration.nix: path escapes from parent"},
		{"host links out", symlink(outside, "hosts/yoga"),
			"look at DIR/hosts/yoga/configuration.nix: path escapes from parent"},
		{"host links out by dots", symlink("../..", "hosts/ovh"),
			"look at DIR/hosts/ovh/configuration.nix: path escapes from parent"},
		{"host file links out", symlink("/etc/hostname", "hosts/ovh/home.nix"),
			"look at DIR/hosts/ovh/home.nix: path escapes from parent"},
		{"host file links to nothing", symlink("nothing", "hosts/ovh/home.nix"),
			"DIR/hosts/ovh/home.nix is a symbolic link to nothing; remove it"},
		{"host is a file", func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "hosts/ovh"), "") },
			"look at DIR/hosts/ovh/configuration.nix: not a directory"},
		{"host file is a folder", func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "hosts/ovh/home.nix/x"), "") },
			"DIR/hosts/ovh/home.nix is not a regular file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			test.prepare(t, dir)
			_, err := flake.Plan(dir, fleet())
			want := strings.ReplaceAll(test.want, "DIR", dir)
			if err == nil || err.Error() != want {
				t.Errorf("got %v\nwant %s", err, want)
			}
		})
	}
	_, err := flake.Plan(filepath.Join(outside, "none"), fleet())
	if want := "open the flake's folder " + outside + "/none: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A link that appears between Plan and Apply is not followed out either.
func TestApplyRefusesLinks(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	changes := plan(t, dir)
	if err := os.Symlink(outside, filepath.Join(dir, "hosts")); err != nil {
		t.Fatal(err)
	}
	want := "write " + dir + "/hosts/ovh/configuration.nix: path escapes from parent; nothing was changed"
	if err := flake.Apply(changes); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("written outside: %v", entries)
	}
}

func TestStray(t *testing.T) {
	dir := t.TempDir()
	if stray, err := flake.Stray(dir, fleet()); err != nil || stray != nil {
		t.Errorf("without hosts/: %v, %v", stray, err)
	}
	for _, path := range []string{"hosts/yoga/x", "hosts/old/x", "hosts/ancient/x", "hosts/.git/x", "hosts/default.nix"} {
		writeFile(t, filepath.Join(dir, path), "")
	}
	stray, err := flake.Stray(dir, fleet())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"hosts/ancient", "hosts/old"}, stray); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := os.RemoveAll(filepath.Join(dir, "hosts")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "hosts"), "")
	if _, err = flake.Stray(dir, fleet()); err == nil || err.Error() != "list "+dir+"/hosts: not a directory" {
		t.Errorf("hosts is a file: %v", err)
	}
}
