package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/attic"
	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/binarycache/lease"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixstore"
	"gitlab.com/pantheros/pantheros/pipeline/report"

	"github.com/spf13/cobra"
)

type pushOptions struct {
	store       string
	keyFiles    []string
	unsigned    bool
	roots       []string
	commit      string
	compression string
	dryRun      bool
	verify      bool
	upstream    upstreamOptions
	extras      extras
	settings    ownSettings
	newCache    binarycache.Settings // the same, as far as they were given
	output      output
}

func newPush() *cobra.Command {
	var o pushOptions
	cmd := &cobra.Command{
		Use:   "push [CACHE] PATH...",
		Short: "Copy closures from the local store to a cache",
		Long: `Copies the closures of the given paths to a cache, signed. The union of all
closures is planned once; what the cache has is not sent again. A path is a
store path, a file in one or a link to one such as ./result; "-" reads paths
from standard input, one a line.

A push that is killed leaves nothing that a client could trip over, and running
it again finishes it. Before it reports success it asks the cache again for
what it found there at the beginning.

With --root NAME=PATH, or --root NAME for the paths given, a manifest is
written when all else is: it names a generation of NAME and keeps its closure
from being collected.

With --skip-signed-by KEY, paths that carry a good signature of that key are not
sent: the cache's clients get them from the cache that signed them, which they
must have as a substituter. --upstream asks that cache, too, and what it does
not have is sent. --full sends everything, for machines that reach this cache
alone.

The secret key comes from --secret-key-file (mode 0600) or, for machines that
hand over secrets in the environment, from $` + secretKeyVariable + `, or from
the configuration's entry of the cache.

Memory: about 30 MiB, and a compressor of 10 to 60 MiB by level for each
processor; to a bucket two compressors more and 64 MiB of parts under way. It
does not grow with the paths' size or number.

` + exitCodes,
		Example: `  pcache push --secret-key-file key file:///srv/cache ./result
  pcache push nightly ./result
  pcache push --secret-key-file key --root yoga=/nix/store/... file:///srv/cache
  pcache push --secret-key-file key --upstream https://cache.nixos.org \
    --skip-signed-by cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY= \
    file:///srv/cache ./result
  nix path-info --all | pcache push --secret-key-file key file:///srv/cache -`,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, paths, err := cacheOf(args)
			if err != nil {
				return err
			}
			if o.newCache, err = o.settings.settings(cmd); err != nil {
				return err
			}
			return push(cmd, name, paths, o)
		},
	}
	o.flags(cmd)
	o.settings.flags(cmd, ", where this push makes the cache (default 30)")
	o.output.flags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&o.roots, "root", nil, "write a root manifest: NAME=PATH, or NAME for the paths given (can be repeated)")
	f.StringVar(&o.commit, "commit", "", "the configuration's commit, for the manifests")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would be sent, and send nothing")
	return cmd
}

// flags adds what every command that pushes has.
func (o *pushOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.store, "store", "", "the Nix store to read: a directory for a chroot store, daemon, local (default $NIX_REMOTE)")
	f.StringArrayVar(&o.keyFiles, "secret-key-file", nil, "sign with the key in this file (can be repeated)")
	f.BoolVar(&o.unsigned, "unsigned", false, "push without signatures to a cache that has none")
	levels := make([]string, len(binarycache.Levels))
	for i, l := range binarycache.Levels {
		levels[i] = string(l)
	}
	f.StringVar(&o.compression, "compression", "", fmt.Sprintf("%s (default: %s)", strings.Join(levels, ", "), binarycache.Default))
	f.BoolVar(&o.verify, "verify", false, "ask the cache for every path, before and after, trusting nothing")
	o.upstream.flags(cmd)
	o.extras.flags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("compression", cobra.FixedCompletions(levels, cobra.ShellCompDirectiveNoFileComp))
}

// pushRun is a push under way.
type pushRun struct {
	pushOptions
	addr    address
	store   *nixstore.Store
	keys    []nix.SecretKey
	roots   []namedPath     // of --root, paths filled in by paths
	paths   []nix.StorePath // all, each once
	named   map[string][]nix.StorePath
	started time.Time
	left    binarycache.Upstream // what is left to upstreams

	realised   bool     // the store knows realisations, which are added to what is there
	serverKeys []string // that the server signs with, of an Attic cache
	logs       int      // of builds that were sent
}

