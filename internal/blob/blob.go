// Package blob defines a store of named bytes: what a binary cache needs of a
// directory, a bucket or a web server, and nothing more. Policy (retries,
// limits, signing, order) lives above it.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"
)

// ErrNotExist is returned, possibly wrapped, by Open and Stat when the store
// has answered that there is no such object. A store that cannot tell returns
// another error: absence is an answer, never a guess.
var ErrNotExist = errors.New("object does not exist")

// ErrTooLarge is returned, wrapped, by ReadAll.
var ErrTooLarge = errors.New("object is too large")

// ErrAgain is wrapped by errors of a Put that another writer of the same key
// disturbed: nothing was stored, and putting the object again, from its
// beginning, starts anew.
var ErrAgain = errors.New("the object must be put again")

// Info describes an object.
type Info struct {
	Key      string
	Size     int64     // bytes
	Modified time.Time // when it was written, as far as the store knows
}

// Reader reads objects. Methods may be called concurrently.
type Reader interface {
	// Open returns the object's bytes. The caller closes it.
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	// Stat says whether there is an object, and its size.
	Stat(ctx context.Context, key string) (Info, error)
}

// Store also writes, lists and deletes.
type Store interface {
	Reader
	// Put stores what r yields under key, replacing an earlier object. The
	// object becomes visible whole or not at all: an error from r, from the
	// store, or the end of ctx leaves what was there before. size is the
	// number of bytes that r will yield, checked, or -1 if not known. If r
	// has a WriteTo method Put may use it.
	Put(ctx context.Context, key string, r io.Reader, size int64) error
	// List yields the objects whose keys start with prefix, sorted by key. An
	// error ends the sequence.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
	// Delete removes an object. One that is absent is no error.
	Delete(ctx context.Context, key string) error
}

// Remote is what a Store may also be when its calls wait for a network rather
// than for this machine.
type Remote interface {
	// Requests is how many calls are worth having under way at present.
	Requests() int
}

// Uplink is what a Remote may also be when it measures how fast the link to it
// takes bytes.
type Uplink interface {
	// Uplink is how many bytes per second the link has lately taken while there
	// were more to send. 0: not known yet.
	Uplink() float64
	// Uploaded is how many bytes of objects the link has taken in all: fewer
	// than Put has read, as long as some are on their way.
	Uploaded() int64
}

// Digester is what a Store may also be when it can tell an object's SHA-256
// for less than it costs to fetch it.
type Digester interface {
	SHA256(ctx context.Context, key string) ([32]byte, error)
}

// Digested is what the reader that is given to Put may also be when it knows the
// SHA-256 of its bytes, once it has been read or written to its end: who made
// them has seen them when they were right.
type Digested interface {
	SHA256() [32]byte
}

// Creator is what a Store may also be when it can write an object only if there
// is none of its key, so that of two writers one wins and nothing is replaced.
type Creator interface {
	// PutNew is Put, but for an object that is there: that stays as it is, and
	// existed is true. r may then not have been read to its end. If an answer
	// of the server was lost on the way, what an earlier try of this call wrote
	// may count as there before, and what was there before as written by it if
	// it has the same bytes.
	PutNew(ctx context.Context, key string, r io.Reader, size int64) (existed bool, err error)
}

// Leftover is what a writer that died has left in a storage: no object, and in no
// listing, but it takes room.
type Leftover struct {
	Key      string // of the object that was being written, as far as that is known
	ID       string // the store's name for it
	Size     int64  // bytes; 0: not known
	Modified time.Time
}

// Leaver is what a Store may also be that writers can leave something in.
type Leaver interface {
	// Leftovers yields what was left, and what is being written at present:
	// they differ by age alone. An error ends the sequence.
	Leftovers(ctx context.Context) iter.Seq2[Leftover, error]
	// Discard removes one. A writer that is at work on it after all fails or
	// begins anew; no object comes to harm.
	Discard(ctx context.Context, l Leftover) error
}

// PutNew is s.PutNew if s is a Creator. Otherwise it looks first and then
// writes: of two that do so at the same time both may write.
func PutNew(ctx context.Context, s Store, key string, r io.Reader, size int64) (existed bool, err error) {
	if c, ok := s.(Creator); ok {
		return c.PutNew(ctx, key, r, size)
	}
	if _, err := s.Stat(ctx, key); !errors.Is(err, ErrNotExist) {
		return err == nil, err
	}
	return false, s.Put(ctx, key, r, size)
}

// ReadAll reads a small object whole. One larger than limit is ErrTooLarge.
func ReadAll(ctx context.Context, s Reader, key string, limit int64) ([]byte, error) {
	r, err := s.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: %w: more than %d bytes", key, ErrTooLarge, limit)
	}
	return data, nil
}

// ContentType is the media type that Nix gives an object of a binary cache, so
// that browsers and proxies treat it alike wherever it is served from.
func ContentType(key string) string {
	switch {
	case strings.HasSuffix(key, ".narinfo"):
		return "text/x-nix-narinfo"
	case key == "nix-cache-info":
		return "text/x-nix-cache-info"
	case strings.HasPrefix(key, "nar/"):
		return "application/x-nix-nar"
	case strings.HasPrefix(key, "log/"), key == "public-keys", key == "upstream-keys":
		return "text/plain; charset=utf-8"
	case strings.HasPrefix(key, "reports/") && strings.HasSuffix(key, ".html"):
		return "text/html; charset=utf-8"
	case strings.HasPrefix(key, "reports/") && (strings.HasSuffix(key, ".txt") || strings.HasSuffix(key, ".md")):
		return "text/plain; charset=utf-8"
	case strings.HasPrefix(key, "debuginfo/"), strings.HasSuffix(key, ".json"), strings.HasSuffix(key, ".ls"), strings.HasSuffix(key, ".doi"):
		return "application/json"
	default:
		return "application/octet-stream"
	}
}

// CheckKey refuses keys that not every store can hold: a key is one or more
// elements joined by slashes, none of them empty, starting with a dot, or
// holding control characters or a backslash.
func CheckKey(key string) error {
	if key == "" || len(key) > 1024 {
		return fmt.Errorf("object key of %d bytes", len(key))
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part[0] == '.' {
			return fmt.Errorf("object key %q: an element is empty or starts with a dot", key)
		}
		for i := range len(part) {
			if c := part[i]; c < ' ' || c == 0x7f || c == '\\' {
				return fmt.Errorf("object key %q: character %q is not allowed", key, c)
			}
		}
	}
	return nil
}
