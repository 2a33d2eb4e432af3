package nar_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"gitlab.com/pantheros/pantheros/internal/nix/nar"
	"gitlab.com/pantheros/pantheros/internal/nixtest"

	"github.com/google/go-cmp/cmp"
)

func dump(t testing.TB, path string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := nar.Dump(&b, path); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// encoder is a Visitor that writes down, as a NAR, what it is told.
type encoder struct {
	bytes.Buffer
	depth int
	left  int64 // contents that are still to come
	size  int64
}

func (e *encoder) strings(all ...string) {
	for _, s := range all {
		e.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(s))))
		e.WriteString(s)
		e.pad(int64(len(s)))
	}
}

func (e *encoder) pad(n int64) { e.Write(make([]byte, (8-n%8)%8)) }

func (e *encoder) visitor() nar.Visitor {
	e.strings("nix-archive-1")
	return nar.Visitor{Enter: e.enter, Contents: e.contents, Leave: func() error {
		e.depth--
		e.end()
		return nil
	}}
}

func (e *encoder) enter(n nar.Node) error {
	if e.left != 0 {
		return fmt.Errorf("%s: %d bytes of the file before it did not come", n.Path, e.left)
	}
	if e.depth > 0 {
		e.strings("entry", "(", "name", filepath.Base(n.Path), "node")
	}
	e.strings("(", "type", n.Kind.String())
	switch n.Kind {
	case nar.Directory:
		e.depth++
	case nar.Symlink:
		e.strings("target", n.Target)
		e.end()
	default:
		if n.Executable {
			e.strings("executable", "")
		}
		e.strings("contents")
		e.Write(binary.LittleEndian.AppendUint64(nil, uint64(n.Size)))
		if int64(e.Len()) != n.Offset {
			return fmt.Errorf("%s: offset %d, want %d", n.Path, n.Offset, e.Len())
		}
		e.left, e.size = n.Size, n.Size
		if n.Size == 0 {
			e.end()
		}
	}
	return nil
}

func (e *encoder) contents(p []byte) error {
	if len(p) == 0 || int64(len(p)) > e.left {
		return fmt.Errorf("%d bytes of contents, %d are to come", len(p), e.left)
	}
	e.Write(p)
	if e.left -= int64(len(p)); e.left == 0 {
		e.pad(e.size)
		e.end()
	}
	return nil
}

func (e *encoder) end() {
	e.strings(")")
	if e.depth > 0 {
		e.strings(")")
	}
}

// unpack is a Visitor that makes the tree on disk.
func unpack(root string) nar.Visitor {
	var file string
	return nar.Visitor{
		Enter: func(n nar.Node) error {
			path := filepath.Join(root, n.Path)
			switch n.Kind {
			case nar.Directory:
				return os.Mkdir(path, 0o755)
			case nar.Symlink:
				return os.Symlink(n.Target, path)
			}
			mode := os.FileMode(0o644)
			if n.Executable {
				mode = 0o755
			}
			file = path
			return os.WriteFile(path, nil, mode)
		},
		Contents: func(p []byte) error {
			f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			_, err = f.Write(p)
			return errors.Join(err, f.Close())
		},
	}
}

