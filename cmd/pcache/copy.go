package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/binarycache/census"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/substituter"
	"gitlab.com/pantheros/pantheros/pipeline/report"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

type copyOptions struct {
	all      bool
	keys     []string
	noCheck  bool
	keyFiles []string
	compress string
	others   []string
	dryRun   bool
	output   output
}

func newCopy() *cobra.Command {
	var o copyOptions
	cmd := &cobra.Command{
		Use:   "copy SOURCE DESTINATION PATH|ROOT...|--all",
		Short: "Copy closures from one cache to another",
		Long: `Copies the closures of the given paths and roots, or all that is there (--all),
from one cache to another: from a bucket to a directory to be carried to
machines without a network, say, and back. A root is NAME, its newest
generation, or NAME@GENERATION; its manifest comes along. What is there is not
copied.

NARs are copied as they are compressed, unless --compression says a level. Their
signatures, sizes and hashes are checked on the way. Paths keep their
signatures; --secret-key-file adds one. In a destination that is signed a path
is published under a signature of its keys alone; a new one takes over the
source's keys, or those of --secret-key-file.

With --all come also build logs, listings and build traces.

It can be interrupted and run again, and runs beside pushes and gc.

` + exitCodes,
		Example: `  pcache copy s3://bucket file:///media/disk/cache yoga zephyrus
  pcache copy --all s3://old s3://new
  pcache copy --secret-key-file key --compression best file:///srv/a file:///srv/b yoga@20261123T063508.119Z-7xidsb6s`,
		Args: atLeast(2, "it wants the addresses of two caches, and what to copy"),
		RunE: func(cmd *cobra.Command, args []string) error { return copyCache(cmd, args[0], args[1], args[2:], o) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.all, "all", false, "copy all paths and all roots of the source")
	f.StringArrayVar(&o.keys, "public-key", nil, "accept paths signed with this key, NAME:BASE64 (can be repeated; default: those that the source publishes)")
	f.BoolVar(&o.noCheck, "no-check-signatures", false, "accept unsigned paths")
	f.StringArrayVar(&o.keyFiles, "secret-key-file", nil, "sign with the key in this file (can be repeated)")
	f.StringVar(&o.compress, "compression", "", "compress NARs anew: none, fastest, default, better, best")
	f.StringArrayVar(&o.others, "upstream", nil, "take from this cache what the source leaves to it (can be repeated)")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would be copied, and copy nothing")
	o.output.flags(cmd)
	return cmd
}

// sourceKeys are the keys that paths of a cache must be signed with to be copied,
// and those that it publishes. They are those given, of the configuration, or
// published; none if signatures are not to be checked.
func sourceKeys(ctx context.Context, a address, given []nix.PublicKey, noCheck bool, others []binarycache.UpstreamCache) (keys, published []nix.PublicKey, err error) {
	p, err := a.published(ctx)
	if err != nil {
		return nil, nil, err
	}
	published = p.Keys
	switch {
	case noCheck:
		return nil, published, nil
	case len(given) > 0:
		keys = given
	case len(a.config.PublicKeys) > 0:
		keys = a.config.PublicKeys
	default:
		keys = slices.Clone(published)
	}
	if len(keys) == 0 {
		return nil, nil, &binarycache.RefusedError{Cache: a.name, Reason: "it does not say which keys its paths are signed with: give --public-key, or say --no-check-signatures"}
	}
	for _, u := range others {
		p, err := binarycache.ReadPublished(ctx, u.Reader, u.Name)
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, p.Keys...)
		if key, ok := substituter.WellKnownKey(u.Name); ok {
			keys = append(keys, key)
		}
	}
	return keys, published, nil
}

// copyReport is what `pcache copy --json` prints.
type copyReport struct {
	Schema  string                  `json:"schema"`
	Status  report.Status           `json:"status"`
	From    string                  `json:"from"`
	To      string                  `json:"to"`
	Roots   []warmRoot              `json:"roots"`
	Seconds float64                 `json:"seconds"`
	Paths   int                     `json:"paths"` // of the closures
	Copied  report.Count            `json:"copied"`
	Skipped map[string]report.Count `json:"skipped"`
	Extras  int                     `json:"extras"` // logs, listings and build traces copied
	DryRun  bool                    `json:"dry_run,omitempty"`
	Error   string                  `json:"error,omitempty"`
}

