package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Environment says where and how Nix is to run.
type Environment struct {
	Nix Nix
	// Store is "auto", "system" or the root folder of a chroot store. "auto"
	// is the system's store when Nix is the system's and the inputs are real,
	// else the folder "store" in State.
	Store string
	// State is the folder that holds what panther keeps between runs.
	State string
	// Offline is true when nothing is to be fetched.
	Offline bool
	// Builders are machines that build for this one, in the form of Nix's setting
	// of that name, see CheckBuilders; empty: with the system's store what its
	// settings say, else none.
	Builders string
	// Programs is a folder to look for pcache in, besides the caller's PATH.
	Programs string
	// Getenv looks up the caller's environment.
	Getenv func(string) (string, bool)
}

// System reports whether the system's own store and settings are used.
func (e Environment) System() bool {
	switch e.Store {
	case "system":
		return true
	case "auto", "":
		return !e.Offline && !e.Nix.Private
	}
	return false
}

// storeRoot is the chroot store's root folder; empty for the system's store.
func (e Environment) storeRoot() string {
	switch {
	case e.System():
		return ""
	case e.Store == "auto", e.Store == "":
		return filepath.Join(e.State, "store")
	}
	return e.Store
}

// passed are the variables of the caller that every child gets.
var passed = []string{"TMPDIR", "TZ"}

// passedOnline say how to reach the network: for runs that fetch. A proxy's
// address may hold a password.
var passedOnline = []string{
	"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy",
	"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY",
	"NIX_SSL_CERT_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR",
}

// passedSystem belong to the system's and the user's own settings of Nix.
var passedSystem = []string{
	"HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS",
	"XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK",
	"NIX_REMOTE", "NIX_CONF_DIR", "NIX_USER_CONF_FILES", "NIX_STATE_DIR", "NIX_STORE_DIR", "NIX_LOG_DIR",
}

// passedToCache say who the caller is to a cache, and how to reach it: for
// pcache alone. HOME and XDG_CONFIG_HOME lead to the caller's configurations
// of pcache, Attic and Amazon.
var passedToCache = []string{
	"HOME", "XDG_CONFIG_HOME", "NETRC",
	"PCACHE_CONFIG", "PCACHE_TOKEN",
	"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
	"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE",
	"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME",
	"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
	"AWS_EC2_METADATA_DISABLED",
}

