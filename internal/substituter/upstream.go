package substituter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Upstream is a cache that is asked.
type Upstream struct {
	Name   string // for messages and metrics, without credentials
	Reader blob.Reader
	Store  blob.Store // the same, to list its roots; nil if it cannot be listed
	// Dir is the cache's directory if it is on this machine: its files are
	// served from there, and nothing of it is kept elsewhere.
	Dir string
	// Keys that its paths must be signed with. nil: those that it publishes,
	// or that everybody knows; if there are none signatures are the clients'
	// affair.
	Keys []nix.PublicKey
	// PublicKeys, if not nil, is asked for the keys of a cache that lists none
	// among its objects.
	PublicKeys func(context.Context) ([]nix.PublicKey, error)
}

// wellKnown are keys of caches that do not publish theirs, by host.
var wellKnown = map[string]string{
	"cache.nixos.org": "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=",
}

// WellKnownKey is the key of a cache that publishes none but is known to all.
func WellKnownKey(address string) (nix.PublicKey, bool) {
	u, err := url.Parse(address)
	if err != nil {
		return nix.PublicKey{}, false
	}
	text, ok := wellKnown[u.Hostname()]
	if !ok {
		return nix.PublicKey{}, false
	}
	key, err := nix.ParsePublicKey(text)
	return key, err == nil
}

// UpstreamError says that an upstream could not tell or give what it has.
type UpstreamError struct {
	Upstream string
	Err      error
	// Retry is when it is worth asking again; 0: at once.
	Retry time.Duration
}

func (e *UpstreamError) Error() string { return fmt.Sprintf("upstream %s: %v", e.Upstream, e.Err) }

// Unwrap gives the cause.
func (e *UpstreamError) Unwrap() error { return e.Err }

// ErrUnavailable is wrapped when an upstream failed so often that it is not
// asked for a while.
var ErrUnavailable = errors.New("it does not answer, and is not asked for now")

// errTimeout is the cause when an upstream took too long.
var errTimeout = errors.New("it took too long to answer")

// upstream is an Upstream and how it does.
type upstream struct {
	Upstream
	index   int
	timeout time.Duration
	breaker breaker
	store   string // wanted store directory

	mu     sync.Mutex
	asked  time.Time // when it said what it is
	keys   []nix.PublicKey
	wrong  error // it is no cache for this server
	failed time.Time
}

// identity is how long what a cache says of itself is believed; newcomer, how
// long that it is none yet or lists no keys, which the first push changes.
const (
	identity = time.Hour
	newcomer = 15 * time.Second
)

// identify asks the cache what it is, now and then. The error is a lasting one
// if the cache is of another store.
func (u *upstream) identify(ctx context.Context) ([]nix.PublicKey, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	believed := identity
	if u.keys == nil {
		believed = newcomer
	}
	if time.Since(u.asked) < believed {
		return u.keys, u.wrong
	}
	known := !u.asked.IsZero()
	if known && time.Since(u.failed) < time.Minute {
		return u.keys, u.wrong
	}
	p, err := binarycache.ReadPublished(ctx, u.Reader, u.Name)
	if err == nil && p.Keys == nil && u.PublicKeys != nil && u.Keys == nil {
		p.Keys, err = u.PublicKeys(ctx)
	}
	var refused *binarycache.RefusedError
	switch {
	case errors.As(err, &refused):
		u.wrong = errors.New(refused.Reason)
	case err != nil && known:
		u.failed = time.Now()
		return u.keys, u.wrong // what it said before holds
	case err != nil:
		return nil, err
	case p.IsCache && p.Info.StoreDir != u.store:
		u.wrong = fmt.Errorf("it holds paths of the store %s, and this server is for %s", p.Info.StoreDir, u.store)
	default:
		u.wrong = nil
	}
	u.asked = time.Now()
	switch key, ok := WellKnownKey(u.Name); {
	case u.Keys != nil:
		u.keys = u.Keys
	case p.Keys != nil:
		u.keys = p.Keys
	case ok:
		u.keys = []nix.PublicKey{key}
	default:
		u.keys = nil
	}
	return u.keys, u.wrong
}

