package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/nixconf"

	"github.com/spf13/cobra"
)

type useOptions struct {
	write, undo, system bool
	keys                []string
	tokenFile           string
	client              ownSettings
	json                bool
}

func newUse() *cobra.Command {
	var o useOptions
	cmd := &cobra.Command{
		Use:   "use CACHE",
		Short: "Have this user's, or this machine's, Nix read from a cache",
		Long: `Shows the settings with which Nix reads from a cache: the substituter, the keys
that it trusts, and the login. With --write they are set, with --undo taken
back; both can be repeated, and nothing else in the files changes.

The settings go to a file of their own beside nix.conf, pcache-….conf, and one
line of nix.conf includes it. That is ~/.config/nix/nix.conf, or with --system
/etc/nix/nix.conf ($NIX_CONF_DIR). A user's settings hold only where Nix's
daemon trusts the user, or there is no daemon. Where NixOS or Home Manager make
the files nothing is written: what is shown says what to configure instead.

The keys are those of --public-key, of the configuration, or those that the
cache publishes: look at them before you write them. With --token-file the token
in that file is put into the netrc file beside nix.conf, mode 0600, or into the
one that nix.conf names.

A cache says of itself which priority it has, and whether to ask it for many
paths at once; --priority and --mass-query have this Nix see it otherwise.

` + exitCodes,
		Example: `  pcache use https://cache.example.org
  pcache use https://cache.example.org --write --token-file ci.token
  sudo pcache use https://cache.example.org --write --system
  pcache use https://cache.example.org --undo`,
		Args: atLeast(1, "it wants the address of a cache"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("use: one cache, not %d", len(args))
			}
			return use(cmd, args[0], o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.write, "write", false, "set it")
	f.BoolVar(&o.undo, "undo", false, "take back what --write set")
	f.BoolVar(&o.system, "system", false, "for the whole machine")
	f.StringArrayVar(&o.keys, "public-key", nil, "trust this key, NAME:BASE64 (can be repeated)")
	o.client.flags(cmd, " (default: as the cache says)")
	f.Lookup("mass-query").Usage = "whether to ask it for many paths at once (default: as the cache says)"
	f.StringVar(&o.tokenFile, "token-file", "", "file with the token for the cache")
	f.BoolVar(&o.json, "json", false, "print the result as JSON on standard output")
	return cmd
}

// useLogin is the login's name: servers look at the password alone.
const useLogin = "pcache"

// useReport is what `pcache use --json` prints.
type useReport struct {
	Schema      string   `json:"schema"`
	Status      string   `json:"status"` // set, not-set, differs, undone
	Substituter string   `json:"substituter"`
	PublicKeys  []string `json:"public_keys,omitempty"`
	Conf        string   `json:"nix_conf"`
	Settings    string   `json:"settings_file"`
	Netrc       string   `json:"netrc_file,omitempty"`
	Changed     []string `json:"changed"` // files
}

// useRun is what has to be set.
type useRun struct {
	useOptions
	addr    address
	conf    string // nix.conf
	file    string // of the settings
	netrc   string
	oldConf string
	login   nixconf.Login
	keys    []nix.PublicKey
	report  useReport
}

func use(cmd *cobra.Command, text string, o useOptions) (err error) {
	if o.write && o.undo {
		return usagef("--write contradicts --undo")
	}
	u := &useRun{useOptions: o}
	client, err := o.client.settings(cmd)
	if err != nil {
		return err
	}
	if u.addr, err = openAddress(text); err != nil {
		return err
	}
	if err := u.places(cmd.Context()); err != nil {
		return err
	}
	u.report.Substituter = clientAddress(u.report.Substituter, client)
	if o.undo {
		err = u.takeBack()
	} else {
		err = u.set(cmd.Context())
	}
	if err != nil {
		return err
	}
	if o.json {
		return printJSON(cmd.OutOrStdout(), u.report)
	}
	return u.print(cmd.OutOrStdout())
}

// places finds the files.
func (u *useRun) places(ctx context.Context) (err error) {
	substituter := u.addr.name
	if u.addr.attic != nil {
		// Where Nix reads the cache is for the server to say, except when what
		// was set is taken back: that must work without it.
		if substituter, err = u.addr.attic.Substituter(ctx); err != nil && !u.undo {
			return err
		}
	}
	if scheme, _, _ := strings.Cut(substituter, "://"); scheme != "http" && scheme != "https" && scheme != "file" && scheme != "s3" {
		return usagef("cache %s is none that Nix can read: name the address that it is served at", substituter)
	}
	dir := os.Getenv("NIX_CONF_DIR")
	switch {
	case u.system && dir == "":
		dir = "/etc/nix"
	case !u.system:
		if dir, err = os.UserConfigDir(); err != nil {
			return usagef("this user has no configuration directory (%v): say --system", err)
		}
		dir = filepath.Join(dir, "nix")
	}
	u.conf = filepath.Join(dir, "nix.conf")
	u.file = filepath.Join(dir, settingsName(u.addr.name))
	u.netrc = filepath.Join(dir, "netrc")
	if u.oldConf, err = nixconf.Read(u.conf); err != nil {
		return fmt.Errorf("read nix.conf: %w", err)
	}
	if file, ok := nixconf.Setting(u.oldConf, "netrc-file"); ok && filepath.IsAbs(file) {
		u.netrc = file
	}
	u.report = useReport{Schema: "pantheros.use/1", Status: "not-set", Substituter: substituter, Conf: u.conf, Settings: u.file, Changed: []string{}}
	u.login = nixconf.Login{Login: useLogin}
	if at, err := url.Parse(substituter); err == nil {
		u.login.Machine = at.Hostname()
	}
	return nil
}

// clientAddress is a cache's address with what Nix is to think of it, in the
// parameters that Nix has for that.
func clientAddress(name string, s binarycache.Settings) string {
	separator := "?"
	if strings.Contains(name, "?") {
		separator = "&"
	}
	if s.Priority != nil {
		name += separator + "priority=" + strconv.Itoa(*s.Priority)
		separator = "&"
	}
	if s.WantMassQuery != nil {
		name += separator + "want-mass-query=" + strconv.FormatBool(*s.WantMassQuery)
	}
	return name
}

// settingsName is the settings' file: one for each cache.
func settingsName(substituter string) string {
	_, place, _ := strings.Cut(substituter, "://")
	place, _, _ = strings.Cut(place, "?")
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, strings.Trim(place, "/"))
	sum := sha256.Sum256([]byte(substituter))
	return "pcache-" + clean[:min(len(clean), 60)] + "-" + hex.EncodeToString(sum[:3]) + ".conf"
}

