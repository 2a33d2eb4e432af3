package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/binarycache/audit"
	"gitlab.com/pantheros/pantheros/internal/binarycache/repair"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixstore"
	"gitlab.com/pantheros/pantheros/pipeline/report"

	"github.com/spf13/cobra"
)

type repairOptions struct {
	auditOptions
	from     []string
	store    string
	keyFiles []string
	compress string
	apply    bool
}

func newRepair() *cobra.Command {
	var o repairOptions
	cmd := &cobra.Command{
		Use:   "repair CACHE --from STORE|CACHE... [--apply]",
		Short: "Mend what is damaged in a cache, or withdraw it",
		Long: `Looks at a cache as "pcache verify" does, and shows what would be done about
what is damaged; --apply does it.

  mend      a path that one of --from has: its NAR and its narinfo are written
            again over what is there. Bytes are compared with their hashes on
            the way. --from is "store", this machine's Nix store (--store names
            another), or a cache; they are asked in the order given.
  withdraw  a path that none has: its narinfo is deleted, and with it those of
            the paths that refer to it, so that clients build these rather than
            fail.

What is published must have a signature of the cache's keys: the one that it has
there, one of the source, or one made with --secret-key-file. A path of a source
cache must be signed with a key that either cache lists.

Damaged NARs that are not replaced are deleted, since a push would find them by
their names, and so are listings that are not of their paths' files. NARs that
nothing names any more are left to "pcache gc".

It can be interrupted and run again. It runs beside pushes: nothing is withdrawn
while a push counts on it.

` + exitCodes,
		Example: `  pcache repair file:///srv/cache --from store
  pcache repair file:///srv/cache --from store --from s3://copy --secret-key-file key --apply`,
		Args: exactly(1, "it wants the address of a cache"),
		RunE: func(cmd *cobra.Command, args []string) error { return mend(cmd, args[0], o) },
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&o.from, "from", nil, "where good paths are: store, or a cache (can be repeated)")
	f.StringVar(&o.store, "store", "", "the Nix store of --from store: a directory for a chroot store, daemon, local (default $NIX_REMOTE)")
	f.StringArrayVar(&o.keyFiles, "secret-key-file", nil, "sign with the key in this file (can be repeated)")
	f.StringVar(&o.compress, "compression", "", "of what is written again: none, fastest, default, better, best (default: as in the address)")
	f.BoolVar(&o.apply, "apply", false, "do it")
	return cmd
}

// repairReport is what `pcache repair --json` prints.
type repairReport struct {
	Schema   string         `json:"schema"`
	Status   report.Status  `json:"status"`
	Cache    string         `json:"cache"`
	Applied  bool           `json:"applied"`
	Seconds  float64        `json:"seconds"`
	Damaged  int            `json:"damaged"` // findings
	Mend     []repairMend   `json:"mend"`
	Withdraw []repairAction `json:"withdraw"`
	Delete   []string       `json:"delete"` // damaged listings, and damaged NARs that nothing names
	Lost     []repairAction `json:"lost"`   // neither mended nor withdrawn
	Error    string         `json:"error,omitempty"`
}

type repairMend struct {
	Path     string `json:"path"`
	Why      string `json:"why"`
	From     string `json:"from"` // empty: the narinfo alone is written again
	NARBytes int64  `json:"nar_bytes"`
}

type repairAction struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

func mend(cmd *cobra.Command, text string, o repairOptions) error {
	started, ctx := time.Now(), cmd.Context()
	a, err := openCache(text)
	if err != nil {
		return err
	}
	if a.store == nil {
		return usagef("repair: cache %s keeps its bytes where only its server can mend them", a.name)
	}
	q := repair.Options{Name: a.name, Store: a.store, Level: a.level}
	if o.compress != "" {
		if q.Level, err = binarycache.ParseLevel(o.compress); err != nil {
			return usagef("--compression: %v", err)
		}
	}
	if q.Level == "" {
		q.Level = binarycache.Default
	}
	if q.Keys, err = secretKeys(o.keyFiles, a.config.SecretKeyFiles); err != nil {
		return err
	}
	if q.Found, err = o.run(cmd, a, nil); err != nil {
		return err
	}
	if q.Sources, err = o.sources(ctx, q.Found); err != nil {
		return err
	}
	plan, err := repair.NewPlan(ctx, q)
	if err != nil {
		return err
	}
	r := repairReport{Schema: "pantheros.repair/1", Status: report.Passed, Cache: a.name, Applied: o.apply, Damaged: q.Found.Damaged}
	if o.apply && !plan.Empty() {
		progress, finish := o.output.start(cmd, "mending", nil)
		out, applyErr := repair.Apply(ctx, q, plan, progress)
		finish()
		err = applyErr
		r.took(out.Mended, out.Withdrawn, out.Deleted, slices.Concat(plan.Lost, out.Failed))
	} else {
		r.took(plan.Mend, plan.Withdraw, plan.Delete, plan.Lost)
	}
	r.Seconds = time.Since(started).Seconds()
	if err == nil && !o.apply && q.Found.Damaged > 0 {
		err = fmt.Errorf("cache %s is as it was: say --apply to have this done: %w", a.name, binarycache.ErrDamaged)
	}
	if err == nil && len(r.Lost) > 0 {
		err = fmt.Errorf("cache %s: %s could not be mended, %s first: %s: %w", a.name, counted(len(r.Lost), "thing", "things"), r.Lost[0].What, r.Lost[0].Why, binarycache.ErrDamaged)
	}
	if err != nil {
		r.Status, r.Error = report.Failed, err.Error()
	}
	if o.output.json {
		return errors.Join(printJSON(cmd.OutOrStdout(), r), err)
	}
	return errors.Join(r.print(cmd.OutOrStdout()), err)
}