// renew makes a cache that listed no keys be asked again: a path has come to it,
// and its keys with the first one.
func (u *upstream) renew() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.keys == nil {
		u.asked = time.Time{}
	}
}

// call runs f, which asks the upstream something, with a limit of time, and
// notes how the upstream did.
func (u *upstream) call(ctx context.Context, f func(ctx context.Context) error) error {
	timeout, wait := u.breaker.allow(time.Now(), u.timeout)
	if timeout == 0 {
		return &UpstreamError{Upstream: u.Name, Err: ErrUnavailable, Retry: wait}
	}
	limited, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	return u.judge(ctx, limited, f(limited))
}

// judge tells the breaker about an answer, and says which upstream it is of.
func (u *upstream) judge(ctx, limited context.Context, err error) error {
	switch {
	case err == nil:
		u.breaker.good()
		return nil
	case errors.Is(err, blob.ErrNotExist):
		u.breaker.good()
		return err
	case errors.Is(err, errUntrusted), errors.Is(err, binarycache.ErrDamaged):
		u.breaker.good() // it answers, even if not well
	case ctx.Err() != nil:
		u.breaker.unknown()
		return ctx.Err()
	default:
		u.breaker.bad(time.Now())
	}
	if errors.Is(context.Cause(limited), errTimeout) {
		err = errTimeout
	}
	return &UpstreamError{Upstream: u.Name, Err: err}
}

// open starts to read an object. ctx is the whole reading's; the answer has to
// come in the upstream's time.
func (u *upstream) open(ctx context.Context, key string) (io.ReadCloser, error) {
	timeout, wait := u.breaker.allow(time.Now(), u.timeout)
	if timeout == 0 {
		return nil, &UpstreamError{Upstream: u.Name, Err: ErrUnavailable, Retry: wait}
	}
	limited, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(timeout, func() { cancel(errTimeout) })
	r, err := u.Reader.Open(limited, key)
	timer.Stop()
	if err = u.judge(ctx, limited, err); err != nil {
		cancel(err)
		return nil, err
	}
	return &openObject{r, func() { cancel(nil) }}, nil
}

type openObject struct {
	io.ReadCloser
	cancel func()
}

func (o *openObject) Close() error {
	err := o.ReadCloser.Close()
	o.cancel()
	return err
}

// breaker keeps clients from waiting for what is down: after some failures in
// a row an upstream is not asked for a while, then by one request to see.
type breaker struct {
	mu       sync.Mutex
	failures int
	until    time.Time
	probing  bool
}

const (
	breakAfter   = 3
	breakFirst   = time.Second
	breakLongest = 30 * time.Second
	// suspect is the part of its time that an upstream has which has just
	// failed.
	suspect = 4
)

// allow says how long a request may take; 0: it must not be made, and wait is
// when to ask again.
func (b *breaker) allow(now time.Time, timeout time.Duration) (limit, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.failures == 0:
		return timeout, 0
	case b.failures < breakAfter:
		return timeout / suspect, 0
	case now.Before(b.until):
		return 0, b.until.Sub(now)
	case b.probing:
		return 0, breakFirst
	}
	b.probing = true
	return timeout / suspect, 0
}

func (b *breaker) good() {
	b.mu.Lock()
	b.failures, b.probing = 0, false
	b.mu.Unlock()
}

// unknown: the client went away before there was an answer.
func (b *breaker) unknown() {
	b.mu.Lock()
	b.probing = false
	b.mu.Unlock()
}

func (b *breaker) bad(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures >= breakAfter && !b.probing {
		return // requests that were under way when it broke
	}
	b.probing = false
	b.failures++
	if n := b.failures - breakAfter; n >= 0 {
		b.until = now.Add(min(breakLongest, breakFirst<<min(n, 10)))
	}
}

// broken says whether the upstream is not asked at present.
func (b *breaker) broken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures >= breakAfter
}

// narPlace turns a narinfo's URL into a key of its cache.
func narPlace(u string) (string, error) {
	key := strings.TrimPrefix(u, "./")
	if strings.Contains(u, "://") || strings.ContainsAny(u, "?#") || blob.CheckKey(key) != nil {
		return "", fmt.Errorf("its NAR is at %.200q, which is not a place in this cache: %w", u, binarycache.ErrDamaged)
	}
	return key, nil
}