func (u *useRun) set(ctx context.Context) error {
	if err := u.findKeys(ctx); err != nil {
		return err
	}
	want := u.settings()
	have, err := nixconf.Read(u.file)
	if err != nil {
		return fmt.Errorf("read the settings of this cache: %w", err)
	}
	netrc, newNetrc, err := u.newNetrc()
	if err != nil {
		return err
	}
	included := nixconf.Includes(u.oldConf, filepath.Base(u.file))
	switch {
	case included && have == want && netrc == newNetrc:
		u.report.Status = "set"
	case included || have != "":
		u.report.Status = "differs"
	}
	if !u.write {
		return nil
	}
	if err := u.managed(); err != nil {
		return err
	}
	// The line comes last: what it includes is then complete.
	for _, f := range []struct {
		name, old, text string
		mode            os.FileMode
		narrow          bool
	}{
		{u.netrc, netrc, newNetrc, 0o600, true},
		{u.file, have, want, 0o644, false},
		{u.conf, u.oldConf, nixconf.Include(u.oldConf, filepath.Base(u.file)), 0o644, false},
	} {
		if f.old == f.text {
			continue
		}
		if err := nixconf.Write(f.name, f.text, f.mode, f.narrow); err != nil {
			return u.denied(err)
		}
		u.report.Changed = append(u.report.Changed, f.name)
	}
	u.report.Status = "set"
	return nil
}

func (u *useRun) denied(err error) error {
	if errors.Is(err, os.ErrPermission) && u.system {
		return fmt.Errorf("%w (--system wants root)", err)
	}
	return err
}

// managed refuses a nix.conf that others make.
func (u *useRun) managed() error {
	target, err := filepath.EvalSymlinks(u.conf)
	if err == nil && strings.HasPrefix(target, nix.DefaultStoreDir+"/") {
		return &binarycache.RefusedError{Cache: u.addr.name, Reason: u.conf + " is made by NixOS or Home Manager: set nix.settings.extra-substituters and extra-trusted-public-keys there (pcache use without --write shows the values)"}
	}
	return nil
}

