package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/cmd/pcache/config"
	"gitlab.com/pantheros/pantheros/internal/attic"
	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob/remote"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"github.com/spf13/cobra"
)

// newCache is for what a cache says of itself, and for caches that a server
// keeps: those have to be made before the first push, and have settings of
// their own.
func newCache() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "Make, set up and destroy caches",
		Long: `Shows and changes what a cache says of itself to its clients: the priority among
their substituters, and whether they should ask it for many paths at once.

A cache in a directory or a bucket is made by the first push, too. One on an
Attic server is made before that, and has more settings, within the rights of
the token. The token comes from the configuration's token-file or token-command,
from $` + tokenVariable + `, or from Attic's own configuration, which is read and
never written.

` + exitCodes,
		Example: `  pcache cache show nightly
  pcache cache create --priority 20 s3://nix-cache
  pcache cache configure --mass-query=false file:///srv/cache`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q (see pcache cache --help)", args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(newCacheShow(), newCacheCreate(), newCacheConfigure(), newCacheDestroy())
	return cmd
}

// cacheSettings are what can be said of a cache.
type cacheSettings struct {
	own             ownSettings // of every cache
	public, private bool
	storeDir        string
	upstreamKeys    []string
	retention       string
	regenerate      bool
}

// ownSettings are those of nix-cache-info.
type ownSettings struct {
	priority  int
	massQuery choice
}

func (s *ownSettings) flags(cmd *cobra.Command, where string) {
	f := cmd.Flags()
	f.IntVar(&s.priority, "priority", 0, "for clients with several caches: a lower one is asked first"+where)
	f.Var(&s.massQuery, "mass-query", "whether clients should ask for many paths at once (default true)")
	f.Lookup("mass-query").NoOptDefVal = "true"
	f.Lookup("priority").DefValue = "" // the usage says it
}

// settings are those of the flags that were given.
func (s *ownSettings) settings(cmd *cobra.Command) (binarycache.Settings, error) {
	set := binarycache.Settings{WantMassQuery: s.massQuery.is}
	if cmd.Flags().Changed("priority") {
		if s.priority < 0 {
			return set, usagef("--priority %d: want 0 or more", s.priority)
		}
		set.Priority = &s.priority
	}
	return set, nil
}

func (s *cacheSettings) flags(cmd *cobra.Command) {
	s.own.flags(cmd, " (default 30, on an Attic server 41)")
	f := cmd.Flags()
	f.BoolVar(&s.public, "public", false, "anybody may read it, without a token (Attic)")
	f.StringVar(&s.storeDir, "store-dir", nix.DefaultStoreDir, "the store directory of its paths")
	f.StringArrayVar(&s.upstreamKeys, "upstream-key-name", nil, "what a key of this name signed need not be pushed (can be repeated; Attic)")
}

// atticOnly are flags that mean something to an Attic server alone.
var atticOnly = []string{"public", "private", "upstream-key-name", "retention", "regenerate-key"}

// notForOwn refuses what a cache without a server does not have.
func notForOwn(cmd *cobra.Command, a address, more ...string) error {
	for _, name := range append(more, atticOnly...) {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			return usagef("%s: --%s is not for cache %s", cmd.Name(), name, a.name)
		}
	}
	return nil
}

// settings are those of the flags that were given, as Attic has them.
func (s *cacheSettings) settings(cmd *cobra.Command) (attic.CacheConfig, error) {
	var c attic.CacheConfig
	given := cmd.Flags().Changed
	if s.public && s.private {
		return c, usagef("--public contradicts --private")
	}
	if given("mass-query") || given("public-key") {
		return c, usagef("%s: --mass-query and --public-key are the server's to say for a cache on it", cmd.Name())
	}
	if given("public") || given("private") {
		public := s.public && !s.private
		c.IsPublic = &public
	}
	own, err := s.own.settings(cmd)
	if err != nil {
		return c, err
	}
	c.Priority = own.Priority
	if given("store-dir") {
		c.StoreDir = s.storeDir
	}
	if given("upstream-key-name") {
		keys := s.upstreamKeys
		if len(keys) == 1 && keys[0] == "" {
			keys = []string{} // none any more
		}
		c.UpstreamKeys = &keys
	}
	if given("retention") {
		r, err := parseRetention(s.retention)
		if err != nil {
			return c, err
		}
		c.Retention = &r
	}
	if s.regenerate {
		c.Keypair = attic.Generate
	}
	return c, nil
}

