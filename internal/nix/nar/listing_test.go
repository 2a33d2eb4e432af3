package nar_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/nix/nar"
	"gitlab.com/pantheros/pantheros/internal/nixtest"

	"github.com/google/go-cmp/cmp"
)

func list(t testing.TB, archive []byte) ([]byte, error) {
	t.Helper()
	var l nar.Lister
	if err := nar.Parse(bytes.NewReader(archive), l.Visitor()); err != nil {
		t.Fatal(err)
	}
	return l.JSON()
}

// The listing is what Nix writes beside a narinfo, byte for byte.
func TestListingEqualsNix(t *testing.T) {
	env := nixtest.Another(t)
	tree := hardTree(t)
	// Nix itself fails on these: JSON has no place for them.
	for _, name := range []string{"names/\xff\xfe", "link-odd"} {
		if err := os.Remove(filepath.Join(tree, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(tree, "names/\x01\x1f\x7f\u2028\b\f\r"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{tree, tree + "/bin/run", tree + "/link-broken", tree + "/empty-dir", tree + "/empty"} {
		out, err := env.Command("nix-store", "--add", path).Output()
		if err != nil {
			t.Fatalf("nix-store --add: %v", err)
		}
		added := strings.TrimSpace(string(out))
		cache := t.TempDir()
		if out, err := env.Command("nix", "copy", "--to", "file://"+cache+"?write-nar-listing=true&compression=none", added).CombinedOutput(); err != nil {
			t.Fatalf("nix copy: %v\n%s", err, out)
		}
		want, err := os.ReadFile(filepath.Join(cache, filepath.Base(added)[:32]+".ls"))
		if err != nil {
			t.Fatal(err)
		}
		archive := dump(t, path)
		got, err := list(t, archive)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s: the listing differs from Nix's:\n%s", path, diff)
		}
		nodes, err := nar.ParseListing(want)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(nodesOf(t, archive), nodes); diff != "" {
			t.Errorf("%s: Nix's listing is read as something else:\n%s", path, diff)
		}
	}
}

func TestNoListing(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/d/e", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("\xff", dir+"/d/link"); err != nil {
		t.Fatal(err)
	}
	if _, err := list(t, dump(t, dir)); !errors.Is(err, nar.ErrNoListing) {
		t.Errorf("a target that is not UTF-8: %v", err)
	}
	var names []string
	for i := range 25_000 { // each is 1,530 bytes in JSON
		names = append(names, fmt.Sprintf("%06d", i)+strings.Repeat("\x01", 249))
	}
	if _, err := list(t, entries(names...)); !errors.Is(err, nar.ErrNoListing) || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("an enormous one: %v", err)
	}
}

func TestParseListingRefuses(t *testing.T) {
	for _, tt := range []struct{ listing, want string }{
		{`x`, "not a listing"},
		{`{}`, "version 0"},
		{`{"version":1}`, "nothing is said"},
		{`{"version":2,"root":{"type":"directory"}}`, "version 2"},
		{`{"version":1,"root":{"type":"fifo"}}`, `type "fifo"`},
		{`{"version":1,"root":{"type":"regular"}}`, "size"},
		{`{"version":1,"root":{"type":"regular","size":-1}}`, "size"},
		{`{"version":1,"root":{"type":"regular","size":99999999999999999999}}`, "not a listing"},
		{`{"version":1,"root":{"type":"regular","size":1,"narOffset":-1}}`, "size"},
		{`{"version":1,"root":{"type":"symlink"}}`, "target"},
		{`{"version":1,"root":{"type":"directory","entries":{"a":null}}}`, "nothing is said"},
		{`{"version":1,"root":{"type":"directory","entries":{"..":{"type":"directory"}}}}`, "not that of a file"},
		{`{"version":1,"root":{"type":"directory","entries":{"../../etc":{"type":"directory"}}}}`, "slash"},
		{`{"version":1,"root":{"type":"directory","entries":{"":{"type":"directory"}}}}`, "empty"},
		{`{"version":1,"root":{"type":"directory","entries":{"` + strings.Repeat("n", 256) + `":{"type":"directory"}}}}`, "too long"},
		{`{"version":1,"root":` + strings.Repeat(`{"type":"directory","entries":{"d":`, 5000) + `1` + strings.Repeat(`}}`, 5000) + `}`, "not a listing"},
	} {
		if _, err := nar.ParseListing([]byte(tt.listing)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.80s: %v, want %q", tt.listing, err, tt.want)
		}
	}
	if _, err := nar.ParseListing(make([]byte, nar.MaxListing+1)); err == nil {
		t.Error("an enormous one was read")
	}
}

func FuzzParseListing(f *testing.F) {
	f.Add([]byte(`{"root":{"entries":{"a":{"executable":true,"narOffset":8,"size":3,"type":"regular"},"b":{"target":"a","type":"symlink"}},"type":"directory"},"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		nodes, err := nar.ParseListing(data)
		if err != nil {
			return
		}
		for i, n := range nodes {
			if strings.Contains("/"+n.Path+"/", "/../") || strings.HasPrefix(n.Path, "/") || n.Size < 0 {
				t.Fatalf("%+v", n)
			}
			if i > 0 && n.Path == nodes[i-1].Path {
				t.Fatalf("%q twice", n.Path)
			}
		}
	})
}
