package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/nix"

	"github.com/spf13/cobra"
)

func newInfo() *cobra.Command {
	var o infoOptions
	cmd := &cobra.Command{
		Use:   "info [CACHE] [PATH]",
		Short: "Show what a cache says of itself or of a path",
		Long: `Shows a cache's nix-cache-info and the keys that it lists, and of a path its
narinfo, with each signature: verified with a key of --public-key or of the
configuration ("trusted"), with one that the cache itself lists ("listed",
which proves only that the cache agrees with itself), or not verified.

With --size also how much the cache holds, for which all that it has is listed,
or how large the path's closure is, for which its narinfos are read.

` + exitCodes,
		Example: `  pcache info nightly
  pcache info --size nightly
  pcache info --public-key example.org-1:... file:///srv/cache /nix/store/...-hello-2.12`,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, rest, err := cacheOf(args)
			if err != nil {
				return err
			}
			if len(rest) > 1 {
				return usagef("info: it wants at most one path (see pcache info --help)")
			}
			return info(cmd, name, rest, o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.keys, "public-key", nil, "verify signatures with this key, NAME:BASE64 (can be repeated)")
	f.BoolVar(&o.size, "size", false, "add up the sizes of what the cache has, or of the path's closure")
	f.BoolVar(&o.json, "json", false, "print the result as JSON on standard output")
	return cmd
}

type infoOptions struct {
	keys       []string
	size, json bool
}

// infoReport is what `pcache info --json` prints.
type infoReport struct {
	Schema        string     `json:"schema"`
	Cache         string     `json:"cache"`
	StoreDir      string     `json:"store_dir"`
	WantMassQuery bool       `json:"want_mass_query"`
	Priority      int        `json:"priority"`
	PublicKeys    []string   `json:"public_keys"`
	Size          *cacheSize `json:"size,omitempty"`
	Path          *pathInfo  `json:"path,omitempty"`
}

// cacheSize is what a cache holds.
type cacheSize struct {
	Paths    int   `json:"paths"` // narinfos
	NARs     int   `json:"nars"`
	NARBytes int64 `json:"nar_file_bytes"` // as they are stored
	Objects  int   `json:"objects"`        // of every kind
	Bytes    int64 `json:"bytes"`
}

type pathInfo struct {
	Path        string          `json:"path"`
	URL         string          `json:"url"`
	Compression string          `json:"compression"`
	FileBytes   int64           `json:"file_bytes,omitempty"`
	NARHash     string          `json:"nar_hash"`
	NARBytes    int64           `json:"nar_bytes"`
	References  []nix.StorePath `json:"references"`
	Deriver     string          `json:"deriver,omitempty"`
	CA          string          `json:"ca,omitempty"`
	Signatures  []signatureInfo `json:"signatures"`
	Closure     *closureBytes   `json:"closure,omitempty"`
}

// closureBytes is the size of a path and of all that it refers to.
type closureBytes struct {
	Paths     int   `json:"paths"`
	NARBytes  int64 `json:"nar_bytes"`
	FileBytes int64 `json:"file_bytes"` // as they are stored, each path's
}

type signatureInfo struct {
	Key      string `json:"key"`
	Verified string `json:"verified"` // "trusted", "listed" or "no"
}

func info(cmd *cobra.Command, cacheName string, paths []string, o infoOptions) error {
	ctx := cmd.Context()
	l, trusted, err := openLook(ctx, cacheName, o.keys)
	if err != nil {
		return err
	}
	out := infoReport{
		Schema: "pantheros.info/1", Cache: l.addr.name, StoreDir: l.info.StoreDir,
		WantMassQuery: l.info.WantMassQuery, Priority: l.info.Priority, PublicKeys: []string{},
	}
	for _, k := range l.keys {
		out.PublicKeys = append(out.PublicKeys, k.String())
	}
	if len(paths) > 0 {
		p, file, err := l.split(paths[0])
		if err != nil {
			return err
		}
		if file != "" {
			return usagef("info: %q is in a store path; pcache ls shows it", paths[0])
		}
		n, err := l.source.ReadNARInfo(ctx, p)
		if err != nil {
			return err
		}
		out.Path = describePath(n, trusted, l.keys)
		if o.size {
			if out.Path.Closure, err = l.closureSize(ctx, p); err != nil {
				return err
			}
		}
	} else if o.size {
		if out.Size, err = l.size(ctx); err != nil {
			return err
		}
	}
	w := cmd.OutOrStdout()
	if o.json {
		return printJSON(w, out)
	}
	if out.Path != nil {
		printPath(w, out.Path)
		return nil
	}
	fmt.Fprintf(w, "cache      %s\nstore      %s\npriority   %d\nmass query %t\n", out.Cache, plain(out.StoreDir), out.Priority, out.WantMassQuery)
	for _, k := range out.PublicKeys {
		fmt.Fprintf(w, "key        %s\n", plain(k))
	}
	if s := out.Size; s != nil {
		fmt.Fprintf(w, "paths      %d\nNARs       %d, %s stored\nobjects    %d, %s in all\n", s.Paths, s.NARs, bytesText(s.NARBytes), s.Objects, bytesText(s.Bytes))
	}
	return nil
}

// size lists the cache.
func (l looked) size(ctx context.Context) (*cacheSize, error) {
	if l.addr.store == nil {
		return nil, usagef("--size: a web server does not list what it has; name a path, or the storage behind it")
	}
	s := new(cacheSize)
	for object, err := range l.addr.store.List(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("list cache %s: %w", l.addr.name, err)
		}
		s.Objects++
		s.Bytes += object.Size
		switch {
		case strings.HasPrefix(object.Key, "nar/"):
			s.NARs++
			s.NARBytes += object.Size
		case strings.HasSuffix(object.Key, ".narinfo") && !strings.Contains(object.Key, "/"):
			s.Paths++
		}
	}
	return s, nil
}

