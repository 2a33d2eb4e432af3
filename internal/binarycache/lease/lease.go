// Package lease lets pushes and sweeps of one cache know of each other through
// the cache's own storage: no server, no lock, no clock but the storage's.
//
//	leases/<id>.json   a push, and the paths and NARs it relies on or adds
//	sweeps/<id>.json   a sweep, and what it is about to delete
//
// A push writes its lease and then looks for sweeps; a sweep writes its notice
// and then looks for leases. So of a push and a sweep that meet, at least one
// sees the other: the sweep keeps what a lease claims, the push waits for a
// sweep that is about to delete what it claims.
package lease

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// Where leases and notices of sweeps are in a cache.
const (
	Prefix      = "leases/"
	SweepPrefix = "sweeps/"
)

// The times of the protocol. A holder stops relying on its lease or notice at
// half the time after which others take it for abandoned; the other half is
// for requests on their way and for clocks that do not run alike.
const (
	LeaseTTL = time.Hour
	SweepTTL = 2 * time.Minute
)

// version of the objects written here.
const version = 1

// maxSize bounds what is read: a lease of a million paths needs 26 MiB.
const maxSize = 64 << 20

// prefixLen is how much of a hash a claim names: 50 bits. Two things with the
// same prefix are both kept, which does no harm.
const prefixLen = 10

// Claim is what a lease protects, or what a sweep is about to delete: store
// paths and NARs by the first characters of their hashes, sorted.
type Claim struct {
	Paths []string `json:"paths"`
	NARs  []string `json:"nars"`
	Keys  []string `json:"keys,omitempty"` // of other objects, whole
}

// Keys that stand for all logs and for the whole index of debug info: a push
// leaves those alone that are there, and does not know which when it takes its
// lease.
const (
	AllLogs      = "log/"
	AllDebugInfo = "debuginfo/"
)

// ClaimOf claims paths with their NARs, and what may belong to them.
func ClaimOf(infos []nix.PathInfo) Claim {
	c := Claim{Paths: make([]string, 0, len(infos)), NARs: make([]string, 0, len(infos)), Keys: []string{AllDebugInfo, AllLogs}}
	for _, p := range infos {
		c.Paths = append(c.Paths, short(p.Path.HashPart()))
		c.NARs = append(c.NARs, short(p.NARHash.Base32()))
	}
	c.sort()
	return c
}

func short(s string) string { return s[:min(len(s), prefixLen)] }

// AddPath adds the path of a hash part, AddNAR the NAR of a hash or of a name
// that starts with one, AddKey an object.
func (c *Claim) AddPath(hashPart string) { c.Paths = append(c.Paths, short(hashPart)) }
func (c *Claim) AddNAR(hash string)      { c.NARs = append(c.NARs, short(hash)) } //nolint:revive // see AddPath
func (c *Claim) AddKey(key string)       { c.Keys = append(c.Keys, key) }         //nolint:revive // see AddPath

func (c *Claim) sort() {
	for _, s := range []*[]string{&c.Paths, &c.NARs, &c.Keys} {
		slices.Sort(*s)
		*s = slices.Compact(*s)
	}
}

// HasPath says whether a path is claimed, as HasNAR and HasKey do for other things.
// The claim must be one that was read or written: sorted.
func (c *Claim) HasPath(hashPart string) bool { return has(c.Paths, short(hashPart)) }
func (c *Claim) HasNAR(hash string) bool      { return has(c.NARs, short(hash)) } //nolint:revive // see HasPath
func (c *Claim) HasKey(key string) bool       { return has(c.Keys, key) }         //nolint:revive // see HasPath

func has(sorted []string, s string) bool {
	_, ok := slices.BinarySearch(sorted, s)
	return ok
}

// meets says whether two claims have something in common.
func (c *Claim) meets(d *Claim) bool {
	return common(c.Paths, d.Paths) || common(c.NARs, d.NARs) || common(c.Keys, d.Keys)
}

func common(a, b []string) bool {
	for len(a) > 0 && len(b) > 0 {
		switch strings.Compare(a[0], b[0]) {
		case -1:
			a = a[1:]
		case 1:
			b = b[1:]
		default:
			return true
		}
	}
	return false
}

// record is the object of a lease or of a notice.
type record struct {
	Version int       `json:"version"`
	Purpose string    `json:"purpose"` // "push", "gc", ...
	Holder  string    `json:"holder"`  // user@machine
	Taken   time.Time `json:"taken"`   // by the holder's clock; for people
	TTL     int       `json:"ttl_seconds"`
	Claim
}

func parse(data []byte) (record, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return r, err
	}
	if r.Version != version {
		return r, fmt.Errorf("it has version %d, this program knows %d", r.Version, version)
	}
	if r.TTL <= 0 || r.TTL > int((24*time.Hour).Seconds()) {
		return r, fmt.Errorf("it says it lasts %d seconds", r.TTL)
	}
	r.sort()
	return r, nil
}

// Holder names this process's user and machine.
func Holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if u, err := user.Current(); err == nil {
		return u.Username + "@" + host
	}
	return host
}

// LostError says that a lease or a notice could not be kept up, so that others
// may take its holder for gone.
type LostError struct {
	What string // "lease" or "notice of the sweep"
	Age  time.Duration
	Err  error // of the last renewal, if it failed
}

func (e *LostError) Error() string {
	text := fmt.Sprintf("the %s on the cache was last renewed %s ago, too long to rely on; run it again", e.What, e.Age.Round(time.Second))
	if e.Err != nil {
		text += fmt.Sprintf(" (the last renewal failed: %v)", e.Err)
	}
	return text
}