func (r *repairReport) took(mend []repair.Mending, withdraw []repair.Withdrawal, deleted []string, lost []repair.Loss) {
	r.Mend, r.Withdraw, r.Delete, r.Lost = []repairMend{}, []repairAction{}, append([]string{}, deleted...), []repairAction{}
	for _, m := range mend {
		r.Mend = append(r.Mend, repairMend{Path: string(m.Path), Why: string(m.Why), From: m.From, NARBytes: m.Size})
	}
	for _, w := range withdraw {
		what := string(w.Path)
		if what == "" {
			what = w.Key
		}
		r.Withdraw = append(r.Withdraw, repairAction{what, w.Why})
	}
	for _, l := range lost {
		r.Lost = append(r.Lost, repairAction{l.What, l.Why})
	}
}

func (r *repairReport) print(w io.Writer) error {
	for _, m := range r.Mend {
		from := ", its narinfo alone"
		if m.From != "" {
			from = fmt.Sprintf(", %s from %s", bytesText(m.NARBytes), m.From)
		}
		fmt.Fprintf(w, "mend      %s: %s%s\n", m.Path, m.Why, from)
	}
	for _, a := range r.Withdraw {
		fmt.Fprintf(w, "withdraw  %s: %s\n", a.What, a.Why)
	}
	for _, key := range r.Delete {
		fmt.Fprintf(w, "delete    %s: it is damaged, and nothing needs it\n", key)
	}
	for _, a := range r.Lost {
		fmt.Fprintf(w, "lost      %s: %s\n", a.What, a.Why)
	}
	if r.Damaged == 0 {
		_, err := fmt.Fprintf(w, "%s: nothing is damaged\n", r.Cache)
		return err
	}
	verb := "would be "
	if r.Applied {
		verb = ""
	}
	_, err := fmt.Fprintf(w, "%s: %s %smended, %d withdrawn, %d lost, in %.1f s\n", r.Cache, counted(len(r.Mend), "path", "paths"), verb, len(r.Withdraw), len(r.Lost), r.Seconds)
	return err
}

// sources opens what --from names.
func (o *repairOptions) sources(ctx context.Context, found *audit.Result) ([]repair.Source, error) {
	storeDir := found.Census.Published.Info.StoreDir
	var all []repair.Source
	for _, text := range o.from {
		if text == "store" {
			s, err := nixstore.Open(o.store)
			if err != nil {
				return nil, usageError{err}
			}
			if s.Dir() != storeDir {
				return nil, usagef("--from store: it holds paths of %s, and the cache those of %s", s.Dir(), storeDir)
			}
			all = append(all, &storeSource{Store: s, infos: make(map[nix.StorePath]nix.PathInfo)})
			continue
		}
		a, err := openAddress(text)
		if err != nil {
			return nil, err
		}
		if a.reader == nil {
			return nil, usagef("--from %s: it cannot be read path by path", a.name)
		}
		trusted := slices.Clone(found.Trusted)
		p, err := a.published(ctx)
		if err != nil {
			return nil, err
		}
		trusted = append(append(trusted, p.Keys...), a.config.PublicKeys...)
		s, err := binarycache.OpenSource(ctx, a.reader, binarycache.SourceOptions{Name: a.name, StoreDir: storeDir, Trusted: trusted})
		if err != nil {
			return nil, err
		}
		all = append(all, cacheSource{s, a.name})
	}
	return all, nil
}

// storeSource is a Nix store to mend from.
type storeSource struct {
	*nixstore.Store
	mu    sync.Mutex
	infos map[nix.StorePath]nix.PathInfo
}

func (s *storeSource) Info(ctx context.Context, p nix.StorePath) (nix.PathInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if info, ok := s.infos[p]; ok {
		return info, nil
	}
	// The whole closure is likely to be asked for next.
	closure, err := s.Closure(ctx, p)
	if errors.As(err, new(*nixstore.NotValidError)) {
		return nix.PathInfo{}, repair.ErrAbsent
	}
	if err != nil {
		return nix.PathInfo{}, err
	}
	for _, info := range closure {
		s.infos[info.Path] = info
	}
	info, ok := s.infos[p]
	if !ok {
		return info, repair.ErrAbsent
	}
	return info, nil
}

// cacheSource is a cache to mend from.
type cacheSource struct {
	*binarycache.Source
	name string
}

func (s cacheSource) String() string { return s.name }

func (s cacheSource) Info(ctx context.Context, p nix.StorePath) (nix.PathInfo, error) {
	info, err := s.Source.Info(ctx, p)
	if errors.Is(err, blob.ErrNotExist) || errors.Is(err, binarycache.ErrDamaged) || errors.Is(err, binarycache.ErrUntrusted) {
		return info, fmt.Errorf("%w: %v", repair.ErrAbsent, err)
	}
	return info, err
}