func parseRetention(text string) (attic.Retention, error) {
	switch text {
	case "global":
		return attic.Retention{Global: true}, nil
	case "forever":
		return attic.Retention{}, nil
	}
	var days int
	if n, err := fmt.Sscanf(text, "%dd", &days); n == 1 && err == nil && text == fmt.Sprintf("%dd", days) && days > 0 && days < 36500 {
		return attic.Retention{Period: time.Duration(days) * 24 * time.Hour}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= time.Second {
		return attic.Retention{Period: d}, nil
	}
	return attic.Retention{}, usagef("--retention %q: want global, forever, a number of days such as 30d, or a duration such as 12h", text)
}

func newCacheCreate() *cobra.Command {
	var s cacheSettings
	var keys []string
	cmd := &cobra.Command{
		Use:   "create CACHE",
		Short: "Make a cache",
		Long: `Makes a cache. In a directory or a bucket, that is its nix-cache-info, and with
--public-key the list of keys that pushes must sign with; without it the first
push lists its key.

On an Attic server, the server makes the key. By default only holders of a token
may read it, and what cache.nixos.org signed is left to that.

` + exitCodes,
		Example: `  pcache cache create --priority 20 s3://nix-cache
  pcache cache create attic+https://attic.example.org/pantheros`,
		Args: exactly(1, "it wants the address of a cache"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := openCache(args[0])
			if err != nil {
				return err
			}
			if a.attic == nil {
				return createOwn(cmd, a, s, keys)
			}
			client := a.attic
			c, err := s.settings(cmd)
			if err != nil {
				return err
			}
			if c.IsPublic == nil {
				c.IsPublic = &s.public
			}
			if c.Priority == nil {
				priority := atticPriority
				c.Priority = &priority
			}
			if c.StoreDir == "" {
				c.StoreDir = s.storeDir
			}
			if c.UpstreamKeys == nil {
				c.UpstreamKeys = &[]string{"cache.nixos.org-1"}
			}
			c.Keypair = attic.Generate
			if err := client.Create(cmd.Context(), c); err != nil {
				return err
			}
			return showCache(cmd, a, false, "made")
		},
	}
	s.flags(cmd)
	cmd.Flags().StringArrayVar(&keys, "public-key", nil, "list this key, NAME:BASE64 (can be repeated)")
	return cmd
}

// atticPriority is after cache.nixos.org, as Attic's own client has it.
const atticPriority = 41

func createOwn(cmd *cobra.Command, a address, s cacheSettings, keyFlags []string) error {
	if err := notForOwn(cmd, a); err != nil {
		return err
	}
	own, err := s.own.settings(cmd)
	if err != nil {
		return err
	}
	keys, err := publicKeys(keyFlags)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(s.storeDir) || filepath.Clean(s.storeDir) != s.storeDir {
		return usagef("--store-dir %q is not the absolute path of a directory", s.storeDir)
	}
	if err := binarycache.Create(cmd.Context(), a.store, a.name, s.storeDir, keys, own); err != nil {
		return err
	}
	return showCache(cmd, a, false, "made")
}

func newCacheConfigure() *cobra.Command {
	var s cacheSettings
	cmd := &cobra.Command{
		Use:   "configure CACHE",
		Short: "Change the settings of a cache",
		Long: `Changes the settings that are given, and shows all. Nix remembers for up to a
week what a cache said of itself.

On an Attic server, a new key (--regenerate-key) makes clients refuse what they
have not fetched yet until they trust it.

` + exitCodes,
		Example: `  pcache cache configure --priority 20 nightly
  pcache cache configure --retention 30d attic+https://attic.example.org/pantheros`,
		Args: exactly(1, "it wants the address of a cache"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := openCache(args[0])
			if err != nil {
				return err
			}
			if a.attic == nil {
				return configureOwn(cmd, a, s)
			}
			c, err := s.settings(cmd)
			if err != nil {
				return err
			}
			if c.IsPublic == nil && c.Priority == nil && c.StoreDir == "" && c.UpstreamKeys == nil && c.Retention == nil && c.Keypair == nil {
				return usagef("configure: nothing to change was given (see pcache cache configure --help)")
			}
			if err := a.attic.Configure(cmd.Context(), c); err != nil {
				return err
			}
			return showCache(cmd, a, false, "changed")
		},
	}
	s.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&s.private, "private", false, "only holders of a token may read it (Attic)")
	f.StringVar(&s.retention, "retention", "", "how long a path is kept after it was last asked for: global, forever, 30d, 12h (Attic)")
	f.BoolVar(&s.regenerate, "regenerate-key", false, "have the server make a new key (Attic)")
	return cmd
}

