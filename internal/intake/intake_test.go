package intake_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
	"gitlab.com/pantheros/pantheros/internal/intake"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nix/nar"

	"github.com/klauspost/compress/zstd"
)

// place is a cache in a directory that takes paths.
type place struct {
	*intake.Intake
	dir   string
	store *faulty
	key   nix.SecretKey

	mu      sync.Mutex
	arrived []nix.StorePath
}

// faulty fails writes as told.
type faulty struct {
	blob.Store
	mu   sync.Mutex
	fail error
}

func (f *faulty) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	f.mu.Lock()
	fail := f.fail
	f.mu.Unlock()
	if fail != nil {
		return fail
	}
	return f.Store.Put(ctx, key, r, size)
}

func newPlace(t *testing.T, change func(o *intake.Options)) *place {
	t.Helper()
	p := &place{dir: t.TempDir()}
	store, err := dir.New(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	p.store = &faulty{Store: store}
	if p.key, err = nix.GenerateKey("intake-1"); err != nil {
		t.Fatal(err)
	}
	o := intake.Options{
		Name: "test", Store: p.store, Sign: []nix.SecretKey{p.key},
		Visible: func(ctx context.Context, s nix.StorePath) (bool, error) {
			_, err := store.Stat(ctx, s.HashPart()+".narinfo")
			if errors.Is(err, blob.ErrNotExist) {
				return false, nil
			}
			return err == nil, err
		},
		Arrived: func(_ context.Context, s nix.StorePath) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.arrived = append(p.arrived, s)
		},
	}
	if change != nil {
		change(&o)
	}
	if p.Intake, err = intake.New(o); err != nil {
		t.Fatal(err)
	}
	return p
}

// object is a path with its NAR, plain and as zstd.
type object struct {
	info       nix.PathInfo
	nar, file  []byte
	key        string // of the file, by its own hash
	compressed nix.NARInfo
}

func newObject(t *testing.T, name, content string, refs ...nix.StorePath) object {
	t.Helper()
	source := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(source, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := nar.Dump(&b, source); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(name))
	p, err := nix.BaseStorePath(nix.DefaultStoreDir, nix.EncodeBase32(sum[:20])+"-"+name)
	if err != nil {
		t.Fatal(err)
	}
	o := object{nar: b.Bytes(), info: nix.PathInfo{Path: p, NARHash: sha256.Sum256(b.Bytes()), NARSize: int64(b.Len()), References: refs}}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	o.file = encoder.EncodeAll(o.nar, nil)
	hash := nix.Hash(sha256.Sum256(o.file))
	o.key = "nar/" + hash.Base32() + ".nar.zst"
	o.compressed = nix.NARInfo{PathInfo: o.info, URL: o.key, Compression: "zstd", FileHash: hash, FileSize: int64(len(o.file))}
	return o
}

func (p *place) putNAR(t *testing.T, o object) {
	t.Helper()
	if err := p.PutNAR(t.Context(), o.key, bytes.NewReader(o.file), int64(len(o.file))); err != nil {
		t.Fatal(err)
	}
}

func (p *place) putInfo(t *testing.T, n nix.NARInfo) error {
	t.Helper()
	return p.PutNARInfo(t.Context(), n.Path.HashPart(), n.Marshal())
}

// narInfo is what the cache says of a path; absent: it says nothing.
func (p *place) narInfo(t *testing.T, path nix.StorePath) (n nix.NARInfo, absent bool) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(p.dir, path.HashPart()+".narinfo"))
	if errors.Is(err, os.ErrNotExist) {
		return n, true
	}
	if err == nil {
		n, err = nix.ParseNARInfo(nix.DefaultStoreDir, data)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n, false
}

// wantStatus checks what an error is to a client.
func wantStatus(t *testing.T, err error, status int, text string) {
	t.Helper()
	if err == nil {
		t.Errorf("it was taken, want %d %s", status, text)
		return
	}
	if got := intake.Status(err); got != status || !strings.Contains(err.Error(), text) {
		t.Errorf("%d %v, want %d %s", got, err, status, text)
	}
}

