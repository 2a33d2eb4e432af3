package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nixtest"
)

func TestParseVersion(t *testing.T) {
	for line, want := range map[string]string{
		"nix (Nix) 2.26.3":                 "2.26 true",
		"nix (Nix) 2.18":                   "2.18 true",
		"nix (Lix, like Nix) 2.91.1":       "2.91 true",
		"nix (Nix) 2.34.0pre20260101_abcd": "2.34 true",
		"nix (Nix) 2.4pre-rc1":             "2.4 true",
		"3.0.1":                            "3.0 true",
		"":                                 "0.0 false",
		"nix":                              "0.0 false",
		"nix (Nix) two.three":              "0.0 false",
	} {
		major, minor, ok := parseVersion(line)
		if got := fmt.Sprintf("%d.%d %v", major, minor, ok); got != want {
			t.Errorf("parseVersion(%q) = %s, want %s", line, got, want)
		}
	}
}

// oldNix is a folder with a nix command that prints a version and nothing else.
func oldNix(t *testing.T, dir, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho 'nix (Nix) " + version + "'\n"
	if err := os.WriteFile(filepath.Join(dir, "nix"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFindNix(t *testing.T) {
	bin := nixtest.Bin(t)
	old, newer := oldNix(t, t.TempDir(), "2.8.0"), oldNix(t, t.TempDir(), "2.31.1")
	state, empty := t.TempDir(), t.TempDir()
	oldNix(t, filepath.Join(state, "nix", "a", "bin"), "2.9.1")
	best := oldNix(t, filepath.Join(state, "nix", "b", "bin"), "2.30.0")
	oldNix(t, filepath.Join(state, "nix", "c", "bin"), "2.26.9")
	join := func(dirs ...string) string { return strings.Join(dirs, ":") }

	tests := []struct {
		name, flag, path, state string
		dir, err                string
	}{
		{name: "the flag wins", flag: bin, path: newer, state: state, dir: bin},
		{name: "the flag names no Nix", flag: empty, path: newer, err: "there is no nix in " + empty},
		{name: "the flag names an old Nix", flag: old, path: newer, err: "the Nix in " + old + " is 2.8, older than 2.18, which nixpkgs needs"},
		{name: "on PATH", path: join(empty, newer, bin), state: state, dir: newer},
		{name: "an old one on PATH hides others there", path: join(old, newer), state: state, dir: best},
		{name: "unpacked, the newest", path: empty, state: state, dir: best},
		{name: "none", path: empty, state: empty, err: ErrNoNix.Error()},
		{name: "only an old one", path: old, state: empty, err: ErrNoNix.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			nix, err := FindNix(t.Context(), tt.flag, tt.path, tt.state)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Fatalf("error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if nix.Dir != tt.dir {
				t.Errorf("found %s, want %s", nix.Dir, tt.dir)
			}
			if want := tt.dir == bin; nix.Private != want {
				t.Errorf("private is %v, want %v", nix.Private, want)
			}
		})
	}
}

func TestFindNixCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	state := t.TempDir()
	oldNix(t, filepath.Join(state, "nix", "a", "bin"), "2.30.0")
	if _, err := FindNix(ctx, "", "", state); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the end of ctx", err)
	}
}

func TestFindBusybox(t *testing.T) {
	bin := nixtest.Bin(t)
	dynamic := t.TempDir()
	if err := os.Symlink("/bin/sh", filepath.Join(dynamic, "busybox")); err != nil {
		t.Fatal(err)
	}
	linked := t.TempDir()
	if err := os.Symlink(filepath.Join(bin, "busybox"), filepath.Join(linked, "busybox")); err != nil {
		t.Fatal(err)
	}
	want, err := filepath.EvalSymlinks(filepath.Join(bin, "busybox"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		nix  Nix
		path string
		want string
	}{
		"the private Nix's own":         {Nix{Dir: bin, Private: true}, dynamic, want},
		"on PATH, links resolved":       {Nix{Dir: dynamic}, linked, want},
		"a dynamic one does not do":     {Nix{}, dynamic, ""},
		"a static one behind a dynamic": {Nix{}, dynamic + ":" + linked, want},
		"none":                          {Nix{}, t.TempDir(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := findBusybox(tt.nix, tt.path)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("%s, %v; want %s", got, err, tt.want)
			}
		})
	}
}
