package substituter

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"gitlab.com/pantheros/pantheros/internal/binarycache"
	"gitlab.com/pantheros/pantheros/internal/blob"
	"gitlab.com/pantheros/pantheros/internal/mirror"
	"gitlab.com/pantheros/pantheros/internal/nix"
)

// flight is a NAR on its way from an upstream into the mirror. All who want it
// read its file while it grows.
//
// What clients get is held back a little: a small NAR until it is verified, a
// large one but for its end, so that no client takes a wrong NAR for a whole
// one. If it turns out wrong the connections are cut and nothing is kept.
type flight struct {
	key  string
	from *upstream
	info nix.NARInfo
	in   *mirror.Incoming

	mu       sync.Mutex
	have     int64         // bytes in the file
	complete bool          // have is all of it
	open     bool          // clients may have all of it
	err      error         // it failed
	over     bool          // kept, or failed
	changed  chan struct{} // closed at the next change
	readers  int
	cancel   context.CancelCauseFunc
	leaving  *time.Timer // cancels when nobody reads for a while
}

const (
	// holdAll is the size of a NAR's file up to which nothing is sent before
	// it is verified. Most are smaller.
	holdAll = 1 << 20
	// holdEnd is what is held back of larger ones.
	holdEnd = 64 << 10
	// linger is how long a flight goes on that nobody reads: who was cut off
	// may come back.
	linger = 10 * time.Second
	chunk  = 128 << 10
)

var buffers = sync.Pool{New: func() any { b := make([]byte, chunk); return &b }}

// errNobody is why a flight ends that nobody waits for any more.
var errNobody = errors.New("no client waits for it any more")

// board finds the flight of a NAR, or starts it. leave must be called when the
// caller reads it no more.
func (c *Cache) board(u *upstream, source, key string, n nix.NARInfo) (f *flight, err error) {
	c.flightsMu.Lock()
	defer c.flightsMu.Unlock()
	if f, ok := c.flights[key]; ok && f.enter() {
		c.metrics.coalesced.Inc()
		return f, nil
	}
	if c.closing {
		return nil, errors.New("the server is going down")
	}
	in, err := c.o.Mirror.Create(n.FileSize)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(c.background)
	f = &flight{key: key, from: u, info: n, in: in, changed: make(chan struct{}), readers: 1, cancel: cancel}
	c.flights[key] = f
	c.metrics.flights.Inc()
	c.running.Go(func() {
		defer cancel(nil)
		c.fly(ctx, f, source)
		c.flightsMu.Lock()
		if c.flights[key] == f {
			delete(c.flights, key)
		}
		c.flightsMu.Unlock()
		c.metrics.flights.Dec()
	})
	return f, nil
}

// enter adds a reader, if the flight has not failed.
func (f *flight) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return false
	}
	f.readers++
	if f.leaving != nil {
		f.leaving.Stop()
		f.leaving = nil
	}
	return true
}

func (f *flight) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers--
	if f.readers == 0 && !f.complete && f.err == nil {
		f.leaving = time.AfterFunc(linger, func() {
			f.mu.Lock()
			nobody := f.readers == 0
			f.mu.Unlock()
			if nobody {
				f.cancel(errNobody)
			}
		})
	}
}

// change applies a change of state and wakes who waits for one.
func (f *flight) change(how func()) {
	f.mu.Lock()
	how()
	close(f.changed)
	f.changed = make(chan struct{})
	f.mu.Unlock()
}

// visible is how much of the file clients may have. f.mu is held.
func (f *flight) visible() int64 {
	switch {
	case f.open:
		return f.have
	case f.have <= holdAll:
		return 0
	default:
		return f.have - holdEnd
	}
}

// wait waits until clients may have more than offset bytes, or all. all is
// true when there are no more than limit.
func (f *flight) wait(ctx context.Context, offset int64) (limit int64, all bool, err error) {
	for {
		f.mu.Lock()
		limit, all, err = f.visible(), f.open, f.err
		changed := f.changed
		f.mu.Unlock()
		if err != nil || all || limit > offset {
			return limit, all, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, false, ctx.Err()
		}
	}
}

// follower reads a flight's file as it grows, to its end, for the check.
type follower struct {
	ctx    context.Context
	f      *flight
	file   *os.File
	offset int64
}

