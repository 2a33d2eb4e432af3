// Package nixstore reads the machine's Nix store, and adds paths to it.
//
// Path infos come from Nix's database, opened read-only, which is several
// times faster than asking Nix and needs no daemon; where the database cannot
// be read, the nix command is asked. NARs are read from the store's files.
// Paths are added by speaking to Nix's daemon, or to a `nix-daemon --stdio`
// started for the purpose, so that Nix itself keeps its store consistent.
package nixstore

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Store is a Nix store on this machine. Its methods may be called
// concurrently. The zero value is not usable; call Open.
type Store struct {
	dir      string // logical store directory: "/nix/store"
	realDir  string // where its files are: differs for a chroot store
	stateDir string // holds db/db.sqlite
	logDir   string // holds drvs, the logs of builds
	remote   string // what NIX_REMOTE must be for nix to use this store; empty: the default
	socket   string // of the daemon, empty: none is wanted
}

// ErrInvalidPath is what a NotValidError is.
var ErrInvalidPath = errors.New("path is not in the store")

// NotValidError says which path a store does not have.
type NotValidError struct {
	Path  nix.StorePath
	Store string
}

func (e *NotValidError) Error() string {
	return fmt.Sprintf("%s is not valid in %s (build it, or name another store with --store)", e.Path, e.Store)
}

// Is makes errors.Is(err, ErrInvalidPath) hold.
func (e *NotValidError) Is(target error) bool { return target == ErrInvalidPath }

// Open opens the store that address names, in the forms that Nix's own --store
// takes for a store on this machine:
//
//	""  or "auto"               NIX_REMOTE if set, else the machine's store
//	"daemon", "unix://SOCKET"   the same, paths added by way of the daemon
//	"local"                     the same, without the daemon
//	"/DIR", "local?root=/DIR"   a chroot store: files below DIR/nix/store, paths as /nix/store
//
// NIX_STORE_DIR and NIX_STATE_DIR are honoured as Nix does. Nothing is created.
func Open(address string) (*Store, error) {
	if address == "" || address == "auto" {
		address = os.Getenv("NIX_REMOTE")
	}
	s := &Store{dir: envOr("NIX_STORE_DIR", nix.DefaultStoreDir), stateDir: envOr("NIX_STATE_DIR", "/nix/var/nix"), logDir: envOr("NIX_LOG_DIR", "/nix/var/log/nix")}
	s.remote = address
	kind, query, _ := strings.Cut(address, "?")
	params, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("store address %q: %v", address, err)
	}
	root := params.Get("root")
	switch {
	case kind == "" || kind == "auto":
		s.remote = ""
		if socket := s.defaultSocket(); canConnect(socket) && !writable(s.stateDir) {
			s.socket = socket
		}
	case kind == "daemon":
		s.socket = s.defaultSocket()
	case strings.HasPrefix(kind, "unix://"):
		s.socket = strings.TrimPrefix(kind, "unix://")
	case kind == "local" || kind == "local://":
	case strings.HasPrefix(kind, "local:///"):
		root = strings.TrimPrefix(kind, "local://")
	case strings.HasPrefix(kind, "/") || strings.HasPrefix(kind, "./") || strings.HasPrefix(kind, "../"):
		root = kind
	default:
		return nil, fmt.Errorf("store %q is not on this machine: give a directory, \"daemon\" or \"local\"", address)
	}
	if root != "" {
		if root, err = filepath.Abs(root); err != nil {
			return nil, fmt.Errorf("store %q: %v", address, err)
		}
		s.remote = root
		s.dir = nix.DefaultStoreDir
		s.realDir = filepath.Join(root, "nix/store")
		s.stateDir = filepath.Join(root, "nix/var/nix")
		s.logDir = filepath.Join(root, "nix/var/log/nix")
	}
	if dir := params.Get("store"); dir != "" {
		s.dir = dir
	}
	if dir := params.Get("state"); dir != "" {
		s.stateDir = dir
	}
	if dir := params.Get("log"); dir != "" {
		s.logDir = dir
	}
	if s.realDir == "" {
		s.realDir = s.dir
	}
	if dir := params.Get("real"); dir != "" {
		s.realDir = dir
	}
	s.dir = strings.TrimRight(s.dir, "/")
	if !strings.HasPrefix(s.dir, "/") {
		return nil, fmt.Errorf("store directory %q is not absolute", s.dir)
	}
	return s, nil
}

// Dir is the logical store directory, the one in store paths.
func (s *Store) Dir() string { return s.dir }

// String names the store for messages.
func (s *Store) String() string {
	if s.realDir != s.dir {
		return "the store below " + strings.TrimSuffix(s.realDir, s.dir)
	}
	return "the store " + s.dir
}

// Resolve makes a store path of what a person names: a store path, a file in
// one, or a symlink to either, such as ./result. A store path need not exist.
func (s *Store) Resolve(name string) (nix.StorePath, error) {
	if p, ok := s.inStore(name); ok {
		return p, nil
	}
	current := name
	for range 40 {
		target, err := os.Readlink(current)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(current), target)
		}
		if p, ok := s.inStore(target); ok {
			return p, nil
		}
		current = target
	}
	if abs, err := filepath.EvalSymlinks(name); err == nil {
		if abs, err = filepath.Abs(abs); err == nil {
			if p, ok := s.inStore(abs); ok {
				return p, nil
			}
		}
	} else if os.IsNotExist(err) && !strings.HasPrefix(name, s.dir) {
		return "", fmt.Errorf("%s does not exist", name)
	}
	if strings.HasPrefix(name, s.dir+"/") {
		_, err := nix.ParseStorePath(s.dir, filepath.Clean(name))
		return "", err
	}
	return "", fmt.Errorf("%s is neither a path of the store %s nor a link to one", name, s.dir)
}

func (s *Store) inStore(name string) (nix.StorePath, bool) {
	rest, ok := strings.CutPrefix(filepath.Clean(name), s.dir+"/")
	if !ok {
		return "", false
	}
	base, _, _ := strings.Cut(rest, "/")
	p, err := nix.BaseStorePath(s.dir, base)
	return p, err == nil
}

// realPath is where a path's files are.
func (s *Store) realPath(p nix.StorePath) string { return s.realDir + "/" + p.Base() }

func (s *Store) defaultSocket() string {
	return envOr("NIX_DAEMON_SOCKET_PATH", s.stateDir+"/daemon-socket/socket")
}

func envOr(key, otherwise string) string {
	if v := os.Getenv(key); v != "" {
		return v
	}
	return otherwise
}
