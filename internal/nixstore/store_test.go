package nixstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixtest"

	"github.com/google/go-cmp/cmp"
)

// diamond builds top, which refers to left, right and itself; both refer to
// base; lone is apart.
const diamond = `let
	base = sh "base-1.0" "echo base > $out";
	left = sh "left-1.0" "/bin/sh -c 'mkdir -p $out/bin; echo ${base} > $out/bin/l; chmod +x $out/bin/l'";
	right = sh "right-2.0" "mkdir $out; ln -s ${base} $out/link";
	in sh "top" "mkdir $out; ln -s ${left} $out/l; ln -s ${right} $out/r; echo $out > $out/self"`

func open(t *testing.T, address string) *Store {
	t.Helper()
	s, err := Open(address)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestClosure(t *testing.T) {
	env := nixtest.New(t)
	top := nix.StorePath(env.Build(t, diamond))
	s := open(t, "")
	got, err := s.Closure(t.Context(), top)
	if err != nil {
		t.Fatal(err)
	}
	want := env.Closure(t, string(top))
	if len(got) != len(want) || len(got) != 4 {
		t.Fatalf("%d paths, Nix says %d", len(got), len(want))
	}
	if got[len(got)-1].Path != top || !strings.HasSuffix(string(got[0].Path), "-base-1.0") {
		t.Errorf("not references first: %v", got)
	}
	for _, p := range got {
		w := want[string(p.Path)]
		hash, err := nix.ParseHash(w.NARHash)
		if err != nil {
			t.Fatal(err)
		}
		refs := []string{}
		for _, r := range p.References {
			refs = append(refs, string(r))
		}
		slices.Sort(w.References)
		if p.NARHash != hash || p.NARSize != w.NARSize || !slices.Equal(refs, w.References) {
			t.Errorf("%s: %+v, Nix says %+v", p.Path, p, w)
		}
		if p.Deriver == "" {
			t.Errorf("%s: no deriver", p.Path)
		}
	}

	// Asking Nix must tell the same as reading its database.
	asked, err := s.closureFromNix(t.Context(), []nix.StorePath{top})
	if err != nil {
		t.Fatal(err)
	}
	for i := range asked {
		slices.Sort(asked[i].References)
	}
	if asked, err = nix.TopoSort(asked); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, asked); diff != "" {
		t.Errorf("database and nix path-info differ (-database +nix):\n%s", diff)
	}
}

func TestClosureOfWhatIsNotThere(t *testing.T) {
	env := nixtest.New(t)
	env.Build(t, diamond)
	s := open(t, env.Root)
	absent := nix.StorePath("/nix/store/7rjqb838snvvxcmpvck1smfxhkwzqal5-hello-2.12.1")
	for name, ask := range map[string]func() error{
		"database": func() error { _, err := s.Closure(t.Context(), absent); return err },
		"nix":      func() error { _, err := s.closureFromNix(t.Context(), []nix.StorePath{absent}); return err },
	} {
		err := ask()
		var notValid *NotValidError
		if !errors.As(err, &notValid) || notValid.Path != absent || !errors.Is(err, ErrInvalidPath) {
			t.Errorf("%s: %v", name, err)
		}
	}
	empty := open(t, t.TempDir())
	if _, err := empty.Closure(t.Context(), absent); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("no store at all: %v", err)
	}
}

// A write-ahead log holds committed rows that are not in the database file.
func TestClosureReadsTheLog(t *testing.T) {
	env := nixtest.New(t)
	env.Build(t, `sh "first" "echo 1 > $out"`)
	s := open(t, "")
	db, err := s.database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() // while it is open nobody can fold the log into the file
	rows, err := db.Query("select id from ValidPaths")
	if err != nil {
		t.Fatal(err)
	}
	rows.Next()
	p := nix.StorePath(env.Build(t, `sh "second" "echo 2 > $out"`))
	rows.Close()
	got, err := s.Closure(t.Context(), p)
	if err != nil || len(got) != 1 {
		t.Errorf("a path that was just built: %v, %v", got, err)
	}
}

