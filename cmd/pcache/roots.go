package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/binarycache/lease"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/pipeline/report"

	"github.com/spf13/cobra"
)

func newRoots() *cobra.Command {
	var asJSON bool
	var name string
	cmd := &cobra.Command{
		Use:   "roots [CACHE]",
		Short: "List and change what keeps closures in a cache",
		Long: `Lists the root manifests of a cache: generations of names, such as hosts, each
written by a push with --root. What a manifest names stays in the cache, with
all that it refers to, until ` + "`pcache gc`" + ` takes the generation out by its age.

` + exitCodes,
		Example: `  pcache roots nightly
  pcache roots show nightly yoga
  pcache roots pin nightly yoga@20261101T020000.000Z-7rjqb838`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := openRoots(cmd.Context(), args, "roots")
			if err != nil {
				return err
			}
			return listRoots(cmd, r, name, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON on standard output")
	cmd.Flags().StringVar(&name, "name", "", "only the generations of this name")
	cmd.AddCommand(newRootsShow(), newRootsAdd(), newRootsRemove(),
		newRootsPin("pin", "Keep a generation whatever its age", binarycache.Roots.Pin),
		newRootsPin("unpin", "Let a pinned generation go by its age again", binarycache.Roots.Unpin))
	return cmd
}

// openStore opens a cache whose objects a command looks at and changes: one
// that can be listed.
func openStore(ctx context.Context, text string) (address, binarycache.Info, error) {
	a, err := openAddress(text)
	if err != nil {
		return a, binarycache.Info{}, err
	}
	if a.store == nil {
		return a, binarycache.Info{}, usagef("cache %q cannot be listed: name the storage behind it, file:///dir or s3://bucket", text)
	}
	about, _, err := binarycache.About(ctx, a.store, a.name)
	return a, about, err
}

// openRoots opens the cache that args name, or the default one.
func openRoots(ctx context.Context, args []string, command string) (binarycache.Roots, error) {
	text, rest, err := cacheOf(args)
	if err == nil && len(rest) > 0 {
		err = usagef("%s: it wants a cache and nothing else (see pcache %s --help)", command, command)
	}
	if err != nil {
		return binarycache.Roots{}, err
	}
	a, about, err := openStore(ctx, text)
	return binarycache.Roots{Store: a.store, Name: a.name, StoreDir: about.StoreDir}, err
}

// rootsReport is what `pcache roots --json` prints.
type rootsReport struct {
	Schema string     `json:"schema"`
	Cache  string     `json:"cache"`
	Roots  []rootInfo `json:"roots"` // by name, the newest first
}

type rootInfo struct {
	Name         string          `json:"name"`
	Generation   string          `json:"generation"`
	Time         *time.Time      `json:"time,omitempty"`
	Commit       string          `json:"commit,omitempty"`
	Toplevel     nix.StorePath   `json:"toplevel,omitempty"`
	Paths        []nix.StorePath `json:"paths"`
	Pusher       string          `json:"pusher,omitempty"`
	ClosurePaths int             `json:"closure_paths"`
	NARBytes     int64           `json:"closure_nar_bytes"`
	LeftUpstream int             `json:"left_upstream,omitempty"` // paths
	Pinned       bool            `json:"pinned,omitempty"`
	Problem      string          `json:"problem,omitempty"`
}

func describeRoot(r binarycache.Root, pinned bool, problem error) rootInfo {
	i := rootInfo{
		Name: r.Name, Generation: r.Generation, Commit: r.Commit, Paths: append([]nix.StorePath{}, r.Paths...), Pusher: r.Pusher,
		ClosurePaths: r.ClosureLen, NARBytes: r.NARBytes, LeftUpstream: len(r.Upstream), Pinned: pinned,
	}
	if problem != nil {
		i.Problem = problem.Error()
		return i
	}
	i.Toplevel, i.Time = r.Paths[0], &r.Time
	return i
}

func listRoots(cmd *cobra.Command, r binarycache.Roots, name string, asJSON bool) error {
	if name != "" {
		if err := binarycache.CheckRootName(name); err != nil {
			return usageError{err}
		}
	}
	entries, err := r.List(cmd.Context(), name)
	if err != nil {
		return err
	}
	out := rootsReport{Schema: "pantheros.roots/1", Cache: r.Name, Roots: []rootInfo{}}
	for start := 0; start < len(entries); { // the newest of each name first
		end := start
		for end < len(entries) && entries[end].Root.Name == entries[start].Root.Name {
			end++
		}
		for i := end - 1; i >= start; i-- {
			out.Roots = append(out.Roots, describeRoot(entries[i].Root, entries[i].Pinned, entries[i].Problem))
		}
		start = end
	}
	w := cmd.OutOrStdout()
	if asJSON {
		return printJSON(w, out)
	}
	if len(out.Roots) == 0 {
		fmt.Fprintf(w, "%s has no roots\n", r.Name)
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ROOT\tTIME\tCOMMIT\tPATHS\tSIZE\tPUSHER\t")
	for _, i := range out.Roots {
		if i.Problem != "" {
			fmt.Fprintf(t, "%s@%s\t-\t-\t-\t-\t-\tunreadable: %s\n", plain(i.Name), plain(i.Generation), plain(i.Problem))
			continue
		}
		note := ""
		if i.Pinned {
			note = "pinned"
		}
		fmt.Fprintf(t, "%s@%s\t%s\t%s\t%d\t%s\t%s\t%s\n", i.Name, i.Generation, i.Time.Local().Format("2006-01-02 15:04"),
			orDash(shortCommit(i.Commit)), i.ClosurePaths, bytesText(i.NARBytes), orDash(i.Pusher), note)
	}
	return t.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return plain(s)
}

// shortCommit is a commit as git abbreviates it, with what follows a "+".
func shortCommit(s string) string {
	hash, note, dirty := strings.Cut(s, "+")
	if len(hash) > 10 {
		hash = hash[:10]
	}
	if dirty {
		return hash + "+" + note
	}
	return hash
}

func newRootsShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show [CACHE] NAME[@GENERATION]",
		Short: "Show a manifest",
		Long: `Shows a root manifest: its paths, the commit, who pushed it, and how large its
closure was. Without a generation it is the newest.

` + exitCodes,
		Example: `  pcache roots show nightly yoga
  pcache roots show --json nightly yoga@20261101T020000.000Z-7rjqb838`,
		RunE: func(cmd *cobra.Command, args []string) error {
			a, about, name, generation, err := rootArgs(cmd, args)
			if err != nil {
				return err
			}
			root, err := binarycache.FindRoot(cmd.Context(), a.store, a.store, a.name, about.StoreDir, name, generation)
			if err != nil {
				return err
			}
			entries, err := binarycache.Roots{Store: a.store, Name: a.name, StoreDir: about.StoreDir}.List(cmd.Context(), name)
			if err != nil {
				return err
			}
			pinned := false
			for _, e := range entries {
				pinned = pinned || e.Pinned && e.Root.Generation == root.Generation
			}
			i := describeRoot(root, pinned, nil)
			w := cmd.OutOrStdout()
			if asJSON {
				return printJSON(w, rootsReport{Schema: "pantheros.roots/1", Cache: a.name, Roots: []rootInfo{i}})
			}
			printRoot(w, i)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON on standard output")
	return cmd
}

func printRoot(w io.Writer, i rootInfo) {
	fmt.Fprintf(w, "root        %s\ngeneration  %s\ntime        %s\n", i.Name, i.Generation, i.Time.Format(time.RFC3339))
	for n, p := range i.Paths {
		label := "toplevel  "
		if n > 0 {
			label = "path      "
		}
		fmt.Fprintf(w, "%s  %s\n", label, p)
	}
	fmt.Fprintf(w, "commit      %s\npusher      %s\nclosure     %s, %s of NARs\n", orDash(i.Commit), orDash(i.Pusher), report.Plural(i.ClosurePaths, "path"), bytesText(i.NARBytes))
	if i.LeftUpstream > 0 {
		fmt.Fprintf(w, "upstream    %s left to upstream caches\n", report.Plural(i.LeftUpstream, "path"))
	}
	if i.Pinned {
		fmt.Fprintln(w, "pinned      yes")
	}
}

// rootArgs reads [CACHE] NAME[@GENERATION].
func rootArgs(cmd *cobra.Command, args []string) (a address, about binarycache.Info, name, generation string, err error) {
	text := ""
	switch len(args) {
	case 1:
		if text, _, err = cacheOf(nil); err != nil {
			return a, about, "", "", err
		}
	case 2:
		text = args[0]
	default:
		return a, about, "", "", usagef("%s: it wants a root, and the cache before it (see %s --help)", cmd.Name(), cmd.CommandPath())
	}
	name, generation, at := strings.Cut(args[len(args)-1], "@")
	if err := binarycache.CheckRootName(name); err != nil {
		return a, about, "", "", usageError{err}
	}
	if at && binarycache.CheckRootName(generation) != nil {
		return a, about, "", "", usagef("root %q: want NAME@GENERATION", args[len(args)-1])
	}
	a, about, err = openStore(cmd.Context(), text)
	return a, about, name, generation, err
}

func newRootsAdd() *cobra.Command {
	var commit string
	cmd := &cobra.Command{
		Use:   "add CACHE NAME PATH...",
		Short: "Make a generation of paths that are in the cache",
		Long: `Writes a manifest for paths that are in the cache with their closures, which is
made sure of: a release that is to stay, or one to go back to. Nothing is
copied; to add paths of this machine's store use pcache push --root.

` + exitCodes,
		Example: `  pcache roots add nightly release-1 /nix/store/...-nixos-system-yoga-25.05`,
		Args:    atLeast(3, "it wants a cache, a name and paths"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := binarycache.CheckRootName(args[1]); err != nil {
				return usageError{err}
			}
			a, about, err := openStore(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			root := binarycache.Root{Name: args[1], Commit: commit, Pusher: lease.Holder()}
			for _, text := range args[2:] {
				p, err := nix.ParseStorePath(about.StoreDir, text)
				if err != nil {
					return usageError{err}
				}
				root.Paths = append(root.Paths, p)
			}
			root, err = binarycache.Roots{Store: a.store, Name: a.name, StoreDir: about.StoreDir}.Add(cmd.Context(), root, time.Now())
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "root %s: generation %s\n", root.Name, root.Generation)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&commit, "commit", "", "the configuration's commit, for the manifest")
	return cmd
}

func newRootsRemove() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "remove [CACHE] NAME@GENERATION",
		Short: "Take a generation, or with --all a whole name, out of the cache",
		Long: `Deletes the manifest of a generation, or with --all those of all generations of
NAME. What they alone kept goes with the next pcache gc --apply. A pinned
generation must be unpinned first.

` + exitCodes,
		Example: `  pcache roots remove nightly yoga@20261101T020000.000Z-7rjqb838
  pcache roots remove --all nightly old-laptop`,
		RunE: func(cmd *cobra.Command, args []string) error {
			a, about, name, generation, err := rootArgs(cmd, args)
			if err != nil {
				return err
			}
			if (generation == "") != all {
				return usagef("roots remove: it wants NAME@GENERATION, or --all and a NAME")
			}
			r := binarycache.Roots{Store: a.store, Name: a.name, StoreDir: about.StoreDir}
			generations := []string{generation}
			if all {
				generations = nil
				entries, err := r.List(cmd.Context(), name)
				if err != nil {
					return err
				}
				for _, e := range entries {
					if e.Pinned {
						return &binarycache.RefusedError{Cache: a.name, Reason: fmt.Sprintf("generation %s of %s is pinned: unpin it first", e.Root.Generation, name)}
					}
					generations = append(generations, e.Root.Generation)
				}
				if len(entries) == 0 {
					return &binarycache.RefusedError{Cache: a.name, Reason: fmt.Sprintf("it has no root %q", name)}
				}
			}
			for _, g := range generations {
				if err := r.Remove(cmd.Context(), name, g); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "removed %s@%s\n", name, g)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all generations of NAME")
	return cmd
}

func newRootsPin(use, short string, do func(r binarycache.Roots, ctx context.Context, name, generation string) error) *cobra.Command {
	return &cobra.Command{
		Use:   use + " [CACHE] NAME[@GENERATION]",
		Short: short,
		Long: short + `. Without a generation it
is the newest of NAME.

` + exitCodes,
		Example: "  pcache roots " + use + " nightly yoga\n  pcache roots " + use + " nightly yoga@20261101T020000.000Z-7rjqb838",
		RunE: func(cmd *cobra.Command, args []string) error {
			a, about, name, generation, err := rootArgs(cmd, args)
			if err != nil {
				return err
			}
			if generation == "" {
				root, err := binarycache.NewestRoot(cmd.Context(), a.store, a.name, about.StoreDir, name)
				if err != nil {
					return err
				}
				generation = root.Generation
			}
			if err := do(binarycache.Roots{Store: a.store, Name: a.name, StoreDir: about.StoreDir}, cmd.Context(), name, generation); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%sned %s@%s\n", use, name, generation)
			return nil
		},
	}
}