// files are the cache's NARs.
func (p *place) files(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(p.dir, "nar", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A NAR's file is kept only if its name is the hash of its bytes or of the NAR
// in it; whatever else comes leaves nothing.
func TestNARsAreWhatTheirNamesSay(t *testing.T) {
	o := newObject(t, "hello", strings.Repeat("hello\n", 5000))
	narKey := "nar/" + o.info.NARHash.Base32() + ".nar"
	junk := bytes.Repeat([]byte("junk"), 500)
	named := func(data []byte, ext string) string {
		return "nar/" + nix.Hash(sha256.Sum256(data)).Base32() + ".nar" + ext
	}
	for name, c := range map[string]struct {
		key    string
		data   []byte
		status int // 0: it is taken
		text   string
	}{
		"by its own hash":        {o.key, o.file, 0, ""},
		"by its NAR's hash":      {narKey + ".zst", o.file, 0, ""},
		"as it is":               {narKey, o.nar, 0, ""},
		"of another hash":        {named(junk, ".zst"), o.file, 400, "is not that"},
		"cut":                    {o.key, o.file[:len(o.file)-3], 400, ""},
		"bytes after it":         {o.key, append(bytes.Clone(o.file), "more"...), 400, ""},
		"not a NAR":              {named(junk, ""), junk, 400, "cannot be read"},
		"not compressed so":      {named(o.nar, ".zst"), o.nar, 400, ""},
		"a NAR and more":         {named(append(bytes.Clone(o.nar), o.nar...), ""), append(bytes.Clone(o.nar), o.nar...), 400, "cannot be read"},
		"nothing":                {named(nil, ""), nil, 400, ""},
		"an unknown compression": {narKey + ".br", o.nar, 400, "cannot be checked"},
		"no hash":                {"nar/x.nar", o.nar, 400, "no name for a NAR"},
		"an impossible hash":     {"nar/" + strings.Repeat("e", 52) + ".nar", o.nar, 400, "no hash"},
		"another place":          {"roots/x.nar", o.nar, 400, "no name for a NAR"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, nil)
			err := p.PutNAR(t.Context(), c.key, bytes.NewReader(c.data), int64(len(c.data)))
			if c.status == 0 {
				if err != nil {
					t.Fatal(err)
				}
				got, err := os.ReadFile(filepath.Join(p.dir, c.key))
				if err != nil || !bytes.Equal(got, c.data) {
					t.Errorf("it is not there as it was sent: %v", err)
				}
				return
			}
			wantStatus(t, err, c.status, c.text)
			if files := p.files(t); len(files) > 0 {
				t.Errorf("it left %v", files)
			}
		})
	}
}

// A NAR is bounded as it is sent, and as it is when it is decompressed.
func TestNARsAreBounded(t *testing.T) {
	p := newPlace(t, func(o *intake.Options) { o.MaxNAR = 100_000 })
	bomb := newObject(t, "bomb", strings.Repeat("x", 50<<20))
	if len(bomb.file) > 50_000 {
		t.Fatalf("the bomb has %d bytes", len(bomb.file))
	}
	wantStatus(t, p.PutNAR(t.Context(), bomb.key, bytes.NewReader(bomb.file), int64(len(bomb.file))), http.StatusRequestEntityTooLarge, "more than 100000 bytes")
	wantStatus(t, p.PutNAR(t.Context(), bomb.key, bytes.NewReader(bomb.file), 1<<40), http.StatusRequestEntityTooLarge, "the limit is 100000")
	_, _, err := p.PutPath(t.Context(), bomb.info, bytes.NewReader(bomb.nar))
	wantStatus(t, err, http.StatusRequestEntityTooLarge, "the limit is 100000")
	if files := p.files(t); len(files) > 0 {
		t.Errorf("they left %v", files)
	}
}

