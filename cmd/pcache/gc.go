package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache/census"
	"gitlab.com/pantheros/pantheros/internal/binarycache/gc"
	"gitlab.com/pantheros/pantheros/pipeline/report"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

type gcOptions struct {
	keep     int
	keepDays int
	grace    time.Duration
	apply    bool
	verbose  bool
	json     bool
}

func newGC() *cobra.Command {
	var o gcOptions
	cmd := &cobra.Command{
		Use:   "gc [CACHE]",
		Short: "Delete from a cache what nothing needs any more",
		Long: `Shows what would go from a cache, what stays and why; --apply deletes it.

Of each root's generations the last --keep stay, and those younger than
--keep-days: a generation goes when neither keeps it. The newest of each name
and pinned ones always stay; without either flag all do. What they name stays
with all that it refers to, and so does what was written within the grace
period, with what it refers to. Everything else goes: manifests of old
generations, narinfos, NARs that no path has, listings, logs, debug info, build
traces, uploads that were never finished.

Pushes may go on meanwhile: a push holds a lease on what it relies on, and what
is leased stays. Other programs that write to the cache, such as Nix, hold none;
the grace period is for them and must exceed their longest push.

A root that cannot be read, or that needs what is gone, stops everything before
anything is deleted (exit code 5). An interrupted collection leaves a cache that
is whole; running it again does the rest.

` + exitCodes,
		Example: `  pcache gc --keep 5 --keep-days 30 nightly
  pcache gc --keep 5 --keep-days 30 --apply nightly`,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, rest, err := cacheOf(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return usagef("gc: it wants a cache and nothing else (see pcache gc --help)")
			}
			for flag, negative := range map[string]bool{"--keep": o.keep < 0, "--keep-days": o.keepDays < 0, "--grace": o.grace < 0} {
				if negative {
					return usagef("%s must not be negative", flag)
				}
			}
			return collect(cmd, name, o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.keep, "keep", 0, "keep this many generations of each name")
	f.IntVar(&o.keepDays, "keep-days", 0, "keep generations younger than this many days")
	f.DurationVar(&o.grace, "grace", gc.DefaultGrace, "keep everything that was written within this time")
	f.BoolVar(&o.apply, "apply", false, "delete what the plan says")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "list every object that goes, and every path that stays, with the reason")
	f.BoolVar(&o.json, "json", false, "print the plan and the result as JSON on standard output")
	return cmd
}

// gcReport is what `pcache gc --json` prints.
type gcReport struct {
	Schema      string              `json:"schema"`
	Cache       string              `json:"cache"`
	Status      string              `json:"status"` // "planned", "done", "failed"
	Error       string              `json:"error,omitempty"`
	Seconds     float64             `json:"seconds"`
	PlanSeconds float64             `json:"plan_seconds"`
	Policy      gcPolicy            `json:"policy"`
	Generations []gcGeneration      `json:"generations"`
	Leases      []gcLease           `json:"leases"`
	Stay        map[string]gcStay   `json:"stay"` // paths by reason
	Go          []gcItem            `json:"go"`
	Unfinished  []gcLeftover        `json:"unfinished_uploads"`
	Planned     map[string]gc.Tally `json:"planned"` // what goes, by kind
	Deleted     map[string]gc.Tally `json:"deleted,omitempty"`
	KeptAfter   *gc.Tally           `json:"kept_after_all,omitempty"`
}

type gcPolicy struct {
	Keep         int     `json:"keep"`
	KeepDays     int     `json:"keep_days"`
	GraceSeconds float64 `json:"grace_seconds"`
}

type gcGeneration struct {
	Name       string    `json:"name"`
	Generation string    `json:"generation"`
	Time       time.Time `json:"time"`
	Stays      bool      `json:"stays"`
	Why        string    `json:"why"`
}

type gcLease struct {
	Holder  string    `json:"holder"`
	Purpose string    `json:"purpose"`
	Renewed time.Time `json:"renewed"`
}

type gcStay struct {
	Paths       int   `json:"paths"`
	StoredBytes int64 `json:"stored_bytes"` // NARs, each counted for the first path that has it
}