// newNetrc is the netrc file as it is and as it is to be.
func (u *useRun) newNetrc() (was, want string, err error) {
	if was, err = nixconf.Read(u.netrc); err != nil {
		return "", "", fmt.Errorf("read the netrc file: %w", err)
	}
	if u.tokenFile == "" {
		return was, was, nil
	}
	if !strings.HasPrefix(u.report.Substituter, "http") {
		return "", "", usagef("--token-file is for a cache behind a web server")
	}
	f, err := os.Open(u.tokenFile)
	if err != nil {
		return "", "", usagef("--token-file: %v", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return "", "", usagef("--token-file: %v", err)
	}
	u.login.Password = strings.TrimSpace(string(data))
	if err := nixconf.CheckLogin(u.login); err != nil {
		return "", "", usagef("the token in %s: %v", u.tokenFile, err)
	}
	u.report.Netrc = u.netrc
	if want, err = nixconf.AddLogin(was, u.login); err != nil {
		return "", "", &binarycache.RefusedError{Cache: u.addr.name, Reason: fmt.Sprintf("%s: %v", u.netrc, err)}
	}
	return was, want, nil
}

func (u *useRun) findKeys(ctx context.Context) (err error) {
	if u.keys, err = publicKeys(u.useOptions.keys); err != nil {
		return err
	}
	if len(u.keys) == 0 {
		u.keys = u.addr.config.PublicKeys
	}
	if len(u.keys) == 0 {
		if u.addr.reader == nil {
			return usagef("cache %s does not publish its keys: give --public-key", u.addr.name)
		}
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		p, err := u.addr.published(ctx)
		switch {
		case err != nil:
			return err
		case !p.IsCache:
			return &binarycache.RefusedError{Cache: u.addr.name, Reason: "it has no nix-cache-info, so it is no binary cache"}
		case len(p.Keys) == 0:
			return &binarycache.RefusedError{Cache: u.addr.name, Reason: "it does not say which keys its paths are signed with: give --public-key"}
		}
		u.keys = p.Keys
	}
	for _, k := range u.keys {
		u.report.PublicKeys = append(u.report.PublicKeys, k.String())
	}
	return nil
}

// settings is the file of settings.
func (u *useRun) settings() string {
	var b strings.Builder
	b.WriteString("# Made by pcache use; pcache use " + u.addr.name + " --undo takes it back.\n")
	b.WriteString("extra-substituters = " + u.report.Substituter + "\n")
	b.WriteString("extra-trusted-public-keys = " + strings.Join(u.report.PublicKeys, " ") + "\n")
	if _, ok := nixconf.Setting(u.oldConf, "netrc-file"); u.tokenFile != "" && !ok && !u.system {
		b.WriteString("netrc-file = " + u.netrc + "\n")
	}
	return b.String()
}

// takeBack undoes what set did, in the other order.
func (u *useRun) takeBack() error {
	netrc, err := nixconf.Read(u.netrc)
	if err != nil {
		return fmt.Errorf("read the netrc file: %w", err)
	}
	have, err := nixconf.Read(u.file)
	if err != nil {
		return fmt.Errorf("read the settings of this cache: %w", err)
	}
	for _, f := range []struct {
		name, old, text string
		mode            os.FileMode
		narrow          bool
	}{
		{u.conf, u.oldConf, nixconf.Exclude(u.oldConf, filepath.Base(u.file)), 0o644, false},
		{u.file, have, "", 0o644, false},
		{u.netrc, netrc, nixconf.RemoveLogin(netrc, u.login.Machine, useLogin), 0o600, true},
	} {
		if f.old == f.text {
			continue
		}
		if err := nixconf.Write(f.name, f.text, f.mode, f.narrow); err != nil {
			return u.denied(err)
		}
		u.report.Changed = append(u.report.Changed, f.name)
	}
	u.report.Status = "undone"
	return nil
}

func (u *useRun) print(w io.Writer) error {
	var err error
	switch {
	case u.undo && len(u.report.Changed) == 0:
		_, err = fmt.Fprintf(w, "nothing to undo: %s does not have %s\n", u.conf, u.addr.name)
	case u.undo:
		_, err = fmt.Fprintf(w, "Nix does not read from %s any more (changed: %s)\n", u.addr.name, strings.Join(u.report.Changed, ", "))
	case u.write && len(u.report.Changed) == 0:
		_, err = fmt.Fprintf(w, "set already: Nix reads from %s\n", u.addr.name)
	case u.write:
		_, err = fmt.Fprintf(w, "Nix reads from %s (changed: %s)\n", u.addr.name, strings.Join(u.report.Changed, ", "))
	default:
		state := map[string]string{"set": "is set", "not-set": "is not set", "differs": "is set in another way"}[u.report.Status]
		_, err = fmt.Fprintf(w, "%s\n# This %s in %s. On NixOS: nix.settings.extra-substituters, nix.settings.extra-trusted-public-keys.\n", strings.TrimRight(u.settings(), "\n"), state, u.conf)
	}
	return err
}
