package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/binarycache/audit"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/pipeline/report"

	"github.com/spf13/cobra"
)

// auditOptions are those of commands that look at a whole cache.
type auditOptions struct {
	level   string
	keys    []string
	others  []string
	restart bool
	output  output
}

func (o *auditOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.level, "level", "full", "how closely to look: listing, files or full")
	f.StringArrayVar(&o.keys, "public-key", nil, "each path must be signed with one of these keys, NAME:BASE64 (can be repeated; default: those that the cache lists)")
	f.StringArrayVar(&o.others, "upstream", nil, "ask this cache for what the other one leaves to it (can be repeated)")
	f.BoolVar(&o.restart, "restart", false, "do not go on where an interrupted run stopped")
	_ = cmd.RegisterFlagCompletionFunc("level", cobra.FixedCompletions([]string{"listing", "files", "full"}, cobra.ShellCompDirectiveNoFileComp))
	o.output.flags(cmd)
}

func newVerify() *cobra.Command {
	var o auditOptions
	var notes bool
	cmd := &cobra.Command{
		Use:   "verify CACHE [PATH|ROOT...]",
		Short: "Look whether a cache is what it says it is",
		Long: `Looks at all of a cache, or at the closures of the given paths and roots, and
believes nothing that it can compute. Three levels:

  listing  narinfos can be read and are signed, NARs are there and have the size
           that is stated, what a path refers to is there, roots are whole
  files    also: the files of NARs have the hash that is stated
  full     also: the NARs in them have, and listings are theirs

What belongs to nothing, such as a NAR that no narinfo names, is told of
(--notes) and is no damage. In a cache that leaves paths to upstreams, what is
absent is damage if a root's manifest says that it must be here; --upstream asks
whether the upstream has the rest.

A run that was interrupted is gone on with: what it found good is not read
again, within a week and unless the object has changed (--restart reads all). A
web server cannot be listed: name paths or roots.

Memory: some 100 MiB, and about 1 KiB for each path of the cache.

Exit code 5 says that there is damage; "pcache repair" mends it.

` + exitCodes,
		Example: `  pcache verify file:///srv/cache
  pcache verify --level listing s3://bucket
  pcache verify --json s3://bucket yoga
  pcache repair s3://bucket --from store`,
		Args: atLeast(1, "it wants the address of a cache"),
		RunE: func(cmd *cobra.Command, args []string) error { return verify(cmd, args[0], args[1:], o, notes) },
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&notes, "notes", false, "list also what is no damage")
	return cmd
}

// verifyReport is what `pcache verify --json` prints.
type verifyReport struct {
	Schema   string          `json:"schema"`
	Status   report.Status   `json:"status"`
	Cache    string          `json:"cache"`
	Level    string          `json:"level"`
	Seconds  float64         `json:"seconds"`
	Paths    int             `json:"paths"`
	Roots    int             `json:"roots"`
	NARs     int             `json:"nars_read"`
	Bytes    int64           `json:"bytes_read"`
	Known    int             `json:"nars_read_before"` // by the interrupted run that this one went on with
	Left     int             `json:"left_upstream"`
	Keys     []string        `json:"keys"` // that signatures were held against; none: they were not looked at
	Damaged  int             `json:"damaged"`
	Findings []audit.Finding `json:"findings"`
	Error    string          `json:"error,omitempty"` // why it could not come to its end
}

func verify(cmd *cobra.Command, text string, args []string, o auditOptions, notes bool) error {
	started := time.Now()
	a, err := openAddress(text)
	if err != nil {
		return err
	}
	found, err := o.run(cmd, a, args)
	if found == nil {
		return err
	}
	r := verifyReport{
		Schema: "pantheros.verify/1", Status: report.Passed, Cache: a.name, Level: o.level, Seconds: time.Since(started).Seconds(),
		Paths: found.Paths, Roots: found.Roots, NARs: found.NARs, Bytes: found.Bytes, Known: found.Known, Left: found.Left,
		Keys: []string{}, Damaged: found.Damaged, Findings: found.Findings,
	}
	for _, k := range found.Trusted {
		r.Keys = append(r.Keys, k.String())
	}
	if r.Findings == nil {
		r.Findings = []audit.Finding{}
	}
	if err == nil && found.Damaged > 0 {
		err = fmt.Errorf("cache %s: %s wrong, %s %s first: %w", a.name, counted(found.Damaged, "thing is", "things are"), found.Findings[0].Kind, found.Findings[0].Key, binarycache.ErrDamaged)
	}
	if err != nil {
		r.Status, r.Error = report.Failed, err.Error()
	}
	if o.output.json {
		return errors.Join(printJSON(cmd.OutOrStdout(), r), err)
	}
	return errors.Join(r.print(cmd.OutOrStdout(), notes), err)
}