func (r *follower) Read(p []byte) (int, error) {
	for {
		r.f.mu.Lock()
		have, complete, err := r.f.have, r.f.complete, r.f.err
		changed := r.f.changed
		r.f.mu.Unlock()
		if err != nil {
			return 0, err
		}
		if have > r.offset {
			n, err := r.file.Read(p[:min(int64(len(p)), have-r.offset)])
			r.offset += int64(n)
			if n > 0 {
				err = nil
			}
			return n, err
		}
		if complete {
			return 0, io.EOF
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
}

// fly brings the NAR, checks it and keeps it.
func (c *Cache) fly(ctx context.Context, f *flight, source string) {
	verdict := make(chan error, 1)
	following := false
	if quick(f.info.Compression) {
		// Decompressing while it comes costs no time, but each decoder takes
		// memory: there are few.
		select {
		case c.decoders <- struct{}{}:
			following = true
			c.running.Go(func() {
				defer func() { <-c.decoders }()
				err := f.verify(ctx)
				if err != nil {
					f.cancel(err) // no need to bring the rest
				}
				verdict <- err
			})
		default:
		}
	}
	fileHash, err := c.download(ctx, f, source)
	if err == nil {
		f.change(func() { f.complete = true })
		if !following && !quick(f.info.Compression) && !f.info.FileHash.IsZero() {
			// Decompressing takes long, and clients do it themselves. They
			// have what the narinfo says; whether that is kept is seen below.
			f.change(func() { f.open = true })
		}
		if !following {
			select {
			case c.decoders <- struct{}{}:
				err = f.verify(ctx)
				<-c.decoders
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
	} else {
		// Noted first: who is woken looks for another upstream at once.
		c.failed(f.from, f.info, f.key, err)
		f.change(func() { f.err = err }) // ends the follower
	}
	if following {
		if verr := <-verdict; err == nil {
			err = verr
		}
	}
	if err == nil {
		f.info.FileHash = fileHash
		if err = f.in.Keep(f.key, f.info); err != nil {
			// The client can have it, only nobody after it.
			c.event("not-kept", f.from.Name, f.key, err)
		}
		c.records.remove(f.info.Path.HashPart())
		f.change(func() { f.open, f.over = true, true })
		return
	}
	f.in.Discard()
	f.mu.Lock()
	noted := f.err != nil
	f.mu.Unlock()
	if !noted {
		c.failed(f.from, f.info, f.key, err)
	}
	f.change(func() { f.err, f.over = err, true })
}

// failed notes what a failure says about an upstream.
func (c *Cache) failed(u *upstream, n nix.NARInfo, key string, err error) {
	switch {
	case errors.Is(err, errNobody), errors.Is(err, context.Canceled):
		return
	case errors.Is(err, mirror.ErrNoRoom):
		c.event("no-room", u.Name, key, err)
		return
	case errors.Is(err, binarycache.ErrDamaged), errors.Is(err, blob.ErrNotExist):
		c.metrics.damaged.WithLabelValues(u.Name).Inc()
		c.setBad(u, n.Path.HashPart())
		c.event("damaged", u.Name, key, err)
	default:
		c.event("upstream-failed", u.Name, key, err)
	}
}

// download writes the object to the flight's file and compares it with what
// the narinfo says of the file.
func (c *Cache) download(ctx context.Context, f *flight, source string) (sum nix.Hash, err error) {
	body, err := f.from.open(ctx, source)
	if err != nil {
		c.metrics.upstream.WithLabelValues(f.from.Name, "nar", "failed").Inc()
		return sum, err
	}
	defer body.Close()
	hash := sha256.New()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	received := c.metrics.received.WithLabelValues(f.from.Name)
	var n int64
	for {
		got, rerr := body.Read(*buf)
		if got > 0 {
			n += int64(got)
			received.Add(float64(got))
			if f.info.FileSize > 0 && n > f.info.FileSize {
				return sum, fmt.Errorf("it is longer than the %d bytes that its narinfo says: %w", f.info.FileSize, binarycache.ErrDamaged)
			}
			hash.Write((*buf)[:got])
			if _, err := f.in.Write((*buf)[:got]); err != nil {
				return sum, err
			}
			f.change(func() { f.have = n })
		}
		if errors.Is(rerr, io.EOF) {
			break
		}
		if rerr != nil {
			c.metrics.upstream.WithLabelValues(f.from.Name, "nar", "failed").Inc()
			if cause := context.Cause(ctx); cause != nil {
				rerr = cause
			}
			return sum, &UpstreamError{Upstream: f.from.Name, Err: rerr}
		}
	}
	hash.Sum(sum[:0])
	err = checkFile(f.info, n, sum)
	result := "found"
	if err != nil {
		result = "damaged"
	}
	c.metrics.upstream.WithLabelValues(f.from.Name, "nar", result).Inc()
	return sum, err
}

// checkFile compares a NAR's file with what its narinfo says of it.
func checkFile(n nix.NARInfo, size int64, sum nix.Hash) error {
	if n.FileSize > 0 && size != n.FileSize {
		return fmt.Errorf("it has %d bytes, its narinfo says %d: %w", size, n.FileSize, binarycache.ErrDamaged)
	}
	if !n.FileHash.IsZero() && sum != n.FileHash {
		return fmt.Errorf("it has hash %s, its narinfo says %s: %w", sum, n.FileHash, binarycache.ErrDamaged)
	}
	return nil
}

// verify decompresses the file, as it grows, and compares the NAR with its
// narinfo.
func (f *flight) verify(ctx context.Context) error {
	file, err := os.Open(f.in.Name())
	if err != nil {
		return err
	}
	defer file.Close()
	nar, err := binarycache.NewNAR(f.info, &follower{ctx: ctx, f: f, file: file}, f.key)
	if err != nil {
		return fmt.Errorf("%v: %w", err, binarycache.ErrDamaged)
	}
	defer nar.Close()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, nar, *buf)
	return err
}

// quick says that decompressing is quicker than most networks.
func quick(compression string) bool {
	return compression == "none" || compression == "zstd" || compression == "gzip"
}