func push(cmd *cobra.Command, cacheAddress string, args []string, o pushOptions) error {
	ctx := cmd.Context()
	r := &pushRun{pushOptions: o, started: time.Now()}
	if err := r.prepare(cmd.InOrStdin(), cacheAddress, args); err != nil {
		return err
	}
	progress, finish := o.output.start(cmd, "sending", r.addr.store)
	sink, result, err := r.copy(ctx, progress)
	var manifests map[string]string
	if err == nil && !o.dryRun {
		manifests, err = r.putRoots(ctx, sink, result)
	}
	release(ctx, sink)
	finish()
	if result.Outcomes == nil {
		return err // nothing is known of the closures: there is nothing to report
	}
	summary := r.report(result, manifests, err, ctx.Err() != nil)
	if printErr := o.output.push(cmd, summary, result); err == nil {
		err = printErr
	}
	if r.logs > 0 && !o.output.json {
		fmt.Fprintf(cmd.OutOrStdout(), "%d build logs sent\n", r.logs)
	}
	return err
}

func (r *pushRun) prepare(stdin io.Reader, cacheAddress string, args []string) (err error) {
	if err := r.open(cacheAddress); err != nil {
		return err
	}
	if r.roots, err = parseRoots(r.pushOptions.roots); err != nil {
		return err
	}
	return r.resolve(stdin, args)
}

// open makes ready what does not depend on the paths: cache, keys and store.
func (r *pushRun) open(cacheAddress string) (err error) {
	if r.addr, err = openCache(cacheAddress); err != nil {
		return err
	}
	level := r.addr.level
	if r.compression != "" {
		if level, err = binarycache.ParseLevel(r.compression); err != nil {
			return usageError{fmt.Errorf("--compression: %v", err)}
		}
	}
	r.addr.level = level
	r.extras.orElse(r.addr.extras)
	if r.keys, err = secretKeys(r.keyFiles, r.addr.config.SecretKeyFiles); err != nil {
		return err
	}
	if r.addr.attic != nil && len(r.keyFiles) > 0 {
		return usagef("--secret-key-file: the server of cache %s signs with its own key", r.addr.name)
	}
	if r.addr.attic != nil && r.newCache != (binarycache.Settings{}) {
		return usagef("--priority and --mass-query: cache %s is made and set up on its server (pcache cache configure)", r.addr.name)
	}
	if len(r.keys) > 0 && r.unsigned {
		return usagef("--unsigned contradicts the signing key that was given")
	}
	if r.store, err = nixstore.Open(r.pushOptions.store); err != nil {
		return usageError{err}
	}
	r.left, err = r.upstream.open(r.addr.config.SkipSignedBy)
	return err
}

// resolve finds the store paths that arguments, standard input and --root name.
func (r *pushRun) resolve(stdin io.Reader, args []string) error {
	var given []nix.StorePath
	err := eachPath(stdin, args, func(arg string) error {
		p, err := r.store.Resolve(arg)
		given = append(given, p)
		return err
	})
	if err != nil {
		return err
	}
	r.named = make(map[string][]nix.StorePath)
	r.paths = given
	for _, root := range r.roots {
		if root.path == "" {
			if len(given) == 0 {
				return usagef("--root %s: no path given for it", root.name)
			}
			r.named[root.name] = append(r.named[root.name], given...)
			continue
		}
		p, err := r.store.Resolve(root.path)
		if err != nil {
			return usageError{fmt.Errorf("--root %s: %v", root.name, err)}
		}
		r.named[root.name] = append(r.named[root.name], p)
		r.paths = append(r.paths, p)
	}
	if len(r.paths) == 0 {
		return usagef("push: no paths given (see pcache push --help)")
	}
	seen := make(map[nix.StorePath]bool)
	r.paths = slices.DeleteFunc(r.paths, func(p nix.StorePath) bool {
		was := seen[p]
		seen[p] = true
		return was
	})
	return nil
}

// eachPath calls use with each argument, and in place of "-" with each line of
// standard input. What use does not take is wrong usage.
func eachPath(stdin io.Reader, args []string, use func(name string) error) error {
	for _, arg := range args {
		if arg != "-" {
			if err := use(arg); err != nil {
				return usageError{err}
			}
			continue
		}
		lines, err := readPaths(stdin)
		if err != nil {
			return err
		}
		for _, line := range lines {
			if err := use(line); err != nil {
				return usageError{fmt.Errorf("standard input: %v", err)}
			}
		}
	}
	return nil
}

