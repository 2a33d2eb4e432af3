package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nix/nar"

	"github.com/spf13/cobra"
)

// looked is a cache that is looked into.
type looked struct {
	addr   address
	source *binarycache.Source
	info   binarycache.Info
	keys   []nix.PublicKey // that the cache lists itself
}

func openLook(ctx context.Context, text string, publicKeyFlags []string) (l looked, trusted []nix.PublicKey, err error) {
	if l.addr, err = openAddress(text); err != nil {
		return l, nil, err
	}
	if l.addr.reader == nil {
		return l, nil, usagef("cache %q: to look into it name the address that Nix reads, https://host/cache", text)
	}
	if trusted, err = publicKeys(publicKeyFlags); err != nil {
		return l, nil, err
	}
	if len(trusted) == 0 {
		trusted = l.addr.config.PublicKeys
	}
	if l.info, l.keys, err = binarycache.About(ctx, l.addr.reader, l.addr.name); err != nil {
		return l, nil, err
	}
	l.source, err = binarycache.OpenSource(ctx, l.addr.reader, binarycache.SourceOptions{Name: l.addr.name, StoreDir: l.info.StoreDir})
	return l, trusted, err
}

// split reads PATH or PATH/FILE.
func (l looked) split(arg string) (p nix.StorePath, file string, err error) {
	rest, ok := strings.CutPrefix(arg, l.info.StoreDir+"/")
	if !ok {
		return "", "", usagef("%q is not in the store %s", arg, l.info.StoreDir)
	}
	base, file, _ := strings.Cut(rest, "/")
	if p, err = nix.BaseStorePath(l.info.StoreDir, base); err != nil {
		return "", "", usageError{err}
	}
	return p, strings.Trim(file, "/"), nil
}

// readNAR tells v what the path's archive holds. Its bytes are right if there
// is no error.
func (l looked) readNAR(ctx context.Context, p nix.StorePath, v nar.Visitor) error {
	n, err := l.source.ReadNARInfo(ctx, p)
	if err != nil {
		return err
	}
	r, err := l.source.OpenNAR(ctx, n.PathInfo)
	if err != nil {
		return err
	}
	defer r.Close()
	err = nar.Parse(r, v)
	var format *nar.FormatError
	if errors.As(err, &format) {
		err = fmt.Errorf("%s: %v: %w", p, err, binarycache.ErrDamaged)
	}
	return err
}

// plain makes a name from a cache fit for a terminal: what could move the
// cursor or hide text is escaped.
func plain(name string) string {
	if strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return name
	}
	quoted := strconv.Quote(name)
	return quoted[1 : len(quoted)-1]
}

type lsOptions struct {
	long, recursive, json, fromNAR bool
}

func newLs() *cobra.Command {
	var o lsOptions
	cmd := &cobra.Command{
		Use:   "ls [CACHE] PATH[/FILE]",
		Short: "List what is in a path of a cache",
		Long: `Lists a file, or the entries of a directory, in a store path of a cache: by the
cache's listing of the path where it has one, and otherwise by reading the
path's archive. A listing is not signed; --from-nar does not believe it.

Control characters in names are shown escaped, but for --json.

` + exitCodes,
		Example: `  pcache ls -lR file:///srv/cache /nix/store/...-hello-2.12
  pcache ls nightly /nix/store/...-hello-2.12/bin`,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, rest, err := cacheOf(args)
			if err != nil {
				return err
			}
			if len(rest) != 1 {
				return usagef("ls: it wants one path (see pcache ls --help)")
			}
			return ls(cmd, name, rest[0], o)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.long, "long", "l", false, "show type, size and the targets of symlinks")
	f.BoolVarP(&o.recursive, "recursive", "R", false, "list what is in subdirectories, too")
	f.BoolVar(&o.json, "json", false, "print the result as JSON on standard output")
	f.BoolVar(&o.fromNAR, "from-nar", false, "read and verify the archive, whatever the listing says")
	return cmd
}

// lsReport is what `pcache ls --json` prints.
type lsReport struct {
	Schema  string    `json:"schema"`
	Cache   string    `json:"cache"`
	Path    string    `json:"path"`
	From    string    `json:"from"` // "listing" or "nar"
	Entries []lsEntry `json:"entries"`
}

type lsEntry struct {
	Name       string `json:"name"` // relative to the path, empty for itself
	Type       string `json:"type"`
	Size       *int64 `json:"size,omitempty"`
	Executable bool   `json:"executable,omitempty"`
	Target     string `json:"target,omitempty"`
}