// A path becomes visible, signed, when its NAR and all that it refers to are
// there, and as its file is, whatever its narinfo leaves out.
func TestPathsBecomeVisible(t *testing.T) {
	p := newPlace(t, nil)
	base := newObject(t, "base", "base")
	top := newObject(t, "top", "top", base.info.Path)
	wantStatus(t, p.putInfo(t, top.compressed), http.StatusConflict, "send it first")
	p.putNAR(t, top)
	err := p.putInfo(t, top.compressed)
	wantStatus(t, err, http.StatusConflict, "send references first")
	var missing *intake.MissingError
	if !errors.As(err, &missing) || len(missing.References) != 1 || missing.References[0] != base.info.Path {
		t.Errorf("missing %v", missing)
	}
	if _, absent := p.narInfo(t, top.info.Path); !absent {
		t.Error("a path is visible without what it refers to")
	}
	p.putNAR(t, base)
	short := base.compressed
	short.FileHash, short.FileSize = nix.Hash{}, 0
	for _, n := range []nix.NARInfo{short, top.compressed} {
		if err := p.putInfo(t, n); err != nil {
			t.Fatal(err)
		}
		got, absent := p.narInfo(t, n.Path)
		if absent {
			t.Fatalf("%s is not visible", n.Path)
		}
		if _, ok := got.SignedBy([]nix.PublicKey{p.key.Public()}); !ok {
			t.Errorf("%s is not signed", n.Path)
		}
		if got.FileSize == 0 || got.FileHash.IsZero() {
			t.Errorf("%s is without its file's size and hash", n.Path)
		}
	}
	if len(p.arrived) != 2 || p.arrived[1] != top.info.Path {
		t.Errorf("arrived: %v", p.arrived)
	}
}

// A narinfo that does not say what the NAR is, or is of another path, is refused.
func TestNARInfosAreChecked(t *testing.T) {
	o, other := newObject(t, "hello", "hello"), newObject(t, "other", "other")
	for name, c := range map[string]struct {
		change func(n *nix.NARInfo)
		text   string
	}{
		"NAR hash":    {func(n *nix.NARInfo) { n.NARHash = other.info.NARHash }, "says NarHash"},
		"NAR size":    {func(n *nix.NARInfo) { n.NARSize++ }, "says NarSize"},
		"file hash":   {func(n *nix.NARInfo) { n.FileHash = other.compressed.FileHash }, "says FileHash"},
		"file size":   {func(n *nix.NARInfo) { n.FileSize++ }, "says FileSize"},
		"compression": {func(n *nix.NARInfo) { n.Compression = "xz" }, "says compression"},
		"a URL":       {func(n *nix.NARInfo) { n.URL = "../../etc/passwd" }, ""},
		"far away":    {func(n *nix.NARInfo) { n.URL = "https://example.org/x.nar" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, nil)
			p.putNAR(t, o)
			n := o.compressed
			c.change(&n)
			wantStatus(t, p.putInfo(t, n), http.StatusBadRequest, c.text)
			if _, absent := p.narInfo(t, n.Path); !absent {
				t.Error("it is visible")
			}
		})
	}
	p := newPlace(t, nil)
	p.putNAR(t, o)
	wantStatus(t, p.PutNARInfo(t.Context(), other.info.Path.HashPart(), o.compressed.Marshal()), http.StatusBadRequest, "was sent as")
	wantStatus(t, p.PutNARInfo(t.Context(), o.info.Path.HashPart(), []byte("StorePath: x\n")), http.StatusBadRequest, "")
}

