package main

import (
	"fmt"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/cache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixstore"
	"gitlab.com/pantheros/pantheros/pipeline/report"

	"github.com/spf13/cobra"
)

type pullOptions struct {
	store   string
	keys    []string
	noCheck bool
	roots   []string
	others  []string
	dryRun  bool
	output  output
}

func newPull() *cobra.Command {
	var o pullOptions
	cmd := &cobra.Command{
		Use:   "pull [CACHE] PATH...",
		Short: "Copy closures from a cache to the local store",
		Long: `Copies the closures of the given store paths from a cache into the local store,
several at once, skipping what is there; "-" reads paths from standard input,
one a line. With --root NAME the newest generation of that root is pulled.

Signatures are checked by Nix against its own trusted-public-keys, or here
against the keys of --public-key or of the cache's configuration, for which
Nix must trust this user. Every NAR's hash is checked here and again by Nix.

Memory: about 50 MiB for a cache that pcache filled, whatever the size of its
paths. For each path under way a cache can make it at most 128 MiB more with
zstd and 64 MiB with xz; what asks for more is refused as damaged.

` + exitCodes,
		Example: `  pcache pull file:///srv/cache /nix/store/...-hello-2.12
  pcache pull nightly --root yoga
  pcache pull --root yoga --public-key example.org-1:... --store /mnt file:///srv/cache`,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, paths, err := cacheOf(args)
			if err != nil {
				return err
			}
			return pull(cmd, name, paths, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.store, "store", "", "the Nix store to write: a directory for a chroot store, daemon, local (default $NIX_REMOTE)")
	f.StringArrayVar(&o.keys, "public-key", nil, "accept paths signed with this key, NAME:BASE64 (can be repeated)")
	f.BoolVar(&o.noCheck, "no-check-signatures", false, "accept unsigned paths")
	f.StringArrayVar(&o.roots, "root", nil, "pull the newest generation of this root (can be repeated)")
	f.StringArrayVar(&o.others, "upstream", nil, "take from this cache what the other one leaves to it (can be repeated)")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would be fetched, and fetch nothing")
	o.output.flags(cmd)
	return cmd
}

func pull(cmd *cobra.Command, cacheAddress string, args []string, o pullOptions) error {
	ctx := cmd.Context()
	started := time.Now()
	addr, err := openAddress(cacheAddress)
	if err != nil {
		return err
	}
	store, err := nixstore.Open(o.store)
	if err != nil {
		return usageError{err}
	}
	trusted, err := publicKeys(o.keys)
	if err != nil {
		return err
	}
	if len(trusted) > 0 && o.noCheck {
		return usagef("--no-check-signatures contradicts --public-key")
	}
	upstreams, err := openUpstreams(o.others)
	if err != nil {
		return err
	}
	if len(trusted) == 0 && !o.noCheck {
		trusted = addr.config.PublicKeys
	}
	source, err := addr.source(ctx, binarycache.SourceOptions{StoreDir: store.Dir(), Trusted: trusted, Upstreams: upstreams})
	if err != nil {
		return err
	}
	var paths []nix.StorePath
	err = eachPath(cmd.InOrStdin(), args, func(arg string) error {
		p, err := nix.ParseStorePath(store.Dir(), arg)
		paths = append(paths, p)
		return err
	})
	if err != nil {
		return err
	}
	if len(o.roots) > 0 && addr.store == nil {
		return usagef("--root: a web server does not list what it has; name the store path, or the storage behind it")
	}
	for _, name := range o.roots {
		root, err := binarycache.NewestRoot(ctx, addr.store, addr.name, store.Dir(), name)
		if err != nil {
			return err
		}
		paths = append(paths, root.Paths...)
	}
	if len(paths) == 0 {
		return usagef("pull: no paths and no --root given (see pcache pull --help)")
	}
	sink := store.Sink(len(trusted) > 0 || o.noCheck)
	defer sink.Close()
	progress, finish := o.output.start(cmd, "fetching", nil)
	result, err := cache.Copy(ctx, sink, source, paths, cache.Options{DryRun: o.dryRun, Progress: progress})
	finish()
	if result.Outcomes == nil {
		return err
	}
	summary := pullSummary(addr.name, result, started, err)
	if printErr := o.output.pull(cmd, summary, o.dryRun); err == nil {
		err = printErr
	}
	return err
}

// pullReport is what `pcache pull --json` prints.
type pullReport struct {
	Schema  string                  `json:"schema"`
	Status  report.Status           `json:"status"`
	Cache   string                  `json:"cache"`
	Seconds float64                 `json:"seconds"`
	Paths   []report.PushPath       `json:"paths"` // references first
	Fetched report.Count            `json:"fetched"`
	Skipped map[string]report.Count `json:"skipped"`
	Error   string                  `json:"error,omitempty"`
}

func pullSummary(name string, result cache.Result, started time.Time, err error) pullReport {
	p := pullReport{Schema: "pantheros.pull/1", Status: report.Passed, Cache: name, Seconds: time.Since(started).Seconds(), Skipped: map[string]report.Count{}}
	if err != nil {
		p.Status, p.Error = report.Failed, err.Error()
	}
	for _, o := range result.Outcomes {
		action := string(o.Action)
		switch o.Action {
		case cache.Sent:
			action = "fetched"
		case cache.Send:
			action = "fetch"
		}
		p.Paths = append(p.Paths, report.PushPath{Path: string(o.Info.Path), NARHash: o.Info.NARHash.String(), NARBytes: o.Info.NARSize, Action: action, Reason: o.Reason})
		tally(&p.Fetched, p.Skipped, o)
	}
	return p
}

func (p pullReport) String() string {
	if p.Fetched.Paths == 0 {
		return fmt.Sprintf("nothing to fetch: all %d paths are in the store", len(p.Paths))
	}
	return fmt.Sprintf("%d paths fetched from %s, %s of NARs, in %.1f s; %d were there",
		p.Fetched.Paths, p.Cache, bytesText(p.Fetched.NARBytes), p.Seconds, len(p.Paths)-p.Fetched.Paths)
}
