package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"gitlab.com/pantheros/pantheros/internal/attic/api"
	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob/dir"
	"gitlab.com/pantheros/pantheros/internal/blob/remote"
	"gitlab.com/pantheros/pantheros/internal/intake"
	"gitlab.com/pantheros/pantheros/internal/mirror"
	"gitlab.com/pantheros/pantheros/internal/nix"
	"gitlab.com/pantheros/pantheros/internal/substituter"
	"gitlab.com/pantheros/pantheros/internal/token"
	"gitlab.com/pantheros/pantheros/internal/webserver"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
)

type serveOptions struct {
	listen      []string
	name        string
	local       string
	localSize   byteSize
	storeDir    string
	priority    int
	keys        []string
	negative    time.Duration
	timeout     time.Duration
	certFile    string
	keyFile     string
	tokens      string
	public      bool
	pushes      bool
	signKeys    []string
	maxNAR      byteSize
	connections int
	drain       time.Duration
	accessLog   bool
}

func newServe() *cobra.Command {
	o := serveOptions{localSize: 20 << 30, maxNAR: 64 << 30}
	cmd := &cobra.Command{
		Use:   "serve CACHE...",
		Short: "Serve caches to Nix clients, keeping what was fetched",
		Long: `Answers Nix clients as a substituter, from one cache or from several that are
asked in order. A directory is served as it is. What comes from a bucket or
another server is checked against its signature and hashes, and kept in a local
directory (--local) of bounded size, from which the least recently used goes
first; what a root manifest there names stays ("pcache warm --to" writes one).
Many clients that want the same NAR at once cost one request, and each gets its
bytes as they come.

A path that no cache has is absent; when a cache cannot be asked the answer is
an error, which clients try again, and never an absence, which they remember.

With --accept-pushes the first CACHE, which must be a directory or a bucket,
also takes what "nix copy --to http://…" and Attic's clients send (the server is
an Attic server with one cache, --name). Nothing becomes visible before
it is checked. With --secret-key-file what comes is signed by the server.

Tokens (--tokens FILE, one a line, made by "pcache token") say who may read and
who may push. Clients send them as the password of a login in their netrc, or
as a bearer. Without the option everybody who can connect may read, and, on
this machine alone, push. With it reading too wants a token, unless --public.

Addresses: --listen HOST:PORT or unix:/path, several times; default
127.0.0.1:8501. systemd's sockets (LISTEN_FDS) come instead.

  /nix-cache-info …   the cache; the same below /NAME/
  /healthz /readyz    for supervisors, without a token
  /metrics            for Prometheus

The log is one JSON object a line on standard error. The first SIGTERM or
SIGINT lets requests under way end (--drain), the second does not.

` + exitCodes,
		Example: `  pcache serve file:///srv/cache
  pcache serve --accept-pushes --secret-key-file key file:///srv/cache
  pcache serve --listen :8501 --local /var/cache/pcache --local-size 50GiB \
      's3://bucket?endpoint=minio.example:9000' https://cache.nixos.org
  nix build --substituters http://127.0.0.1:8501 nixpkgs#hello`,
		Args: atLeast(1, "it wants the address of a cache"),
		RunE: func(cmd *cobra.Command, args []string) error { return serve(cmd, args, o) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.listen, "listen", nil, "address to listen on: HOST:PORT or unix:/path (can be repeated; default 127.0.0.1:8501)")
	f.StringVar(&o.name, "name", "main", "the cache's name, for tokens and for /NAME/")
	f.StringVar(&o.local, "local", "", "directory for what was fetched, or none (default $CACHE_DIRECTORY, else pcache/serve in the user's cache directory)")
	f.Var(&o.localSize, "local-size", "how much to keep there")
	f.StringVar(&o.storeDir, "store-dir", nix.DefaultStoreDir, "store directory of the caches")
	f.IntVar(&o.priority, "priority", binarycache.DefaultPriority, "for clients with several substituters: lower is asked first")
	f.StringArrayVar(&o.keys, "public-key", nil, "want paths signed with one of these keys, NAME:BASE64 (can be repeated; default: those that each cache publishes)")
	f.DurationVar(&o.negative, "negative-ttl", 15*time.Second, "how long an absence is remembered")
	f.DurationVar(&o.timeout, "upstream-timeout", 15*time.Second, "how long a cache may take to answer")
	f.StringVar(&o.certFile, "tls-cert", "", "serve HTTPS with this certificate, PEM (read again when it changes)")
	f.StringVar(&o.keyFile, "tls-key", "", "the certificate's key, PEM")
	f.StringVar(&o.tokens, "tokens", "", "file of tokens (read again when it changes)")
	f.BoolVar(&o.public, "public", false, "with --tokens: reading needs none")
	f.BoolVar(&o.pushes, "accept-pushes", false, "take pushes into the first CACHE")
	f.StringArrayVar(&o.signKeys, "secret-key-file", nil, "sign what is pushed with the key in this file (can be repeated)")
	f.Var(&o.maxNAR, "max-nar", "largest NAR to take")
	f.IntVar(&o.connections, "max-connections", 4096, "connections at once; further ones wait")
	f.DurationVar(&o.drain, "drain", 30*time.Second, "how long requests under way may go on after a signal")
	f.BoolVar(&o.accessLog, "access-log", true, "log requests")
	return cmd
}

func serve(cmd *cobra.Command, args []string, o serveOptions) error {
	ctx := cmd.Context()
	if os.Getenv("GOMEMLIMIT") == "" {
		// What the collector leaves lying about counts too: beyond this it
		// works harder. It is no bound of what is needed.
		debug.SetMemoryLimit(160 << 20)
	}
	if os.Getenv("GOGC") == "" {
		// Little is alive while small things are answered, so that the collector
		// would run all the time. Below the limit it may wait.
		debug.SetGCPercent(400)
	}
	logger, flush := newServeLog(cmd.ErrOrStderr())
	defer flush()
	s := &cacheServer{o: o, log: logger, registry: prometheus.NewRegistry()}
	defer s.close()
	if err := s.open(args); err != nil {
		return err
	}
	server, err := webserver.New(webserver.Options{
		Handler: s.site, CertFile: o.certFile, KeyFile: o.keyFile,
		Connections: o.connections, Drain: o.drain, Access: logger.access(o.accessLog, s.requests), Quick: s.site.Quick,
		Configure: func(h *http.Server) { h.ErrorLog = logger.std() },
	})
	if err != nil {
		return usageError{err}
	}
	listeners, err := s.listeners()
	if err != nil {
		return err
	}
	for _, l := range listeners {
		logger.Info("listening", "address", l.Addr().String(), "tls", o.certFile != "", "caches", s.names, "local", s.localDir, "pushes", o.pushes)
	}
	flush()
	go s.watch(ctx)
	if s.answers != nil {
		go s.answers.Watch(ctx)
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	ending := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(ending)
		_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
		logger.Info("ending", "drain", o.drain.String())
	})
	if err := server.Serve(ctx, listeners); err != nil {
		return err
	}
	<-ending
	return nil
}