// Without a key of its own a cache takes what its keys have signed.
func TestSignaturesAreWanted(t *testing.T) {
	trusted, err := nix.GenerateKey("trusted-1")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := nix.GenerateKey("trusted-1") // of the same name
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t, func(o *intake.Options) { o.Sign, o.Trusted = nil, []nix.PublicKey{trusted.Public()} })
	o := newObject(t, "hello", "hello")
	p.putNAR(t, o)
	wantStatus(t, p.putInfo(t, o.compressed), http.StatusBadRequest, "no signature of this cache's keys (trusted-1)")
	n := o.compressed
	n.PathInfo = n.Sign(stranger)
	wantStatus(t, p.putInfo(t, n), http.StatusBadRequest, "no signature")
	n = o.compressed
	n.CA = "fixed:r:sha256:" + newObject(t, "other", "other").info.NARHash.Base32() // of other contents, for another path
	wantStatus(t, p.putInfo(t, n), http.StatusBadRequest, "no signature")
	n = o.compressed
	n.PathInfo = n.Sign(trusted)
	if err := p.putInfo(t, n); err != nil {
		t.Error(err)
	}
}

// A path that is there with the same bytes keeps its signatures, one with others
// stays, and one that is damaged is replaced.
func TestWhatIsThere(t *testing.T) {
	p := newPlace(t, nil)
	friend, err := nix.GenerateKey("friend-1")
	if err != nil {
		t.Fatal(err)
	}
	o, twin := newObject(t, "hello", "hello"), newObject(t, "hello", "other contents")
	p.putNAR(t, o)
	p.putNAR(t, twin)
	signed := o.compressed
	signed.PathInfo = signed.Sign(friend)
	for _, n := range []nix.NARInfo{signed, o.compressed} {
		if err := p.putInfo(t, n); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := p.narInfo(t, o.info.Path)
	for _, k := range []nix.SecretKey{friend, p.key} {
		if _, ok := got.SignedBy([]nix.PublicKey{k.Public()}); !ok {
			t.Errorf("the signature of %s is lost", k.Public())
		}
	}
	wantStatus(t, p.putInfo(t, twin.compressed), http.StatusConflict, "with other contents")
	if got, _ := p.narInfo(t, o.info.Path); got.NARHash != o.info.NARHash {
		t.Error("other contents replaced it")
	}
	if err := os.WriteFile(filepath.Join(p.dir, o.info.Path.HashPart()+".narinfo"), []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := p.putInfo(t, twin.compressed); err != nil {
		t.Errorf("a damaged narinfo is not replaced: %v", err)
	}
}

// A NAR without a file of its own is compressed here, and only what was
// announced is kept. One that is there is not read again.
func TestPutPath(t *testing.T) {
	p := newPlace(t, nil)
	o, other := newObject(t, "hello", strings.Repeat("hello\n", 1000)), newObject(t, "other", strings.Repeat("jello\n", 1000))
	for name, c := range map[string]struct {
		nar  []byte
		text string
	}{
		"another":   {other.nar, "hash is"},
		"too short": {o.nar[:len(o.nar)-8], "bytes, and"},
		"too long":  {append(bytes.Clone(o.nar), 0), "more bytes"},
		"not a NAR": {bytes.Repeat([]byte{7}, len(o.nar)), "cannot be read"},
	} {
		_, _, err := p.PutPath(t.Context(), o.info, bytes.NewReader(c.nar))
		if err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantStatus(t, err, http.StatusBadRequest, c.text)
	}
	if files := p.files(t); len(files) > 0 {
		t.Errorf("they left %v", files)
	}
	n, existed, err := p.PutPath(t.Context(), o.info, bytes.NewReader(o.nar))
	if err != nil || existed {
		t.Fatal(existed, err)
	}
	if err := p.Publish(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if got, absent := p.narInfo(t, o.info.Path); absent || got.Compression != "zstd" || got.FileSize >= got.NARSize {
		t.Errorf("%+v", got)
	}
	if there, err := p.HasNAR(t.Context(), o.info); err != nil || !there {
		t.Errorf("its NAR is there: %v, %v", there, err)
	}
	unread := strings.NewReader("not looked at")
	if _, existed, err = p.PutPath(t.Context(), o.info, unread); err != nil || !existed || unread.Len() != len("not looked at") {
		t.Errorf("the same again: %v, %v, %d bytes left", existed, err, unread.Len())
	}
}

// Many push the same path at once, each with a signature of its own: it is
// there with all of them.
func TestManyPushTheSame(t *testing.T) {
	p := newPlace(t, nil)
	o := newObject(t, "hello", "hello")
	p.putNAR(t, o)
	var keys []nix.SecretKey
	var pushes sync.WaitGroup
	for i := range 8 {
		k, err := nix.GenerateKey(fmt.Sprintf("friend-%d", i))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
		n := o.compressed
		n.PathInfo = n.Sign(k)
		pushes.Go(func() {
			if err := p.putInfo(t, n); err != nil {
				t.Error(err)
			}
		})
	}
	pushes.Wait()
	got, _ := p.narInfo(t, o.info.Path)
	for _, k := range keys {
		if _, ok := got.SignedBy([]nix.PublicKey{k.Public()}); !ok {
			t.Errorf("the signature of %s is lost", k.Public())
		}
	}
}

// What clients hear: a status for each way to be wrong, and for a disk that is
// full, with nothing half there.
func TestAnswers(t *testing.T) {
	p := newPlace(t, nil)
	o := newObject(t, "hello", "hello")
	hashPart := o.info.Path.HashPart()
	listing, err := json.Marshal(map[string]any{"version": 1, "root": map[string]string{"type": "regular"}})
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string, body []byte) (int, string) {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/"+key, bytes.NewReader(body)))
		return w.Code, w.Body.String()
	}
	full := func(yes bool) {
		p.store.mu.Lock()
		defer p.store.mu.Unlock()
		p.store.fail = nil
		if yes {
			p.store.fail = fmt.Errorf("write: %w", syscall.ENOSPC)
		}
	}
	for _, c := range []struct {
		what   string
		key    string
		body   []byte
		full   bool
		status int
	}{
		{"a cache's info", "nix-cache-info", []byte("StoreDir: /nix/store\nWantMassQuery: 1\n"), false, 201},
		{"that of another store", "nix-cache-info", []byte("StoreDir: /other/store\n"), false, 409},
		{"a key of one's own", "public-keys", []byte("x:y\n"), false, 400},
		{"a root", "roots/x/1.json", []byte("{}"), false, 400},
		{"nothing that a cache has", "index.html", []byte("x"), false, 400},
		{"a way out", "nar/../../x", []byte("x"), false, 400},
		{"a NAR on a full disk", o.key, o.file, true, 507},
		{"a NAR", o.key, o.file, false, 201},
		{"the same again", o.key, o.file, false, 201},
		{"a narinfo on a full disk", hashPart + ".narinfo", o.compressed.Marshal(), true, 507},
		{"a huge narinfo", hashPart + ".narinfo", bytes.Repeat([]byte("x"), nix.MaxNARInfoSize+1), false, 413},
		{"a narinfo", hashPart + ".narinfo", o.compressed.Marshal(), false, 201},
		{"a listing", hashPart + ".ls", listing, false, 201},
		{"no listing", hashPart + ".ls", []byte("{"), false, 400},
		{"a realisation", "realisations/sha256:x!out.doi", []byte("{}"), false, 201},
		{"a huge realisation", "realisations/sha256:x!out.doi", bytes.Repeat([]byte(" "), 2<<20), false, 413},
		{"a log", "log/" + o.info.Path.Base() + ".drv", []byte("built"), false, 201},
	} {
		full(c.full)
		status, text := put(c.key, c.body)
		if status != c.status || status >= 400 && strings.TrimSpace(text) == "" {
			t.Errorf("%s: %d %q, want %d", c.what, status, text, c.status)
		}
		if c.full {
			if _, err := os.Stat(filepath.Join(p.dir, c.key)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: something is there: %v", c.what, err)
			}
		}
	}
}
