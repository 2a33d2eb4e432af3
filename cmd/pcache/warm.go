package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
	"gitlab.com/pantheros/pantheros/internal/blob/throttle"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/mirror"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixstore"
	"gitlab.com/pantheros/pantheros/pipeline/report"

	"github.com/spf13/cobra"
)

type warmOptions struct {
	to      string
	store   string
	keys    []string
	noCheck bool
	others  []string
	watch   time.Duration
	rate    byteSize
	maxSize byteSize
	keep    int
	dryRun  bool
	output  output
}

func newWarm() *cobra.Command {
	o := warmOptions{keep: 2}
	cmd := &cobra.Command{
		Use:   "warm CACHE ROOT...",
		Short: "Bring a host's newest generation near before it is asked for",
		Long: `Copies the closure of a root's newest generation, or of a given one, from a
cache to a directory cache or into the Nix store of this machine, several paths
at once, skipping what is there. A host that then switches to it downloads
nothing. Interrupted, it goes on where it was when it is run again.

ROOT is NAME, NAME@GENERATION or a store path. CACHE is a bucket or directory,
or a server that is a pcache serve; other web servers cannot list roots.

To a directory (--to /dir or file:///dir) NARs are copied as they are
compressed, checked against signature and hashes on the way, and the manifest
of the root is written last. It keeps the paths from being evicted if the
directory is that of "pcache serve --local"; of each root the --keep newest
generations stay. --max-size is for a directory that warm or serve made: what
no root needs makes room, least recently used first, and what still does not
fit is refused before anything is copied. Nothing else is ever deleted.

Into the store (--to store) Nix checks signatures against its own
trusted-public-keys, or this does against --public-key.

With --watch it goes on, looks for new generations in that interval, and lasts
through errors. With --json it prints one object a round.

` + exitCodes,
		Example: `  pcache warm s3://bucket yoga zephyrus --to /var/cache/pcache --max-size 50GiB
  pcache warm https://cache.example.org yoga --to store --watch 15m --limit-rate 5MiB
  pcache serve --local /var/cache/pcache s3://bucket      # serves what is warm`,
		Args: atLeast(2, "it wants the address of a cache and the roots to warm"),
		RunE: func(cmd *cobra.Command, args []string) error { return warm(cmd, args[0], args[1:], o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.to, "to", "", "where to: a directory, file:///dir, or store for the Nix store")
	f.StringVar(&o.store, "store", "", "with --to store: the Nix store to write, a directory for a chroot store, daemon, local (default $NIX_REMOTE)")
	f.StringArrayVar(&o.keys, "public-key", nil, "accept paths signed with this key, NAME:BASE64 (can be repeated; default: those that the cache publishes)")
	f.BoolVar(&o.noCheck, "no-check-signatures", false, "accept unsigned paths")
	f.StringArrayVar(&o.others, "upstream", nil, "take from this cache what the other one leaves to it (can be repeated)")
	f.DurationVar(&o.watch, "watch", 0, "go on, and look for new generations in this interval")
	f.Var(&o.rate, "limit-rate", "bytes a second to fetch at most (default no limit)")
	f.Var(&o.maxSize, "max-size", "how much the directory may hold (default no limit)")
	f.IntVar(&o.keep, "keep", o.keep, "generations of each root to keep in the directory; 0: all")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would be fetched, and fetch nothing")
	o.output.flags(cmd)
	return cmd
}

// warmRun is a warming under way.
type warmRun struct {
	warmOptions
	cmd     *cobra.Command
	addr    address
	dir     *dir.Store      // nil: into the store
	store   *nixstore.Store // nil: into a directory
	trusted []nix.PublicKey
	others  []binarycache.UpstreamCache
	dirName string
}

func (w *warmRun) storeDir() string {
	if w.store != nil {
		return w.store.Dir()
	}
	return nix.DefaultStoreDir
}

func warm(cmd *cobra.Command, cacheAddress string, roots []string, o warmOptions) (err error) {
	w := &warmRun{warmOptions: o, cmd: cmd}
	if w.addr, err = openAddress(cacheAddress); err != nil {
		return err
	}
	if w.addr.reader == nil && w.addr.openSource == nil {
		return usagef("cache %s cannot be read", w.addr.name)
	}
	if w.trusted, err = publicKeys(o.keys); err != nil {
		return err
	}
	if len(w.trusted) > 0 && o.noCheck {
		return usagef("--no-check-signatures contradicts --public-key")
	}
	if w.others, err = openUpstreams(o.others); err != nil {
		return err
	}
	if err := w.openTarget(); err != nil {
		return err
	}
	if o.rate > 0 && w.addr.reader != nil {
		w.addr.reader = throttle.Reader(w.addr.reader, throttle.NewLimit(int64(o.rate)))
	}
	if o.watch < 0 || o.keep < 0 {
		return usagef("--watch and --keep cannot be negative")
	}
	if o.watch > 0 {
		return w.stay(cmd.Context(), roots)
	}
	_, err = w.round(cmd.Context(), roots, nil)
	return err
}

func (w *warmRun) openTarget() (err error) {
	switch {
	case w.to == "":
		return usagef("warm: --to says where: a directory, or store")
	case w.to == "store":
		if w.maxSize > 0 {
			return usagef("--max-size is for a directory: the Nix store has nix-collect-garbage")
		}
		if w.store, err = nixstore.Open(w.warmOptions.store); err != nil {
			return usageError{err}
		}
		return nil
	case strings.Contains(w.to, "://") && !strings.HasPrefix(w.to, "file://"):
		return usagef("--to %s: warm writes to a directory or the store; for a bucket see pcache push", w.to)
	}
	text := w.to
	if !strings.Contains(text, "://") {
		if text, err = filepath.Abs(text); err != nil {
			return usagef("--to %s: %v", w.to, err)
		}
		text = "file://" + strings.NewReplacer("%", "%25", "?", "%3F", "#", "%23").Replace(text)
	}
	to, err := openAddress(text)
	if err != nil {
		return err
	}
	w.dir, _ = to.store.(*dir.Store)
	w.dirName = to.name
	if w.dir == nil {
		return usagef("--to %s is no directory", w.to)
	}
	return nil
}

// stay warms until it is told to end.
func (w *warmRun) stay(ctx context.Context, roots []string) error {
	var last []binarycache.Root
	for {
		seen, err := w.round(ctx, roots, last)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // to be told to end is the way it ends
		}
		if err != nil {
			var usage usageError
			if errors.As(err, &usage) {
				return err
			}
			// Whatever it is may be over by the next round.
			fmt.Fprintf(w.cmd.ErrOrStderr(), "pcache: %s; trying again in %v\n", strings.ReplaceAll(err.Error(), "\n", "; "), w.watch)
		} else {
			last = seen
		}
		timer := time.NewTimer(w.watch)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// find looks up what the roots are at present.
func (w *warmRun) find(ctx context.Context, roots []string) (found []binarycache.Root, paths []nix.StorePath, err error) {
	for _, text := range roots {
		root, of, err := findRoot(ctx, w.addr, w.storeDir(), text)
		if err != nil {
			return nil, nil, err
		}
		if root.Name != "" {
			found = append(found, root)
		}
		paths = append(paths, of...)
	}
	return found, paths, nil
}

// round warms once. It does nothing if the roots are those of last.
func (w *warmRun) round(ctx context.Context, roots []string, last []binarycache.Root) ([]binarycache.Root, error) {
	started := time.Now()
	found, paths, err := w.find(ctx, roots)
	if err != nil {
		return nil, err
	}
	if last != nil && slices.EqualFunc(found, last, func(a, b binarycache.Root) bool { return a.Generation == b.Generation }) {
		return found, nil
	}
	var result cache.Result
	if w.store != nil {
		result, err = w.intoStore(ctx, paths)
	} else {
		result, err = w.intoDirectory(ctx, found, paths)
	}
	if result.Outcomes == nil {
		return nil, err
	}
	if printErr := w.print(found, result, started, err); err == nil {
		err = printErr
	}
	return found, err
}

func (w *warmRun) intoStore(ctx context.Context, paths []nix.StorePath) (cache.Result, error) {
	trusted := w.trusted
	if len(trusted) == 0 && !w.noCheck {
		trusted = w.addr.config.PublicKeys
	}
	source, err := w.addr.source(ctx, binarycache.SourceOptions{StoreDir: w.store.Dir(), Trusted: trusted, Upstreams: w.others})
	if err != nil {
		return cache.Result{}, err
	}
	sink := w.store.Sink(len(trusted) > 0 || w.noCheck)
	defer sink.Close()
	progress, finish := w.output.start(w.cmd, "fetching", nil)
	defer finish()
	return cache.Copy(ctx, sink, source, paths, cache.Options{DryRun: w.dryRun, Progress: progress})
}

func (w *warmRun) intoDirectory(ctx context.Context, roots []binarycache.Root, paths []nix.StorePath) (cache.Result, error) {
	none := cache.Result{}
	if w.addr.reader == nil {
		return none, usagef("cache %s is no heap of files to copy: warm it into the store", w.addr.name)
	}
	keys, published, err := sourceKeys(ctx, w.addr, w.trusted, w.noCheck, w.others)
	if err != nil {
		return none, err
	}
	source, err := binarycache.OpenSource(ctx, w.addr.reader, binarycache.SourceOptions{Name: w.addr.name, StoreDir: w.storeDir(), Trusted: keys, Upstreams: w.others})
	if err != nil {
		return none, err
	}
	replica, err := binarycache.OpenReplica(ctx, w.dir, source.Files(), binarycache.ReplicaOptions{Name: w.dirName, StoreDir: w.storeDir(), PublicKeys: published})
	if err != nil {
		return none, err
	}
	if !w.dryRun {
		if err := w.makeRoom(ctx, replica, source, paths); err != nil {
			return none, err
		}
	}
	progress, finish := w.output.start(w.cmd, "fetching", nil)
	result, err := cache.Copy(ctx, replica, source.Files(), paths, cache.Options{DryRun: w.dryRun, Progress: progress})
	finish()
	if err != nil || w.dryRun {
		return result, err
	}
	for _, r := range roots {
		if err := replica.KeepRoot(ctx, r); err != nil {
			return result, fmt.Errorf("write the manifest of root %s: %w", r.Name, err)
		}
		if err := w.forgetOld(r.Name); err != nil {
			return result, err
		}
	}
	return result, nil
}

// makeRoom sees to it that what is missing fits into --max-size. A directory
// that is new becomes one that warm and serve may make room in.
func (w *warmRun) makeRoom(ctx context.Context, replica *binarycache.Replica, source *binarycache.Source, paths []nix.StorePath) error {
	root, limit := w.dir.String(), int64(w.maxSize)
	if limit == 0 {
		if _, err := os.Stat(filepath.Join(root, "nix-cache-info")); err == nil {
			return nil
		}
		limit = math.MaxInt64 / 2
	}
	var need int64
	var closure []nix.StorePath
	if w.maxSize > 0 {
		plan, err := cache.Copy(ctx, replica, source.Files(), paths, cache.Options{DryRun: true})
		if err != nil {
			return err
		}
		need, closure = fileBytes(plan, source)
	}
	var fits bool
	var used int64
	m, err := mirror.Open(root, mirror.Options{StoreDir: w.storeDir(), Max: limit})
	switch {
	case err == nil:
		fits = m.MakeRoom(need, closure)
		used = m.Usage().Used
		// Not held while NARs come: a server may want to start.
		if err := m.Close(); err != nil {
			return err
		}
	case errors.Is(err, mirror.ErrInUse), errors.Is(err, mirror.ErrNotMirror):
		// Its server makes room, or nobody may.
		if used, err = directorySize(filepath.Join(root, "nar")); err != nil {
			return err
		}
		fits = used+need <= limit
	default:
		return err
	}
	if !fits {
		return &binarycache.RefusedError{Cache: w.dirName, Reason: fmt.Sprintf("%s are missing and %s are there, of which nothing more may go: together more than --max-size %s", bytesText(need), bytesText(used), w.maxSize.String())}
	}
	return nil
}

// fileBytes is what the NARs that a plan sends take as files, and the closure.
func fileBytes(plan cache.Result, source *binarycache.Source) (need int64, closure []nix.StorePath) {
	seen := make(map[nix.Hash]bool)
	for _, o := range plan.Outcomes {
		closure = append(closure, o.Info.Path)
		if o.Action != cache.Send || seen[o.Info.NARHash] {
			continue
		}
		seen[o.Info.NARHash] = true
		if n, ok := source.NARInfo(o.Info.Path); ok && n.FileSize > 0 {
			need += n.FileSize
		} else {
			need += o.Info.NARSize
		}
	}
	return need, closure
}

func directorySize(root string) (int64, error) {
	var total int64
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
	}
	return total, nil
}

// forgetOld deletes the manifests of all but the newest generations. It only
// does so in a directory that warm or serve made.
func (w *warmRun) forgetOld(name string) error {
	if w.keep == 0 || !mirror.Is(w.dir.String()) {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(w.dir.String(), "roots", name, "*.json"))
	if err != nil {
		return err
	}
	slices.Sort(files)
	for i := 0; i < len(files)-w.keep; i++ {
		if err := os.Remove(files[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget an old generation: %w", err)
		}
	}
	return nil
}

// warmReport is what `pcache warm --json` prints.
type warmReport struct {
	Schema  string                  `json:"schema"`
	Status  report.Status           `json:"status"`
	Cache   string                  `json:"cache"`
	To      string                  `json:"to"`
	Roots   []warmRoot              `json:"roots"`
	Seconds float64                 `json:"seconds"`
	Paths   int                     `json:"paths"` // of the closures
	Fetched report.Count            `json:"fetched"`
	Skipped map[string]report.Count `json:"skipped"`
	DryRun  bool                    `json:"dry_run,omitempty"`
	Error   string                  `json:"error,omitempty"`
}

type warmRoot struct {
	Name       string   `json:"name"`
	Generation string   `json:"generation"`
	Paths      []string `json:"paths"`
}

func (w *warmRun) print(roots []binarycache.Root, result cache.Result, started time.Time, err error) error {
	r := warmReport{
		Schema: "pantheros.warm/1", Status: report.Passed, Cache: w.addr.name, To: w.to, Roots: []warmRoot{},
		Seconds: time.Since(started).Seconds(), Paths: len(result.Outcomes), Skipped: map[string]report.Count{}, DryRun: w.dryRun,
	}
	if err != nil {
		r.Status, r.Error = report.Failed, err.Error()
	}
	var names []string
	for _, root := range roots {
		entry := warmRoot{Name: root.Name, Generation: root.Generation}
		for _, p := range root.Paths {
			entry.Paths = append(entry.Paths, string(p))
		}
		r.Roots = append(r.Roots, entry)
		names = append(names, root.Name+"@"+root.Generation)
	}
	for _, o := range result.Outcomes {
		if w.dryRun && o.Action == cache.Send {
			o.Action = cache.Sent
		}
		tally(&r.Fetched, r.Skipped, o)
	}
	out := w.cmd.OutOrStdout()
	if w.output.json {
		return printJSON(out, r)
	}
	if err != nil {
		return nil //nolint:nilerr // who called tells it
	}
	return w.printLine(out, r, strings.Join(names, ", "))
}

func (w *warmRun) printLine(out io.Writer, r warmReport, names string) error {
	if names != "" {
		names = " (" + names + ")"
	}
	verb := "fetched"
	if w.dryRun {
		verb = "would be fetched"
	}
	var err error
	if r.Fetched.Paths == 0 {
		_, err = fmt.Fprintf(out, "warm already: all %d paths are in %s%s\n", r.Paths, w.to, names)
	} else {
		_, err = fmt.Fprintf(out, "%d paths %s into %s, %s of NARs, in %.1f s; %d were there%s\n",
			r.Fetched.Paths, verb, w.to, bytesText(r.Fetched.NARBytes), r.Seconds, r.Paths-r.Fetched.Paths, names)
	}
	return err
}