// Shell prepares the folders that the environment needs and returns a Shell
// whose commands run in it.
func (e Environment) Shell() (*Shell, error) {
	getenv := e.Getenv
	if getenv == nil {
		getenv = os.LookupEnv
	}
	callerPath, _ := getenv("PATH")
	path := append([]string{e.Nix.Dir}, filepath.SplitList(callerPath)...)
	if e.Programs != "" {
		path = slices.Insert(path, 1, e.Programs)
	}
	path = slices.DeleteFunc(path, func(dir string) bool { return !filepath.IsAbs(dir) })

	env := []string{
		"PATH=" + strings.Join(path, string(filepath.ListSeparator)),
		"LC_ALL=C.UTF-8",
		"TERM=dumb",
		"GIT_TERMINAL_PROMPT=0",
	}
	names := slices.Clone(passed)
	if e.Builders != "" && !e.System() {
		names = append(names, "SSH_AUTH_SOCK")
	}
	if !e.Offline {
		names = append(names, passedOnline...)
	}
	if e.System() {
		names = append(names, passedSystem...)
	}
	for _, name := range names {
		if value, ok := getenv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	settings := []string{
		"extra-experimental-features = nix-command flakes",
		"accept-flake-config = false",
		"warn-dirty = false",
	}
	if e.System() {
		if own, ok := getenv("NIX_CONFIG"); ok { // the user's own settings, ours last
			settings = slices.Insert(settings, 0, strings.Split(own, "\n")...)
		}
	} else {
		private, own, err := e.privateStore(callerPath)
		if err != nil {
			return nil, err
		}
		settings = append(settings, private...)
		env = append(env, own...)
	}
	if e.Offline {
		settings = append(settings, "substituters =")
	}
	if e.Builders != "" {
		own, _ := getenv("NIX_SSHOPTS")
		env = append(env, "NIX_SSHOPTS="+strings.TrimSpace(own+" "+sshOptions))
		settings = append(settings, "builders = "+e.Builders)
		if !e.Offline {
			settings = append(settings, "builders-use-substitutes = true")
		}
	}
	env = append(env, "NIX_CONFIG="+strings.Join(settings, "\n"))
	if !e.System() {
		if err := e.beginStore(env); err != nil {
			return nil, err
		}
	}
	return &Shell{Env: env, EnvOf: cacheEnvironment(getenv), Path: path}, nil
}

// cacheEnvironment is what pcache gets besides: a run that fetches nothing may
// push all the same.
func cacheEnvironment(getenv func(string) (string, bool)) map[string][]string {
	var cache []string
	for _, name := range append(slices.Clone(passedToCache), passedOnline...) {
		if value, ok := getenv(name); ok {
			cache = append(cache, name+"="+value)
		}
	}
	return map[string][]string{"pcache": cache}
}

// CacheShell is a Shell for pcache alone, which needs no Nix. programs is a
// folder to look for it in, before the caller's PATH.
func CacheShell(programs string, getenv func(string) (string, bool)) *Shell {
	callerPath, _ := getenv("PATH")
	path := append([]string{programs}, filepath.SplitList(callerPath)...)
	path = slices.DeleteFunc(path, func(dir string) bool { return !filepath.IsAbs(dir) })
	env := []string{"PATH=" + strings.Join(path, string(filepath.ListSeparator)), "LC_ALL=C.UTF-8", "TERM=dumb"}
	for _, name := range passed {
		if value, ok := getenv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return &Shell{Env: env, EnvOf: cacheEnvironment(getenv), Path: path}
}

// privateStore makes a chroot store's folders and returns the settings and
// variables that make Nix use it, and nothing of the user's or the system's.
func (e Environment) privateStore(path string) (settings, env []string, err error) {
	root, err := filepath.Abs(e.storeRoot())
	if err != nil {
		return nil, nil, fmt.Errorf("finding %s: %v", e.storeRoot(), err)
	}
	busybox, err := findBusybox(e.Nix, path)
	if err != nil {
		return nil, nil, err
	}
	// Nix splits its settings at blanks and reads ? and % in a store's address.
	for _, p := range []string{root, busybox} {
		if strings.ContainsAny(p, " \t\n?%&#=") {
			return nil, nil, fmt.Errorf("Nix cannot use a path with blanks or any of ?%%&#= in it: %q; "+
				"choose another place with --state DIR and --store DIR", p)
		}
	}
	home := filepath.Join(e.State, "home")
	for _, dir := range []string{root, filepath.Join(home, "etc")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, nil, fmt.Errorf("making the folder %s: %w", dir, err)
		}
	}
	if err := canUnshare(busybox); err != nil {
		return nil, nil, err
	}
	settings = []string{
		"sandbox = true",
		"sandbox-fallback = false",
		"sandbox-paths = /bin/sh=" + busybox,
		"max-jobs = auto",
		// How often to look, in seconds, whether a derivation that another host's
		// build was at is there: hosts share most of theirs.
		"build-poll-interval = 1",
		"flake-registry =",
	}
	if e.Builders == "" {
		settings = append(settings, "build-hook =", "builders =")
	} else {
		// Nix's default is the program that it takes itself for, which a Nix started
		// through a loader gets wrong.
		settings = append(settings, "build-hook = "+filepath.Join(e.Nix.Dir, "nix")+" __build-remote")
	}
	if os.Geteuid() == 0 && !groupExists("nixbld") {
		settings = append(settings, "build-users-group =")
	}
	env = []string{
		"HOME=" + home,
		"XDG_CACHE_HOME=" + filepath.Join(home, "cache"),
		"XDG_CONFIG_HOME=" + filepath.Join(home, "config"),
		"XDG_CONFIG_DIRS=" + filepath.Join(home, "etc"),
		"XDG_DATA_HOME=" + filepath.Join(home, "data"),
		"XDG_STATE_HOME=" + filepath.Join(home, "state"),
		"NIX_CONF_DIR=" + filepath.Join(home, "etc"),
		"NIX_USER_CONF_FILES=" + filepath.Join(home, "etc", "nix.conf"),
		"NIX_REMOTE=" + root,
	}
	return settings, env, nil
}

// beginStore has Nix make the folders and the database of a new chroot store,
// alone: of several Nix that begin at once in a store that is not there, all but
// one may fail ("creating symlink: File exists", "SQLite database is busy").
func (e Environment) beginStore(env []string) error {
	root := e.storeRoot()
	begun := func() bool {
		_, err := os.Stat(filepath.Join(root, "nix/var/nix/db/schema"))
		return err == nil
	}
	if begun() {
		return nil
	}
	lock, err := os.OpenFile(filepath.Join(root, ".begin"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("making a new store for Nix: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("making a new store for Nix: locking %s: %w", lock.Name(), err)
	}
	if begun() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(e.Nix.Dir, "nix-instantiate"), "--eval", "--expr", "1")
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("making a new store for Nix in %s: %v: %s", root, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// groupExists reads /etc/group alone, as Nix's own look-up does on a machine
// without a directory service. A group that is missing there is one that Nix
// would fail on.
func groupExists(name string) bool {
	data, err := os.ReadFile("/etc/group")
	if err != nil {
		return false
	}
	return slices.ContainsFunc(strings.Split(string(data), "\n"), func(line string) bool {
		return strings.HasPrefix(line, name+":")
	})
}

// ErrNoSandbox is returned by Environment.Shell when the kernel refuses the
// namespaces that builds in a chroot store need.
var ErrNoSandbox = errors.New("this machine does not let Nix make the namespaces that its build sandbox needs " +
	"(a container without privileges, or user namespaces turned off); " +
	"run as root on the machine itself, give the container the rights, or use an installed Nix with --store system")
