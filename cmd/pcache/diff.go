package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/pipeline/report"

	"github.com/spf13/cobra"
)

type diffOptions struct {
	keys, others  []string
	json, rebuilt bool
}

func newDiff() *cobra.Command {
	var o diffOptions
	cmd := &cobra.Command{
		Use:   "diff [CACHE] A B",
		Short: "Show how the packages of two closures differ",
		Long: `Compares two closures of a cache by package: versions that went up [U], down [D]
or changed otherwise [C], packages that came [A] or went [R], and by how much
each grew. A and B are store paths, names of roots (the newest generation), or
ROOT@GENERATION. Without CACHE the default one of the configuration is meant.

Only narinfos are read. Where keys are given, by --public-key or in the
configuration, each of them must be signed with one.

` + exitCodes,
		Example: `  pcache diff nightly yoga@20261101T020000.000Z-7rjqb838 yoga
  pcache diff file:///srv/cache /nix/store/...-hello-2.11 /nix/store/...-hello-2.12`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch len(args) {
			case 2:
				name, _, err := cacheOf(nil)
				if err != nil {
					return err
				}
				return diff(cmd, name, args[0], args[1], o)
			case 3:
				return diff(cmd, args[0], args[1], args[2], o)
			default:
				return usagef("diff: it wants two closures, and the cache before them (see pcache diff --help)")
			}
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.keys, "public-key", nil, "want narinfos signed with this key, NAME:BASE64 (can be repeated)")
	f.StringArrayVar(&o.others, "upstream", nil, "ask this cache for what the other one leaves to it (can be repeated)")
	f.BoolVar(&o.rebuilt, "rebuilt", false, "list packages, too, whose paths differ and whose versions do not")
	f.BoolVar(&o.json, "json", false, "print the result as JSON on standard output")
	return cmd
}

// diffReport is what `pcache diff --json` prints.
type diffReport struct {
	Schema       string                 `json:"schema"`
	Cache        string                 `json:"cache"`
	Before       diffSide               `json:"before"`
	After        diffSide               `json:"after"`
	PathsAdded   int                    `json:"paths_added"`
	PathsRemoved int                    `json:"paths_removed"`
	NARBytes     int64                  `json:"nar_bytes"` // growth
	Packages     []report.PackageChange `json:"packages"`
}

// diffSide is one of the two closures.
type diffSide struct {
	Root         string          `json:"root,omitempty"`
	Generation   string          `json:"generation,omitempty"`
	Paths        []nix.StorePath `json:"paths"` // whose closure it is
	ClosurePaths int             `json:"closure_paths"`
	NARBytes     int64           `json:"closure_nar_bytes"`
}

func (s diffSide) String() string {
	text := string(s.Paths[0])
	if len(s.Paths) > 1 {
		text = fmt.Sprintf("%s and %d more", text, len(s.Paths)-1)
	}
	if s.Root != "" {
		text = s.Root + "@" + s.Generation + "  " + text
	}
	return text
}

func diff(cmd *cobra.Command, cacheName, before, after string, o diffOptions) error {
	ctx := cmd.Context()
	addr, err := openAddress(cacheName)
	if err != nil {
		return err
	}
	trusted, err := publicKeys(o.keys)
	if err != nil {
		return err
	}
	if len(trusted) == 0 {
		trusted = addr.config.PublicKeys
	}
	upstreams, err := openUpstreams(o.others)
	if err != nil {
		return err
	}
	options := binarycache.SourceOptions{Trusted: trusted, Upstreams: upstreams}
	if addr.reader != nil {
		about, _, err := binarycache.About(ctx, addr.reader, addr.name)
		if err != nil {
			return err
		}
		options.StoreDir = about.StoreDir
	} else {
		options.StoreDir = nix.DefaultStoreDir
	}
	source, err := addr.source(ctx, options)
	if err != nil {
		return err
	}
	out := diffReport{Schema: "pantheros.diff/1", Cache: addr.name}
	var sides [2]*report.Report
	for i, of := range []struct {
		text string
		side *diffSide
	}{{before, &out.Before}, {after, &out.After}} {
		root, paths, err := findRoot(ctx, addr, options.StoreDir, of.text)
		if err != nil {
			return err
		}
		closure, err := source.Closure(ctx, paths...)
		if err != nil {
			return err
		}
		*of.side = diffSide{Root: root.Name, Generation: root.Generation, Paths: paths, ClosurePaths: len(closure)}
		sides[i] = closureReport(closure)
		of.side.NARBytes = sides[i].Hosts[0].Closure.NARBytes
	}
	if err := report.Compare(sides[0], sides[1]); err != nil {
		return err
	}
	changes := sides[1].Hosts[0].Changes
	out.PathsAdded, out.PathsRemoved, out.NARBytes = changes.PathsAdded, changes.PathsRemoved, changes.NARBytes
	out.Packages = append([]report.PackageChange{}, changes.Packages...)
	w := cmd.OutOrStdout()
	if o.json {
		return printJSON(w, out)
	}
	return printDiff(w, out, o.rebuilt)
}