// closureSize reads the narinfos of a path's closure.
func (l looked) closureSize(ctx context.Context, p nix.StorePath) (*closureBytes, error) {
	infos, err := l.source.Closure(ctx, p)
	if err != nil {
		return nil, err
	}
	c := &closureBytes{Paths: len(infos)}
	for _, i := range infos {
		n, err := l.source.ReadNARInfo(ctx, i.Path)
		if err != nil {
			return nil, err
		}
		c.NARBytes += n.NARSize
		c.FileBytes += n.FileSize
	}
	return c, nil
}

func describePath(n nix.NARInfo, trusted, listed []nix.PublicKey) *pathInfo {
	d := &pathInfo{
		Path: string(n.Path), URL: n.URL, Compression: n.Compression, FileBytes: n.FileSize,
		NARHash: n.NARHash.String(), NARBytes: n.NARSize, References: append([]nix.StorePath{}, n.References...),
		Deriver: string(n.Deriver), CA: n.CA, Signatures: []signatureInfo{},
	}
	fingerprint := n.Fingerprint()
	for _, s := range n.Signatures {
		verified := "no"
		for _, k := range listed {
			if k.Verify(fingerprint, s) {
				verified = "listed"
			}
		}
		for _, k := range trusted {
			if k.Verify(fingerprint, s) {
				verified = "trusted"
			}
		}
		d.Signatures = append(d.Signatures, signatureInfo{s.Name, verified})
	}
	return d
}

func printPath(w io.Writer, d *pathInfo) {
	fmt.Fprintf(w, "path       %s\nNAR        %s, %s\nstored     %s as %s, %s\n", d.Path, bytesText(d.NARBytes), d.NARHash, plain(d.URL), plain(d.Compression), bytesText(d.FileBytes))
	if c := d.Closure; c != nil {
		fmt.Fprintf(w, "closure    %d paths, %s of NARs, %s stored\n", c.Paths, bytesText(c.NARBytes), bytesText(c.FileBytes))
	}
	if d.Deriver != "" {
		fmt.Fprintf(w, "deriver    %s\n", d.Deriver)
	}
	if d.CA != "" {
		fmt.Fprintf(w, "content    %s\n", plain(d.CA))
	}
	for _, s := range d.Signatures {
		fmt.Fprintf(w, "signature  %s (verified: %s)\n", plain(s.Key), s.Verified)
	}
	for _, r := range d.References {
		fmt.Fprintf(w, "refers to  %s\n", r)
	}
}