// cacheServer is what serves.
type cacheServer struct {
	o        serveOptions
	log      *serveLog
	registry *prometheus.Registry
	requests *requestMetrics
	names    []string
	localDir string
	mirror   *mirror.Mirror
	cache    *substituter.Cache
	tokens   *token.Set
	site     *webserver.Site
	answers  *api.API // nil: no pushes are taken
}

func (s *cacheServer) close() {
	if s.cache != nil {
		s.cache.Close()
	}
	if s.mirror != nil {
		_ = s.mirror.Close()
	}
}

func (s *cacheServer) open(args []string) error {
	o := s.o
	if err := webserver.CheckName(o.name); err != nil {
		return usagef("--name: %v", err)
	}
	keys, err := publicKeys(o.keys)
	if err != nil {
		return err
	}
	var upstreams []substituter.Upstream
	var first address
	remote := false
	for i, arg := range args {
		addr, err := openAddress(arg)
		if err != nil {
			return err
		}
		if addr.reader == nil {
			return usagef("cache %s is none that could be served: name the address that Nix reads it at", addr.name)
		}
		u := substituter.Upstream{Name: addr.name, Reader: addr.reader, Store: addr.store, Keys: keys}
		if keys == nil {
			u.Keys = addr.config.PublicKeys
		}
		if addr.attic != nil {
			u.PublicKeys = addr.attic.PublicKeys
		}
		if d, ok := addr.store.(*dir.Store); ok {
			u.Dir = d.String()
		} else {
			remote = true
		}
		if i == 0 {
			first = addr
		}
		upstreams = append(upstreams, u)
		s.names = append(s.names, addr.name)
	}
	if remote {
		if err := s.openMirror(upstreams); err != nil {
			return err
		}
	}
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.requests = newRequestMetrics(s.registry)
	s.cache, err = substituter.New(substituter.Options{
		StoreDir: o.storeDir, Priority: o.priority, Upstreams: upstreams, Mirror: s.mirror,
		NegativeTTL: o.negative, Timeout: o.timeout, Event: s.log.event, Registry: s.registry,
	})
	if err != nil {
		return err
	}
	s.site = &webserver.Site{Name: o.name, Read: s.cache, Remembered: s.cache.Remembered, Ready: s.cache.Ready, Metrics: promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{})}
	if s.site.Gate, err = s.gate(); err != nil {
		return err
	}
	return s.openIntake(first, upstreams[0].Keys)
}