func configureOwn(cmd *cobra.Command, a address, s cacheSettings) error {
	if err := notForOwn(cmd, a, "store-dir"); err != nil {
		return err
	}
	own, err := s.own.settings(cmd)
	if err != nil {
		return err
	}
	if own == (binarycache.Settings{}) {
		return usagef("configure: nothing to change was given (see pcache cache configure --help)")
	}
	if err := binarycache.Configure(cmd.Context(), a.store, a.name, own); err != nil {
		return err
	}
	return showCache(cmd, a, false, "changed")
}

func newCacheDestroy() *cobra.Command {
	var confirm string
	cmd := &cobra.Command{
		Use:   "destroy CACHE",
		Short: "Destroy a cache on an Attic server, with all that is in it",
		Long: `Has an Attic server destroy a cache. A cache in a directory or a bucket is
destroyed with the tools of its storage.

` + exitCodes,
		Example: "  pcache cache destroy --confirm pantheros attic+https://attic.example.org/pantheros",
		Args:    exactly(1, "it wants the address of a cache"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, a, err := atticOf(args[0])
			if err != nil {
				return err
			}
			name := a.name[strings.LastIndexByte(a.name, '/')+1:]
			if confirm != name {
				return usagef("destroy: this cannot be undone; say --confirm %s if it is meant", name)
			}
			if err := client.Destroy(cmd.Context()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "destroyed %s\n", a.name)
			return nil
		},
	}
	cmd.Flags().StringVar(&confirm, "confirm", "", "the cache's name, to say that it is meant")
	return cmd
}

func newCacheShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show CACHE",
		Short: "Show the settings of a cache",
		Long: `Shows what a cache says of itself, or what the Attic server that keeps it says.

` + exitCodes,
		Example: `  pcache cache show nightly
  pcache cache show --json attic+https://attic.example.org/pantheros`,
		Args: exactly(1, "it wants the address of a cache"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := openAddress(args[0])
			if err != nil {
				return err
			}
			return showCache(cmd, a, asJSON, "")
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON on standard output")
	return cmd
}

// cacheReport is what `pcache cache show --json` prints.
type cacheReport struct {
	Schema        string   `json:"schema"`
	Cache         string   `json:"cache"`
	Substituter   string   `json:"substituter,omitempty"` // of a cache on a server: the address that Nix reads
	StoreDir      string   `json:"store_dir"`
	Priority      *int     `json:"priority,omitempty"`
	WantMassQuery *bool    `json:"want_mass_query,omitempty"` // absent: the server does not say
	PublicKeys    []string `json:"public_keys"`
	UpstreamKeys  []string `json:"upstream_keys"`       // keys, or names of keys, whose paths it may leave out
	Public        *bool    `json:"public,omitempty"`    // anybody may read it; absent: whoever can reach its storage
	Retention     string   `json:"retention,omitempty"` // of a server: "global", "forever" or a duration
}

// describeCache asks a cache of any kind for its settings.
func describeCache(ctx context.Context, a address) (cacheReport, error) {
	r := cacheReport{Schema: "pantheros.cache/1", Cache: a.name, PublicKeys: []string{}, UpstreamKeys: []string{}}
	if a.attic == nil {
		info, keys, err := binarycache.About(ctx, a.reader, a.name)
		if err != nil {
			return r, err
		}
		upstream, err := binarycache.ReadUpstreamKeys(ctx, a.reader, a.name)
		if err != nil {
			return r, err
		}
		r.StoreDir, r.Priority, r.WantMassQuery = info.StoreDir, &info.Priority, &info.WantMassQuery
		for _, k := range keys {
			r.PublicKeys = append(r.PublicKeys, k.String())
		}
		for _, k := range upstream {
			r.UpstreamKeys = append(r.UpstreamKeys, k.String())
		}
		return r, nil
	}
	c, err := a.attic.Config(ctx)
	if err != nil {
		return r, err
	}
	r.Substituter, r.StoreDir, r.Priority, r.Public = c.SubstituterEndpoint, c.StoreDir, c.Priority, c.IsPublic
	if c.PublicKey != "" {
		r.PublicKeys = append(r.PublicKeys, c.PublicKey)
	}
	if c.UpstreamKeys != nil {
		r.UpstreamKeys = append(r.UpstreamKeys, *c.UpstreamKeys...)
	}
	if c.Retention != nil {
		r.Retention = c.Retention.Text()
	}
	return r, nil
}

