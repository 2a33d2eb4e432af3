package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nix/nar"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// shape is what a generated closure looks like. The same shape gives the same
// bytes on every machine.
type shape struct {
	Name   string
	Paths  int     // directories of files, without the tiny ones and the root
	Tiny   int     // paths that are one small file, as a system's units are
	Median float64 // bytes of a path's files
	Spread float64 // standard deviation of the logarithm of those
	File   float64 // median bytes of a file
}

// The large one has the figures of a system's closure, as Debian's packages
// have them: 864 paths, 1.6 GB, 39,000 files, half the paths below 180 kB and
// one of about 190 MB. The wide one has many small paths.
var (
	large  = shape{Name: "large", Paths: 710, Tiny: 150, Median: 235e3, Spread: 2.12, File: 5500}
	medium = shape{Name: "medium", Paths: 150, Tiny: 30, Median: 235e3, Spread: 2.12, File: 5500}
	wide   = shape{Name: "wide", Paths: 4500, Tiny: 499, Median: 2500, Spread: 1.5, File: 2000}
)

// closureVersion changes when the generator does.
const closureVersion = 2

// closure is a generated store.
type closure struct {
	Version int             `json:"version"`
	Shape   shape           `json:"shape"`
	Root    nix.StorePath   `json:"root"`
	Paths   []nix.StorePath `json:"paths"` // references first
	Bytes   int64           `json:"nar_bytes"`
	Files   int64           `json:"files"`
	Dir     string          `json:"-"` // the chroot store
}

func (c *closure) String() string {
	return fmt.Sprintf("%d paths, %.0f MB of NARs, %d files", len(c.Paths), float64(c.Bytes)/1e6, c.Files)
}