func (s *cacheServer) openMirror(upstreams []substituter.Upstream) error {
	root := s.o.local
	if root == "none" {
		return nil
	}
	if root == "" {
		// Several directories are joined by colons; the first is ours.
		root, _, _ = strings.Cut(os.Getenv("CACHE_DIRECTORY"), ":")
	}
	if root == "" {
		home, err := os.UserCacheDir()
		if err != nil {
			return usagef("there is no cache directory for this user (%v): name one with --local", err)
		}
		root = filepath.Join(home, "pcache", "serve")
	}
	for _, u := range upstreams {
		if u.Dir != "" && u.Dir == absolute(root) {
			return usagef("--local %s is one of the caches that are served: what is fetched would mix with it", root)
		}
	}
	m, err := mirror.Open(root, mirror.Options{StoreDir: s.o.storeDir, Max: int64(s.o.localSize)})
	if err != nil {
		if errors.Is(err, mirror.ErrInUse) || errors.Is(err, mirror.ErrNotMirror) {
			return &binarycache.RefusedError{Cache: root, Reason: err.Error() + "; name another --local"}
		}
		return err
	}
	s.mirror, s.localDir = m, m.Root()
	return nil
}

// gate says who may what.
func (s *cacheServer) gate() (*token.Gate, error) {
	g := &token.Gate{Anonymous: token.Subject{Name: "-"}}
	if s.o.tokens != "" {
		set, err := token.OpenSet(s.o.tokens)
		if err != nil {
			return nil, usageError{err}
		}
		s.tokens = set
		g.Verifiers = append(g.Verifiers, set)
		if s.o.public {
			g.Anonymous.Grants = []token.Grant{{Cache: "*", Rights: token.Pull}}
		}
		return g, nil
	}
	if s.o.public {
		return nil, usagef("--public says that reading needs no token, but there are no --tokens")
	}
	g.Anonymous.Grants = []token.Grant{{Cache: "*", Rights: token.Pull}}
	if s.o.pushes {
		for _, l := range s.o.listen {
			if !loopback(l) {
				return nil, usagef("--accept-pushes on %s without --tokens: everybody could push; make a file of tokens with pcache token", l)
			}
		}
		g.Anonymous.Grants[0].Rights |= token.Push
	}
	return g, nil
}

