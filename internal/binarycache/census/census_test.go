package census

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

func put(t *testing.T, s blob.Store, key, data string) {
	t.Helper()
	if err := s.Put(t.Context(), key, strings.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
}

// base is the base name of the n-th store path.
func base(n int) string { return fmt.Sprintf("%032d-p%d", n, n) }

func narInfo(n int, url string, refs ...int) string {
	var names []string
	for _, r := range refs {
		names = append(names, base(r))
	}
	return fmt.Sprintf("StorePath: /nix/store/%s\nURL: %s\nCompression: zstd\nNarHash: sha256:%052d\nNarSize: 7\nReferences: %s\nDeriver: %s.drv\n",
		base(n), url, n, strings.Join(names, " "), base(100+n))
}

func TestTake(t *testing.T) {
	s, err := dir.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "nix-cache-info", "StoreDir: /nix/store\n")
	hash := func(n int) string { return base(n)[:32] }
	put(t, s, hash(1)+".narinfo", narInfo(1, "nar/a.nar.zst", 1, 2, 9))
	put(t, s, hash(2)+".narinfo", narInfo(2, "https://elsewhere/b.nar"))
	put(t, s, hash(3)+".narinfo", "nothing")
	put(t, s, hash(4)+".narinfo", narInfo(2, "nar/a.nar.zst"))
	put(t, s, hash(5)+".narinfo", strings.Repeat("x", nix.MaxNARInfoSize+1))
	put(t, s, "nar/a.nar.zst", "a")
	put(t, s, hash(1)+".ls", "{}")
	put(t, s, "log/"+base(101)+".drv", "log")
	put(t, s, "debuginfo/good", `{"archive":"../nar/a.nar.zst","member":"m"}`)
	put(t, s, "debuginfo/bad", `{"archive":"../../etc/passwd","member":"m"}`)
	put(t, s, "realisations/sha256:ab!out.doi", `{"id":"sha256:ab!out","outPath":"`+base(1)+`","signatures":[]}`)
	put(t, s, "roots/host/g1.json", `{"version":1,"name":"host","generation":"g1","paths":["/nix/store/`+base(1)+`"],"upstream":["`+hash(9)+`"]}`)
	put(t, s, "roots/host/g1.pin", "{}")
	put(t, s, "roots/host/g2.json", `{"version":1,"name":"other","generation":"g2","paths":["/nix/store/`+base(1)+`"]}`)
	put(t, s, "reports/2026/x.json", "{}")
	put(t, s, "index.html", "hello")

	var each atomic.Int32
	c, err := Take(t.Context(), s, Options{Name: "test", Each: func(p *Path, n nix.NARInfo) {
		if p.Path != n.Path {
			t.Errorf("%s with the narinfo of %s", p, n.Path)
		}
		each.Add(1)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if each.Load() != 2 {
		t.Errorf("Each was called %d times", each.Load())
	}
	for kind, want := range map[Kind]int{
		CacheInfo: 1, NARInfo: 5, NAR: 1, Listing: 1, Log: 1, DebugInfo: 2, Trace: 1, Root: 2, Pin: 1, Report: 1, Foreign: 1,
	} {
		if got := len(c.Objects(kind)); got != want {
			t.Errorf("%d objects of kind %s, want %d", got, kind, want)
		}
	}
	path := func(n int) *Path {
		h, err := ParseHashPart(hash(n))
		if err != nil {
			t.Fatal(err)
		}
		id, ok := c.Find(h)
		if !ok {
			t.Fatalf("%s is not known", base(n))
		}
		return &c.Paths[id]
	}
	one := path(1)
	if key, ok := one.NAR(); !one.Good() || !ok || key != "nar/a.nar.zst" || one.Deriver != base(101)+".drv" || one.Key() != hash(1)+".narinfo" {
		t.Errorf("path %+v", one)
	}
	var refs []string
	for _, r := range one.References {
		refs = append(refs, c.Paths[r].Path.Base())
	}
	if got := strings.Join(refs, " "); got != base(2)+" "+base(9) {
		t.Errorf("references %s", got)
	}
	if _, ok := path(2).NAR(); ok {
		t.Error("a NAR of another server is taken for one of the cache")
	}
	for n, want := range map[int]string{3: "no colon", 4: "narinfo of /nix/store/" + base(2), 5: "too large"} {
		if p := path(n); p.Good() || !p.Listed || p.Problem == nil || !strings.Contains(p.Problem.Error(), want) {
			t.Errorf("path %d: %v, want %s", n, p.Problem, want)
		}
	}
	if p := path(9); p.Listed || p.Good() || p.Path.Base() != base(9) {
		t.Errorf("an absent path: %+v", p)
	}
	if r := c.Roots[0]; r.Problem != nil || !r.Pinned || r.Name != "host" || len(r.Wants) != 1 || &c.Paths[r.Wants[0]] != one || len(r.Upstream) != 1 || r.Root.Upstream != nil {
		t.Errorf("root %+v", r)
	}
	if r := c.Roots[1]; r.Problem == nil || r.Pinned {
		t.Errorf("a manifest under another's key: %+v", r)
	}
	if d := c.DebugInfo[0]; d.Problem == nil {
		t.Errorf("debug info of a file elsewhere: %+v", d)
	}
	if d := c.DebugInfo[1]; d.Problem != nil || d.NAR != "nar/a.nar.zst" {
		t.Errorf("debug info %+v", d)
	}
	if tr := c.Traces[0]; tr.Problem != nil || &c.Paths[tr.Path] != one {
		t.Errorf("build trace %+v", tr)
	}
	if _, ok := c.Object("nar/a.nar.zst"); !ok {
		t.Error("an object is not found")
	}
}
