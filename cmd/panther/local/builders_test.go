package local

import (
	"os"
	"path/filepath"
	"testing"
)

// A list of machines in a file is found from every folder, and machines that
// Nix reaches without ssh need none.
func TestCheckBuilders(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("PATH", dir) // there is no ssh
	if err := os.WriteFile("machines", []byte("# two\n\nunix:///run/builder x86_64-linux - 4\n/srv/other - - 2 # slow\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{
		"@machines": "@" + filepath.Join(dir, "machines"),
		" ssh-ng://localhost?remote-store=/srv/a x86_64-linux ; /srv/b ": "ssh-ng://localhost?remote-store=/srv/a x86_64-linux ; /srv/b",
	} {
		if got, err := CheckBuilders(value); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", value, got, err, want)
		}
	}
	for _, value := range []string{"ssh://a", "ssh-ng://nix@a x86_64-linux", "a.example.org", "nix@a - - 1; /srv/b"} {
		if got, err := CheckBuilders(value); err == nil {
			t.Errorf("%q: %q, and there is no ssh", value, got)
		}
	}
}