// held is an object that is written again and again while its holder lives.
type held struct {
	store blob.Store
	what  string
	key   string
	ttl   time.Duration

	mu      sync.Mutex
	record  record
	renewed time.Time // when the last renewal that succeeded began
	lost    bool      // it was too old once: others may have taken the holder for gone
	err     error     // of the last renewal
}

func (h *held) write(ctx context.Context) error {
	h.mu.Lock()
	first := h.renewed.IsZero()
	data, err := json.Marshal(h.record)
	h.mu.Unlock()
	if err != nil {
		return err
	}
	if !first {
		if err := h.Check(); err != nil {
			return err // renewing it now would hide that it was lost
		}
	}
	began := time.Now()
	err = h.store.Put(ctx, h.key, bytes.NewReader(data), int64(len(data)))
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err = err; err != nil {
		return fmt.Errorf("write the %s: %w", h.what, err)
	}
	h.renewed = began
	return nil
}

// age is how long ago the last renewal began, by the clock that stops while the
// machine sleeps or by the one that is set by people, whichever says more.
func (h *held) age() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(time.Since(h.renewed), time.Now().Round(0).Sub(h.renewed.Round(0)))
}

// Check is nil while others respect the lease: for half its time after the last
// renewal. What relies on the lease asks before each step.
func (h *held) Check() error {
	age := h.age()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost = h.lost || age > h.ttl/2; h.lost {
		return &LostError{What: h.what, Age: age, Err: h.err}
	}
	return nil
}

// Renewing renews every so often until stop is called or ctx ends.
func (h *held) Renewing(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(h.ttl / 12)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				_ = h.write(ctx) // Check tells when that has failed for too long
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

// Release deletes the object. Where that fails, others take the holder for gone
// after a while. It works also when ctx has ended, for a moment.
func (h *held) Release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	return h.store.Delete(ctx, h.key)
}

const releaseTime = 500 * time.Millisecond

// now is the storage's clock: when it says that the object was written just now.
func (h *held) now(ctx context.Context) (time.Time, error) {
	if err := h.write(ctx); err != nil {
		return time.Time{}, err
	}
	info, err := h.store.Stat(ctx, h.key)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for the time of the %s: %w", h.what, err)
	}
	if info.Modified.IsZero() {
		return time.Time{}, errors.New("the storage does not say when objects were written")
	}
	return info.Modified, nil
}

func hold(store blob.Store, what, prefix, purpose string, ttl time.Duration, c Claim) *held {
	now := time.Now()
	c.sort()
	return &held{
		store: store, what: what, ttl: ttl,
		key:    prefix + now.UTC().Format("20060102T150405Z") + "-" + strings.ToLower(rand.Text()[:12]) + ".json",
		record: record{Version: version, Purpose: purpose, Holder: Holder(), Taken: now.UTC().Truncate(time.Second), TTL: int(ttl.Seconds()), Claim: c},
	}
}

// Lease is a push's claim.
type Lease struct{ *held }

// Take writes a lease. Before relying on what it finds in the cache the holder
// calls Settle; while it goes on it has Renewing running; at the end, when the
// root manifests are written, it calls Release.
func Take(ctx context.Context, store blob.Store, purpose string, c Claim) (*Lease, error) {
	l := &Lease{hold(store, "lease", Prefix, purpose, LeaseTTL, c)}
	if err := l.write(ctx); err != nil {
		_ = l.Release(ctx) // it may be there: only the answer may have been lost
		return nil, err
	}
	return l, nil
}

// Settle waits until no sweep is under way that could delete what the lease
// claims. What is found in the cache after that stays while the lease does; what
// was found before may be gone.
func (l *Lease) Settle(ctx context.Context) error {
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		busy, err := l.met(ctx)
		if err != nil || !busy {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// met says whether a sweep is under way that may delete what is claimed.
func (l *Lease) met(ctx context.Context) (bool, error) {
	for info, err := range l.store.List(ctx, SweepPrefix) {
		if err != nil {
			return false, fmt.Errorf("ask for sweeps under way: %w", err)
		}
		r, err := read(ctx, l.store, info.Key)
		if errors.Is(err, blob.ErrNotExist) {
			continue
		}
		if err == nil && !r.meets(&l.record.Claim) {
			continue
		}
		ttl := SweepTTL // of one that cannot be read
		if err == nil {
			ttl = time.Duration(r.TTL) * time.Second
		} else if !errors.As(err, new(*damagedError)) {
			return false, err
		}
		// The notice is asked for again: it may have been renewed since.
		now, err := l.now(ctx)
		if err != nil {
			return false, err
		}
		switch info, err := l.store.Stat(ctx, info.Key); {
		case errors.Is(err, blob.ErrNotExist):
		case err != nil:
			return false, fmt.Errorf("ask for sweep %s: %w", info.Key, err)
		case now.Sub(info.Modified) <= ttl:
			return true, nil
		}
	}
	return false, nil
}

// damagedError is an object that is no lease and no notice.
type damagedError struct{ err error }

func (e *damagedError) Error() string { return e.err.Error() }

func read(ctx context.Context, s blob.Reader, key string) (record, error) {
	data, err := blob.ReadAll(ctx, s, key, maxSize)
	if errors.Is(err, blob.ErrTooLarge) {
		return record{}, &damagedError{err}
	}
	if err != nil {
		return record{}, fmt.Errorf("read %s: %w", key, err)
	}
	r, err := parse(data)
	if err != nil {
		return r, &damagedError{fmt.Errorf("%s is damaged: %v", key, err)}
	}
	return r, nil
}
