package main

import (
	"fmt"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"github.com/spf13/cobra"
)

type signOptions struct {
	keyFiles   []string
	remove     []string
	trusted    []string
	all        bool
	unverified bool
	dryRun     bool
	json       bool
}

func newSign() *cobra.Command {
	var o signOptions
	cmd := &cobra.Command{
		Use:   "sign CACHE PATH... | sign CACHE --all",
		Short: "Sign what is in a cache again",
		Long: `Adds signatures to the narinfos of the given paths ("-": of those that standard
input lists), or of all (--all, with the realisations of content-addressed
derivations), and keeps those that are there, but for the ones of --remove. NARs
are not read.

Only what a key vouches for already is signed: one that the cache publishes, one
of --public-key, or the signing key itself. Anything else could be anybody's
word about a path, and would become yours; --unverified signs it all the same,
for a cache that nobody else could write to.

With --all the cache's list of public keys is kept true. So a key is replaced
like this, with clients that miss nothing in between:

  1. pcache sign --all --secret-key-file NEW CACHE   both keys hold from now on
  2. pushes use NEW; machines get NEW beside OLD in trusted-public-keys
  3. pcache sign --all --remove OLD-NAME CACHE       when all machines have it

It can be interrupted and run again, and runs beside pushes and gc.

` + exitCodes,
		Example: `  pcache sign --all --secret-key-file new-key file:///srv/cache
  pcache sign --all --remove example.org-1 file:///srv/cache
  pcache sign --dry-run --secret-key-file key file:///srv/cache /nix/store/...-hello-2.12`,
		Args: atLeast(1, "it wants the address of a cache, and paths or --all"),
		RunE: func(cmd *cobra.Command, args []string) error { return sign(cmd, args[0], args[1:], o) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.keyFiles, "secret-key-file", nil, "sign with the key in this file (can be repeated)")
	f.StringArrayVar(&o.remove, "remove", nil, "take away the signatures of the key of this name (can be repeated)")
	f.StringArrayVar(&o.trusted, "public-key", nil, "sign what this key, NAME:BASE64, has signed (can be repeated)")
	f.BoolVar(&o.all, "all", false, "sign every path of the cache")
	f.BoolVar(&o.unverified, "unverified", false, "sign also what no trusted key has signed")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would be signed, and change nothing")
	f.BoolVar(&o.json, "json", false, "print the result as JSON on standard output")
	return cmd
}

// signReport is what `pcache sign --json` prints.
type signReport struct {
	Schema string                    `json:"schema"`
	Cache  string                    `json:"cache"`
	DryRun bool                      `json:"dry_run,omitempty"`
	Counts map[string]int            `json:"counts"` // by action
	Paths  []binarycache.SignOutcome `json:"paths"`  // those that were signed, refused or gone
}

func sign(cmd *cobra.Command, text string, args []string, o signOptions) error {
	if o.all == (len(args) > 0) {
		return usagef("sign: give paths, or --all")
	}
	a, err := openCache(text)
	if err != nil {
		return err
	}
	if a.store == nil {
		return usagef("sign: cache %s signs by itself", a.name)
	}
	s := &binarycache.Signer{Store: a.store, Name: a.name, Remove: o.remove, Unverified: o.unverified, DryRun: o.dryRun}
	// A key of the configuration or the environment signs only if nothing is
	// said about keys: who only takes one away must not sign by accident.
	if len(o.keyFiles) > 0 || len(o.remove) == 0 {
		if s.Keys, err = secretKeys(o.keyFiles, a.config.SecretKeyFiles); err != nil {
			return err
		}
	}
	if len(s.Keys) == 0 && len(o.remove) == 0 {
		return usagef("sign: no key to sign with (--secret-key-file), and none to remove (--remove)")
	}
	if s.Trusted, err = publicKeys(o.trusted); err != nil {
		return err
	}
	summary := signReport{Schema: "pantheros.sign/1", Cache: a.name, DryRun: o.dryRun, Counts: map[string]int{}, Paths: []binarycache.SignOutcome{}}
	var refused *binarycache.SignOutcome
	done := func(out binarycache.SignOutcome) {
		summary.Counts[out.Action]++
		if out.Action != binarycache.SignKept {
			summary.Paths = append(summary.Paths, out)
		}
		if out.Action == binarycache.SignRefused && refused == nil {
			refused = &out
		}
	}
	if o.all {
		err = s.SignAll(cmd.Context(), done)
	} else {
		var paths []nix.StorePath
		err = eachPath(cmd.InOrStdin(), args, func(arg string) error {
			p, err := nix.ParseStorePath(nix.StorePath(arg).Dir(), arg)
			paths = append(paths, p)
			return err
		})
		if err != nil {
			return err
		}
		err = s.SignPaths(cmd.Context(), paths, done)
	}
	w := cmd.OutOrStdout()
	if o.json {
		if printErr := printJSON(w, summary); err == nil {
			err = printErr
		}
	} else if err == nil {
		verb := "signed"
		if o.dryRun {
			verb = "would be signed"
		}
		fmt.Fprintf(w, "%d paths %s, %d unchanged, %d refused in %s\n", summary.Counts[binarycache.SignChanged], verb,
			summary.Counts[binarycache.SignKept], summary.Counts[binarycache.SignRefused], a.name)
	}
	switch {
	case err != nil:
		return err
	case refused != nil:
		return fmt.Errorf("%d objects were not signed, %s first: %s: %w", summary.Counts[binarycache.SignRefused], refused.Key, refused.Reason, binarycache.ErrUntrusted)
	case !o.all && summary.Counts[binarycache.SignGone] > 0:
		return fmt.Errorf("%d of the paths are not in cache %s", summary.Counts[binarycache.SignGone], a.name)
	}
	return nil
}