// generate makes the closure below dir, unless it is there from an earlier run.
func generate(ctx context.Context, dir string, s shape, n nixVersion) (*closure, error) {
	c := &closure{Dir: filepath.Join(dir, s.Name)}
	stamp := c.Dir + ".json"
	if data, err := os.ReadFile(stamp); err == nil && json.Unmarshal(data, c) == nil && c.Version == closureVersion && c.Shape == s {
		return c, nil
	}
	if err := removeTree(c.Dir); err != nil {
		return nil, err
	}
	c.Version, c.Shape, c.Paths, c.Bytes, c.Files = closureVersion, s, nil, 0, 0
	specs := s.specs()
	infos := make([]nix.PathInfo, len(specs))
	files := make([]int64, len(specs))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, i := range bySize(specs) {
		group.Go(func() (err error) {
			if gctx.Err() != nil {
				return gctx.Err()
			}
			infos[i], files[i], err = specs[i].write(c.Dir)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("generate the closure %s: %v", s.Name, err)
	}
	for i, p := range infos {
		c.Paths = append(c.Paths, p.Path)
		c.Bytes += p.NARSize
		c.Files += files[i]
	}
	c.Root = c.Paths[len(c.Paths)-1]
	if err := register(ctx, c.Dir, infos, n); err != nil {
		return nil, err
	}
	data, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return c, os.WriteFile(stamp, data, 0o644)
}

// register makes the written paths valid, in Nix's own way.
func register(ctx context.Context, dir string, infos []nix.PathInfo, n nixVersion) error {
	var text strings.Builder
	for _, p := range infos {
		fmt.Fprintf(&text, "%s\n%s\n%d\n\n%d\n", p.Path, p.NARHash.Hex(), p.NARSize, len(p.References))
		for _, r := range p.References {
			fmt.Fprintln(&text, r)
		}
	}
	home, err := os.MkdirTemp("", "bench-home-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(home) }()
	cmd := exec.CommandContext(ctx, filepath.Join(n.bin, "nix-store"), "--store", dir, "--load-db")
	cmd.Env = n.environ(home)
	cmd.Stdin = strings.NewReader(text.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("register the generated paths: %v\n%s", err, out)
	}
	return nil
}

// spec is a path to be generated.
type spec struct {
	seed uint64
	name string
	size int64 // of its files; 0: one small file, or the root
	file float64
	path nix.StorePath
	refs []nix.StorePath
	root bool
}

func (s shape) specs() []spec {
	random := rand.New(rand.NewPCG(uint64(s.Paths), 7))
	specs := make([]spec, 0, s.Paths+s.Tiny+1)
	// The sizes are the distribution's own quantiles, in random order.
	order := random.Perm(s.Paths)
	for i := range s.Paths {
		quantile := (float64(order[i]) + 0.5) / float64(s.Paths)
		size := s.Median * math.Exp(s.Spread*math.Sqrt2*math.Erfinv(2*quantile-1))
		specs = append(specs, spec{name: fmt.Sprintf("package-%d-%d.%d", i, 1+i%9, i%17), size: max(int64(size), 64), file: s.File})
	}
	for i := range s.Tiny {
		specs = append(specs, spec{name: fmt.Sprintf("unit-service-%d.service", i)})
	}
	specs = append(specs, spec{name: "system-path", root: true})
	for i := range specs {
		sum := sha256.Sum256([]byte(s.Name + "/" + specs[i].name))
		specs[i].seed = binary.LittleEndian.Uint64(sum[:])
		specs[i].path = nix.StorePath(nix.DefaultStoreDir + "/" + nix.EncodeBase32(sum[:20]) + "-" + specs[i].name)
	}
	// Everything is referred to by something later, so that the root reaches
	// all; a few references more make the graph as dense as a real one.
	last := len(specs) - 1
	refs := make([]map[int]bool, len(specs))
	for i := range refs {
		refs[i] = map[int]bool{}
	}
	for i := range last {
		by := last
		if i < s.Paths-1 && random.IntN(8) != 0 {
			by = i + 1 + random.IntN(s.Paths-1-i)
		}
		refs[by][i] = true
		for n := int(random.ExpFloat64() * 2); n > 0 && i > 0; n-- {
			refs[i][random.IntN(min(i, s.Paths))] = true
		}
	}
	for i := range specs {
		for r := range refs[i] {
			specs[i].refs = append(specs[i].refs, specs[r].path)
		}
		slices.Sort(specs[i].refs)
	}
	return specs
}

// bySize orders the work so that the largest come first.
func bySize(specs []spec) []int {
	order := make([]int, len(specs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(specs[b].size>>10) - int(specs[a].size>>10) })
	return order
}

// write makes the path's files and computes what Nix's database says of it.
func (s spec) write(root string) (info nix.PathInfo, files int64, err error) {
	at := root + string(s.path)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return info, 0, err
	}
	var references bytes.Buffer
	for _, r := range s.refs {
		fmt.Fprintf(&references, "%s\n", r)
	}
	g := newContent(s.seed)
	if s.size == 0 {
		files = 1
		err = put(at, append([]byte("[Unit]\n"), references.Bytes()...), 0o444)
	} else {
		files, err = s.tree(at, references.Bytes(), g)
	}
	if err != nil {
		return info, 0, err
	}
	if err := canonical(at); err != nil {
		return info, 0, err
	}
	h := &hashWriter{hash: sha256.New()}
	if err := nar.Dump(h, at); err != nil {
		return info, 0, err
	}
	info = nix.PathInfo{Path: s.path, NARSize: h.n, References: s.refs}
	h.hash.Sum(info.NARHash[:0])
	return info, files, nil
}

func (s spec) tree(at string, references []byte, g *content) (files int64, err error) {
	dirs := []string{at, at + "/bin", at + "/lib", at + "/share/doc", at + "/nix-support"}
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return 0, err
		}
	}
	if err := put(at+"/nix-support/propagated-build-inputs", references, 0o444); err != nil {
		return 0, err
	}
	files = 1
	for left := s.size; left > 0; files++ {
		size := int64(s.file * math.Exp(2*g.random.NormFloat64()))
		size = min(max(size, 16), left)
		if left-size < 64 || files > 3000 {
			size = left
		}
		left -= size
		dir, mode := dirs[g.random.IntN(len(dirs)-1)], os.FileMode(0o444)
		if strings.HasSuffix(dir, "bin") {
			mode = 0o555
		}
		name := fmt.Sprintf("%s/file-%d", dir, files)
		if err := g.file(name, size, mode); err != nil {
			return files, err
		}
		if g.random.IntN(10) == 0 {
			if err := os.Symlink(filepath.Base(name), name+".link"); err != nil {
				return files, err
			}
		}
	}
	return files, nil
}

func put(name string, data []byte, mode os.FileMode) error {
	if err := os.WriteFile(name, data, 0o644); err != nil {
		return err
	}
	return os.Chmod(name, mode)
}

// canonical gives everything the time and directories the mode that Nix does.
func canonical(at string) error {
	var names []string
	err := filepath.WalkDir(at, func(name string, _ os.DirEntry, err error) error {
		names = append(names, name)
		return err
	})
	slices.Reverse(names)
	for _, name := range names {
		if err != nil {
			break
		}
		var st unix.Stat_t
		if err = unix.Lstat(name, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			err = os.Chmod(name, 0o555)
		}
		if err == nil {
			err = unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{{Sec: 1}, {Sec: 1}}, unix.AT_SYMLINK_NOFOLLOW)
		}
	}
	return err
}

type hashWriter struct {
	hash interface {
		io.Writer
		Sum(b []byte) []byte
	}
	n int64
}

func (h *hashWriter) Write(p []byte) (int, error) {
	h.n += int64(len(p))
	return h.hash.Write(p)
}

// removeTree removes a store, whose directories are read-only.
func removeTree(dir string) error {
	_ = filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(name, 0o755)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