type gcItem struct {
	Key   string `json:"key"`
	Kind  string `json:"kind"`
	Bytes int64  `json:"bytes"`
	Path  string `json:"path,omitempty"`
	Why   string `json:"why"`
}

type gcLeftover struct {
	Key      string    `json:"key"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"`
}

func collect(cmd *cobra.Command, cacheName string, o gcOptions) error {
	ctx := cmd.Context()
	began := time.Now()
	a, _, err := openStore(ctx, cacheName)
	if err != nil {
		return err
	}
	steps := newSteps(cmd.ErrOrStderr())
	options := gc.Options{
		Name: a.name, Progress: steps.show,
		Policy: gc.Policy{Keep: o.keep, KeepFor: time.Duration(o.keepDays) * 24 * time.Hour, Grace: o.grace},
	}
	open := gc.DryRun
	if o.apply {
		open = gc.Open
	}
	c, err := open(ctx, a.store, options)
	steps.clear()
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	out := reportGC(c, a.name, o)
	out.PlanSeconds = time.Since(began).Seconds()
	w := cmd.OutOrStdout()
	if !o.json {
		printGC(w, c, out, o.verbose)
	}
	if o.apply {
		err = c.Sweep(ctx)
		steps.clear()
		c.Close(ctx)
		out.Status, out.Deleted, out.KeptAfter = "done", c.Deleted, &c.Kept
		if err != nil {
			out.Status, out.Error = "failed", err.Error()
		}
	}
	out.Seconds = time.Since(began).Seconds()
	if o.json {
		return errors.Join(printJSON(w, out), err)
	}
	if !o.apply {
		fmt.Fprintln(w, "nothing was deleted: --apply does it")
	} else if err == nil {
		fmt.Fprintf(w, "deleted %s in %.1f s\n", tallies(c.Deleted), out.Seconds)
		if c.Kept.Objects > 0 {
			fmt.Fprintf(w, "kept %s after all: something came to need them\n", report.Plural(c.Kept.Objects, "object"))
		}
	}
	return err
}

func reportGC(c *gc.Collection, name string, o gcOptions) gcReport {
	p := c.Plan
	out := gcReport{
		Schema: "pantheros.gc/1", Cache: name, Status: "planned",
		Policy:      gcPolicy{o.keep, o.keepDays, o.grace.Seconds()},
		Generations: []gcGeneration{}, Leases: []gcLease{}, Stay: make(map[string]gcStay), Go: []gcItem{}, Unfinished: []gcLeftover{},
		Planned: make(map[string]gc.Tally),
	}
	for _, g := range p.Generations {
		out.Generations = append(out.Generations, gcGeneration{g.Manifest.Name, g.Manifest.Generation, g.Manifest.Time, g.Stays, g.Why})
	}
	for _, l := range p.Leases {
		out.Leases = append(out.Leases, gcLease{l.Holder, l.Purpose, l.Renewed})
	}
	met := make(map[string]bool)
	p.Stay(func(id census.ID, reason gc.Reason, _ string) {
		path := &p.Census.Paths[id]
		s := out.Stay[reason.String()]
		s.Paths++
		if key, inside := path.NAR(); inside && !met[key] {
			met[key] = true
			object, _ := p.Census.Object(key)
			s.StoredBytes += object.Size
		}
		out.Stay[reason.String()] = s
	})
	for _, i := range p.Go {
		item := gcItem{Key: i.Key, Kind: i.Kind.String(), Bytes: i.Size, Why: i.Why}
		if i.Path != census.NoPath {
			item.Path = p.Census.Paths[i.Path].String()
		}
		out.Go = append(out.Go, item)
		t := out.Planned[item.Kind]
		t.Objects++
		t.Bytes += i.Size
		out.Planned[item.Kind] = t
	}
	for _, l := range c.Leftovers {
		out.Unfinished = append(out.Unfinished, gcLeftover{l.Key, l.Size, l.Modified})
		t := out.Planned["unfinished"]
		t.Objects++
		t.Bytes += l.Size
		out.Planned["unfinished"] = t
	}
	return out
}