// What Dump writes Parse reads, however the bytes come in, and a tree made
// from that has the same archive.
func TestParseRoundTrip(t *testing.T) {
	tree := hardTree(t)
	for _, path := range []string{tree, tree + "/bin/run", tree + "/empty", tree + "/link-odd", tree + "/empty-dir", tree + "/names"} {
		archive := dump(t, path)
		for name, r := range map[string]io.Reader{
			"whole":   bytes.NewReader(archive),
			"bytes":   iotest.OneByteReader(bytes.NewReader(archive)),
			"halves":  iotest.HalfReader(bytes.NewReader(archive)),
			"with it": iotest.DataErrReader(bytes.NewReader(archive)),
		} {
			var e encoder
			if err := nar.Parse(r, e.visitor()); err != nil {
				t.Errorf("%s, %s: %v", path, name, err)
			} else if !bytes.Equal(e.Bytes(), archive) {
				t.Errorf("%s, %s: what was told makes another archive", path, name)
			}
		}
		again := filepath.Join(t.TempDir(), "again")
		if err := nar.Parse(bytes.NewReader(archive), unpack(again)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(dump(t, again), archive) {
			t.Errorf("%s: the unpacked tree has another archive", path)
		}
	}
}

func archiveOf(parts ...string) []byte {
	var e encoder
	e.strings(parts...)
	return e.Bytes()
}

func entries(entries ...string) []byte {
	parts := []string{"nix-archive-1", "(", "type", "directory"}
	for _, name := range entries {
		parts = append(parts, "entry", "(", "name", name, "node", "(", "type", "regular", "contents", "", ")", ")")
	}
	return archiveOf(append(parts, ")")...)
}

// Each of these is refused, and if Nix accepts it, the reason is that it is not
// what Nix would write.
func TestParseRefuses(t *testing.T) {
	good := entries("a")
	odd := func(change func([]byte) []byte) []byte { return change(bytes.Clone(good)) }
	tests := map[string]struct {
		archive []byte
		want    string
	}{
		"nothing":             {nil, "too early"},
		"no magic":            {archiveOf("nix-archive-2", "("), `"nix-archive-2"`},
		"text":                {[]byte("<html><body>404 Not Found</body></html>"), "a string of"},
		"empty name":          {entries(""), "it is empty"},
		"dot":                 {entries("."), "not that of a file"},
		"dot dot":             {entries(".."), "not that of a file"},
		"slash":               {entries("a/b"), "a slash"},
		"absolute":            {entries("/etc"), "a slash"},
		"zero byte":           {entries("a\x00"), "a zero byte"},
		"twice":               {entries("a", "a"), "sorted"},
		"not sorted":          {entries("b", "a"), "sorted"},
		"long name":           {entries(strings.Repeat("n", 256)), "at most 255"},
		"long target":         {archiveOf("nix-archive-1", "(", "type", "symlink", "target", strings.Repeat("t", 4096), ")"), "at most 4095"},
		"empty target":        {archiveOf("nix-archive-1", "(", "type", "symlink", "target", "", ")"), "a symlink to"},
		"zero in target":      {archiveOf("nix-archive-1", "(", "type", "symlink", "target", "a\x00b", ")"), "a symlink to"},
		"no target":           {archiveOf("nix-archive-1", "(", "type", "symlink", ")"), `"target" should be`},
		"no contents":         {archiveOf("nix-archive-1", "(", "type", "regular", ")"), `"contents" should be`},
		"executable value":    {archiveOf("nix-archive-1", "(", "type", "regular", "executable", "yes", "contents", "", ")"), `"yes"`},
		"executable after":    {archiveOf("nix-archive-1", "(", "type", "regular", "contents", "", "executable", "", ")"), `")" should be`},
		"another type":        {archiveOf("nix-archive-1", "(", "type", "fifo", ")"), `type "fifo"`},
		"entry without node":  {archiveOf("nix-archive-1", "(", "type", "directory", "entry", "(", "name", "a", ")", ")"), `"node" should be`},
		"node before name":    {archiveOf("nix-archive-1", "(", "type", "directory", "entry", "(", "node"), `"name" should be`},
		"trailing zero bytes": {odd(func(b []byte) []byte { return append(b, make([]byte, 8)...) }), "after its end"},
		"trailing byte":       {odd(func(b []byte) []byte { return append(b, 0) }), "after its end"},
		"two archives":        {odd(func(b []byte) []byte { return append(b, b...) }), "after its end"},
		"padding":             {odd(func(b []byte) []byte { b[23] = 1; return b }), "padding"},
		"endless file":        {append(archiveOf("nix-archive-1", "(", "type", "regular", "contents"), bytes.Repeat([]byte{0xff}, 8)...), "a file of 18446744073709551615 bytes"},
		"largest file":        {append(archiveOf("nix-archive-1", "(", "type", "regular", "contents"), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), "a file of"},
		"endless string":      {append(archiveOf("nix-archive-1", "("), bytes.Repeat([]byte{0xff}, 8)...), "at most 13"},
	}
	for name, tt := range tests {
		for _, r := range []io.Reader{bytes.NewReader(tt.archive), iotest.OneByteReader(bytes.NewReader(tt.archive))} {
			err := nar.Parse(r, nar.Visitor{})
			var format *nar.FormatError
			if !errors.As(err, &format) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want %q", name, err, tt.want)
			}
		}
	}
	for n := range good {
		if err := nar.Parse(bytes.NewReader(good[:n]), nar.Visitor{}); err == nil || !strings.Contains(err.Error(), "too early") {
			t.Fatalf("cut off after %d bytes: %v", n, err)
		}
	}
}

// endless yields directories in directories for ever.
type endless struct{ pending []byte }

func (e *endless) Read(p []byte) (int, error) {
	if len(e.pending) == 0 {
		e.pending = archiveOf("(", "type", "directory", "entry", "(", "name", "deep", "node")
	}
	n := copy(p, e.pending)
	e.pending = e.pending[n:]
	return n, nil
}

func TestParseEndlessDepth(t *testing.T) {
	err := nar.Parse(&endless{pending: archiveOf("nix-archive-1")}, nar.Visitor{})
	if err == nil || !strings.Contains(err.Error(), "a path of 4099 bytes") || len(err.Error()) > 1000 {
		t.Errorf("%v", err)
	}
}