func (s *cacheServer) openIntake(first address, trusted []nix.PublicKey) error {
	if !s.o.pushes {
		if len(s.o.signKeys) > 0 {
			return usagef("--secret-key-file is for what is pushed: it wants --accept-pushes")
		}
		return nil
	}
	if first.store == nil {
		return usagef("--accept-pushes: cache %s can only be read; name a directory or a bucket first", first.name)
	}
	sign, err := secretKeys(s.o.signKeys, first.config.SecretKeyFiles)
	if err != nil {
		return err
	}
	in, err := intake.New(intake.Options{
		Name: first.name, Store: first.store, StoreDir: s.o.storeDir, Priority: s.o.priority,
		Sign: sign, Trusted: trusted, Visible: s.cache.Visible, Changed: s.cache.Changed, MaxNAR: int64(s.o.maxNAR),
		Arrived: func(ctx context.Context, p nix.StorePath) { s.answers.Arrived(ctx, p) },
	})
	if err != nil {
		return err
	}
	s.site.Push = in
	s.answers = api.New(api.Options{
		Cache: s.o.name, StoreDir: s.o.storeDir, Priority: s.o.priority, Public: s.o.tokens == "" || s.o.public,
		Key: func() string { return publicKeyOf(first, sign) }, Upstream: func() []string { return nil },
		Intake: in, Visible: s.cache.Visible, Subject: webserver.Subject,
	})
	s.site.Mount("/_api/", s.answers)
	s.site.Mount("/"+s.o.name+"/attic-cache-info", s.answers)
	return nil
}

// publicKeyOf is the key that clients of a cache trust; empty: it has none.
func publicKeyOf(a address, sign []nix.SecretKey) string {
	if len(sign) > 0 {
		return sign[0].Public().String()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if p, err := a.published(ctx); err == nil && len(p.Keys) > 0 {
		return p.Keys[0].String()
	}
	return ""
}

// watch looks after what changes while the server runs.
func (s *cacheServer) watch(ctx context.Context) {
	for name, err := range s.cache.Probe(ctx) {
		if ctx.Err() == nil {
			s.log.Warn("a cache does not answer, or is none for this server; it is asked again", "upstream", name, "error", err.Error())
		}
	}
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.tokens != nil {
			if err := s.tokens.Err(); err != nil {
				s.log.Error("the tokens of the last good state hold", "error", err.Error())
			}
		}
		if s.mirror != nil && n%5 == 0 {
			if err := s.mirror.Scan(); err != nil {
				s.log.Error("look at the local directory", "error", err.Error())
			}
		}
	}
}

const defaultListen = "127.0.0.1:8501"

// listeners are systemd's, or those of --listen.
func (s *cacheServer) listeners() ([]net.Listener, error) {
	inherited, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("take over systemd's sockets: %v", err)
	}
	var all []net.Listener
	for _, l := range inherited {
		if l != nil {
			all = append(all, l)
		}
	}
	if len(all) > 0 {
		if len(s.o.listen) > 0 {
			return nil, usagef("--listen contradicts the sockets that systemd hands over")
		}
		if s.o.pushes && s.o.tokens == "" {
			for _, l := range all {
				if !loopback(l.Addr().String()) && l.Addr().Network() != "unix" {
					return nil, usagef("--accept-pushes on %s without --tokens: everybody could push", l.Addr())
				}
			}
		}
		return all, nil
	}
	addresses := s.o.listen
	if len(addresses) == 0 {
		addresses = []string{defaultListen}
	}
	for _, a := range addresses {
		network, where := "tcp", a
		if path, ok := strings.CutPrefix(a, "unix:"); ok {
			network, where = "unix", path
			// What a killed server left; one that lives still answers.
			if c, err := net.Dial("unix", path); err == nil {
				_ = c.Close()
				return nil, fmt.Errorf("listen on %s: another server does", a)
			}
			if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
				os.Remove(path)
			}
		}
		l, err := net.Listen(network, where)
		if err != nil {
			for _, open := range all {
				_ = open.Close()
			}
			return nil, fmt.Errorf("listen on %s: %v", a, err)
		}
		all = append(all, l)
	}
	return all, nil
}

// loopback says that only this machine can connect to an address to listen at:
// of the forms of remote.Loopback, or a socket's in the file system. An address
// without a host is every interface's.
func loopback(address string) bool {
	return strings.HasPrefix(address, "unix:") || remote.Loopback(address)
}