func TestResolve(t *testing.T) {
	env := nixtest.New(t)
	top := env.Build(t, diamond)
	s := open(t, "")
	dir := t.TempDir()
	link := filepath.Join(dir, "result")
	if err := os.Symlink(top, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("result", filepath.Join(dir, "again")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{top, top + "/", top + "/l/bin/l", link, filepath.Join(dir, "again")} {
		if p, err := s.Resolve(name); err != nil || string(p) != top {
			t.Errorf("%s: %s, %v", name, p, err)
		}
	}
	for name, want := range map[string]string{
		filepath.Join(dir, "absent"): "does not exist",
		dir:                          "neither a path of the store",
		filepath.Join(dir, "loop"):   "loop",
		"/nix/store/short":           "is not a store path",
		"/nix/store/../etc":          "",
		"":                           "",
	} {
		if p, err := s.Resolve(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v; want an error with %q", name, p, err, want)
		}
	}
}

func TestOpenAddresses(t *testing.T) {
	t.Setenv("NIX_REMOTE", "")
	for address, want := range map[string]Store{
		"/mnt":               {dir: "/nix/store", realDir: "/mnt/nix/store", stateDir: "/mnt/nix/var/nix", logDir: "/mnt/nix/var/log/nix", remote: "/mnt"},
		"local?root=/mnt":    {dir: "/nix/store", realDir: "/mnt/nix/store", stateDir: "/mnt/nix/var/nix", logDir: "/mnt/nix/var/log/nix", remote: "/mnt"},
		"local":              {dir: "/nix/store", realDir: "/nix/store", stateDir: "/nix/var/nix", logDir: "/nix/var/log/nix", remote: "local"},
		"unix:///run/d.sock": {dir: "/nix/store", realDir: "/nix/store", stateDir: "/nix/var/nix", logDir: "/nix/var/log/nix", remote: "unix:///run/d.sock", socket: "/run/d.sock"},
		"daemon":             {dir: "/nix/store", realDir: "/nix/store", stateDir: "/nix/var/nix", logDir: "/nix/var/log/nix", remote: "daemon", socket: "/nix/var/nix/daemon-socket/socket"},
	} {
		got, err := Open(address)
		if err != nil || *got != want {
			t.Errorf("%s: %+v, %v; want %+v", address, got, err, want)
		}
	}
	for _, address := range []string{"ssh://host", "https://cache", "s3://bucket", "local?%zz"} {
		if _, err := Open(address); err == nil {
			t.Errorf("%s was opened", address)
		}
	}
}

func readNAR(t *testing.T, s *Store, p nix.PathInfo) ([]byte, error) {
	t.Helper()
	r, err := s.OpenNAR(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return io.ReadAll(struct{ io.Reader }{r})
}

// A local path whose bytes changed must never be passed on as good.
func TestCorruptPath(t *testing.T) {
	env := nixtest.New(t)
	top := env.Build(t, diamond)
	s := open(t, "")
	closure, err := s.Closure(t.Context(), nix.StorePath(top))
	if err != nil {
		t.Fatal(err)
	}
	base := closure[0]
	if data, err := readNAR(t, s, base); err != nil || int64(len(data)) != base.NARSize {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	file := env.Root + string(base.Path)
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"bas\n", "basE\n", "base, and more\n"} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := readNAR(t, s, base)
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Path != base.Path {
			t.Errorf("%q: %v", content, err)
		}
		var direct bytes.Buffer
		r, _ := s.OpenNAR(t.Context(), base)
		if _, err := io.Copy(&direct, r); !errors.As(err, &corrupt) {
			t.Errorf("%q, written directly: %v", content, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := readNAR(t, s, base); err == nil {
		t.Error("a path that is gone was read")
	}
}

// Copy from store to store: the daemon's protocol against a real nix-daemon.
func TestSinkAddsPaths(t *testing.T) {
	env := nixtest.New(t)
	top := nix.StorePath(env.Build(t, diamond))
	other := nixtest.Another(t)
	sink := open(t, other.Root).Sink(true)
	defer sink.Close()
	source := open(t, env.Root)
	for round, want := range []cache.Action{cache.Sent, cache.Skipped} {
		result, err := cache.Copy(t.Context(), sink, source, []nix.StorePath{top}, cache.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range result.Outcomes {
			if o.Action != want {
				t.Errorf("round %d: %s was %s, want %s", round, o.Info.Path, o.Action, want)
			}
		}
	}
	if diff := cmp.Diff(env.Closure(t, string(top)), other.Closure(t, string(top))); diff != "" {
		t.Errorf("what arrived differs: %s", diff)
	}
	other.Run(t, "nix-store", "--verify", "--check-contents")
}

func TestSinkRefusals(t *testing.T) {
	env := nixtest.New(t)
	top := nix.StorePath(env.Build(t, diamond))
	source := open(t, env.Root)
	closure, err := source.Closure(t.Context(), top)
	if err != nil {
		t.Fatal(err)
	}
	other := nixtest.Another(t)

	checking := open(t, other.Root).Sink(false)
	defer checking.Close()
	if _, err := cache.Copy(t.Context(), checking, source, []nix.StorePath{top}, cache.Options{}); err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("unsigned paths: %v", err)
	}

	trusting := open(t, other.Root).Sink(true)
	defer trusting.Close()
	base := closure[0]
	for name, nar := range map[string]io.Reader{
		"garbage":   strings.NewReader("this is no NAR"),
		"truncated": io.LimitReader(narOf(t, source, base), 40),
		"other":     narOf(t, source, closure[1]),
		"failing":   io.MultiReader(io.LimitReader(narOf(t, source, base), 40), failing{}),
	} {
		if _, err := trusting.PutNAR(t.Context(), base, nar); err == nil {
			t.Errorf("%s was added", name)
		}
	}
	if missing, err := trusting.Missing(t.Context(), closure); err != nil || len(missing) != len(closure) {
		t.Errorf("after refusals %d of %d are missing, %v", len(missing), len(closure), err)
	}
	if _, err := trusting.PutNAR(t.Context(), base, narOf(t, source, base)); err != nil {
		t.Errorf("after refusals: %v", err)
	}
	other.Run(t, "nix-store", "--verify", "--check-contents")
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the source broke") }

func narOf(t *testing.T, s *Store, p nix.PathInfo) io.Reader {
	t.Helper()
	r, err := s.OpenNAR(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return struct{ io.Reader }{r}
}

func TestSinkStopsWithContext(t *testing.T) {
	env := nixtest.New(t)
	top := nix.StorePath(env.Build(t, diamond))
	source := open(t, env.Root)
	closure, err := source.Closure(t.Context(), top)
	if err != nil {
		t.Fatal(err)
	}
	sink := open(t, nixtest.Another(t).Root).Sink(true)
	defer sink.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe() // a NAR that never comes
	time.AfterFunc(200*time.Millisecond, func() { cancel(); w.Close() })
	started := time.Now()
	if _, err := sink.PutNAR(ctx, closure[0], r); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if d := time.Since(started); d > 1200*time.Millisecond {
		t.Errorf("it took %v to stop", d)
	}
}
