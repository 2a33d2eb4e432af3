package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache/census"
	"gitlab.com/pantheros/pantheros/internal/binarycache/gc"
	"gitlab.com/pantheros/pantheros/pipeline/report"

	"github.com/spf13/cobra"
)

func newStats() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stats [CACHE]",
		Short: "Show how large a cache is, and what for",
		Long: `Shows what a cache holds: objects and bytes by kind, how much compression and
shared NARs save, how much each root needs, alone and together with others, and
how the cache grew from generation to generation.

` + exitCodes,
		Example: `  pcache stats nightly
  pcache stats --json file:///srv/cache`,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, rest, err := cacheOf(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return usagef("stats: it wants a cache and nothing else (see pcache stats --help)")
			}
			return stats(cmd, name, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON on standard output")
	return cmd
}

// statsReport is what `pcache stats --json` prints. Sizes are bytes; stored ones
// are of NARs as they are in the cache.
type statsReport struct {
	Schema  string              `json:"schema"`
	Cache   string              `json:"cache"`
	Objects gc.Tally            `json:"objects"`
	Kinds   map[string]gc.Tally `json:"kinds"`

	Paths       int     `json:"paths"`
	NARBytes    int64   `json:"nar_bytes"`          // uncompressed, of all paths
	StoredBytes int64   `json:"stored_bytes"`       // that they take
	Ratio       float64 `json:"compression_ratio"`  // uncompressed to stored, of what is stored; 0: nothing is
	SharedBytes int64   `json:"shared_saved_bytes"` // that NARs which several paths have do not take again

	Roots      []rootStats   `json:"roots"`
	Common     storedPaths   `json:"in_several_roots"`
	Rootless   storedPaths   `json:"in_no_root"`
	Growth     []growthStats `json:"growth"` // by time
	OrphanNARs gc.Tally      `json:"orphan_nars"`
}

type storedPaths struct {
	Paths       int   `json:"paths"`
	StoredBytes int64 `json:"stored_bytes"` // of NARs that nothing else in the cache has
}

type rootStats struct {
	Name        string      `json:"name"`
	Generations int         `json:"generations"`
	Paths       int         `json:"paths"` // of all generations
	NARBytes    int64       `json:"nar_bytes"`
	StoredBytes int64       `json:"stored_bytes"`
	Alone       storedPaths `json:"alone"` // what no other root needs
}

type growthStats struct {
	Name        string    `json:"name"`
	Generation  string    `json:"generation"`
	Time        time.Time `json:"time"`
	Paths       int       `json:"added_paths"` // that no earlier generation of any root has
	StoredBytes int64     `json:"added_stored_bytes"`
	Total       int64     `json:"total_stored_bytes"` // of all generations until then
}

func stats(cmd *cobra.Command, cacheName string, asJSON bool) error {
	ctx := cmd.Context()
	a, _, err := openStore(ctx, cacheName)
	if err != nil {
		return err
	}
	steps := newSteps(cmd.ErrOrStderr())
	c, err := census.Take(ctx, a.store, census.Options{Name: a.name, Progress: func(done, total int) { steps.show("reading", done, total) }})
	steps.clear()
	if err != nil {
		return err
	}
	out := statsOf(c, a.name)
	if asJSON {
		return printJSON(cmd.OutOrStdout(), out)
	}
	return printStats(cmd.OutOrStdout(), out)
}

// users says who needs a thing: nobody, one root, or several.
type users map[string]int32

const several = -2

func (u users) note(key string, root int32) {
	if was, met := u[key]; !met {
		u[key] = root
	} else if was != root {
		u[key] = several
	}
}