// readPaths reads the names of paths, one a line.
func readPaths(stdin io.Reader) (names []string, err error) {
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" {
			names = append(names, line)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read paths from standard input: %v", err)
	}
	return names, nil
}

func (r *pushRun) sink(ctx context.Context) (cache.Sink, error) {
	realisations, err := r.store.Realisations(ctx)
	if err != nil {
		return nil, err
	}
	r.realised = len(realisations) > 0
	return r.addr.sink(ctx, sinkOptions{
		SinkOptions: binarycache.SinkOptions{
			StoreDir: r.store.Dir(),
			Keys:     r.keys,
			Unsigned: r.unsigned,
			Level:    r.addr.level,
			Upstream: r.left,
			Extras:   r.extras.sink(),
			Settings: r.newCache,

			Realisations: realisations,
		},
		full: r.upstream.full, verify: r.verify,
	})
}

func (r *pushRun) copy(ctx context.Context, progress *cache.Progress) (cache.Sink, cache.Result, error) {
	// The closure is read while the cache is asked whether it can be used.
	source, stop := cache.ReadAhead(ctx, r.store, r.paths...)
	defer stop()
	sink, err := r.sink(ctx)
	if err != nil {
		return nil, cache.Result{}, err
	}
	if s, ok := sink.(*attic.Sink); ok && s.Config().PublicKey != "" {
		r.serverKeys = []string{s.Config().PublicKey}
	}
	result, err := cache.Copy(ctx, sink, source, r.paths, cache.Options{
		DryRun: r.dryRun, Verify: r.verify, Momentary: len(r.named) == 0 && !r.realised, Progress: progress,
	})
	if result.Outcomes != nil && ctx.Err() == nil {
		// Those of what was sent, also when something else failed.
		n, logErr := r.putLogs(ctx, sink, result)
		r.logs += n
		err = errors.Join(err, logErr, r.putRealisations(ctx, sink, result))
	}
	return sink, result, err
}

// putRoots writes the manifests and returns their generations by name.
func (r *pushRun) putRoots(ctx context.Context, sink cache.Sink, result cache.Result) (map[string]string, error) {
	generations := make(map[string]string)
	keeper, keeps := sink.(rootKeeper)
	if !keeps { // its server decides what it keeps; the names are for the report
		return generations, nil
	}
	for name, paths := range r.named {
		size := closureOf(result, paths)
		upstream := keeper.LeftUpstream(unsent(result, size.members))
		root, err := keeper.PutRoot(ctx, binarycache.Root{
			Name: name, Paths: paths, Commit: r.commit, Pusher: lease.Holder(),
			ClosureLen: size.paths, NARBytes: size.bytes, Upstream: upstream, BeyondUpstream: beyond(result, paths, size.members, upstream),
		}, time.Now())
		if err != nil {
			return generations, fmt.Errorf("write the manifest of root %s: %w", name, err)
		}
		generations[name] = root.Generation
	}
	return generations, nil
}

// unsent are those paths of a closure that need not be in the cache as far as
// this push knows: it did not send them and did not ask for them.
func unsent(result cache.Result, members []int) []nix.PathInfo {
	var infos []nix.PathInfo
	for _, i := range members {
		if o := result.Outcomes[i]; o.Action == cache.Skipped && o.Reason != cache.Present {
			infos = append(infos, o.Info)
		}
	}
	return infos
}

// beyond are the hash parts of those members of a closure, apart from those in
// upstream, that are reached from its roots only through those.
func beyond(result cache.Result, roots []nix.StorePath, members []int, upstream []string) []string {
	if len(upstream) == 0 {
		return nil
	}
	apart := make(map[string]bool, len(upstream))
	for _, h := range upstream {
		apart[h] = true
	}
	infos := make(map[nix.StorePath]nix.PathInfo, len(members))
	for _, i := range members {
		infos[result.Outcomes[i].Info.Path] = result.Outcomes[i].Info
	}
	reached := make(map[nix.StorePath]bool, len(members))
	stack := slices.Clone(roots)
	for len(stack) > 0 {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if reached[p] || apart[p.HashPart()] {
			continue
		}
		reached[p] = true
		stack = append(stack, infos[p].References...)
	}
	var parts []string
	for p := range infos {
		if !reached[p] && !apart[p.HashPart()] {
			parts = append(parts, p.HashPart())
		}
	}
	slices.Sort(parts)
	return parts
}