func ls(cmd *cobra.Command, cacheName, arg string, o lsOptions) error {
	ctx := cmd.Context()
	l, _, err := openLook(ctx, cacheName, nil)
	if err != nil {
		return err
	}
	p, file, err := l.split(arg)
	if err != nil {
		return err
	}
	var nodes []nar.Node
	listed := false
	if !o.fromNAR {
		if nodes, listed, err = binarycache.Listing(ctx, l.addr.reader, p); err != nil {
			return fmt.Errorf("%w (--from-nar does without it)", err)
		}
	}
	out := lsReport{Schema: "pantheros.ls/1", Cache: l.addr.name, Path: arg, From: "listing", Entries: []lsEntry{}}
	found := false
	take := func(n nar.Node) error {
		name, inside := within(n.Path, file)
		if !inside {
			return nil
		}
		if name == "" {
			found = true
			if n.Kind == nar.Directory {
				return nil
			}
		} else if strings.Contains(name, "/") && !o.recursive {
			return nil
		}
		e := lsEntry{Name: name, Type: n.Kind.String(), Executable: n.Executable, Target: n.Target}
		if n.Kind == nar.Regular {
			e.Size = &n.Size
		}
		out.Entries = append(out.Entries, e)
		return nil
	}
	if listed {
		for _, n := range nodes {
			_ = take(n) // it cannot fail
		}
	} else {
		out.From = "nar"
		if err := l.readNAR(ctx, p, nar.Visitor{Enter: take}); err != nil {
			return err
		}
	}
	if !found {
		return &noFileError{p, file}
	}
	w := cmd.OutOrStdout()
	if o.json {
		return printJSON(w, out)
	}
	for _, e := range out.Entries {
		printEntry(w, e, arg, o.long)
	}
	return nil
}

// within says whether path is dir or inside it, and its name there.
func within(path, dir string) (name string, inside bool) {
	if dir == "" || path == dir {
		return strings.TrimPrefix(path, dir), true
	}
	return strings.CutPrefix(path, dir+"/")
}

func printEntry(w io.Writer, e lsEntry, arg string, long bool) {
	name := e.Name
	if name == "" {
		name = arg
	}
	if !long {
		fmt.Fprintln(w, plain(name))
		return
	}
	mode, size, target := "-r--r--r--", int64(0), ""
	switch {
	case e.Type == "directory":
		mode = "dr-xr-xr-x"
	case e.Type == "symlink":
		mode, target = "lrwxrwxrwx", " -> "+plain(e.Target)
	case e.Executable:
		mode = "-r-xr-xr-x"
	}
	if e.Size != nil {
		size = *e.Size
	}
	fmt.Fprintf(w, "%s %20d %s%s\n", mode, size, plain(name), target)
}

// noFileError says that a path of a cache has no such file.
type noFileError struct {
	path nix.StorePath
	file string
}

func (e *noFileError) Error() string { return fmt.Sprintf("%s has no file %q", e.path, e.file) }

func newCat() *cobra.Command {
	return &cobra.Command{
		Use:   "cat [CACHE] PATH/FILE",
		Short: "Print a file of a path of a cache",
		Long: `Prints a file of a store path of a cache on standard output. The whole archive
is read and compared with its hash: if it is damaged the exit code is 5, though
bytes may have been printed. Symlinks are not followed.

` + exitCodes,
		Example: "  pcache cat nightly /nix/store/...-hello-2.12/bin/hello",
		RunE: func(cmd *cobra.Command, args []string) error {
			name, rest, err := cacheOf(args)
			if err != nil {
				return err
			}
			if len(rest) != 1 {
				return usagef("cat: it wants one file (see pcache cat --help)")
			}
			return cat(cmd, name, rest[0])
		},
	}
}

func cat(cmd *cobra.Command, cacheName, arg string) error {
	ctx := cmd.Context()
	l, _, err := openLook(ctx, cacheName, nil)
	if err != nil {
		return err
	}
	p, file, err := l.split(arg)
	if err != nil {
		return err
	}
	found, wanted := false, false
	err = l.readNAR(ctx, p, nar.Visitor{
		Enter: func(n nar.Node) error {
			wanted = n.Path == file
			if !wanted {
				return nil
			}
			found = true
			switch n.Kind {
			case nar.Directory:
				return usagef("%s is a directory (pcache ls lists it)", arg)
			case nar.Symlink:
				return usagef("%s is a symlink to %q", arg, n.Target)
			}
			return nil
		},
		Contents: func(b []byte) error {
			if !wanted {
				return nil
			}
			_, err := cmd.OutOrStdout().Write(b)
			return err
		},
	})
	if err == nil && !found {
		err = &noFileError{p, file}
	}
	return err
}