func statsOf(c *census.Census, name string) statsReport {
	out := statsReport{Schema: "pantheros.stats/1", Cache: name, Kinds: make(map[string]gc.Tally), Roots: []rootStats{}, Growth: []growthStats{}}
	for _, k := range census.Kinds() {
		var t gc.Tally
		for _, o := range c.Objects(k) {
			t.Objects++
			t.Bytes += o.Size
		}
		if t.Objects > 0 {
			out.Kinds[k.String()] = t
		}
		out.Objects.Objects += t.Objects
		out.Objects.Bytes += t.Bytes
	}
	var all []census.ID
	for i := range c.Paths {
		if c.Paths[i].Good() {
			all = append(all, census.ID(i))
		}
	}
	s := c.Sizes(all)
	out.Paths, out.NARBytes, out.StoredBytes, out.SharedBytes = s.Paths, s.NARs, s.Stored, s.Shared
	if s.Stored > 0 {
		out.Ratio = float64(s.Packed) / float64(s.Stored)
	}

	// Which root needs what, by all of its generations together.
	const nobody = -1
	pathUsers := make([]int32, len(c.Paths))
	for i := range pathUsers {
		pathUsers[i] = nobody
	}
	narUsers := make(users)
	wants := make(map[string][]census.ID)
	var names []string
	for i := range c.Roots {
		m := &c.Roots[i]
		if m.Problem != nil {
			continue
		}
		if wants[m.Name] == nil {
			names = append(names, m.Name)
			out.Roots = append(out.Roots, rootStats{Name: m.Name})
		}
		out.Roots[len(names)-1].Generations++
		wants[m.Name] = append(wants[m.Name], m.Wants...)
	}
	for n, name := range names {
		closure := c.Closure(wants[name])
		s := c.Sizes(closure)
		r := &out.Roots[n]
		r.Paths, r.NARBytes, r.StoredBytes = s.Paths, s.NARs, s.Stored
		for _, id := range closure {
			switch pathUsers[id] {
			case nobody:
				pathUsers[id] = int32(n)
			case int32(n):
			default:
				pathUsers[id] = several
			}
			if key, inside := c.Paths[id].NAR(); inside {
				narUsers.note(key, int32(n))
			}
		}
	}
	for _, id := range all {
		if pathUsers[id] != nobody {
			continue
		}
		if key, inside := c.Paths[id].NAR(); inside {
			if _, met := narUsers[key]; !met {
				narUsers[key] = nobody
			}
		}
	}
	part := func(user int32) *storedPaths {
		switch user {
		case nobody:
			return &out.Rootless
		case several:
			return &out.Common
		}
		return &out.Roots[user].Alone
	}
	for _, id := range all {
		part(pathUsers[id]).Paths++
	}
	for _, o := range c.Objects(census.NAR) {
		user, used := narUsers[o.Key]
		if !used {
			out.OrphanNARs.Objects++
			out.OrphanNARs.Bytes += o.Size
			continue
		}
		part(user).StoredBytes += o.Size
	}
	out.Growth = growth(c)
	return out
}

// growth is what each generation added to all that were before it.
func growth(c *census.Census) []growthStats {
	list := []growthStats{}
	var order []*census.RootManifest
	for i := range c.Roots {
		if c.Roots[i].Problem == nil {
			order = append(order, &c.Roots[i])
		}
	}
	slices.SortStableFunc(order, func(a, b *census.RootManifest) int { return a.Time.Compare(b.Time) })
	metPaths := make([]bool, len(c.Paths))
	metNARs := make(map[string]bool)
	var total int64
	for _, m := range order {
		g := growthStats{Name: m.Name, Generation: m.Generation, Time: m.Time}
		for _, id := range c.Closure(m.Wants) {
			if metPaths[id] {
				continue
			}
			metPaths[id] = true
			g.Paths++
			if key, inside := c.Paths[id].NAR(); inside && !metNARs[key] {
				metNARs[key] = true
				object, _ := c.Object(key)
				g.StoredBytes += object.Size
			}
		}
		total += g.StoredBytes
		g.Total = total
		list = append(list, g)
	}
	return list
}

func printStats(w io.Writer, s statsReport) error {
	fmt.Fprintf(w, "%s: %d objects, %s\n", s.Cache, s.Objects.Objects, bytesText(s.Objects.Bytes))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, k := range census.Kinds() {
		if n, ok := s.Kinds[k.String()]; ok {
			fmt.Fprintf(t, "%d\t%s\t %s\t\n", n.Objects, bytesText(n.Bytes), kindText(k.String(), n.Objects))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s, %s of NARs stored as %s", report.Plural(s.Paths, "path"), bytesText(s.NARBytes), bytesText(s.StoredBytes))
	if s.Ratio > 0 {
		fmt.Fprintf(w, ": compressed %.2f to 1, shared NARs save %s", s.Ratio, bytesText(s.SharedBytes))
	}
	fmt.Fprintln(w)
	if s.OrphanNARs.Objects > 0 {
		fmt.Fprintf(w, "%s that no path has, %s\n", report.Plural(s.OrphanNARs.Objects, "NAR"), bytesText(s.OrphanNARs.Bytes))
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "ROOT\tGENERATIONS\tPATHS\tNARS\tSTORED\tALONE\t")
	for _, r := range s.Roots {
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\t%s\t\n", r.Name, r.Generations, r.Paths, bytesText(r.NARBytes), bytesText(r.StoredBytes), bytesText(r.Alone.StoredBytes))
	}
	fmt.Fprintf(t, "in several\t\t%d\t\t%s\t\t\n", s.Common.Paths, bytesText(s.Common.StoredBytes))
	fmt.Fprintf(t, "in none\t\t%d\t\t%s\t\t\n", s.Rootless.Paths, bytesText(s.Rootless.StoredBytes))
	if err := t.Flush(); err != nil || len(s.Growth) == 0 {
		return err
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "TIME\tROOT\tNEW PATHS\tNEW STORED\tTOTAL\t")
	for _, g := range s.Growth {
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t\n", g.Time.Local().Format("2006-01-02 15:04"), strings.TrimSpace(g.Name), g.Paths, bytesText(g.StoredBytes), bytesText(g.Total))
	}
	return t.Flush()
}