func TestParseVisitorErrors(t *testing.T) {
	stop := errors.New("stop")
	archive := dump(t, hardTree(t))
	for name, v := range map[string]nar.Visitor{
		"enter":    {Enter: func(nar.Node) error { return stop }},
		"contents": {Contents: func([]byte) error { return stop }},
		"leave":    {Leave: func() error { return stop }},
	} {
		if err := nar.Parse(bytes.NewReader(archive), v); !errors.Is(err, stop) {
			t.Errorf("%s: %v", name, err)
		}
		p := nar.NewParser(v)
		_, first := p.Write(archive)
		if _, again := p.Write([]byte{0}); !errors.Is(again, first) || !errors.Is(p.Close(), stop) {
			t.Errorf("%s: after the error %v", name, again)
		}
	}
	broken := errors.New("broken")
	if err := nar.Parse(io.MultiReader(bytes.NewReader(archive[:100]), iotest.ErrReader(broken)), nar.Visitor{}); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
}

// Nix is asked what it thinks of archives with a few bytes changed: what is
// accepted here it unpacks to a tree with the same archive.
func TestParseAgreesWithNix(t *testing.T) {
	env := nixtest.Another(t)
	tree := hardTree(t)
	for _, large := range []string{"large", "link-long", "names"} {
		if err := os.RemoveAll(filepath.Join(tree, large)); err != nil {
			t.Fatal(err)
		}
	}
	good := dump(t, tree)
	rnd := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	dir := t.TempDir()
	for i := range 60 {
		archive := bytes.Clone(good)
		for range rnd.IntN(3) {
			archive[rnd.IntN(len(archive))] = "\x00ab./)\xff"[rnd.IntN(7)]
		}
		if nar.Parse(bytes.NewReader(archive), nar.Visitor{}) != nil {
			continue
		}
		accepted++
		to := filepath.Join(dir, fmt.Sprint(i))
		restore := env.Command("nix-store", "--restore", to)
		restore.Stdin = bytes.NewReader(archive)
		if out, err := restore.CombinedOutput(); err != nil {
			t.Fatalf("Nix refuses what Parse accepts: %v\n%s", err, out)
		}
		again, err := env.Command("nix-store", "--dump", to).Output()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, archive) {
			t.Fatalf("archive %d: Nix makes another tree of it", i)
		}
	}
	if accepted < 15 || accepted > 55 {
		t.Errorf("%d of 60 were accepted: this compares too little", accepted)
	}
}

// FuzzParse: whatever is accepted is told completely, whether it comes at once
// or in pieces.
func FuzzParse(f *testing.F) {
	f.Add(entries("a", "b"), 3)
	f.Add(entries("..x"), 1)
	f.Add(archiveOf("nix-archive-1", "(", "type", "symlink", "target", "/etc", ")"), 9)
	f.Add(archiveOf("nix-archive-1", "(", "type", "regular", "executable", "", "contents", "contents", ")"), 5)
	f.Add(archiveOf("nix-archive-1", "(", "type", "directory", "entry", "(", "name", "d", "node", "(", "type", "directory", "entry", "(", "name", "d", "node", "(", "type", "directory", ")", ")", ")", ")", ")"), 8)
	f.Fuzz(func(t *testing.T, archive []byte, piece int) {
		var whole encoder
		var lister nar.Lister
		err := nar.Parse(bytes.NewReader(archive), whole.visitor())
		if err == nil && !bytes.Equal(whole.Bytes(), archive) {
			t.Fatalf("accepted, but told as %q", whole.Bytes())
		}
		p := nar.NewParser(lister.Visitor())
		var inPieces error
		size := 1 + (piece&0xff+0x100)&0xff
		for rest := archive; len(rest) > 0 && inPieces == nil; {
			n := min(size, len(rest))
			_, inPieces = p.Write(rest[:n])
			rest = rest[n:]
		}
		if inPieces == nil {
			inPieces = p.Close()
		}
		if (err == nil) != (inPieces == nil) {
			t.Fatalf("at once: %v; in pieces of %d: %v", err, size, inPieces)
		}
		if err != nil {
			return
		}
		listing, err := lister.JSON()
		if errors.Is(err, nar.ErrNoListing) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		nodes, err := nar.ParseListing(listing)
		if err != nil {
			t.Fatalf("%v\n%s", err, listing)
		}
		if diff := cmp.Diff(nodesOf(t, archive), nodes); diff != "" {
			t.Fatalf("the listing says something else:\n%s", diff)
		}
	})
}

func nodesOf(t testing.TB, archive []byte) []nar.Node {
	t.Helper()
	var nodes []nar.Node
	if err := nar.Parse(bytes.NewReader(archive), nar.Visitor{Enter: func(n nar.Node) error {
		nodes = append(nodes, n)
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	return nodes
}

func BenchmarkParse(b *testing.B) {
	dir := b.TempDir()
	for i := range 1000 {
		if err := os.WriteFile(fmt.Sprintf("%s/%d", dir, i), bytes.Repeat([]byte{byte(i)}, 40_000), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	archive := dump(b, dir)
	b.SetBytes(int64(len(archive)))
	for b.Loop() {
		var l nar.Lister
		if err := nar.Parse(bytes.NewReader(archive), l.Visitor()); err != nil {
			b.Fatal(err)
		}
	}
}
