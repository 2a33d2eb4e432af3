package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/binarycache/census"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/pipeline/report"

	"github.com/spf13/cobra"
)

func newHistory() *cobra.Command {
	var asJSON bool
	var limit int
	cmd := &cobra.Command{
		Use:   "history [CACHE] NAME",
		Short: "Show the generations of a root, their sizes and what changed",
		Long: `Shows the generations of a root, the newest first: when each was pushed, of
which commit and by whom, how large its closure is and how much of the cache's
storage it added to the generation before it, and how its packages differ from
that one's, in the manner of pcache diff.

` + exitCodes,
		Example: `  pcache history nightly yoga
  pcache history --limit 3 --json file:///srv/cache yoga`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 0 {
				return usagef("--limit must not be negative")
			}
			return history(cmd, args, limit, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON on standard output")
	cmd.Flags().IntVar(&limit, "limit", 0, "show only this many generations (0: all)")
	return cmd
}

// historyReport is what `pcache history --json` prints.
type historyReport struct {
	Schema      string              `json:"schema"`
	Cache       string              `json:"cache"`
	Name        string              `json:"name"`
	Generations []historyGeneration `json:"generations"` // the newest first
}

type historyGeneration struct {
	rootInfo
	StoredBytes int64           `json:"stored_bytes"`           // of the closure's NARs as they are in the cache
	AddedBytes  int64           `json:"added_stored_bytes"`     // of them, those that the generation before does not have
	AbsentPaths int             `json:"absent_paths,omitempty"` // of the closure, which the cache does not hold
	Changes     *report.Changes `json:"changes,omitempty"`      // from the generation before; absent for the first
}

func history(cmd *cobra.Command, args []string, limit int, asJSON bool) error {
	ctx := cmd.Context()
	a, _, name, generation, err := rootArgs(cmd, args)
	if err != nil {
		return err
	}
	if generation != "" {
		return usagef("history: it wants the name of a root (pcache diff compares two generations)")
	}
	steps := newSteps(cmd.ErrOrStderr())
	c, err := census.Take(ctx, a.store, census.Options{Name: a.name, Progress: func(done, total int) { steps.show("reading", done, total) }})
	steps.clear()
	if err != nil {
		return err
	}
	out := historyReport{Schema: "pantheros.history/1", Cache: a.name, Name: name, Generations: []historyGeneration{}}
	var before *historyGeneration
	var beforeReport *report.Report
	beforeNARs := make(map[string]bool)
	found := false
	for i := range c.Roots {
		m := &c.Roots[i]
		if m.Name != name {
			continue
		}
		found = true
		g := historyGeneration{rootInfo: describeRoot(m.Root, m.Pinned, m.Problem)}
		if m.Problem != nil {
			out.Generations = append(out.Generations, g)
			continue
		}
		g.LeftUpstream = len(m.Upstream)
		closure := c.Closure(m.Wants)
		nars := narsOf(c, closure)
		for key, size := range nars {
			g.StoredBytes += size
			if !beforeNARs[key] {
				g.AddedBytes += size
			}
		}
		elsewhere := 0
		for _, id := range m.Upstream {
			if !c.Paths[id].Good() {
				elsewhere++
			}
		}
		g.AbsentPaths = max(0, g.ClosurePaths-len(closure)-elsewhere)
		now := closureReport(pathInfos(c, closure))
		if before != nil {
			if err := report.Compare(beforeReport, now); err != nil {
				return err
			}
			g.Changes = now.Hosts[0].Changes
		}
		beforeNARs = make(map[string]bool, len(nars))
		for key := range nars {
			beforeNARs[key] = true
		}
		before, beforeReport = &g, now
		out.Generations = append(out.Generations, g)
	}
	if !found {
		return &binarycache.RefusedError{Cache: a.name, Reason: fmt.Sprintf("it has no root %q", name)}
	}
	slices.Reverse(out.Generations)
	if limit > 0 && len(out.Generations) > limit {
		out.Generations = out.Generations[:limit]
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), out)
	}
	return printHistory(cmd.OutOrStdout(), out)
}

// narsOf are the NARs of paths and their objects' sizes.
func narsOf(c *census.Census, ids []census.ID) map[string]int64 {
	nars := make(map[string]int64, len(ids))
	for _, id := range ids {
		if key, inside := c.Paths[id].NAR(); inside {
			object, _ := c.Object(key)
			nars[key] = object.Size
		}
	}
	return nars
}

// pathInfos is what report.Compare needs of paths.
func pathInfos(c *census.Census, ids []census.ID) []nix.PathInfo {
	infos := make([]nix.PathInfo, len(ids))
	for i, id := range ids {
		infos[i] = nix.PathInfo{Path: c.Paths[id].Path, NARSize: c.Paths[id].NARSize}
	}
	slices.SortFunc(infos, func(a, b nix.PathInfo) int {
		if a.Path < b.Path {
			return -1
		}
		return 1
	})
	return infos
}

func printHistory(w io.Writer, out historyReport) error {
	for n, g := range out.Generations {
		if n > 0 {
			fmt.Fprintln(w)
		}
		if g.Problem != "" {
			fmt.Fprintf(w, "%s@%s  unreadable: %s\n", g.Name, plain(g.Generation), plain(g.Problem))
			continue
		}
		note := ""
		if g.Pinned {
			note = "  pinned"
		}
		fmt.Fprintf(w, "%s@%s  %s  commit %s  by %s%s\n", g.Name, g.Generation, g.Time.Local().Format(time.DateTime), orDash(shortCommit(g.Commit)), orDash(g.Pusher), note)
		fmt.Fprintf(w, "  %s, %s of NARs, %s stored, %s of it new\n", report.Plural(g.ClosurePaths, "path"), bytesText(g.NARBytes), bytesText(g.StoredBytes), bytesText(g.AddedBytes))
		if g.LeftUpstream > 0 {
			fmt.Fprintf(w, "  %s left to upstream caches\n", report.Plural(g.LeftUpstream, "path"))
		}
		if g.AbsentPaths > 0 {
			fmt.Fprintf(w, "  %s of it missing in the cache\n", report.Plural(g.AbsentPaths, "path"))
		}
		if g.Changes == nil {
			continue
		}
		fmt.Fprintf(w, "  %d added, %d removed, %s\n", g.Changes.PathsAdded, g.Changes.PathsRemoved, growthText(g.Changes.NARBytes))
		printChanges(w, "  ", g.Changes.Packages, false, "")
	}
	return nil
}
