package inventory

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Load neither panics nor says anything that is not on one line of the file.
// What it accepts is put to Nix by pipeline/flake's FuzzRender.
func FuzzLoad(f *testing.F) {
	dir := f.TempDir()
	for _, path := range []string{"profiles/common/base.nix", "home/hayden/default.nix"} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("{ }\n"), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	path := filepath.Join(dir, "hosts.toml")
	f.Add([]byte(good))
	for _, test := range problemTests {
		f.Add([]byte(strings.Replace(good, test.old, test.new, 1)))
	}
	f.Fuzz(func(t *testing.T, hosts []byte) {
		if err := os.WriteFile(path, hosts, 0o644); err != nil {
			t.Fatal(err)
		}
		inv, err := Load(path)
		if err == nil {
			if len(inv.Hosts) == 0 {
				t.Error("no hosts")
			}
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatal(err)
		}
		lines := strings.Count(string(hosts), "\n") + 1
		for i, p := range problems {
			if strings.ContainsFunc(p.String(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("not on one line: %q", p)
			}
			if p.Line < 1 || p.Line > lines || p.Column < 1 || i > 0 && p.Line < problems[i-1].Line {
				t.Errorf("problem %d is at %d:%d", i, p.Line, p.Column)
			}
		}
	})
}