// copyRun is a copy under way.
type copyRun struct {
	copyOptions
	from, to address
	storeDir string
	roots    []binarycache.Root
	paths    []nix.StorePath
	extras   []string // keys of objects to take along
}

func copyCache(cmd *cobra.Command, from, to string, args []string, o copyOptions) error {
	started := time.Now()
	if o.all == (len(args) > 0) {
		return usagef("copy: name paths or roots, or say --all")
	}
	k := &copyRun{copyOptions: o}
	var err error
	if k.from, err = openAddress(from); err != nil {
		return err
	}
	if k.to, err = openCache(to); err != nil {
		return err
	}
	if k.from.reader == nil || k.to.store == nil {
		return usagef("copy: both must be heaps of files: a directory, a bucket, or a web server to copy from")
	}
	if k.from.name == k.to.name {
		return usagef("copy: %s is both source and destination (pcache sign signs a cache again)", k.from.name)
	}
	if err := k.choose(cmd.Context(), args); err != nil {
		return err
	}
	result, extras, err := k.run(cmd)
	if result.Outcomes == nil {
		return err
	}
	r := copyReport{
		Schema: "pantheros.copy/1", Status: report.Passed, From: k.from.name, To: k.to.name, Roots: []warmRoot{},
		Seconds: time.Since(started).Seconds(), Paths: len(result.Outcomes), Skipped: map[string]report.Count{}, Extras: extras, DryRun: o.dryRun,
	}
	for _, root := range k.roots {
		entry := warmRoot{Name: root.Name, Generation: root.Generation}
		for _, p := range root.Paths {
			entry.Paths = append(entry.Paths, string(p))
		}
		r.Roots = append(r.Roots, entry)
	}
	for _, out := range result.Outcomes {
		if o.dryRun && out.Action == cache.Send {
			out.Action = cache.Sent
		}
		tally(&r.Copied, r.Skipped, out)
	}
	if err != nil {
		r.Status, r.Error = report.Failed, err.Error()
	}
	if o.output.json {
		return errors.Join(printJSON(cmd.OutOrStdout(), r), err)
	}
	if err != nil {
		return err
	}
	return r.print(cmd.OutOrStdout())
}