// showCache shows a cache; done says what had been done to it before.
func showCache(cmd *cobra.Command, a address, asJSON bool, done string) error {
	r, err := describeCache(cmd.Context(), a)
	if err != nil && done != "" {
		return fmt.Errorf("the cache is %s, but cannot be shown: %w", done, err)
	}
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	if asJSON {
		return printJSON(w, r)
	}
	fmt.Fprintf(w, "cache        %s\n", r.Cache)
	if r.Substituter != "" {
		fmt.Fprintf(w, "substituter  %s\n", plain(r.Substituter))
	}
	for _, k := range r.PublicKeys {
		fmt.Fprintf(w, "public key   %s\n", plain(k))
	}
	if r.Public != nil {
		readers := "holders of a token"
		if *r.Public {
			readers = "anybody"
		}
		fmt.Fprintf(w, "readers      %s\n", readers)
	}
	fmt.Fprintf(w, "store        %s\n", plain(r.StoreDir))
	if r.Priority != nil {
		fmt.Fprintf(w, "priority     %d\n", *r.Priority)
	}
	if r.WantMassQuery != nil {
		fmt.Fprintf(w, "mass query   %t\n", *r.WantMassQuery)
	}
	switch {
	case len(r.UpstreamKeys) > 0:
		fmt.Fprintf(w, "upstreams    %s\n", plain(strings.Join(r.UpstreamKeys, " ")))
	case a.attic != nil: // a setting of every cache there
		fmt.Fprintln(w, "upstreams    none")
	}
	if r.Retention != "" {
		fmt.Fprintf(w, "retention    %s\n", r.Retention)
	}
	return nil
}

func newLogin() *cobra.Command {
	var asDefault bool
	cmd := &cobra.Command{
		Use:   "login NAME CACHE",
		Short: "Give a cache on a server a name, and keep the token for it",
		Long: `Reads a token from standard input, tries it, and keeps both: the token in a file
that only this user can read, the cache under NAME in the configuration
(~/.config/pcache/config.toml), with the cache's public key. From then on NAME
is enough wherever a cache is wanted. A token never travels in an argument.

Doing it again replaces the token. Attic's own configuration is not touched.

` + exitCodes,
		Example: `  pcache login nightly attic+https://attic.example.org/pantheros < token
  pcache push nightly ./result`,
		Args: exactly(2, "it wants a name and the address of a cache"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return login(cmd, args[0], args[1], asDefault)
		},
	}
	cmd.Flags().BoolVar(&asDefault, "default", false, "make it the cache that is meant where none is named")
	return cmd
}

func login(cmd *cobra.Command, name, text string, asDefault bool) error {
	if !isAttic(text) {
		return usagef("login: %q is not on an Attic server; others take a netrc file, a token-file of the configuration, or the credentials of their storage", text)
	}
	data, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxKeyFile))
	if err != nil {
		return fmt.Errorf("read the token from standard input: %v", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" || strings.ContainsAny(token, " \r\n\t\x00") {
		return usagef("login: standard input holds no token: one word on one line is wanted")
	}
	k, err := atticConfig(text, config.Cache{})
	if err != nil {
		return err
	}
	k.Token = remote.NewToken("the token from standard input", func(context.Context) (string, error) { return token, nil })
	client, err := attic.NewClient(k)
	if err != nil {
		return usageError{err}
	}
	c, err := client.Config(cmd.Context())
	if err != nil {
		return fmt.Errorf("try the token: %w", err)
	}
	file, err := config.AddLogin(os.Getenv, config.Login{Name: name, Address: k.String(), Token: token, PublicKey: c.PublicKey, Default: asDefault})
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "%s is %s (%s)\n", name, k, file)
	if end, ok := attic.Expires(token); ok {
		fmt.Fprintf(w, "the token is good until %s\n", end.Local().Format("2006-01-02 15:04 MST"))
	}
	return nil
}
