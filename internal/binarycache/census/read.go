package census

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

var errGone = errors.New("it was deleted while the cache was read")

func (r *reading) narInfo(ctx context.Context, id ID, key string) error {
	data, problem, gone, err := r.get(ctx, key, nix.MaxNARInfoSize)
	if err != nil {
		return err
	}
	if gone {
		return r.finish(func() { r.Paths[id].Listed = false })
	}
	return r.note(id, key, data, problem)
}

// note keeps what a narinfo says.
func (r *reading) note(id ID, key string, data []byte, problem error) error {
	var err error
	var n nix.NARInfo
	if problem == nil {
		if n, problem = nix.ParseNARInfo(r.Published.Info.StoreDir, data); problem == nil && n.Path.HashPart()+".narinfo" != key {
			problem = fmt.Errorf("it is the narinfo of %s", n.Path)
		}
	}
	var seen Path
	err = r.finish(func() {
		refs := make([]ID, 0, len(n.References))
		if problem == nil {
			for _, ref := range n.References {
				if to := r.idOf(ref); to != id {
					refs = append(refs, to)
				}
			}
		}
		p := &r.Paths[id]
		if p.Problem = problem; problem != nil {
			return
		}
		p.Path, p.References, p.URL, p.Compression = n.Path, refs, n.URL, compressionName(n.Compression)
		p.NARHash, p.FileHash, p.NARSize, p.FileSize = n.NARHash, n.FileHash, n.NARSize, n.FileSize
		if n.Deriver != "" {
			p.Deriver = n.Deriver.Base()
		}
		seen = *p
	})
	if err == nil && problem == nil && r.o.Each != nil {
		r.o.Each(&seen, n)
	}
	return err
}

// compressionName is the same string for the same name: a narinfo's own one
// would keep the whole narinfo in memory.
func compressionName(s string) string {
	known := []string{"none", "zstd", "xz", "bzip2", "gzip", "br"}
	if i := slices.Index(known, s); i >= 0 {
		return known[i]
	}
	return strings.Clone(s)
}

func (r *reading) root(ctx context.Context, m *RootManifest) error {
	data, problem, gone, err := r.get(ctx, m.Key, binarycache.RootLimit)
	if err != nil {
		return err
	}
	var root binarycache.Root
	switch {
	case gone:
		return r.finish(func() { m.gone = true })
	case problem == nil:
		root, problem = parseRoot(r.Published.Info.StoreDir, m.Key, data)
	}
	return r.finish(func() {
		if m.Problem = problem; problem != nil {
			return
		}
		for _, p := range root.Paths {
			m.Wants = append(m.Wants, r.idOf(p))
		}
		m.Upstream = make([]ID, 0, len(root.Upstream))
		for _, text := range root.Upstream {
			if h, err := ParseHashPart(text); err == nil { // ParseRoot has looked at it
				m.Upstream = append(m.Upstream, r.id(h, ""))
			}
		}
		for _, text := range root.BeyondUpstream {
			if h, err := ParseHashPart(text); err == nil {
				m.Wants = append(m.Wants, r.id(h, ""))
			}
		}
		root.Upstream, root.BeyondUpstream = nil, nil
		m.Root = root
	})
}

// parseRoot reads a manifest, which must be what its key says.
func parseRoot(storeDir, key string, data []byte) (binarycache.Root, error) {
	root, err := binarycache.ParseRoot(storeDir, data)
	if err == nil && "roots/"+root.Name+"/"+root.Generation+".json" != key {
		err = fmt.Errorf("it is the manifest of generation %s of %s", root.Generation, root.Name)
	}
	return root, err
}

// debugInfo reads an entry of the index that Nix writes with
// index-debug-info: {"archive": "../nar/...", "member": "lib/debug/..."}.
func (r *reading) debugInfo(ctx context.Context, p *Pointer) error {
	data, problem, gone, err := r.get(ctx, p.Key, 1<<16)
	if err != nil {
		return err
	}
	if gone {
		return r.finish(func() { p.Problem = errGone })
	}
	if problem == nil {
		var entry struct{ Archive, Member string }
		if problem = json.Unmarshal(data, &entry); problem == nil {
			p.NAR = path.Join("debuginfo", entry.Archive)
			if KindOf(p.NAR) != NAR {
				problem, p.NAR = fmt.Errorf("its archive %q is no NAR of the cache", entry.Archive), ""
			}
		}
	}
	return r.finish(func() { p.Problem = problem })
}

// trace reads which path an output of a derivation is. Nix writes that to
// realisations/<hash of the derivation>!<output>.doi and, from 2.32 on, to
// build-trace-v2/<derivation>/<output>.doi; both name the path in outPath.
func (r *reading) trace(ctx context.Context, p *Pointer) error {
	data, problem, gone, err := r.get(ctx, p.Key, 1<<20)
	if err != nil {
		return err
	}
	if gone {
		return r.finish(func() { p.Problem = errGone })
	}
	var out nix.StorePath
	if problem == nil {
		var entry struct {
			OutPath string `json:"outPath"`
		}
		if problem = json.Unmarshal(data, &entry); problem == nil {
			out, problem = nix.BaseStorePath(r.Published.Info.StoreDir, path.Base(entry.OutPath))
		}
	}
	return r.finish(func() {
		if p.Problem = problem; problem == nil {
			p.Path = r.idOf(out)
		}
	})
}