// counted says how many of something there are.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (r verifyReport) print(w io.Writer, notes bool) error {
	left := 0
	for _, f := range r.Findings {
		if !f.Damage && !notes {
			left++
			continue
		}
		subject := f.Key
		if f.Path != "" {
			subject += " (" + f.Path + ")"
		}
		fmt.Fprintf(w, "%s  %s: %s\n", f.Kind, subject, f.Detail)
	}
	text := fmt.Sprintf("%s: %d paths, %d roots", r.Cache, r.Paths, r.Roots)
	if r.NARs+r.Known > 0 {
		text += fmt.Sprintf("; %d NARs read, %s", r.NARs, bytesText(r.Bytes))
	}
	if r.Known > 0 {
		text += fmt.Sprintf(" (%d more by the run that was interrupted)", r.Known)
	}
	if r.Left > 0 {
		text += fmt.Sprintf("; %d paths are left to upstreams", r.Left)
	}
	if len(r.Keys) == 0 {
		text += "; signatures were not looked at, since the cache lists no keys and --public-key gives none"
	}
	if left > 0 {
		text += fmt.Sprintf("; %s to nothing (--notes)", counted(left, "object belongs", "objects belong"))
	}
	if r.Status == report.Passed {
		text += "; all is well"
	}
	_, err := fmt.Fprintf(w, "%s, after %.1f s\n", text, r.Seconds)
	return err
}

// run audits a cache. The result is nil if nothing was looked at.
func (o *auditOptions) run(cmd *cobra.Command, a address, args []string) (*audit.Result, error) {
	ctx := cmd.Context()
	level, err := audit.ParseLevel(o.level)
	if err != nil {
		return nil, usagef("--level: %v", err)
	}
	if a.reader == nil {
		return nil, usagef("cache %s is no heap of files that could be looked at", a.name)
	}
	q := audit.Options{Name: a.name, Reader: a.reader, Store: a.store, Level: level}
	if q.Keys, err = publicKeys(o.keys); err != nil {
		return nil, err
	}
	if q.Keys == nil {
		q.Keys = a.config.PublicKeys
	}
	if q.Upstreams, err = openUpstreams(o.others); err != nil {
		return nil, err
	}
	if q.Paths, err = closureRoots(ctx, a, args); err != nil {
		return nil, err
	}
	if a.store == nil && len(q.Paths) == 0 {
		return nil, usagef("cache %s cannot be listed: name the paths or roots to look at", a.name)
	}
	if level != audit.Listing {
		if q.Journal, err = openJournal(a.name, level, args, o.restart); err != nil {
			return nil, err
		}
	}
	progress, finish := o.output.start(cmd, "verifying", nil)
	q.Progress = progress
	found, err := audit.Run(ctx, q)
	finish()
	if closeErr := q.Journal.Close(err == nil); err == nil {
		err = closeErr
	}
	if found.Census == nil {
		return nil, err // there was nothing to look at
	}
	return found, err
}

// closureRoots are the store paths that arguments name: paths, or roots of the
// cache.
func closureRoots(ctx context.Context, a address, args []string) (paths []nix.StorePath, err error) {
	if len(args) == 0 {
		return nil, nil
	}
	p, err := binarycache.ReadPublished(ctx, a.reader, a.name)
	if err != nil {
		return nil, err
	}
	for _, arg := range args {
		_, of, err := findRoot(ctx, a, p.Info.StoreDir, arg)
		if err != nil {
			return nil, err
		}
		paths = append(paths, of...)
	}
	return paths, nil
}

// openJournal opens the journal of looking at these parts of a cache: below the
// user's cache directory, where what is lost is only time.
func openJournal(name string, level audit.Level, args []string, restart bool) (*audit.Journal, error) {
	home, err := os.UserCacheDir()
	if err != nil {
		return nil, nil //nolint:nilerr // without one nothing is remembered
	}
	sum := sha256.New()
	for _, s := range append([]string{name, level.String()}, args...) {
		fmt.Fprintf(sum, "%d:%s", len(s), s)
	}
	file := filepath.Join(home, "pcache", "verify", hex.EncodeToString(sum.Sum(nil)[:10])+".jsonl")
	j, err := audit.OpenJournal(file, name, level, restart)
	if err != nil {
		return nil, fmt.Errorf("remember what was found good: %w", err)
	}
	return j, nil
}