type closureSize struct {
	paths   int
	bytes   int64
	members []int // indexes into the result's outcomes
}

func closureOf(result cache.Result, roots []nix.StorePath) closureSize {
	index := make(map[nix.StorePath]int, len(result.Outcomes))
	for i, o := range result.Outcomes {
		index[o.Info.Path] = i
	}
	var size closureSize
	seen := make(map[int]bool)
	stack := slices.Clone(roots)
	for len(stack) > 0 {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		i, ok := index[p]
		if !ok || seen[i] {
			continue
		}
		seen[i] = true
		size.paths++
		size.bytes += result.Outcomes[i].Info.NARSize
		size.members = append(size.members, i)
		stack = append(stack, result.Outcomes[i].Info.References...)
	}
	return size
}

// report makes the push section of a pipeline's report.
func (r *pushRun) report(result cache.Result, generations map[string]string, err error, interrupted bool) report.Push {
	p := report.Push{
		Schema: report.PushSchema, Status: report.Passed, Cache: r.addr.name,
		Started: r.started.UTC().Truncate(time.Millisecond), Seconds: time.Since(r.started).Seconds(),
		PlanSeconds: result.PlanTime.Seconds(), DryRun: r.dryRun,
		Roots: []report.PushRoot{}, Paths: []report.PushPath{}, Skipped: map[string]report.Count{},
	}
	switch {
	case interrupted:
		p.Status, p.Error = report.Interrupted, "interrupted"
	case err != nil:
		p.Status, p.Error = report.Failed, err.Error()
	}
	if r.addr.attic != nil {
		p.PublicKeys = r.serverKeys
	} else {
		for _, k := range r.keys {
			p.PublicKeys = append(p.PublicKeys, k.Public().String())
		}
	}
	rootsOf := make([][]int, len(result.Outcomes))
	add := func(name string, paths []nix.StorePath) {
		size := closureOf(result, paths)
		root := report.PushRoot{Name: name, Path: string(paths[0]), Generation: generations[name], Paths: size.paths, NARBytes: size.bytes}
		for _, i := range size.members {
			rootsOf[i] = append(rootsOf[i], len(p.Roots))
			count(&root.Sent, result.Outcomes[i], cache.Sent)
		}
		p.Roots = append(p.Roots, root)
	}
	names := make([]string, 0, len(r.named))
	named := make(map[nix.StorePath]bool)
	for name, paths := range r.named {
		names = append(names, name)
		for _, path := range paths {
			named[path] = true
		}
	}
	slices.Sort(names)
	for _, name := range names {
		add(name, r.named[name])
	}
	for _, path := range r.paths {
		if !named[path] {
			add("", []nix.StorePath{path})
		}
	}
	for i, o := range result.Outcomes {
		tally(&p.Sent, p.Skipped, o)
		p.Paths = append(p.Paths, report.PushPath{
			Path: string(o.Info.Path), NARHash: o.Info.NARHash.String(), NARBytes: o.Info.NARSize,
			FileBytes: o.FileSize, Action: string(o.Action), Reason: o.Reason, Roots: rootsOf[i],
		})
	}
	slices.SortFunc(p.Paths, func(a, b report.PushPath) int { return strings.Compare(a.Path, b.Path) })
	return p
}

// tally counts a path among those that were copied, or by reason among those
// that were not.
func tally(copied *report.Count, skipped map[string]report.Count, o cache.Outcome) {
	count(copied, o, cache.Sent)
	if o.Action == cache.Skipped {
		c := skipped[o.Reason]
		count(&c, o, cache.Skipped)
		skipped[o.Reason] = c
	}
}

func count(c *report.Count, o cache.Outcome, of cache.Action) {
	if o.Action == of {
		c.Paths++
		c.NARBytes += o.Info.NARSize
		c.FileBytes += o.FileSize
	}
}

// namedPath is a --root: a name and, unless the command's paths are meant, the
// path it stands for.
type namedPath struct{ name, path string }

func parseRoots(flags []string) ([]namedPath, error) {
	var roots []namedPath
	for _, f := range flags {
		name, path, _ := strings.Cut(f, "=")
		if err := binarycache.CheckRootName(name); err != nil {
			return nil, usageError{fmt.Errorf("--root %s: %v", f, err)}
		}
		roots = append(roots, namedPath{name, path})
	}
	return roots, nil
}