func (r copyReport) print(w io.Writer) error {
	verb := "copied"
	if r.DryRun {
		verb = "would be copied"
	}
	text := fmt.Sprintf("nothing to copy: all %d paths are in %s", r.Paths, r.To)
	if r.Copied.Paths > 0 {
		text = fmt.Sprintf("%d paths %s to %s, %s of NARs, in %.1f s; %d were there", r.Copied.Paths, verb, r.To, bytesText(r.Copied.NARBytes), r.Seconds, r.Paths-r.Copied.Paths)
	}
	if r.Extras > 0 {
		text += fmt.Sprintf("; and %s beside them", counted(r.Extras, "object", "objects"))
	}
	if len(r.Roots) > 0 {
		text += fmt.Sprintf("; %s", counted(len(r.Roots), "root manifest", "root manifests"))
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// choose finds what is to be copied.
func (k *copyRun) choose(ctx context.Context, args []string) error {
	p, err := k.from.published(ctx)
	if err != nil {
		return err
	}
	if !p.IsCache {
		return &binarycache.RefusedError{Cache: k.from.name, Reason: "it has no nix-cache-info, so it is no binary cache"}
	}
	k.storeDir = p.Info.StoreDir
	if !k.all {
		for _, arg := range args {
			root, of, err := findRoot(ctx, k.from, k.storeDir, arg)
			if err != nil {
				return err
			}
			if root.Name != "" {
				k.roots = append(k.roots, root)
			}
			k.paths = append(k.paths, of...)
		}
		return nil
	}
	if k.from.store == nil {
		return usagef("copy --all: cache %s cannot be listed: name paths or roots", k.from.name)
	}
	all, err := census.Take(ctx, k.from.store, census.Options{Name: k.from.name})
	if err != nil {
		return err
	}
	for i := range all.Paths {
		switch p := &all.Paths[i]; {
		case p.Problem != nil:
			return fmt.Errorf("cache %s: %s: %v (pcache verify, pcache repair): %w", k.from.name, p.Key(), p.Problem, binarycache.ErrDamaged)
		case p.Listed:
			k.paths = append(k.paths, p.Path)
		}
	}
	for _, m := range all.Roots {
		if m.Problem != nil {
			return fmt.Errorf("cache %s: %s: %v: %w", k.from.name, m.Key, m.Problem, binarycache.ErrDamaged)
		}
		k.roots = append(k.roots, m.Root)
	}
	for _, kind := range []census.Kind{census.Log, census.Listing, census.Trace} {
		for _, o := range all.Objects(kind) {
			k.extras = append(k.extras, o.Key)
		}
	}
	if len(k.paths) == 0 {
		return &binarycache.RefusedError{Cache: k.from.name, Reason: "it has no paths"}
	}
	return nil
}

func (k *copyRun) run(cmd *cobra.Command) (result cache.Result, extras int, err error) {
	ctx := cmd.Context()
	given, err := publicKeys(k.keys)
	if err != nil {
		return result, 0, err
	}
	if len(given) > 0 && k.noCheck {
		return result, 0, usagef("--no-check-signatures contradicts --public-key")
	}
	others, err := openUpstreams(k.others)
	if err != nil {
		return result, 0, err
	}
	trusted, published, err := sourceKeys(ctx, k.from, given, k.noCheck, others)
	if err != nil {
		return result, 0, err
	}
	source, err := binarycache.OpenSource(ctx, k.from.reader, binarycache.SourceOptions{Name: k.from.name, StoreDir: k.storeDir, Trusted: trusted, Upstreams: others})
	if err != nil {
		return result, 0, err
	}
	o := binarycache.ReplicaOptions{Name: k.to.name, StoreDir: k.storeDir, PublicKeys: published, Strict: true}
	if o.Keys, err = secretKeys(k.keyFiles, k.to.config.SecretKeyFiles); err != nil {
		return result, 0, err
	}
	if len(o.Keys) > 0 {
		o.PublicKeys = nil
		for _, key := range o.Keys {
			o.PublicKeys = append(o.PublicKeys, key.Public())
		}
	}
	var from cache.Source = source.Files()
	if k.compress != "" {
		if o.Level, err = binarycache.ParseLevel(k.compress); err != nil {
			return result, 0, usagef("--compression: %v", err)
		}
		from = source
	}
	replica, err := binarycache.OpenReplica(ctx, k.to.store, source.Files(), o)
	if err != nil {
		return result, 0, err
	}
	to := replica.Leased()
	defer release(ctx, to)
	progress, finish := k.output.start(cmd, "copying", nil)
	result, err = cache.Copy(ctx, to, from, k.paths, cache.Options{DryRun: k.dryRun, Progress: progress})
	if err == nil && !k.dryRun {
		extras, err = k.takeAlong(ctx)
	}
	finish()
	if err != nil || k.dryRun {
		return result, extras, err
	}
	for _, r := range k.roots {
		if err := replica.KeepRoot(ctx, r); err != nil {
			return result, extras, fmt.Errorf("write the manifest of root %s: %w", r.Name, err)
		}
	}
	return result, extras, nil
}

// takeAlong copies logs and the like, whose bytes nobody vouches for, if the
// destination has none of that name.
func (k *copyRun) takeAlong(ctx context.Context) (copied int, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(binarycache.Lookups(k.to.store))
	done := make([]bool, len(k.extras))
	for i, key := range k.extras {
		group.Go(func() error {
			r, err := k.from.reader.Open(ctx, key)
			if errors.Is(err, blob.ErrNotExist) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("read %s of cache %s: %w", key, k.from.name, err)
			}
			defer r.Close()
			existed, err := blob.PutNew(ctx, k.to.store, key, r, -1)
			if err != nil {
				return fmt.Errorf("copy %s to cache %s: %w", key, k.to.name, err)
			}
			done[i] = !existed
			return nil
		})
	}
	err = group.Wait()
	for _, d := range done {
		if d {
			copied++
		}
	}
	return copied, err
}
