package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/cmd/pcache/config"
	"gitlab.com/pantheros/pantheros/internal/attic"
	"gitlab.com/pantheros/pantheros/internal/blob/remote"
	"gitlab.com/pantheros/pantheros/internal/nix"

	"github.com/spf13/cobra"
)

// newCache is for caches that a server keeps: they have to be made before the
// first push, and have settings of their own.
func newCache() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "Make, set up and destroy caches on an Attic server",
		Long: `Caches on an Attic server are made before the first push and have settings of
their own, which these commands show and change with the rights of the token.
The token comes from the configuration's token-file or token-command, from
$` + tokenVariable + `, or from Attic's own configuration, which is read and never
written.

` + exitCodes,
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
	public, private bool
	priority        int
	storeDir        string
	upstreamKeys    []string
	retention       string
	regenerate      bool
}

func (s *cacheSettings) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&s.public, "public", false, "anybody may read it, without a token")
	f.IntVar(&s.priority, "priority", 41, "for clients with several caches: a lower one is asked first")
	f.StringVar(&s.storeDir, "store-dir", nix.DefaultStoreDir, "the store directory of its paths")
	f.StringArrayVar(&s.upstreamKeys, "upstream-key-name", nil, "what a key of this name signed need not be pushed (can be repeated)")
}

// settings are those of the flags that were given.
func (s *cacheSettings) settings(cmd *cobra.Command) (attic.CacheConfig, error) {
	var c attic.CacheConfig
	given := cmd.Flags().Changed
	if s.public && s.private {
		return c, usagef("--public contradicts --private")
	}
	if given("public") || given("private") {
		public := s.public && !s.private
		c.IsPublic = &public
	}
	if given("priority") {
		c.Priority = &s.priority
	}
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
	cmd := &cobra.Command{
		Use:   "create CACHE",
		Short: "Make a cache",
		Long: `Makes a cache; the server makes its key. By default only holders of a token may
read it, and what cache.nixos.org signed is left to that.`,
		Example: "  pcache cache create attic+https://attic.example.org/pantheros",
		Args:    exactly(1, "it wants the address of a cache"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, a, err := atticOf(args[0])
			if err != nil {
				return err
			}
			c, err := s.settings(cmd)
			if err != nil {
				return err
			}
			if c.IsPublic == nil {
				c.IsPublic = &s.public
			}
			if c.Priority == nil {
				c.Priority = &s.priority
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
			made, err := client.Config(cmd.Context())
			if err != nil {
				return fmt.Errorf("the cache is made, but cannot be shown: %w", err)
			}
			return printCache(cmd, a, made, false)
		},
	}
	s.flags(cmd)
	return cmd
}

func newCacheConfigure() *cobra.Command {
	var s cacheSettings
	cmd := &cobra.Command{
		Use:   "configure CACHE",
		Short: "Change the settings of a cache",
		Long: `Changes the settings that are given, and shows all. A new key
(--regenerate-key) makes clients refuse what they have not fetched yet until
they trust it.`,
		Example: `  pcache cache configure --retention 30d attic+https://attic.example.org/pantheros
  pcache cache configure --public pantheros`,
		Args: exactly(1, "it wants the address of a cache"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, a, err := atticOf(args[0])
			if err != nil {
				return err
			}
			c, err := s.settings(cmd)
			if err != nil {
				return err
			}
			if c.IsPublic == nil && c.Priority == nil && c.StoreDir == "" && c.UpstreamKeys == nil && c.Retention == nil && c.Keypair == nil {
				return usagef("configure: nothing to change was given (see pcache cache configure --help)")
			}
			if err := client.Configure(cmd.Context(), c); err != nil {
				return err
			}
			now, err := client.Config(cmd.Context())
			if err != nil {
				return fmt.Errorf("the cache is changed, but cannot be shown: %w", err)
			}
			return printCache(cmd, a, now, false)
		},
	}
	s.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&s.private, "private", false, "only holders of a token may read it")
	f.StringVar(&s.retention, "retention", "", "how long a path is kept after it was last asked for: global, forever, 30d, 12h")
	f.BoolVar(&s.regenerate, "regenerate-key", false, "have the server make a new key")
	return cmd
}

func newCacheDestroy() *cobra.Command {
	var confirm string
	cmd := &cobra.Command{
		Use:     "destroy CACHE",
		Short:   "Destroy a cache, with all that is in it",
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
		Use:     "show CACHE",
		Short:   "Show the settings of a cache",
		Example: "  pcache cache show attic+https://attic.example.org/pantheros",
		Args:    exactly(1, "it wants the address of a cache"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, a, err := atticOf(args[0])
			if err != nil {
				return err
			}
			c, err := client.Config(cmd.Context())
			if err != nil {
				return err
			}
			return printCache(cmd, a, c, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, as the server has it")
	return cmd
}

func printCache(cmd *cobra.Command, a address, c attic.CacheConfig, asJSON bool) error {
	w := cmd.OutOrStdout()
	if asJSON {
		return printJSON(w, c)
	}
	fmt.Fprintf(w, "cache        %s\n", a.name)
	fmt.Fprintf(w, "substituter  %s\n", c.SubstituterEndpoint)
	fmt.Fprintf(w, "public key   %s\n", c.PublicKey)
	if c.IsPublic != nil {
		readers := "holders of a token"
		if *c.IsPublic {
			readers = "anybody"
		}
		fmt.Fprintf(w, "readers      %s\n", readers)
	}
	fmt.Fprintf(w, "store        %s\n", c.StoreDir)
	if c.Priority != nil {
		fmt.Fprintf(w, "priority     %d\n", *c.Priority)
	}
	if c.UpstreamKeys != nil {
		fmt.Fprintf(w, "upstreams    %s\n", strings.Join(*c.UpstreamKeys, " "))
	}
	if c.Retention != nil {
		fmt.Fprintf(w, "retention    %s\n", c.Retention.Text())
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
