package main

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/cmd/pcache/config"
	"gitlab.com/pantheros/pantheros/internal/binarycache"

	"github.com/spf13/cobra"
)

// completer completes the argument that comes after args.
type completer func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective)

// completionTime is how long a cache may take to say which roots it has:
// somebody waits for a key that was pressed.
const completionTime = 2 * time.Second

// addCompletions says what the arguments of each command are. What is nobody's
// business to guess, such as a store path's, is left to the shell.
func addCompletions(root *cobra.Command) {
	for path, args := range map[string][]completer{
		"push": {caches}, "pull": {caches}, "sign": {caches}, "info": {caches}, "ls": {caches}, "cat": {caches},
		"use": {caches}, "watch-exec": {caches}, "queue run": {caches},
		"cache show": {caches}, "cache create": {caches}, "cache configure": {caches}, "cache destroy": {caches},
		"diff":  {caches, roots, roots},
		"login": {nothing, nothing}, "token": {nothing}, "keygen": {nothing}, "pubkey": {nothing},
	} {
		complete(root, path, args, nil)
	}
	complete(root, "serve", nil, caches)
	complete(root, "warm", []completer{caches}, roots)
	for _, path := range []string{"push", "pull"} {
		if c, _, err := root.Find(strings.Fields(path)); err == nil {
			_ = c.RegisterFlagCompletionFunc("root", roots)
			_ = c.RegisterFlagCompletionFunc("upstream", caches)
		}
	}
}

// complete sets how the arguments of a command are completed: one after the
// other, then all as rest says; nil leaves them to the shell.
func complete(root *cobra.Command, path string, args []completer, rest completer) {
	c, _, err := root.Find(strings.Fields(path))
	if err != nil {
		return
	}
	c.ValidArgsFunction = func(cmd *cobra.Command, given []string, word string) ([]string, cobra.ShellCompDirective) {
		next := rest
		if len(given) < len(args) {
			next = args[len(given)]
		}
		if next == nil {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return next(cmd, given, word)
	}
}

func nothing(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// schemes are the beginnings of addresses.
var schemes = []string{"file:///", "s3://", "https://", "attic+https://"}

// caches completes the names of the configuration, each with its address, and
// the beginnings of addresses.
func caches(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	if strings.Contains(word, "://") {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	if file, err := config.Load(os.Getenv); err == nil {
		for _, name := range slices.Sorted(maps.Keys(file.Caches)) {
			if strings.HasPrefix(name, word) {
				// An address never holds a secret: config refuses such.
				words = append(words, cobra.CompletionWithDesc(name, file.Caches[name].Address))
			}
		}
	}
	if len(words) > 0 {
		return words, cobra.ShellCompDirectiveDefault
	}
	for _, s := range schemes {
		if strings.HasPrefix(s, word) {
			words = append(words, s)
		}
	}
	return words, cobra.ShellCompDirectiveDefault | cobra.ShellCompDirectiveNoSpace
}

// roots completes the names of the roots of the cache that args begin with, or
// of the default one.
func roots(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	name, _, err := cacheOf(args)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	a, err := openAddress(name)
	if err != nil || a.store == nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	// Those that were listed before the time was over are better than none.
	names, _ := binarycache.RootNames(ctx, a.store)
	return slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, word) }), cobra.ShellCompDirectiveDefault
}