// closureReport is a report of nothing but a closure, for report.Compare.
func closureReport(closure []nix.PathInfo) *report.Report {
	r, c := new(report.Report), new(report.Closure)
	for i, p := range closure {
		r.Paths = append(r.Paths, report.Path{Path: string(p.Path), NARBytes: p.NARSize})
		c.Members = append(c.Members, i)
		c.NARBytes += p.NARSize
	}
	c.Paths = len(closure)
	r.Hosts = []report.Host{{Closure: c}}
	return r
}

// findRoot finds what text means: a store path, or a root of the cache, whose
// newest generation counts unless one is named (ROOT@GENERATION). The root is
// empty for a store path.
func findRoot(ctx context.Context, a address, storeDir, text string) (root binarycache.Root, paths []nix.StorePath, err error) {
	if strings.HasPrefix(text, "/") {
		p, err := nix.ParseStorePath(storeDir, text)
		if err != nil {
			return root, nil, usageError{err}
		}
		return root, []nix.StorePath{p}, nil
	}
	name, generation, at := strings.Cut(text, "@")
	if err := binarycache.CheckRootName(name); err != nil {
		return root, nil, usageError{err}
	}
	if at && binarycache.CheckRootName(generation) != nil {
		return root, nil, usagef("root %q: want NAME@GENERATION", text)
	}
	if a.reader == nil {
		return root, nil, usagef("cache %s keeps no roots: name store paths", a.name)
	}
	root, err = binarycache.FindRoot(ctx, a.reader, a.store, a.name, storeDir, name, generation)
	return root, root.Paths, err
}

// printDiff prints the changes in groups, in the manner of nvd.
func printDiff(w io.Writer, d diffReport, rebuilt bool) error {
	fmt.Fprintf(w, "<<< %s\n>>> %s\n", d.Before, d.After)
	printChanges(w, "", d.Packages, rebuilt, " (--rebuilt lists them)")
	_, err := fmt.Fprintf(w, "Closure: %d -> %s (%d added, %d removed), %s -> %s (%s)\n",
		d.Before.ClosurePaths, report.Plural(d.After.ClosurePaths, "path"), d.PathsAdded, d.PathsRemoved,
		bytesText(d.Before.NARBytes), bytesText(d.After.NARBytes), growthText(d.NARBytes))
	return err
}

// printChanges prints packages in groups, each line after indent. hint follows
// how many were rebuilt alone.
func printChanges(w io.Writer, indent string, packages []report.PackageChange, rebuilt bool, hint string) {
	groups := []struct{ title, kind string }{
		{"Version changes", report.Changed}, {"Added packages", report.Added}, {"Removed packages", report.Removed},
		{"Rebuilt packages", report.Rebuilt},
	}
	width, same := 0, 0
	for _, p := range packages {
		if p.Kind == report.Rebuilt {
			same++
		}
		if p.Kind != report.Rebuilt || rebuilt {
			width = max(width, len(plain(p.Name)))
		}
	}
	for _, g := range groups {
		if g.kind == report.Rebuilt && !rebuilt {
			continue
		}
		title := indent + g.title + ":\n"
		for _, p := range packages {
			if p.Kind != g.kind {
				continue
			}
			fmt.Fprintf(w, "%s%s[%s] %-*s  %s  (%s)\n", title, indent, mark(p), width, plain(p.Name), versions(p), growthText(p.NARBytes))
			title = ""
		}
	}
	if same > 0 && !rebuilt {
		fmt.Fprintf(w, "%s%s rebuilt with the same version%s\n", indent, report.Plural(same, "package"), hint)
	}
}

func mark(p report.PackageChange) string {
	switch {
	case p.Kind == report.Added:
		return "A"
	case p.Kind == report.Removed:
		return "R"
	case p.Kind == report.Rebuilt:
		return "="
	case p.Direction() > 0:
		return "U"
	case p.Direction() < 0:
		return "D"
	default:
		return "C"
	}
}

func versions(p report.PackageChange) string {
	list := func(versions []string) string {
		var texts []string
		for _, v := range versions {
			if v == "" {
				v = "<none>"
			}
			texts = append(texts, plain(v))
		}
		return strings.Join(texts, ", ")
	}
	switch p.Kind {
	case report.Added, report.Rebuilt:
		return list(p.After)
	case report.Removed:
		return list(p.Before)
	default:
		return list(p.Before) + " -> " + list(p.After)
	}
}

// growthText is a difference of bytes for people, with its sign.
func growthText(n int64) string {
	switch {
	case n > 0:
		return "+" + bytesText(n)
	case n < 0:
		return "-" + bytesText(-n)
	default:
		return "same size"
	}
}