func printGC(w io.Writer, c *gc.Collection, out gcReport, verbose bool) {
	stay, leave := 0, 0
	for _, g := range out.Generations {
		if g.Stays {
			stay++
		} else {
			leave++
		}
	}
	fmt.Fprintf(w, "%s: %s stay, %d go\n", out.Cache, report.Plural(stay, "generation"), leave)
	for _, g := range out.Generations {
		word := "stays"
		if !g.Stays {
			word = "goes "
		}
		fmt.Fprintf(w, "  %s  %s@%s  %s\n", word, g.Name, g.Generation, g.Why)
	}
	for _, l := range out.Leases {
		fmt.Fprintf(w, "  a %s of %s is under way (heard of %s ago)\n", plain(l.Purpose), plain(l.Holder), time.Since(l.Renewed).Round(time.Second))
	}
	fmt.Fprintln(w, "stays:")
	for r := gc.Rooted; r <= gc.Needed; r++ {
		if s, ok := out.Stay[r.String()]; ok {
			fmt.Fprintf(w, "  %d paths, %s: %s\n", s.Paths, bytesText(s.StoredBytes), r)
		}
	}
	if len(out.Stay) == 0 {
		fmt.Fprintln(w, "  no path")
	}
	if verbose {
		c.Plan.Stay(func(id census.ID, _ gc.Reason, why string) {
			fmt.Fprintf(w, "  stays  %s  %s\n", &c.Plan.Census.Paths[id], why)
		})
	}
	fmt.Fprintf(w, "goes: %s\n", tallies(out.Planned))
	if verbose {
		for _, i := range out.Go {
			text := plain(i.Key)
			if i.Kind == census.NARInfo.String() {
				text = i.Path
			}
			fmt.Fprintf(w, "  goes   %10s  %s  %s\n", bytesText(i.Bytes), text, plain(i.Why))
		}
		for _, l := range out.Unfinished {
			fmt.Fprintf(w, "  goes   %10s  %s  an upload that was not finished\n", bytesText(l.Bytes), plain(l.Key))
		}
	}
}

// tallies is what goes, for people.
func tallies(by map[string]gc.Tally) string {
	var parts []string
	var total int64
	for _, k := range slices.Sorted(func(yield func(string) bool) {
		for k := range by {
			if !yield(k) {
				return
			}
		}
	}) {
		t := by[k]
		parts = append(parts, fmt.Sprintf("%d %s (%s)", t.Objects, kindText(k, t.Objects), bytesText(t.Bytes)))
		total += t.Bytes
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ") + "; " + bytesText(total) + " in all"
}

func kindText(kind string, n int) string {
	texts := map[string]string{"nar": "NAR", "root": "manifest", "unfinished": "unfinished upload", "debuginfo": "entry of debug info", "build-trace": "build trace"}
	text, ok := texts[kind]
	if !ok {
		text = kind
	}
	if n == 1 {
		return text
	}
	if kind == "debuginfo" {
		return "entries of debug info"
	}
	return text + "s"
}

// steps shows what a command is at: a line that changes on a terminal, and a line
// every ten seconds elsewhere.
type steps struct {
	w    io.Writer
	tty  bool
	mu   sync.Mutex
	last time.Time
	long bool // the line on the terminal is not empty
}

func newSteps(w io.Writer) *steps {
	s := &steps{w: w, last: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		s.tty = true
	}
	return s
}

func (s *steps) show(step string, done, total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	every := 10 * time.Second
	if s.tty {
		every = 200 * time.Millisecond
	}
	if time.Since(s.last) < every {
		return
	}
	s.last = time.Now()
	text := fmt.Sprintf("%s: %d of %d objects", step, done, total)
	if total == 0 {
		text = fmt.Sprintf("%s: %d objects listed", step, done)
	}
	if s.tty {
		fmt.Fprintf(s.w, "\r\x1b[K%s", text)
		s.long = true
	} else {
		fmt.Fprintln(s.w, text)
	}
}

// clear removes the line from the terminal.
func (s *steps) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.long {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.long = false
	}
}
